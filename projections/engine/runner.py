"""The runner: folds what is new into the answers, one at a time, and rebuilds them if need be."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from psycopg.rows import class_row

from ledger.database import CHANNEL, connect
from ledger.locks import Lock, held
from projections.engine import public, succession
from projections.engine.building import Builder, Progress, Report
from projections.engine.catalogue import PROJECTIONS
from projections.engine.connection import Conn
from projections.engine.event_tables import PoisonedEvent, Window, typed_tables
from projections.engine.schemas import (
    LIVE,
    OLD,
    SCRATCH,
    SHADOW,
    STANDSTILL,
    Extent,
    create,
    drop,
    everything,
    forget_gone,
    installed,
    keep,
    log_ends,
    outdated,
    positions,
    session_lock,
    snapshot,
    stale,
    try_session_lock,
)
from projections.engine.succession import OtherVersion
from projections.engine.windows import MovedOn, advance, fold_window

__all__ = [
    "Folded",
    "LaneStatus",
    "OtherVersion",
    "PoisonedEvent",
    "Progress",
    "Standstill",
    "follow",
    "project",
    "rebuild",
    "snapshot",
    "standstills",
    "status",
]

WORTH_ANALYZING = 10_000
"""After so many events the planner is told, rather than left to find out a minute later."""
WINDOW_EVENTS = 50_000
"""Events a window of the live answers: a second or two, for which readers keep the old rows."""
REBUILD_EVENTS = 200_000
"""So far behind, and by more than half of the log, a rebuild is faster than windows."""
POLL_S = 0.2
AGAIN_S = 0.02
REST = 2
REST_MAX_S = 0.05
"""While events keep coming the follower rests twice as long as it folded, at most so long. Without
a rest it would fold a few events at a time, each window at the price of ten times as many, and take
a core from those who write."""
OTHERS_S = 20.0
"""So long, by the times that one looked, whoever folds may let answers of other texts be, before it
is taken for an older program that knows of no other version, and would never make them anew."""
SWAP_TRIES = 60
KEPT_TIMEOUT_MS = 1_200
"""Longer than it takes until PostgreSQL calls autovacuum off a table that somebody waits for."""


@dataclass(frozen=True, slots=True)
class Folded:
    """What a run has done."""

    events: int
    rebuilt: bool


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """A lane: where the log stands, and the answers."""

    bucket: int
    log_end: int
    position: int
    waiting_since: datetime | None
    """When the oldest event that the answers do not hold yet was recorded."""

    @property
    def lag(self) -> int:
        """Events that the answers do not hold yet."""
        return self.log_end - self.position

    def lag_s(self, now: datetime) -> float:
        """The age of the oldest event that the answers do not hold yet; 0 if they hold all."""
        waits = timedelta(0) if self.waiting_since is None else now - self.waiting_since
        return max(waits.total_seconds(), 0.0)


@dataclass(frozen=True, slots=True)
class Standstill:
    """An event that the answers cannot take: they wait before it, and it is tried again."""

    bucket: int
    position: int
    topic: str


def project(dsn: str, progress: Report | None = None) -> Folded:
    """Bring the answers to where the log stands now, by whatever way is the shortest.

    If another runner is at work, this waits until that one has come as far. Raises OtherVersion.
    """
    with connect(dsn) as conn:
        prepare(conn)
        target = log_ends(conn)
        let_be = 0
        while not try_session_lock(conn, Lock.RUNNER):
            succession.stand_aside(conn)
            others = outdated(conn)
            if not others and reached(conn, target):
                return Folded(0, rebuilt=False)
            let_be = let_be + 1 if others and not held(conn, Lock.BUILDER) else 0
            if let_be * AGAIN_S > OTHERS_S:
                raise OtherVersion(superseded=False)
            time.sleep(AGAIN_S)
        return _begin(dsn, conn, progress)


def follow(
    dsn: str, stop: threading.Event, met: Callable[[psycopg.Error], None] = lambda _: None
) -> None:
    """Fold what is new as it comes, until `stop` is set: woken by NOTIFY, or after 200 ms.

    Only one runner folds; the others wait for its lock, which the server frees when it ends.
    Raises PoisonedEvent, and OtherVersion. A lost connection is opened again; `met` is told why.
    """
    while not stop.is_set():
        try:
            with connect(dsn) as conn:
                prepare(conn)
                succession.stand_aside(conn)
                conn.execute(f"LISTEN {CHANNEL}")
                while not try_session_lock(conn, Lock.RUNNER):
                    if stop.wait(POLL_S):
                        return
                began = time.monotonic()
                folded = _begin(dsn, conn, None)
                while not stop.is_set():
                    if folded.events:
                        stop.wait(min(REST * (time.monotonic() - began), REST_MAX_S))
                    for _ in conn.notifies(timeout=POLL_S, stop_after=1):
                        pass  # The poll is the truth, the notification a hint.
                    began = time.monotonic()
                    folded = _catch_up(dsn, conn, None)
        except psycopg.OperationalError as away:
            met(away)
            stop.wait(POLL_S)


def rebuild(dsn: str, progress: Report | None = None, *, anew: bool = False) -> Folded:
    """Fold everything again beside the live answers, then put it into their place at once.

    One that was cut short is gone on with, unless all of it is wanted anew. From then on this
    version makes the answers, whichever came last.
    """
    with connect(dsn) as conn:
        prepare(conn)
        succession.enter(conn, again=True)
        if anew:
            with session_lock(conn, Lock.BUILDER):
                drop(conn, SHADOW)
        return _rebuild(dsn, conn, progress, everything)


def status(conn: Conn) -> list[LaneStatus]:
    """How far the answers are behind the log, by lane."""
    done = positions(conn) if installed(conn) else {}
    lanes = [(bucket, end, done.get(bucket, 0)) for bucket, end in log_ends(conn).items()]
    behind = [(bucket, position) for bucket, end, position in lanes if end > position]
    waiting = dict[int, datetime]()
    if behind:
        found = conn.execute(
            "SELECT bucket, recorded_at FROM ledger.stored_events"
            " JOIN unnest(%s::smallint[], %s::bigint[]) l(bucket, position) USING (bucket)"
            " WHERE notification_id = position + 1",
            tuple(map(list, zip(*behind, strict=True))),
        )
        waiting = dict(found.fetchall())
    return [LaneStatus(*lane, waiting.get(lane[0])) for lane in lanes]


def standstills(conn: Conn) -> list[Standstill]:
    """Where the answers stand still, by lane: nowhere, as a rule. Known to every process."""
    found = conn.execute("SELECT to_regclass('answers.standstill') IS NOT NULL").fetchone()
    if found != (True,):
        return []
    cursor = conn.cursor(row_factory=class_row(Standstill))
    return cursor.execute(
        "SELECT bucket, position, topic FROM answers.standstill ORDER BY bucket"
    ).fetchall()


def prepare(conn: Conn) -> None:
    """Make empty answers if there are none, and drop what is of no more use to anybody. A version
    that is new here makes the answers from now on.

    What a rebuild that was cut short has done stays for the next one.
    """
    if not installed(conn):
        with session_lock(conn, Lock.BUILDER):
            if not installed(conn):
                create(conn, LIVE, bare=False)
    succession.enter(conn)
    if try_session_lock(conn, Lock.BUILDER):
        try:
            _forget_old(conn)
            conn.execute(STANDSTILL.format(schema=LIVE.answers))  # Older answers have none.
        finally:
            conn.execute("SELECT pg_advisory_unlock(%s)", (Lock.BUILDER,))


def _forget_old(conn: Conn) -> None:
    """Drop what was swapped out, unless somebody still reads it: then the next one does."""
    with suppress(psycopg.errors.LockNotAvailable), conn.transaction():
        conn.execute(f"SET LOCAL lock_timeout = '{KEPT_TIMEOUT_MS}ms'")
        public.drop(conn, public.OLD)
        drop(conn, SCRATCH, OLD)


def reached(conn: Conn, target: dict[int, int]) -> bool:
    """Whether the answers hold all of this."""
    done = positions(conn)
    return all(done.get(bucket, 0) >= position for bucket, position in target.items())


def missing(done: dict[int, int], target: dict[int, int]) -> list[Window]:
    """What lies between, in windows for live answers."""
    lanes = [Window(b, done.get(b, 0), upto) for b, upto in target.items() if upto > done.get(b, 0)]
    return [window for lane in lanes for window in lane.pieces(WINDOW_EVENTS)]


def _begin(dsn: str, conn: Conn, progress: Report | None) -> Folded:
    """The first time under the lock. No lane stands still then: each window says so of its own,
    but one may have been mended, or its answers gone back to, with nothing left to fold."""
    folded = _catch_up(dsn, conn, progress)
    conn.execute("DELETE FROM answers.standstill")
    if public.outdated(conn):
        with session_lock(conn, Lock.BUILDER):
            public.build(conn, LIVE)
            with conn.transaction():
                public.swap(conn)
            _forget_old(conn)
    return folded


def _catch_up(dsn: str, conn: Conn, progress: Report | None) -> Folded:
    """Under the runner's lock: everything up to the log's ends as they are now."""
    succession.stand_aside(conn)
    target = log_ends(conn)
    try:
        folded = _made_anew(dsn, conn, target, progress)
        done, stood = 0, positions(conn)
        while windows := missing(stood, target):
            window = windows[0]
            if done:  # which of a long log takes minutes
                succession.stand_aside(conn)
            try:
                advance(conn, LIVE, window)
            except MovedOn:
                found = positions(conn)
                if found == stood:  # Nobody came: the checkpoints of a lane disagree.
                    folded = _rebuild(dsn, conn, progress, everything)
                stood = positions(conn)
                continue  # A rebuild was swapped in: go on from where that one stands.
            stood[window.bucket] = window.upto
            done += window.size
            if progress:
                left = sum(window.size for window in windows[1:])
                progress(Progress("windows", done, done + left))
    except PoisonedEvent as poison:
        conn.execute(
            "INSERT INTO answers.standstill VALUES (%s, %s, %s) ON CONFLICT (bucket) DO UPDATE"
            " SET position = excluded.position, topic = excluded.topic",
            (poison.bucket, poison.position, poison.topic),
        )
        raise
    if done >= WORTH_ANALYZING:
        for projection in PROJECTIONS.values():
            for table in projection.table_names():
                conn.execute(f"ANALYZE {LIVE.answers}.{table}")
        for typed in typed_tables().values():
            conn.execute(f"ANALYZE {LIVE.typed}.{typed.name}")
    return Folded(folded.events + done, folded.rebuilt)


def _made_anew(dsn: str, conn: Conn, target: dict[int, int], progress: Report | None) -> Folded:
    """What was folded by other texts; all of it if that is quicker than the windows left."""
    behind = sum(target.values()) - sum(positions(conn).values())
    if behind > max(REBUILD_EVENTS, sum(target.values()) // 2):
        return _rebuild(dsn, conn, progress, everything)
    if outdated(conn):
        return _rebuild(dsn, conn, progress, lambda: stale(conn))
    return Folded(0, rebuilt=False)


def _rebuild(dsn: str, conn: Conn, progress: Report | None, wanted: Callable[[], Extent]) -> Folded:
    """Under the builder's lock, what is then wanted. Kept answers decide how far the others go."""
    with session_lock(conn, Lock.BUILDER):
        public.drop(conn, public.OLD)
        drop(conn, OLD)
        forget_gone(conn)
        extent = wanted()
        if not extent.size:
            return Folded(0, rebuilt=False)

        def goal() -> dict[int, int]:
            return log_ends(conn) if extent.whole else positions(conn)

        events = Builder(dsn, SHADOW, progress, extent).build(conn, goal())
        while len(windows := missing(positions(conn, SHADOW), goal())) > 1:
            advance(conn, SHADOW, windows[0], extent)
            events += windows[0].size
        public.build(conn, SHADOW, LIVE)
        events += _swap(conn, extent, goal)
        _forget_old(conn)
    return Folded(events, rebuilt=True)


