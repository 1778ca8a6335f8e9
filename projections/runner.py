"""The runner: folds what is new into the answers, one at a time, and rebuilds them if need be."""

import threading
import time
from dataclasses import dataclass

import psycopg

from ledger.database import CHANNEL, connect
from projections.building import Builder, Progress, Report
from projections.connection import Conn
from projections.schemas import (
    BUILDER,
    LIVE,
    OLD,
    RUNNER,
    SCRATCH,
    SHADOW,
    create,
    drop,
    heads,
    installed,
    outdated,
    positions,
    session_lock,
    snapshot,
    try_session_lock,
)
from projections.typed import PoisonedEvent, Window
from projections.windows import MovedOn, advance, fold_window

__all__ = [
    "Folded",
    "LaneStatus",
    "PoisonedEvent",
    "Progress",
    "follow",
    "project",
    "rebuild",
    "snapshot",
    "status",
]

WINDOW_EVENTS = 50_000
"""Events a window of the live answers: a second or two, for which readers keep the old rows."""
REBUILD_EVENTS = 200_000
"""So far behind, and by more than half of the log, a rebuild is faster than windows."""
POLL_S = 0.2
AGAIN_S = 0.02
SWAP_TRIES = 100


@dataclass(frozen=True, slots=True)
class Folded:
    """What a run has done."""

    events: int
    rebuilt: bool


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """A lane: where the log stands, and the answers."""

    bucket: int
    head: int
    position: int

    @property
    def lag(self) -> int:
        """Events that the answers do not hold yet."""
        return self.head - self.position


def project(dsn: str, progress: Report | None = None) -> Folded:
    """Bring the answers to where the log stands now, by whatever way is the shortest.

    If another runner is at work, this waits until that one has come as far.
    """
    with connect(dsn) as conn:
        prepare(conn)
        target = heads(conn)
        while not try_session_lock(conn, RUNNER):
            if not outdated(conn) and reached(conn, target):
                return Folded(0, rebuilt=False)
            time.sleep(AGAIN_S)
        return _catch_up(dsn, conn, progress)


def follow(dsn: str, stop: threading.Event) -> None:
    """Fold what is new as it comes, until `stop` is set: woken by NOTIFY, or after 200 ms.

    Only one runner folds; the others wait for its lock, which the server frees when it ends.
    Raises PoisonedEvent. A lost connection is opened again.
    """
    while not stop.is_set():
        try:
            with connect(dsn) as conn:
                prepare(conn)
                conn.execute(f"LISTEN {CHANNEL}")
                while not try_session_lock(conn, RUNNER):
                    if stop.wait(POLL_S):
                        return
                while not stop.is_set():
                    _catch_up(dsn, conn, None)
                    for _ in conn.notifies(timeout=POLL_S, stop_after=1):
                        pass  # The poll is the truth, the notification a hint.
        except psycopg.OperationalError:
            stop.wait(POLL_S)


def rebuild(dsn: str, progress: Report | None = None) -> Folded:
    """Fold everything again beside the live answers, then put it into their place at once."""
    with connect(dsn) as conn:
        prepare(conn)
        return _rebuild(dsn, conn, progress)


def status(conn: Conn) -> list[LaneStatus]:
    """How far the answers are behind the log, by lane."""
    done = positions(conn) if installed(conn) else {}
    return [LaneStatus(bucket, head, done.get(bucket, 0)) for bucket, head in heads(conn).items()]


def prepare(conn: Conn) -> None:
    """Make empty answers if there are none, and drop what an interrupted rebuild left behind."""
    if not installed(conn):
        with session_lock(conn, BUILDER):
            if not installed(conn):
                create(conn, LIVE, bare=False)
    if try_session_lock(conn, BUILDER):
        try:
            drop(conn, SHADOW, SCRATCH, OLD)
        finally:
            conn.execute("SELECT pg_advisory_unlock(%s)", (BUILDER,))


def reached(conn: Conn, target: dict[int, int]) -> bool:
    """Whether the answers hold all of this."""
    done = positions(conn)
    return all(done.get(bucket, 0) >= position for bucket, position in target.items())


def missing(done: dict[int, int], target: dict[int, int]) -> list[Window]:
    """What lies between, in windows for live answers."""
    lanes = [Window(b, done.get(b, 0), upto) for b, upto in target.items() if upto > done.get(b, 0)]
    return [window for lane in lanes for window in lane.pieces(WINDOW_EVENTS)]


def _catch_up(dsn: str, conn: Conn, progress: Report | None) -> Folded:
    """Under the runner's lock: everything up to the heads as they are now."""
    target, folded = heads(conn), Folded(0, rebuilt=False)
    behind = sum(target.values()) - sum(positions(conn).values())
    if outdated(conn) or behind > max(REBUILD_EVENTS, sum(target.values()) // 2):
        folded = _rebuild(dsn, conn, progress)
    done = 0
    while windows := missing(positions(conn), target):
        try:
            advance(conn, LIVE, windows[0])
        except MovedOn:
            continue  # A rebuild was swapped in: go on from where that one stands.
        done += windows[0].size
        if progress:
            left = sum(window.size for window in windows[1:])
            progress(Progress("windows", done, done + left))
    return Folded(folded.events + done, folded.rebuilt)


def _rebuild(dsn: str, conn: Conn, progress: Report | None) -> Folded:
    with session_lock(conn, BUILDER):
        drop(conn, SHADOW, OLD)
        events = Builder(dsn, SHADOW, progress).build(conn)
        while (windows := missing(positions(conn, SHADOW), heads(conn))) and len(windows) > 1:
            advance(conn, SHADOW, windows[0])
            events += windows[0].size
        events += _swap(conn)
        drop(conn, OLD)
    return Folded(events, rebuilt=True)


def _swap(conn: Conn) -> int:
    """Folds the last few events and renames, in one transaction; returns how many they were.

    Readers take the old tables or the new ones: renaming a schema locks no table. Only snapshots
    and the runner are waited for, by one lock asked for before anything else is held.
    """
    for attempt in range(1, SWAP_TRIES + 1):
        try:
            with conn.transaction():
                conn.execute("SET LOCAL lock_timeout = '200ms'")
                conn.execute("LOCK TABLE answers.checkpoint IN ACCESS EXCLUSIVE MODE")
                conn.execute("SET LOCAL lock_timeout = 0")
                events = 0
                for window in missing(positions(conn, SHADOW), heads(conn)):
                    fold_window(conn, SHADOW, window)
                    events += window.size
                for old, new in ((LIVE, OLD), (SHADOW, LIVE)):
                    conn.execute(f"ALTER SCHEMA {old.answers} RENAME TO {new.answers}")
                    conn.execute(f"ALTER SCHEMA {old.typed} RENAME TO {new.typed}")
                return events
        except psycopg.errors.LockNotAvailable:
            if attempt == SWAP_TRIES:
                raise
            time.sleep(AGAIN_S)
    raise AssertionError("the last try returns or raises")
