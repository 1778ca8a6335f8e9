"""Answers as they would be under a scenario, beside those that are: one transaction, rolled back.

It sees the live answers, the typed events and the log at one position, whoever folds meanwhile.
What would be different lies in temporary tables that go before the live ones in the search path. So
the same queries, asked before and after, give what is and what would be; two scenarios never meet;
and nothing is left behind, whatever happens.

Only the streams of members whom a change touches are replayed, by the rules themselves. The events
of all others are read where they lie, and answers that no altered event goes into stay the live
ones.
"""

from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeAlias

import msgspec
import psycopg
from pydantic_core import to_json

from domain.enrolments import CampaignEnrolled
from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.values import start_of
from domain.simulation.reference import LEARNT, ReferenceData
from domain.simulation.replay import Happened, Refused, replay, spending
from domain.simulation.scenario import Scenario
from ledger import commands
from ledger.commands import Kept
from ledger.database import connect
from ledger.locks import Lock
from ledger.log.snapshots import event_of
from projections.engine.building import FOLD_EVENTS, Progress, Report
from projections.engine.catalogue import PROJECTIONS
from projections.engine.connection import Conn
from projections.engine.event_tables import Window, typed_tables
from projections.engine.runner import PoisonedEvent, project
from projections.engine.schemas import (
    HOME,
    LIVE,
    outdated,
    path_of,
    positions,
    try_session_lock,
)

ROWS = 10_000
"""Rows that a cursor brings at a time, and that are kept until they are copied."""
TEMPORARY = "pg_temp"
PLACES = {"campaign.place_taken", "campaign.place_freed"}
"""They stand in the campaign's stream: a place is taken, and free again, where there is an
enrolment that took it."""

Place: TypeAlias = tuple[int, int, str, int, Any]
"""What begins a row of each typed table: lane, position, stream, version in it, recorded time."""

