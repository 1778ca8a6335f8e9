"""The zone of a programme: a branch whose clocks change keeps its own days in rules and answers."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from domain.kernel.command import Command
from domain.kernel.values import PROGRAMME, local_date, local_minute, start_of
from ledger.database import InstallError, connect, install, meta
from projections import clubs, members, visits
from projections.audit import doubts
from projections.audit.audit import compare
from projections.engine import runner
from projections.engine.measure import measured
from tests.ledger.facts import a_club, a_visit, asked, command, executed
from tests.projections.tables import looking

BERLIN = "Europe/Berlin"
ZONES = (
    BERLIN,
    "Asia/Shanghai",
    "America/Havana",  # clocks go back to midnight: it comes twice
    "America/Sao_Paulo",  # and forward from it: there was none
    "Pacific/Apia",  # 30 December 2011 was left out
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Tehran",  # forward at midnight, back to the hour before it
)


@pytest.fixture(autouse=True)
def _own_time_again() -> Iterator[None]:
    """Whatever zone a test keeps, the next one finds the usual."""
    usual = PROGRAMME.zone.key
    yield
    PROGRAMME.keep_time_of(usual)


def in_berlin(dsn: str) -> str:
    install(dsn, zone=BERLIN)
    return dsn


def at(text: str, *, second: bool = False) -> datetime:
    """When clocks in Berlin show this; the second time, if they do so twice."""
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN), fold=int(second))
    return local.astimezone(UTC)


@pytest.mark.parametrize("zone", ZONES)
def test_rules_and_answers_have_the_same_days(database: str, zone: str) -> None:
    """Python says what the day of an instant is, and so does PostgreSQL: every quarter of an hour
    of the days on which clocks change, and of those beside them."""
    install(database, zone=zone)
    clock = ZoneInfo(zone)
    hours = [datetime(2008, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(5 * 8766)]
    changes = [
        before
        for before, after in pairwise(hours)
        if before.astimezone(clock).utcoffset() != after.astimezone(clock).utcoffset()
    ] or hours[:1]
    instants = [
        each + timedelta(minutes=15 * n) for each in changes for n in range(-2 * 96, 2 * 96)
    ]
    with connect(database) as conn:
        told = conn.execute(
            "SELECT at::date, 60 * extract(hour FROM at::time) + extract(minute FROM at::time),"
            f" {doubts.LAST.format('at::date')}"
            " FROM unnest(%s::timestamptz[]) WITH ORDINALITY o(at, n) ORDER BY n",
            (instants,),
        ).fetchall()
    for instant, (day, minute, last) in zip(instants, told, strict=True):
        assert (local_date(instant), local_minute(instant)) == (day, minute), instant
        assert start_of(day) <= instant <= last, instant
        next_begins = last.astimezone(UTC) + timedelta(microseconds=1)
        assert next_begins == start_of(day + timedelta(days=1)), instant


def a_year_in_berlin() -> list[Command]:
    """Bills of the months and visits about both changes of the clocks, told as they happened."""
    begun = at("2008-01-02 10:00")
    _, club, service = a_club(free_visits={"gold": 2})
    open_hours: dict[str, Any] = {"opens_minute": 9 * 60, "closes_minute": 24 * 60}
    club = command(
        "club.open", at=begun, **_said(club) | {"opens_on": date(2008, 1, 2)} | open_hours
    )
    first = [
        command("unit.open", at=begun, unit_id="u1", title="Mitte"),
        club,
        command("service.price", at=begun, **_said(service)),
        command("member.join", at=begun, member_id="m1", unit_id="u1"),
        command("tier.change", at=begun, member_id="m1", tier="gold", reason="test"),
        command("points.credit", at=begun, member_id="m1", points=90, source="test", rule="r1"),
    ]
    billed = [
        command(
            "bill.record",
            at=at(f"2008-{month + 1:02}-01 00:30"),
            member_id="m1",
            month=f"2008-{month:02}",
            amount_fen=8_000,
        )
        for month in range(1, 12)
    ]
    came = [a_visit("m1", at=each) for each in VISITS]
    return sorted([*first, *billed, *came], key=lambda each: each.at or begun)


def _said(each: Command) -> dict[str, Any]:
    known = type(each).model_fields
    return {name: getattr(each, name) for name in known if name not in ("command", "key", "at")}


VISITS = [
    at("2008-03-29 23:59"),
    at("2008-03-30 09:00"),  # the first minute of the hours, an hour earlier than the day before
    at("2008-03-31 23:59"),  # the last of March: in Shanghai it is April
    at("2008-10-25 23:30"),
    at("2008-10-26 09:00"),
    at("2008-10-31 23:59"),
    at("2008-12-31 23:59"),  # the last of the year
]


@pytest.mark.parametrize("buckets", [1, 4])
def test_a_year_of_a_branch_whose_clocks_change(
    installed: Callable[..., str], buckets: int
) -> None:
    """What it asks of its months, days, hours and free visits is by its own clocks, and the answers
    folded by SQL, by plain Python and by the rules agree."""
    dsn = installed(buckets, BERLIN)
    executed(dsn, *a_year_in_berlin())
    runner.project(dsn)
    with looking(connect(dsn)) as conn:
        by_month = visits.use(conn, date(2008, 1, 1), date(2008, 12, 31), by=("month",))
        assert [(str(each.month), each.visits, each.free_visits) for each in by_month] == [
            ("2008-03-01", 3, 2), ("2008-10-01", 3, 0), ("2008-12-01", 1, 0),
        ]  # fmt: skip
        late = visits.use(conn, date(2008, 3, 30), date(2008, 3, 31), by=())
        assert [each.visits for each in late] == [2]
        for day, vips in ((1, 0), (2, 1)):
            assert measured(conn, "members.vips", {}, date(2008, 1, day)).value == vips
        assert doubts.doubts(conn) == []
        card = members.member(conn, "m1", at("2009-01-02 10:00"))
        assert card is not None
        assert str(card.joined_at) == "2008-01-02 10:00:00+01:00"
        assert clubs.club(conn, "health") is not None
    assert compare(dsn, ("replay", "snapshots", "second opinion")).different == 0


def test_hours_are_those_of_the_clocks_on_the_wall(database: str) -> None:
    dsn = in_berlin(database)
    executed(dsn, *a_year_in_berlin()[:6])
    assert asked(dsn, a_visit("m1", at=at("2008-03-30 08:59"))) == "club_closed"
    assert asked(dsn, a_visit("m1", at=at("2008-03-30 09:00"))) == "done"
    assert asked(dsn, a_visit("m1", at=at("2008-10-26 02:30", second=True))) == "club_closed"
    # A new year of free visits begins at Berlin's midnight.
    for day in ("2008-04-01", "2008-12-31"):
        executed(dsn, a_visit("m1", at=at(f"{day} 23:30")))
    assert asked(dsn, a_visit("m1", at=at("2009-01-01 09:00"), shown_points=0)) == "done"


def test_a_bill_is_of_a_month_that_is_over_there(database: str) -> None:
    dsn = in_berlin(database)
    executed(dsn, *a_year_in_berlin()[:6])
    bill = {"member_id": "m1", "month": "2008-04", "amount_fen": 1}
    assert asked(dsn, command("bill.record", at=at("2008-03-31 23:30"), **bill)) != "done"
    assert asked(dsn, command("bill.record", at=at("2008-05-01 00:30"), **bill)) == "done"


# ------------------------------------------------------------------------------ a setting
def test_the_zone_is_fixed_when_a_ledger_is_made(database: str) -> None:
    install(database, zone=BERLIN)
    install(database)
    install(database, zone=BERLIN)
    assert PROGRAMME.zone.key == BERLIN
    with connect(database) as conn:
        assert meta(conn)["zone"] == BERLIN
        assert conn.execute("SHOW timezone").fetchone() == (BERLIN,)
    with pytest.raises(InstallError, match="keeps the time of Europe/Berlin, not of Asia/Tokyo"):
        install(database, zone="Asia/Tokyo")
    assert PROGRAMME.zone.key == BERLIN


@pytest.mark.parametrize("zone", ["Mars/Olympus", "XYZ+3", "", "posix/Europe/Berlin", "+02:00"])
def test_a_zone_is_one_of_the_database(database: str, zone: str) -> None:
    with pytest.raises(InstallError, match="there is no time zone"):
        install(database, zone=zone)


def test_a_ledger_that_was_made_before_keeps_the_time_it_kept(database: str) -> None:
    install(database)
    with connect(database) as conn:
        conn.execute("DELETE FROM ledger_meta WHERE name = 'zone'")
    install(database)
    assert PROGRAMME.zone.key == "Asia/Shanghai"
