"""The recorded clock does not run away, whoever writes and whichever clock is wrong."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent

from domain.kernel.refusal import Refusal
from ledger import clocks
from ledger.clocks import ClockAhead, LogAhead
from ledger.database import bucket_of, connect, set_meta
from ledger.importing import Importer
from ledger.library import LaneRecorder, datastore
from ledger.log.batcher import Ledger
from ledger.log.receipts import Receipt
from tests.ledger.facts import a_club, a_member, command, executed

TEN_YEARS = timedelta(days=3653)
MINUTE = timedelta(minutes=1)
TABLES = ("stored_events", "command_log", "snapshots", "snapshot_parts", "log_end", "persons",
          "person_keys")  # fmt: skip


def real(dsn: str) -> datetime:
    """What the database's clock shows."""
    with connect(dsn) as connection:
        return clocks.read(connection).database_now


def contents(dsn: str) -> list[Any]:
    with connect(dsn) as connection:
        return [
            connection.execute(f"SELECT * FROM {table} t ORDER BY t::text".encode()).fetchall()
            for table in TABLES
        ]


def live(dsn: str, clock: Callable[[], datetime], *called: Any) -> list[Receipt | BaseException]:
    async def send() -> list[Receipt | BaseException]:
        async with Ledger(dsn, now=clock) as ledger:
            asked = [ledger.execute(each) for each in called]
            return list(await asyncio.gather(*asked, return_exceptions=True))

    return asyncio.run(send())


def unit(at: datetime | None = None) -> Any:
    return command("unit.open", unit_id=uuid4().hex, title="城南", at=at)


def fact() -> bytes:
    said = {"command": "unit.open", "at": "2008-07-01T09:00:00+08:00", "actor": "system:setup"}
    return json.dumps({**said, "unit_id": uuid4().hex, "title": "城南"}).encode()


def imported(dsn: str, now: datetime) -> Any:
    lines = [fact()]
    return Importer(dsn, now=now).load(lambda: lines, key=uuid4().hex)


def recorded_by_the_library(dsn: str) -> Any:
    store = datastore(dsn)
    try:
        while bucket_of(stream := f"test:{uuid4()}", 4):  # one of lane 0 of however many
            pass
        return LaneRecorder(store).insert_events([StoredEvent(stream, 1, "t", b"{}")])
    finally:
        store.close()


def run_away(dsn: str, by: timedelta) -> datetime:
    """The log as a writer under a wrong clock left it before anything held him back."""
    with connect(dsn) as connection:
        connection.execute("UPDATE log_end SET recorded_at = now() + %s", (by,))
        last = clocks.read(connection).recorded_at
    assert last is not None
    return last


# --------------------------------------------------------------------------- a clock that is ahead
def test_nothing_is_written_under_a_clock_that_is_ahead(ledger_dsn: str) -> None:
    before, ahead = contents(ledger_dsn), real(ledger_dsn) + TEN_YEARS
    for refused in live(ledger_dsn, lambda: ahead, unit(), unit(), unit(at=real(ledger_dsn))):
        assert isinstance(refused, ClockAhead)
        assert refused.now == ahead
        assert refused.now - refused.database_now > TEN_YEARS - MINUTE
    with pytest.raises(ClockAhead):
        imported(ledger_dsn, ahead)
    assert contents(ledger_dsn) == before


def test_no_rule_is_asked_under_a_clock_that_is_ahead(ledger_dsn: str) -> None:
    """Else points would be said to have lapsed that have not."""
    now = real(ledger_dsn)
    executed(ledger_dsn, *a_club(), *a_member("m1", points=1)[:2])
    lot = {"member_id": "m1", "points": 100, "source": "s", "rule": "r", "at": now}
    credited = command("points.credit", expires_at=now + MINUTE * 60, **lot)
    (told,) = live(ledger_dsn, lambda: now, credited)
    assert isinstance(told, Receipt)
    debit = command("points.debit", member_id="m1", points=100, reason="r", at=None)
    (refused,) = live(ledger_dsn, lambda: now + TEN_YEARS, debit)
    assert isinstance(refused, ClockAhead)
    (told,) = live(ledger_dsn, lambda: now, debit)
    assert isinstance(told, Receipt)