_TABLES = """
    CREATE TABLE touched (bucket smallint NOT NULL, member_id text NOT NULL);
    CREATE TABLE refused (
        bucket smallint NOT NULL,
        position bigint NOT NULL,
        member_id text NOT NULL,
        command text NOT NULL,
        code text NOT NULL,
        tier text,
        numbers json NOT NULL
    );
    CREATE TABLE asked (
        stream text NOT NULL,
        key text NOT NULL,
        decided_at timestamptz,
        asked bytea NOT NULL
    )
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """Up to where the log was replayed, and for how many members, whom a change touches."""

    positions: dict[int, int]
    members: int


class AnotherIsSupposed(Exception):
    """Somebody who wanted to be alone supposes something just now."""


@contextmanager
def recorded(
    dsn: str,
    *,
    alone: bool = False,
    timeout_s: float = 0,
    opened: Callable[[str], AbstractContextManager[Conn]] = connect,
) -> Iterator[Conn]:
    """A connection whose queries read the live answers at one position. What is made on it comes
    before them, and is gone at the end.

    No rebuild is swapped in meanwhile: it waits for the end of this, as this for the end of that.
    `alone` raises AnotherIsSupposed while another who is alone is here. A statement that takes
    longer than `timeout_s` is cancelled; 0 is never. `opened` makes the connection.
    """
    with opened(dsn) as conn, ExitStack() as stack:
        if alone:
            if not try_session_lock(conn, Lock.SUPPOSING):
                raise AnotherIsSupposed
            stack.callback(_leave, conn)
        poisoned = None
        try:
            project(dsn)
        except PoisonedEvent as poison:
            poisoned = poison  # What lies before it can be answered, if it is answered at all.
        conn.execute(f"SET statement_timeout = {int(timeout_s * 1000)}")
        conn.execute("SET temp_buffers = '64MB'")
        conn.execute("SET work_mem = '64MB'")
        conn.execute("SELECT pg_advisory_lock_shared(%s)", (Lock.BUILDER,))
        with conn.transaction(force_rollback=True):
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            conn.execute(path_of(TEMPORARY, LIVE.answers, LIVE.typed, *HOME))
            if poisoned is not None and outdated(conn):
                raise poisoned
            yield conn


def _leave(conn: Conn) -> None:
    """Let the next in at once: the server may notice later that the session is over."""
    with suppress(psycopg.Error):
        conn.execute("SELECT pg_advisory_unlock(%s)", (Lock.SUPPOSING,))


def suppose(conn: Conn, scenario: Scenario, report: Report | None = None) -> Replayed:
    """From here on, queries of a `recorded` connection read what would be.

    `touched` holds the members who were replayed, `refused` the commands that would have been
    refused. Raises UnknownClub, UnknownService and UnknownCampaign.
    """
    known = _known(conn)
    known.refuse_unknown(scenario)
    for campaign_id in scenario.campaigns:
        campaign = known.state(f"campaign:{campaign_id}")["campaign"]
        if campaign.budget_fen is not None:
            known.spent_fen[campaign_id] = _spending(conn, scenario, known, campaign_id)
    conn.execute(_TABLES)
    members = _touch(conn, scenario)
    done = positions(conn)
    lanes = [Window(bucket, 0, upto) for bucket, upto in done.items() if upto]
    for topic in scenario.alters - PLACES:
        table = typed_tables()[topic].name
        conn.execute(f"CREATE TABLE replayed_{table} (LIKE {LIVE.typed}.{table})")
    if members:
        _replay(conn, scenario, known, lanes, members, report)
    _show(conn, scenario)
    _fold(conn, scenario, lanes, report)
    return Replayed(done, members)


# ---------------------------------------------------------------------------- out of the log
def _known(conn: Conn) -> ReferenceData:
    """Reference data, which the typed events help to find in the log."""
    known = ReferenceData()
    places = " UNION ALL ".join(
        f"SELECT bucket, position FROM {typed_tables()[each.topic].name}" for each in LEARNT
    )
    found = conn.execute(
        f"""
        SELECT e.originator_id, e.topic, e.state FROM ({places}) p
        JOIN stored_events e ON e.bucket = p.bucket AND e.notification_id = p.position
        ORDER BY e.originator_id, e.originator_version
        """
    )
    for stream, topic, state in found:
        known.learn(stream, event_of(topic, state))
    return known


def _spending(
    conn: Conn, scenario: Scenario, known: ReferenceData, campaign_id: str
) -> "array[int]":
    enrolled = typed_tables()[CampaignEnrolled.topic]
    with conn.cursor(name="enrolments") as cursor:
        cursor.itersize = ROWS
        cursor.execute(
            f"""
            SELECT c.member_id, e.topic, e.state, NOT {enrolled.corrected("c")}
            FROM campaign_enrolled c
            JOIN stored_events e ON e.bucket = c.bucket AND e.notification_id = c.position
            WHERE c.campaign_id = %s ORDER BY c.place
            """,
            (campaign_id,),
        )
        enrolments = ((m, event_of(topic, state), counts) for m, topic, state, counts in cursor)
        told = ((m, e, counts) for m, e, counts in enrolments if isinstance(e, CampaignEnrolled))
        return spending(scenario, known, campaign_id, told)


def _touch(conn: Conn, scenario: Scenario) -> int:
    """Whom a change touches, told by the typed events; returns how many they are."""
    for change in scenario.changes:
        for topic, said in change.touches():
            wanted = [f'"{name}" = %({name})s' for name in said]
            if change.since is not None:
                wanted.append("occurred_at >= %(since)s")
            conn.execute(
                f"INSERT INTO touched SELECT bucket, member_id FROM {typed_tables()[topic].name}"
                f" WHERE {' AND '.join(wanted) or 'true'}"
                " EXCEPT SELECT bucket, member_id FROM touched",
                {**said, "since": change.since and start_of(change.since)},
            )
    conn.execute("ANALYZE touched")
    (members,) = conn.execute("SELECT count(*) FROM touched").fetchone() or (0,)
    return int(members)


def _replay(
    conn: Conn,
    scenario: Scenario,
    known: ReferenceData,
    lanes: list[Window],
    members: int,
    report: Report | None,
) -> None:
    """Replays one stream after the other; what comes of them goes where the folds will read it."""
    _gather(conn, scenario, report)
    upto = " OR ".join(lane.condition("notification_id", "e.") for lane in lanes)
    rows = _Rows(conn, scenario)
    with conn.cursor(name="streams") as cursor, _asked(conn) as asked:
        cursor.itersize = ROWS
        cursor.execute(
            f"""
            SELECT e.originator_id, e.bucket, e.notification_id, e.originator_version,
                e.recorded_at, e.topic, e.state
            FROM touched t
            JOIN stored_events e
            ON e.originator_id = 'member:' || t.member_id AND e.bucket = t.bucket
            WHERE e.topic = ANY(%s) AND ({upto})
            ORDER BY e.originator_id, e.originator_version
            """,
            (sorted(scenario.reads),),
        )
        for done, (name, stream) in enumerate(groupby(cursor, key=itemgetter(0)), start=1):
            member_id = name.partition(":")[2]
            history = (
                ((bucket, position, member_id, version, recorded_at), event_of(topic, state))
                for _, bucket, position, version, recorded_at, topic, state in stream
            )
            for outcome in replay(scenario, known, member_id, history, asked(name)):
                rows.take(outcome)
            if report and (done % 1000 == 0 or done == members):
                report(Progress("members", done, members))
    rows.copy()


class _Asker(msgspec.Struct):
    """What is read of a command to see whose it is."""

    command: str
    member_id: str | None = None


def _gather(conn: Conn, scenario: Scenario, report: Report | None) -> None:
    """What was asked of the members touched: all that was asked is gone through once, since a
    member's facts lie in every piece of every file."""
    peek = msgspec.json.Decoder(_Asker).decode
    conn.execute("CREATE INDEX ON touched (member_id)")
    done, wanted = 0, scenario.asks
    with commands.everything(conn) as pieces:
        for piece in pieces:
            asked = [(peek(kept.asked), kept) for kept in piece]
            his = [(who.member_id, kept) for who, kept in asked if who.command in wanted]
            touched = conn.execute(
                "SELECT m.ord"
                " FROM unnest(%s::text[], %s::int2[]) WITH ORDINALITY m(id, bucket, ord)"
                " JOIN touched t ON t.member_id = m.id AND t.bucket = coalesce(m.bucket, t.bucket)",
                ([member for member, _ in his], [kept.bucket for _, kept in his]),
            ).fetchall()
            with conn.cursor().copy("COPY asked FROM STDIN") as copy:
                for (number,) in touched:
                    member, kept = his[number - 1]
                    copy.write_row((f"member:{member}", kept.key, kept.decided_at, kept.asked))
            done += len(piece)
            if report:
                report(Progress("commands", done, done))


