"""Answers built from the first event on, beside the live ones: for a rebuild and for an audit.

Nobody reads them yet, so keys and indexes come last, work is spread over two connections, and
each projection folds all events of a lane in windows as large as memory likes. Beside those who
serve the ledger it is done on one connection, which leaves them a core of two. Each step is noted
in the transaction that does it: what was cut short goes on where it stopped.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

from ledger.database import connect
from ledger.locks import Lock, held
from projections.engine import event_tables
from projections.engine.connection import Conn
from projections.engine.event_tables import PoisonedEvent, TypedTable, Window, typed_tables
from projections.engine.projection import Projection
from projections.engine.schemas import (
    LIVE,
    Extent,
    Schemas,
    create,
    drop,
    everything,
    log_ends,
    positions,
    recorded,
    recording,
    search_path,
)
from projections.engine.windows import UNTAKEN, culprit, sources

FILL_EVENTS = 200_000
FOLD_EVENTS = 4_000_000
"""Events a window: of the log, and of typed events, which are ten times as fast."""
CONNECTIONS = 2
NOWHERE = Window(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far something has come. Stages: events, answers, windows."""

    stage: str
    done: int
    total: int


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What is done in one transaction, once, and for which window."""

    name: str
    work: Callable[[Conn, Window], object]
    window: Window


@dataclass(frozen=True, slots=True)
class Task:
    """Steps to take one after the other, and their weight in events."""

    events: int
    steps: Sequence[Step]
    analyzed: Sequence[str] = ()
    """Tables that planners have to know of afterwards."""


@dataclass
class Builder:
    """Fills a pair of schemas up to given positions, or to the log's ends as they are at its start.

    Of an extent, only that is made, from the log and from what the live pair keeps.
    """

    dsn: str
    schemas: Schemas
    report: Report | None = None
    extent: Extent = field(default_factory=everything)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failed: threading.Event = field(default_factory=threading.Event)

    def build(self, conn: Conn, target: dict[int, int] | None = None) -> int:
        """Makes the schemas and fills them; returns how many events that were.

        What stands there of an earlier try is gone on with, if it would become the same.
        """
        goal = log_ends(conn) if target is None else target
        lanes = self._standing(conn, goal)
        if lanes is None:
            lanes = lanes_of(goal)
            drop(conn, self.schemas)
            with conn.transaction():
                create(conn, self.schemas, bare=True, extent=self.extent)
                self._reach(conn, lanes)
                self._plan(conn, self._tasks(conn, lanes))
        if self._unfinished(conn):
            self._each(conn, "events", self._fillings(lanes))
            for table in self.extent.tables:
                # Without it the folds would be planned for tables of an unknown size.
                conn.execute(f"ANALYZE {self.schemas.typed}.{table.name}")
            self.fold(conn, lanes, [self._indexing(conn, each) for each in self.extent.tables])
        return sum(lane.size for lane in lanes)

    def fold(self, conn: Conn, lanes: list[Window], beside: Sequence[Task] = ()) -> None:
        """Folds these windows of the pair's typed events into its empty answers."""
        tasks = [*self._foldings(conn, lanes), *beside]
        self._plan(conn, tasks)
        self._each(conn, "answers", sorted(tasks, key=lambda task: -task.events))
        with conn.transaction():
            self._reach(conn, lanes)
            conn.execute(f"DROP TABLE {self._steps}")

    # ----------------------------------------------------------------------------- what is done
    @property
    def _steps(self) -> str:
        """The table of all steps. It stands as long as not all of them are done."""
        return f"{self.schemas.answers}.step"

    def _unfinished(self, conn: Conn) -> bool:
        found = conn.execute("SELECT to_regclass(%s) IS NOT NULL", (self._steps,)).fetchone()
        return found == (True,)

    def _standing(self, conn: Conn, goal: dict[int, int]) -> list[Window] | None:
        """What an earlier try was about, if its texts, lanes and steps are those of today."""
        table = f"{self.schemas.answers}.checkpoint"
        if conn.execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
            return None
        reached = positions(conn, self.schemas)
        if recorded(conn, self.schemas) != recording(conn, self.extent) or any(
            upto > goal[bucket] for bucket, upto in reached.items()
        ):
            return None
        lanes = lanes_of(reached)
        if self._unfinished(conn):
            known = {name for (name,) in conn.execute(f"SELECT name FROM {self._steps}")}
            if known != {step.name for task in self._tasks(conn, lanes) for step in task.steps}:
                return None
        return lanes

    def _plan(self, conn: Conn, tasks: Sequence[Task]) -> None:
        conn.execute(
            f"CREATE TABLE IF NOT EXISTS {self._steps}"
            " (name text PRIMARY KEY, done boolean NOT NULL DEFAULT false)"
        )
        conn.execute(
            f"INSERT INTO {self._steps} SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
            ([step.name for task in tasks for step in task.steps],),
        )

    def _reach(self, conn: Conn, lanes: Sequence[Window]) -> None:
        for lane in lanes:
            conn.execute(
                f"UPDATE {self.schemas.answers}.checkpoint SET position = %s WHERE bucket = %s",
                (lane.upto, lane.bucket),
            )

    def _take(self, conn: Conn, step: Step) -> None:
        """Whoever died over this step holds its row until the server has undone his work."""
        try:
            with conn.transaction():
                if conn.execute(
                    f"UPDATE {self._steps} SET done = true WHERE name = %s AND NOT done",
                    (step.name,),
                ).rowcount:
                    step.work(conn, step.window)
        except (PoisonedEvent, *UNTAKEN) as error:
            if step.window is NOWHERE:
                raise
            raise culprit(conn, step.window, error, lambda part: step.work(conn, part)) from error

    # ---------------------------------------------------------------------------- what is to do
    def _tasks(self, conn: Conn, lanes: list[Window]) -> list[Task]:
        indexings = [self._indexing(conn, table) for table in self.extent.tables]
        return [*self._fillings(lanes), *self._foldings(conn, lanes), *indexings]

    def _fillings(self, lanes: list[Window]) -> list[Task]:
        def fill(conn: Conn, window: Window) -> None:
            event_tables.fill(conn, self.schemas.typed, window, self.extent.topics)

        windows = [window for lane in lanes for window in lane.pieces(FILL_EVENTS)]
        if not self.extent.topics:
            return []
        return [Task(w.size, [Step(f"events {w}", fill, w)]) for w in windows]

    def _foldings(self, conn: Conn, lanes: list[Window]) -> list[Task]:
        return [self._folding(conn, projection, lanes) for projection in self.extent.folds]

    def _folding(self, conn: Conn, projection: type[Projection], lanes: list[Window]) -> Task:
        def fold(conn: Conn, window: Window) -> None:
            with search_path(conn, *sources(self.schemas, self.extent)):
                projection.fold_window(conn, window)

        def index(conn: Conn, _: Window) -> None:
            with search_path(conn, self.schemas.answers):
                projection.index(conn)

        windows = [window for lane in lanes for window in lane.pieces(FOLD_EVENTS)]
        steps = [Step(f"{projection.name} {window}", fold, window) for window in windows]
        steps.append(Step(f"{projection.name} indexes", index, NOWHERE))
        read = [table for topic, table in typed_tables().items() if topic in projection.topics()]
        made = [f"{self.schemas.answers}.{name}" for name in projection.table_names()]
        return Task(sum(self._events(conn, table) for table in read), steps, made)

    def _indexing(self, conn: Conn, table: TypedTable) -> Task:
        def index(conn: Conn, _: Window) -> None:
            for text in table.indexes(self.schemas.typed):
                conn.execute(text)

        return Task(self._events(conn, table), [Step(f"{table.key} indexes", index, NOWHERE)])

    def _events(self, conn: Conn, table: TypedTable) -> int:
        """How many there are as ANALYZE estimated, at least 1; of a view, those of its table."""
        (found,) = conn.execute(
            "SELECT greatest(c.reltuples, 1)::bigint FROM pg_class v"
            " LEFT JOIN pg_namespace live ON v.relkind = 'v' AND live.nspname = %s"
            " JOIN pg_class c ON c.relname = v.relname"
            " AND c.relnamespace = coalesce(live.oid, v.relnamespace) WHERE v.oid = %s::regclass",
            (LIVE.typed, f"{self._schema_of(table)}.{table.name}"),
        ).fetchone() or (0,)
        return int(found)

    def _schema_of(self, table: TypedTable) -> str:
        return self.schemas.typed if table.topic in self.extent.topics else LIVE.typed

    def _each(self, conn: Conn, stage: str, tasks: Sequence[Task]) -> None:
        """All tasks over the connections; the first failure keeps the others from starting."""
        past = {name for (name,) in conn.execute(f"SELECT name FROM {self._steps} WHERE done")}
        left = [task for task in tasks if any(step.name not in past for step in task.steps)]
        total = sum(task.events for task in tasks)
        done = total - sum(task.events for task in left)
        free: SimpleQueue[Conn] = SimpleQueue()

        def tell() -> None:
            if self.report and total:
                self.report(Progress(stage, done, total))

        def one(task: Task) -> None:
            nonlocal done
            conn = free.get()
            try:
                for step in task.steps:
                    if self._failed.is_set():
                        return
                    self._take(conn, step)
                for table in task.analyzed:
                    conn.execute(f"ANALYZE {table}")
            except BaseException:
                self._failed.set()
                raise
            finally:
                free.put(conn)
            with self._lock:
                done += task.events
                if task.events:
                    tell()

        if done:
            tell()
        alone = not held(conn, Lock.LEADING)
        size = CONNECTIONS if alone else 1
        with ExitStack() as stack, ThreadPoolExecutor(size) as pool:
            opened = [stack.enter_context(self._connection(alone)) for _ in range(size)]
            for each in opened:
                free.put(each)
            try:
                list(pool.map(one, left))
            except BaseException:
                self._failed.set()
                for each in opened:
                    each.cancel()
                raise

    @contextmanager
    def _connection(self, alone: bool) -> Iterator[Conn]:
        """One with memory to sort and hash in; nobody waits for its commits. If it is not alone, it
        gets no helpers."""
        with connect(self.dsn) as conn:
            conn.execute("SET synchronous_commit = off")
            conn.execute("SET work_mem = '256MB'")
            conn.execute("SET maintenance_work_mem = '256MB'")
            if not alone:
                conn.execute("SET max_parallel_maintenance_workers = 0")
                conn.execute("SET max_parallel_workers_per_gather = 0")
            yield conn


def lanes_of(goal: dict[int, int]) -> list[Window]:
    """All positions up to these."""
    return [Window(bucket, 0, upto) for bucket, upto in goal.items() if upto]