def test_a_clock_that_jumps_ahead_stops_writing_until_it_is_right(ledger_dsn: str) -> None:
    jumps = timedelta()

    async def act() -> None:
        nonlocal jumps
        async with Ledger(ledger_dsn, now=lambda: datetime_here() + jumps) as ledger:
            await ledger.execute(unit())
            jumps = TEN_YEARS
            again = unit()
            with pytest.raises(ClockAhead):
                await ledger.execute(again)
            jumps = -TEN_YEARS
            await ledger.execute(unit())
            jumps = timedelta()
            assert not (await ledger.execute(again)).replayed

    offset = real(ledger_dsn)

    def datetime_here() -> datetime:
        return offset

    asyncio.run(act())
    with connect(ledger_dsn) as connection:
        latest = connection.execute("SELECT max(recorded_at) FROM stored_events").fetchone()
    assert latest is not None
    assert latest[0] <= offset


def test_less_than_a_minute_is_allowed(ledger_dsn: str) -> None:
    (told,) = live(ledger_dsn, lambda: real(ledger_dsn) + MINUTE * 0.9, unit())
    assert isinstance(told, Receipt)
    (told,) = live(ledger_dsn, lambda: real(ledger_dsn), unit())  # ... and set back by it
    assert isinstance(told, Receipt)
    recorded_by_the_library(ledger_dsn)
    assert imported(ledger_dsn, real(ledger_dsn)).kept


def test_an_append_by_hand_is_held_back_as_well(ledger_dsn: str) -> None:
    """Whatever moves a lane's row passes the one place."""
    moved = b"SELECT advance_lane(0::int2, 1, ledger_clock() + %s)"
    with connect(ledger_dsn) as connection, pytest.raises(psycopg.Error) as failure:
        connection.execute(moved, (TEN_YEARS,))
    assert isinstance(clocks.refusal_of(failure.value), ClockAhead)


# ------------------------------------------------------------------------------ a log that is ahead
def written_live(dsn: str) -> None:
    (told,) = live(dsn, lambda: real(dsn), unit())
    if isinstance(told, Refusal):
        raise told
    assert isinstance(told, Receipt)


def written_by_import(dsn: str) -> None:
    assert imported(dsn, real(dsn)).kept


@pytest.mark.parametrize(
    "write", [written_live, written_by_import, recorded_by_the_library], ids=lambda w: w.__name__
)
def test_a_log_that_is_ahead_of_every_clock_stops_whoever_writes(
    ledger_dsn: str, write: Callable[[str], Any]
) -> None:
    dsn = ledger_dsn
    last = run_away(dsn, TEN_YEARS)
    before = contents(dsn)
    with pytest.raises(LogAhead) as refused:
        write(dsn)
    assert refused.value.recorded_at == last
    assert contents(dsn) == before
    with connect(dsn) as connection:
        clocks.stand_still(connection)
    for each in (written_live, written_by_import, recorded_by_the_library):
        each(dsn)
    with connect(dsn) as connection:
        found = connection.execute(
            "SELECT DISTINCT recorded_at FROM stored_events WHERE bucket = 0"
        ).fetchall()
        assert found == [(last,)]
        set_meta(connection, recorded_ahead_until=(last - MINUTE).isoformat())
        with pytest.raises(LogAhead):  # it goes no further than was said
            clocks.check(connection, real(dsn))


def test_a_log_that_is_ahead_of_one_clock_only_is_not_ahead(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as connection:
        now = clocks.read(connection).database_now
        clocks.check(connection, now - TEN_YEARS)


# ---------------------------------------------------------------------------------------- the demo
def test_a_demo_is_held_to_its_own_clock(ledger_dsn: str) -> None:
    """Its clock goes at an offset; that of the wall is ahead of it."""
    starts = datetime(2009, 1, 5, 1, tzinfo=UTC)
    offset = round((starts - real(ledger_dsn)).total_seconds())
    wall = real(ledger_dsn)
    with connect(ledger_dsn) as connection:
        set_meta(connection, clock_offset_s=str(offset))
    (told,) = live(ledger_dsn, lambda: starts, unit())
    assert isinstance(told, Receipt)
    for clock in (wall, starts + MINUTE * 5):
        (refused,) = live(ledger_dsn, lambda at=clock: at, unit())  # type: ignore[misc]
        assert isinstance(refused, ClockAhead)
    with connect(ledger_dsn) as connection:
        clocks.check_wall(connection, wall)
        with pytest.raises(ClockAhead):
            clocks.check_wall(connection, wall + MINUTE * 5)
    recorded_by_the_library(ledger_dsn)
    with connect(ledger_dsn) as connection:
        last = clocks.read(connection).recorded_at
    assert last is not None
    assert abs(last - starts) < MINUTE * 5