def _swap(conn: Conn, extent: Extent, goal: Callable[[], dict[int, int]]) -> int:
    """Folds the last few events and renames, in one transaction; returns how many they were.

    Readers take the old tables or the new ones: renaming a schema locks no table. Only snapshots
    and the runner are waited for, by one lock asked for before anything else is held; where tables
    are kept, so is who reads one of those outside of a snapshot.
    """
    for attempt in range(1, SWAP_TRIES + 1):
        try:
            with conn.transaction():
                conn.execute("SET LOCAL lock_timeout = '200ms'")
                conn.execute("LOCK TABLE answers.checkpoint IN ACCESS EXCLUSIVE MODE")
                conn.execute(f"SET LOCAL lock_timeout = '{KEPT_TIMEOUT_MS}ms'")
                events = 0
                for window in missing(positions(conn, SHADOW), goal()):
                    fold_window(conn, SHADOW, window, extent)
                    events += window.size
                keep(conn, extent.rest, SHADOW)
                for old, new in ((LIVE, OLD), (SHADOW, LIVE)):
                    conn.execute(f"ALTER SCHEMA {old.answers} RENAME TO {new.answers}")
                    conn.execute(f"ALTER SCHEMA {old.typed} RENAME TO {new.typed}")
                public.swap(conn)
                return events
        except psycopg.errors.LockNotAvailable:
            if attempt == SWAP_TRIES:
                raise
            time.sleep(AGAIN_S * attempt)
    raise AssertionError("the last try returns or raises")
