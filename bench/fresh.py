"""The first seconds of a database, on which nothing was ever analyzed, and the same later."""

from contextlib import ExitStack
from dataclasses import dataclass, field

from bench import inprocess
from bench.children import Child
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from ledger.database import connect

AT_ONCE = 128


@dataclass
class _Day:
    """A database that is new each round, and the process that uses it from its first second."""

    stack: ExitStack = field(default_factory=ExitStack)
    children: list[Child] = field(default_factory=list)
    dsn: str = ""

    def end(self) -> None:
        """Drop the database."""
        self.stack.close()


@part("fresh", arena="fresh")
def fresh(ground: Ground, stack: ExitStack) -> list[Subject]:
    """The first ten seconds on a fresh database, and the same database later."""
    day = _Day()
    stack.callback(day.end)
    seconds = ground.options.opening_seconds

    def begin() -> None:
        day.end()
        day.dsn = ground.new_members(day.stack)
        day.children = [inprocess.driver(ground, day.stack, day.dsn)]

    def grow_older() -> None:
        with connect(day.dsn) as connection:
            connection.execute("VACUUM ANALYZE")
        inprocess.driven(ground, day.children, AT_ONCE)(1)

    def run(_: int) -> Outcome:
        return inprocess.driven(ground, day.children, AT_ONCE)(seconds)

    title = "visits in process, 128 at once"
    return [
        Subject("fresh.first", f"{title}, the first {seconds} s of a database", run, before=begin),
        Subject("fresh.later", f"{title}, the same database later", run, before=grow_older),
    ]
