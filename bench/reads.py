"""Reading the log: what projections and answers cost. A row is one function more."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from psycopg import Connection

from api.runtime import demonstration
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from ledger.database import connect, install
from ledger.reading import total
from projections.engine import runner
from projections.engine.building import Builder
from projections.engine.event_tables import Window, typed_tables
from projections.engine.projection import Projection
from projections.engine.schemas import SCRATCH, Extent, drop, everything, log_ends, search_path
from projections.points import Points
from projections.visits import Visits

SEED = 2008
PATIENCE_S = 600
TENTH = 0.1
ALONE = "bench_alone"
"""The schema into which one fold is folded alone."""


def demo(ground: Ground, stack: ExitStack, share: float = 1.0) -> str:
    """A ledger with the demo year, or a share of it, its answers folded and analyzed."""
    dsn = ground.created(stack)
    install(dsn)
    scale = demonstration.canonical(f"{ground.options.demo_scale * share:g}")
    ground.tell(f"Loading the demo year at {scale}")
    demonstration.load(dsn, scale, SEED, lambda *_: None, lambda _: None)
    runner.project(dsn)
    with connect(dsn) as connection:
        connection.execute("VACUUM (FREEZE, ANALYZE)")
    return dsn


@part("reads", arena="reads")
def reads(ground: Ground, stack: ExitStack) -> list[Subject]:
    """The demo year: COPY of its log, typed events, answers, single folds, a whole rebuild."""
    dsn = demo(ground, stack)
    topics, projections = everything().topics, everything().projections
    runs: dict[str, tuple[str, Callable[[], float]]] = {
        "reads.copy": ("COPY of the whole log to binary, discarded", lambda: copied(dsn)),
        "reads.typed": (
            "typed events from the log",
            lambda: built(dsn, Extent(topics, frozenset())),
        ),
        "reads.answers": (
            "every answer from the typed events",
            lambda: built(dsn, Extent(frozenset(), projections)),
        ),
        "reads.club_use": (
            f"the use of clubs, alone: reads {_visits(dsn)}",
            lambda: folded(dsn, Visits, "club_use"),
        ),
        "reads.accounts": (
            "the points of each member, alone",
            lambda: folded(dsn, Points, "account"),
        ),
    }
    watch = {"postgres": [ground.postgres]}
    subjects = [
        Subject(
            name,
            title,
            _counted(dsn, run),
            counts="events",
            watch=watch,
            beside="" if name == "reads.copy" else "reads.copy",
        )
        for name, (title, run) in runs.items()
    ]
    return [*subjects, *_rebuilds(ground, stack, dsn)]


def _rebuilds(ground: Ground, stack: ExitStack, dsn: str) -> list[Subject]:
    """A rebuild of everything, on all events and on a tenth of them."""
    watch = {"postgres": [ground.postgres]}
    tenth = demo(ground, stack, TENTH)
    return [
        Subject("reads.rebuild", "rebuild of every answer", rebuilt(ground, dsn), counts="events",
                watch=watch, beside="reads.copy"),
        Subject("reads.rebuild.tenth", "the same on a tenth of the events", rebuilt(ground, tenth),
                counts="events", watch=watch, beside="reads.rebuild"),
    ]  # fmt: skip


def rebuilt(ground: Ground, dsn: str, patience_s: float = PATIENCE_S) -> Callable[[int], Outcome]:
    """A rebuild of everything in a process of its own, and what memory that one ever had."""

    def run(_: int) -> Outcome:
        with connect(dsn) as connection, ExitStack() as child_ends:
            events = total(connection)
            child = ground.python(child_ends, "bench.rebuilder", dsn=dsn, once=True)
            child.hear(PATIENCE_S)
            told = child.hear(patience_s)
        return Outcome(events, told["seconds"], {"peak_mb": told["peak_mb"]})

    return run


def _counted(dsn: str, run: Callable[[], float]) -> Callable[[int], Outcome]:
    """Events of the whole log a second, whatever is made of them."""

    def counted(_: int) -> Outcome:
        with connect(dsn) as connection:
            return Outcome(total(connection), run())

    return counted


def _visits(dsn: str) -> str:
    """How little of the log a fold of visits reads: they have a typed table of their own."""
    with connect(dsn) as connection:
        (visits,) = connection.execute(
            "SELECT (SELECT count(*) FROM typed.visit_recorded)"
            " + (SELECT count(*) FROM typed.visit_undone)"
        ).fetchone() or (0,)
        return f"{visits:,} typed events of the {total(connection):,}"


@contextmanager
def _connected(dsn: str) -> Iterator[Connection[Any]]:
    """As the builder's own connections are."""
    with connect(dsn) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET work_mem = '256MB'")
        yield connection


def copied(dsn: str) -> float:
    """Seconds to read the log."""
    with connect(dsn) as connection, connection.cursor() as cursor:
        start = time.perf_counter()
        with cursor.copy("COPY (SELECT * FROM stored_events) TO STDOUT (FORMAT binary)") as rows:
            for _block in rows:
                pass
        return time.perf_counter() - start


def built(dsn: str, extent: Extent) -> float:
    """Seconds to make this much beside the live answers, with all its indexes."""
    with connect(dsn) as connection:
        drop(connection, SCRATCH)
        try:
            start = time.perf_counter()
            Builder(dsn, SCRATCH, extent=extent).build(connection)
            return time.perf_counter() - start
        finally:
            drop(connection, SCRATCH)


def folded(dsn: str, projection: type[Projection], table: str) -> float:
    """Seconds to fold one table from all typed events, upserted into an empty one with its key."""
    (made,) = (text for text in projection.tables if f"CREATE TABLE {table} " in text)
    (fold,) = (text for text in projection.fold if f"INSERT INTO {table} " in text)
    with _connected(dsn) as connection:
        connection.execute(f"CREATE SCHEMA {ALONE}")
        try:
            with connection.transaction(), search_path(connection, ALONE, "answers", "typed"):
                connection.execute(made.encode())
                start = time.perf_counter()
                for bucket, upto in log_ends(connection).items():
                    whole = Window(bucket, 0, upto)
                    sources = {each.name: each.source(whole) for each in typed_tables().values()}
                    connection.execute(fold.format_map(sources).encode())
            return time.perf_counter() - start
        finally:
            connection.execute(f"DROP SCHEMA {ALONE} CASCADE")
