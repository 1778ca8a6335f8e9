"""Answers built from the first event on, beside the live ones: for a rebuild and for an audit.

Nobody reads them yet, so keys and indexes come last, work is spread over two connections, and
each projection folds all events of a lane in windows as large as memory likes. If it is cut
short, the next start drops what is there.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

from ledger.database import connect
from projections import typed
from projections.catalogue import PROJECTIONS
from projections.connection import Conn
from projections.projection import Projection
from projections.schemas import LIVE, Schemas, create, drop, heads, search_path
from projections.typed import PoisonedEvent, TypedTable, Window, typed_tables
from projections.windows import UNTAKEN, culprit

FILL_EVENTS = 200_000
FOLD_EVENTS = 4_000_000
"""Events a window: of the log, and of typed events, which are ten times as fast."""
CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something has come. Stages: events, answers, windows."""

    stage: str
    done: int
    total: int


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Task:
    """Something to do on a connection of its own, and its weight in events."""

    events: int
    work: Callable[[Conn], None]


@dataclass
class Builder:
    """Fills a pair of schemas up to given positions, or to the heads as they are at its start."""

    dsn: str
    schemas: Schemas
    report: Report | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self, conn: Conn, target: dict[int, int] | None = None) -> int:
        """Makes the schemas and fills them; returns how many events that were."""
        drop(conn, self.schemas)
        create(conn, self.schemas, bare=True)
        ends = heads(conn) if target is None else target
        lanes = [Window(bucket, 0, upto) for bucket, upto in ends.items() if upto]
        windows = [window for lane in lanes for window in lane.pieces(FILL_EVENTS)]
        self._each("events", [self._filling(window) for window in windows])
        for table in typed_tables().values():
            # Without it the folds would be planned for tables of an unknown size.
            conn.execute(f"ANALYZE {self.schemas.typed}.{table.name}")
        self.fold(conn, lanes, [self._indexing(conn, each) for each in typed_tables().values()])
        return sum(lane.size for lane in lanes)

    def fold(self, conn: Conn, lanes: list[Window], beside: Sequence[Task] = ()) -> None:
        """Folds these windows of the pair's typed events into its empty answers."""
        tasks = [self._folding(conn, projection, lanes) for projection in PROJECTIONS.values()]
        self._each("answers", sorted([*tasks, *beside], key=lambda task: -task.events))
        for lane in lanes:
            conn.execute(
                f"UPDATE {self.schemas.answers}.checkpoint SET position = %s WHERE bucket = %s",
                (lane.upto, lane.bucket),
            )

    def _filling(self, window: Window) -> Task:
        def work(conn: Conn) -> None:
            named(conn, window, lambda part: typed.fill(conn, self.schemas.typed, part))

        return Task(window.size, work)

    def _folding(self, conn: Conn, projection: type[Projection], lanes: list[Window]) -> Task:
        def work(conn: Conn) -> None:
            def fold(part: Window) -> None:
                with search_path(conn, self.schemas.answers):
                    projection.fold_window(conn, part, self.schemas.typed, projection.topics())

            for lane in lanes:
                for window in lane.pieces(FOLD_EVENTS):
                    named(conn, window, fold)
            with conn.transaction(), search_path(conn, self.schemas.answers):
                projection.index(conn)
            for table in projection.table_names():
                conn.execute(f"ANALYZE {self.schemas.answers}.{table}")

        read = [table for topic, table in typed_tables().items() if topic in projection.topics()]
        return Task(sum(self._events(conn, table) for table in read), work)

    def _indexing(self, conn: Conn, table: TypedTable) -> Task:
        def work(conn: Conn) -> None:
            for text in table.indexes(self.schemas.typed):
                conn.execute(text)

        return Task(self._events(conn, table), work)

    def _events(self, conn: Conn, table: TypedTable) -> int:
        """How many there are, as ANALYZE estimated; of a view, how many its table holds."""
        (found,) = conn.execute(
            "SELECT greatest(c.reltuples, 0)::bigint FROM pg_class v"
            " LEFT JOIN pg_namespace live ON v.relkind = 'v' AND live.nspname = %s"
            " JOIN pg_class c ON c.relname = v.relname"
            " AND c.relnamespace = coalesce(live.oid, v.relnamespace) WHERE v.oid = %s::regclass",
            (LIVE.typed, f"{self.schemas.typed}.{table.name}"),
        ).fetchone() or (0,)
        return int(found)

    def _each(self, stage: str, tasks: list[Task]) -> None:
        """All tasks over the connections; the first failure keeps the others from starting."""
        total, done, failed = sum(task.events for task in tasks), 0, threading.Event()
        free: SimpleQueue[Conn] = SimpleQueue()

        def one(task: Task) -> None:
            nonlocal done
            if failed.is_set():
                return
            conn = free.get()
            try:
                task.work(conn)
            except BaseException:
                failed.set()
                raise
            finally:
                free.put(conn)
            with self._lock:
                done += task.events
                if self.report and task.events:
                    self.report(Progress(stage, done, total))

        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                free.put(stack.enter_context(self._connection()))
            with ThreadPoolExecutor(CONNECTIONS) as pool:
                list(pool.map(one, tasks))

    @contextmanager
    def _connection(self) -> Iterator[Conn]:
        """One with memory to sort and hash in; nobody waits for its commits."""
        with connect(self.dsn) as conn:
            conn.execute("SET synchronous_commit = off")
            conn.execute("SET work_mem = '256MB'")
            conn.execute("SET maintenance_work_mem = '256MB'")
            yield conn


def named(conn: Conn, window: Window, attempt: Callable[[Window], object]) -> None:
    """One window in a transaction; an event in it that cannot be taken is named."""
    try:
        with conn.transaction():
            attempt(window)
    except (PoisonedEvent, *UNTAKEN) as error:
        raise culprit(conn, window, error, attempt) from error
