"""Reading the log: the place for what projections and answers cost. A row is one function more."""

import time
from contextlib import ExitStack

from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from ledger.database import connect
from ledger.reading import total
from projections import runner


@part("copy", arena="reads")
def copy(ground: Ground, stack: ExitStack) -> list[Subject]:
    """COPY of the whole log to binary, discarded: the floor of whoever reads all of it."""
    dsn = ground.members(stack)

    def run(_: int) -> Outcome:
        with connect(dsn) as connection, connection.cursor() as cursor:
            events = total(connection)
            start = time.perf_counter()
            with cursor.copy("COPY stored_events TO STDOUT (FORMAT binary)") as rows:
                for _block in rows:
                    pass
            return Outcome(events, time.perf_counter() - start)

    title = "COPY of the whole log to binary, discarded"
    return [
        Subject("reads.copy", title, run, counts="events", watch={"postgres": [ground.postgres]})
    ]


@part("rebuild", arena="reads")
def rebuild(ground: Ground, stack: ExitStack) -> list[Subject]:
    """A rebuild of every answer from the whole log."""
    dsn = ground.members(stack)

    def run(_: int) -> Outcome:
        with connect(dsn) as connection:
            events = total(connection)
        start = time.perf_counter()
        runner.rebuild(dsn)
        return Outcome(events, time.perf_counter() - start)

    watch = {"postgres": [ground.postgres]}
    title = "rebuild of every answer"
    return [Subject("reads.rebuild", title, run, counts="events", watch=watch, beside="reads.copy")]