@contextmanager
def _asked(conn: Conn) -> Iterator[Callable[[str], Callable[[str], Command | None]]]:
    """What tells of one stream after the other, in the order of the log's, the command of a key."""
    with conn.cursor(name="asked", binary=True) as cursor:
        cursor.itersize = ROWS
        cursor.execute("SELECT stream, key, asked, decided_at FROM asked ORDER BY stream")
        streams = groupby(cursor, key=itemgetter(0))
        ahead = next(streams, None)

        def of(stream: str) -> Callable[[str], Command | None]:
            nonlocal ahead
            his: dict[str, Kept] = {}
            if ahead is not None and ahead[0] == stream:
                his = {key: Kept(key, said, None, at) for _, key, said, at in ahead[1]}
                ahead = next(streams, None)
            return lambda key: his[key].command() if key in his else None

        yield of


class _Rows:
    """Rows on their way into the temporary tables, a bounded number at a time."""

    def __init__(self, conn: Conn, scenario: Scenario) -> None:
        self.conn = conn
        self.altered = scenario.alters
        self.waiting: dict[str, list[tuple[Any, ...]]] = {}  # by table, with its columns
        self.number = 0

    def take(self, outcome: Happened[Place] | Refused[Place]) -> None:
        """Keep a row; events that no scenario of this kind alters are read where they lie."""
        if isinstance(outcome, Refused):
            (bucket, position, member_id, _, _), code = outcome.place, outcome.refusal.code
            numbers = to_json(outcome.refusal.numbers()).decode()
            row = (bucket, position, member_id, outcome.command, code, outcome.tier, numbers)
            self._keep("refused", row)
        elif outcome.event.topic in self.altered:
            table = typed_tables()[outcome.event.topic]
            names = ", ".join(f'"{column.name}"' for column in table.columns)
            row = (*outcome.place, *_fields(outcome.event))
            self._keep(f"replayed_{table.name} ({names})", row)

    def _keep(self, table: str, row: tuple[Any, ...]) -> None:
        self.waiting.setdefault(table, []).append(row)
        self.number += 1
        if self.number == ROWS:
            self.copy()

    def copy(self) -> None:
        """Copy what waits."""
        for table, rows in self.waiting.items():
            with self.conn.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        self.waiting, self.number = {}, 0


def _fields(event: Event) -> Iterator[Any]:
    """An event's own fields as its typed table has them."""
    for column in typed_tables()[event.topic].own:
        value = getattr(event, column.name)
        written = column.type == "json" and value is not None  # what is absent in the log is null
        yield to_json(value).decode() if written else value


# ------------------------------------------------------------------------- into what would be
def _show(conn: Conn, scenario: Scenario) -> None:
    """Put the replayed events before the live ones: for members who were replayed, in their place.

    Others that an altered answer is folded from are shown as they are.
    """
    read = {topic for each in PROJECTIONS.values() for topic in each.topics()}
    for topic in sorted(read):
        table = typed_tables()[topic].name
        live = f"SELECT e.* FROM {LIVE.typed}.{table} e"
        if topic in PLACES & scenario.alters:
            live += (
                " WHERE EXISTS (SELECT FROM campaign_enrolled c"
                " WHERE c.campaign_id = e.campaign_id AND c.place = e.place)"
            )
        elif topic in scenario.alters:
            conn.execute(f"ANALYZE replayed_{table}")
            live += (
                " WHERE NOT EXISTS (SELECT FROM touched t"
                " WHERE t.member_id = e.member_id AND t.bucket = e.bucket)"
                f" UNION ALL SELECT * FROM replayed_{table}"
            )
        conn.execute(f"CREATE VIEW {TEMPORARY}.{table} AS {live}")


def _fold(conn: Conn, scenario: Scenario, lanes: list[Window], report: Report | None) -> None:
    """Fold the answers that an altered event goes into, by the texts that fold the live ones."""
    affected = [each for each in PROJECTIONS.values() if each.topics() & scenario.alters]
    for done, projection in enumerate(affected, start=1):
        projection.create(conn, bare=True)
        for lane in lanes:
            for window in lane.pieces(FOLD_EVENTS):
                projection.fold_window(conn, window)
        projection.index(conn)
        for table in projection.table_names():
            conn.execute(f"ANALYZE {table}")
        if report:
            report(Progress("answers", done, len(affected)))
