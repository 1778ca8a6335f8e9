"""Answers as of a moment: folded by the same texts into a pair of schemas of their own, and kept.

The typed events of such a pair are views onto the live ones with the moment's bounds, so nothing
is read from JSON again, and every query that reads the live answers reads these. A pair is named
after its moment and the versions of the folds: whatever is found under its name is right.

Who reads a pair keeps a swap of the live answers waiting, as every snapshot does. After a swap the
views lead to the old tables and are dropped with them; they are made anew when next asked for.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from operator import itemgetter

import psycopg

from ledger import digests
from ledger.database import connect
from ledger.locks import Lock
from projections.engine import event_tables
from projections.engine.answer import Moment
from projections.engine.building import Builder, Report
from projections.engine.connection import Conn
from projections.engine.runner import PoisonedEvent, prepare, project, reached
from projections.engine.schemas import (
    LIVE,
    Schemas,
    create,
    drop,
    look_at,
    outdated,
    session_lock,
    versions,
)

KEPT = 8
"""Pairs that are kept, each about as large as the live answers. The one that was not asked for
longest goes first."""

_REGISTRY = """
    CREATE SCHEMA IF NOT EXISTS asof;
    CREATE SEQUENCE IF NOT EXISTS asof.uses;
    CREATE TABLE IF NOT EXISTS asof.kept (
        name text PRIMARY KEY,
        views text NOT NULL,
        used bigint NOT NULL DEFAULT nextval('asof.uses')
    )
"""


class NotKept(Exception):
    """The answers as of this moment have to be built first."""


def pair_of(moment: Moment) -> Schemas:
    """The schemas in which the answers as of a moment are kept."""
    key = digests.of_text(repr((sorted(versions().items()), moment.condition)))
    return Schemas(f"asof_{key}", f"asof_{key}_typed")


@contextmanager
def snapshot(conn: Conn, moment: Moment) -> Iterator[None]:
    """Queries on the answers as of a moment, whatever is folded, built or dropped meanwhile.

    Raises NotKept where they have to be built.
    """
    pair = pair_of(moment)
    with _there():
        conn.execute(
            "UPDATE asof.kept SET used = nextval('asof.uses') WHERE name = %s", (pair.answers,)
        )
    with conn.transaction():
        conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        with _there():
            conn.execute(
                f"LOCK TABLE {LIVE.answers}.checkpoint, {pair.answers}.checkpoint"
                " IN ACCESS SHARE MODE"
            )
        if _views(conn, pair) != _live_tables(conn):
            raise NotKept
        look_at(conn, pair)
        yield


@contextmanager
def _there() -> Iterator[None]:
    """What is not there is not kept."""
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as gone:
        raise NotKept from gone


@contextmanager
def answers(dsn: str, moment: Moment, report: Report | None = None) -> Iterator[Conn]:
    """A connection whose queries read the answers as of a moment, built now if they must be."""
    with connect(dsn) as conn, ExitStack() as reading:
        while True:
            try:
                reading.enter_context(snapshot(conn, moment))
                break
            except NotKept:
                build(dsn, moment, report)
        yield conn


def build(dsn: str, moment: Moment, report: Report | None = None) -> None:
    """Build and keep the answers as of a moment, unless they are kept.

    One builder at a time, of rebuilds too: so no swap comes in between. What one left behind who
    died is dropped by the next. Raises PoisonedEvent if the events up to the moment hold one.
    """
    bring_live(dsn, moment)
    pair = pair_of(moment)
    with connect(dsn) as conn, session_lock(conn, Lock.BUILDER):
        conn.execute(_REGISTRY)
        views, tables = _views(conn, pair), _live_tables(conn)
        if views == tables:
            return
        if views is None:
            _make_room(conn)
            create(conn, pair, bare=True, over=moment.condition_of)
            if moment.effective_at is not None:
                _unchecked(conn, pair)
            Builder(dsn, pair, report).fold(conn, moment.lanes)
            conn.execute(
                "INSERT INTO asof.kept (name, views) VALUES (%s, %s)", (pair.answers, tables)
            )
        else:
            with conn.transaction():
                conn.execute(f"DROP SCHEMA IF EXISTS {pair.typed} CASCADE")
                event_tables.create(conn, pair.typed, moment.condition_of)
                conn.execute(
                    "UPDATE asof.kept SET views = %s WHERE name = %s", (tables, pair.answers)
                )


def bring_live(dsn: str, moment: Moment) -> None:
    """Let the live typed events hold the moment, which may lie before an event that is poisoned."""
    positions = dict(moment.positions)
    with connect(dsn) as conn:
        prepare(conn)
        if outdated(conn) or not reached(conn, positions):
            try:
                project(dsn)
            except PoisonedEvent:
                if not reached(conn, positions):
                    raise


def _live_tables(conn: Conn) -> str:
    """Which tables hold the live typed events: others after a swap."""
    (found,) = conn.execute(
        "SELECT md5(string_agg(oid::text, ' ' ORDER BY oid)) FROM pg_class"
        " WHERE relnamespace = %s::regnamespace AND relkind = 'r'",
        (LIVE.typed,),
    ).fetchone() or ("",)
    return str(found)


def _views(conn: Conn, pair: Schemas) -> str | None:
    """The tables onto which the views of a kept pair were made; null if it is not kept."""
    found = conn.execute("SELECT views FROM asof.kept WHERE name = %s", (pair.answers,)).fetchone()
    return None if found is None else found[0]


def _unchecked(conn: Conn, pair: Schemas) -> None:
    """Drops the checks of the tables: they hold in the order in which events were recorded.

    Of what had happened by a day, as known later, a lot may be overdrawn: a debit that was told
    late took points which by that day had not yet come back.
    """
    found = conn.execute(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint"
        " WHERE connamespace = %s::regnamespace AND contype = 'c'",
        (pair.answers,),
    ).fetchall()
    for table, name in found:
        conn.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')


def _make_room(conn: Conn) -> None:
    """Drops what was half built, and of the kept pairs as many as leave room for one more.

    A pair that is being read stays, and the next takes its turn.
    """
    kept = [name for (name,) in conn.execute("SELECT name FROM asof.kept ORDER BY used")]
    found = conn.execute(
        r"SELECT regexp_replace(nspname, '_typed$', '') FROM pg_namespace"
        r" WHERE nspname LIKE 'asof\_%'"
    )
    for name in set(map(itemgetter(0), found)) - set(kept):
        drop(conn, Schemas(name, f"{name}_typed"))
    surplus = len(kept) + 1 - KEPT
    for name in kept:
        surplus -= surplus > 0 and _dropped(conn, name)


def _dropped(conn: Conn, name: str) -> bool:
    try:
        with conn.transaction():
            conn.execute(f"LOCK TABLE {name}.checkpoint IN ACCESS EXCLUSIVE MODE NOWAIT")
            conn.execute("DELETE FROM asof.kept WHERE name = %s", (name,))
            drop(conn, Schemas(name, f"{name}_typed"))
    except psycopg.errors.LockNotAvailable:
        return False
    return True
