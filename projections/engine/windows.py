"""One window of one lane: out of the log and into the answers, all of it or nothing."""

from collections.abc import Callable
from typing import Any

import psycopg

from projections.engine import event_tables
from projections.engine.connection import Conn, together
from projections.engine.event_tables import PoisonedEvent, Window
from projections.engine.schemas import HOME, LIVE, Extent, Schemas, everything, path_of

UNTAKEN = (psycopg.DataError, psycopg.IntegrityError)
"""What PostgreSQL says of a value that cannot be taken, now or ever."""


class MovedOn(Exception):
    """The checkpoint is not where the window begins: another runner was here."""


def move_checkpoint(conn: Conn, schemas: Schemas, window: Window, extent: Extent) -> None:
    """Compare and set, for all that is folded at once. The row locks keep other runners out."""
    moved = conn.execute(
        f"UPDATE {schemas.answers}.checkpoint SET position = %s"
        " WHERE bucket = %s AND position = %s",
        (window.upto, window.bucket, window.after),
    ).rowcount
    if moved != extent.size:
        raise MovedOn


def sources(schemas: Schemas, extent: Extent) -> tuple[str, ...]:
    """Where a fold finds its tables and its events, of which the kept ones are the live ones."""
    own = (schemas.answers, schemas.typed)
    return own if extent.whole else (*own, LIVE.typed)


def fold_window(conn: Conn, schemas: Schemas, window: Window, extent: Extent | None = None) -> None:
    """One transaction: the checkpoint, the typed events, every projection, or an extent of them.

    The commit is not waited for: if the machine fails, checkpoint and answers are lost together
    and the window is folded again. It cannot outlive the events it read, whose commit comes
    before it in the same write-ahead log.
    """
    made = extent or everything()
    with conn.transaction():
        together(conn, ("SET LOCAL synchronous_commit = off", "SET LOCAL work_mem = '64MB'"))
        move_checkpoint(conn, schemas, window, made)
        occurred, takes = event_tables.takes(conn, schemas.typed, window, made.topics)
        folds = [text for each in made.folds for text in each.folds(window, occurred)]
        path = path_of(*sources(schemas, made))
        gone_on = f"DELETE FROM {schemas.answers}.standstill WHERE bucket = {window.bucket:d}"
        together(conn, (*takes, path, *folds, path_of(*HOME), gone_on))


def advance(conn: Conn, schemas: Schemas, window: Window, extent: Extent | None = None) -> None:
    """Fold a window; if an event in it cannot be taken, fold up to it, and then say which."""
    try:
        fold_window(conn, schemas, window, extent)
    except (PoisonedEvent, *UNTAKEN) as error:
        poison = culprit(conn, window, error, lambda part: fold_window(conn, schemas, part, extent))
        if poison.position - 1 > window.after:
            good = Window(window.bucket, window.after, poison.position - 1)
            fold_window(conn, schemas, good, extent)
        raise poison from error


def culprit(
    conn: Conn, window: Window, error: Exception, attempt: Callable[[Window], Any]
) -> PoisonedEvent:
    """Which event it was: the end of the shortest prefix of the window that fails, by bisection."""
    good, bad = window.after, window.upto
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            with conn.transaction(force_rollback=True):
                attempt(Window(window.bucket, window.after, middle))
            good = middle
        except (PoisonedEvent, *UNTAKEN) as earlier:
            bad, error = middle, earlier
    if isinstance(error, PoisonedEvent):
        return error
    (topic,) = conn.execute(
        "SELECT topic FROM ledger.stored_events WHERE bucket = %s AND notification_id = %s",
        (window.bucket, bad),
    ).fetchone() or ("missing",)
    return PoisonedEvent(window.bucket, bad, topic, why(error))


def why(error: Exception) -> str:
    """The first line of what PostgreSQL said; its details would quote whole rows."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return said or str(error).partition("\n")[0]
