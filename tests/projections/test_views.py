"""Views: their columns are what they say, pages follow each other, filters leave out the rest."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

import pytest
from psycopg.rows import dict_row

from domain.kernel.refusal import REFUSALS
from ledger.database import connect, install
from projections.asof import pairs
from projections.engine import runner, views
from projections.engine.answer import Answer
from projections.engine.catalogue import NOUNS
from projections.engine.connection import Conn
from projections.engine.measure import WrongParameters
from projections.engine.moments import Asked, moment
from projections.engine.names import NAMES, codes_of
from projections.engine.views import VIEWS, View
from tests.projections.histories import MEMBERS, World, lay
from tests.projections.tables import filled, looking
from tests.projections.workings import busy

assert NOUNS
OF_SQL = {"text[]": "_text", "bigint": "int8", "smallint": "int2", "boolean": "bool"}
EVERY = pytest.mark.parametrize("of", views.catalogue(), ids=sorted(VIEWS))


def full(buckets: int) -> World:
    """A world in which there is some of everything."""
    world = busy(buckets)
    for number, member in enumerate(MEMBERS):
        him: dict[str, Any] = {"member_id": member}
        world.does("bill.record", **him, month="2007-12", amount_fen=4_000 + number,
                   margin_fen=number or None)  # fmt: skip
        world.does("cohort.include", cohort_id=("base", "kept")[number % 2], **him)
        world.does("campaign.offer", campaign_id="drawn", **him)
        world.does("campaign.enrol", campaign_id="plain", **him, prepaid_fen=100 * number)
        world.does("binding.start", **him, policy="handset", starts_on=date(2008, 1, 1 + number),
                   ends_on=date(2009, 1, 1))  # fmt: skip
    ahead: dict[str, Any] = {"starts_on": date(2012, 1, 1), "ends_on": date(2013, 1, 1)}
    world.does("binding.start", member_id="m1", policy="prepay", **ahead,
               despite=("binding_too_far_ahead",))  # fmt: skip
    world.does("visit.record", member_id="m3", club_id="lounge", service_id="room",
               despite=("not_eligible",))  # fmt: skip
    world.does("bill.correct", member_id="m2", month="2007-12")
    world.does("cohort.freeze", cohort_id="base", size=3)
    world.does("member.leave", member_id="m5")
    return world


@pytest.fixture(scope="module")
def answers(databases: Any) -> Iterator[Conn]:
    """A connection to the answers of that world in four lanes."""
    with databases.lent() as dsn:
        install(dsn, 4)
        filled(dsn, full(4).log)
        with looking(connect(dsn)) as conn:
            yield conn


def everything(conn: Conn, of: View, said: dict[str, str] | None = None) -> list[Answer]:
    with conn.transaction(), views.whole(conn, of, said or {}) as rows:
        return list(rows)


@EVERY
def test_columns_are_what_they_are_said_to_be(answers: Conn, of: View) -> None:
    described = answers.execute(f"SELECT * FROM ({of.sql}) v LIMIT 0").description or []
    types = dict(answers.execute("SELECT oid, typname FROM pg_type").fetchall())
    found = [(column.name, types[column.type_code]) for column in described]
    assert found == [(each.name, OF_SQL.get(each.type, each.type)) for each in of.columns]
    rows = answers.cursor(row_factory=dict_row).execute(f"SELECT * FROM ({of.sql}) v").fetchall()
    assert rows, "the world has none"
    for each in of.columns:
        if not each.nullable:
            assert all(row[each.name] is not None for row in rows), each.name


@EVERY
def test_pages_follow_each_other_to_all_there_is(answers: Conn, of: View) -> None:
    paged, after = list[Any](), None
    while True:
        page = views.page(answers, of, {}, 2, after)
        paged += page.rows
        after = page.next
        if after is None:
            break
    whole = everything(answers, of)
    assert paged == whole
    keys = [tuple(getattr(row, name) for name in of.key) for row in whole]
    assert len(set(keys)) == len(keys)
    assert keys == sorted(keys)


@EVERY
def test_each_filter_leaves_out_the_rest_and_nothing_else(answers: Conn, of: View) -> None:
    whole = everything(answers, of)
    for column in (each for each in of.columns if each.name in of.same):
        of_rows = [getattr(row, column.name) for row in whole]
        for value in set(of_rows):
            said = (
                "none" if value is None else str(value).lower() if value in (True, False) else value
            )
            wanted = [row for row, found in zip(whole, of_rows, strict=True) if found == value]
            assert everything(answers, of, {column.name: said}) == wanted, (column.name, said)
        some = [row for row, found in zip(whole, of_rows, strict=True) if found is not None]
        if column.type == "text":
            several = ",".join({value for value in of_rows if value is not None})
            assert everything(answers, of, {column.name: several}) == some
        if column.nullable:
            assert everything(answers, of, {column.name: "*"}) == some
    for name in of.least:
        numbers = [getattr(row, name) for row in whole]
        least = sorted(numbers)[len(numbers) // 2]
        wanted = [row for row, number in zip(whole, numbers, strict=True) if number >= least]
        assert everything(answers, of, {f"{name}_at_least": str(least)}) == wanted
    if of.day is not None:
        days = [_day(getattr(row, of.day)) for row in whole]
        middle = sorted(days)[len(days) // 2]
        before = everything(answers, of, {"last": middle})
        assert before == [row for row, day in zip(whole, days, strict=True) if day <= middle]
        behind = everything(answers, of, {"first": middle})
        assert behind == [row for row, day in zip(whole, days, strict=True) if day >= middle]
    for name in of.within:
        with pytest.raises(NAMES[name].unknown("nothing").__class__):
            everything(answers, of, {name: "nothing"})


def _day(value: Any) -> str:
    return str(value)[:10]


def test_members_are_found_by_what_they_are_in(answers: Conn) -> None:
    members = VIEWS["members"]
    for name, text in (
        ("cohort_id", "SELECT cohort_id, member_id FROM cohort_member"),
        ("club_id", "SELECT club_id, member_id FROM visit WHERE undone_at IS NULL"),
        ("campaign_id", f"SELECT campaign_id, member_id FROM ({VIEWS['enrolments'].sql}) e"),
    ):
        inside: dict[str, set[str]] = {}
        for key, member_id in answers.execute(text).fetchall():
            inside.setdefault(key, set()).add(member_id)
        assert inside, name
        for key, wanted in inside.items():
            found = everything(answers, members, {name: key})
            assert {row.member_id for row in found} == wanted  # type: ignore[attr-defined]


HOSTILE = [
    "",
    "x\0y",
    "x" * 1001,
    "'; DROP TABLE member; --",
    "%s",
    "%(limit)s",
    "{day of x}",
    "～",
]


@EVERY
def test_whatever_a_filter_says_is_a_value_or_refused(answers: Conn, of: View) -> None:
    for name in of.filters:
        for text in HOSTILE:
            with suppress(WrongParameters, *(REFUSALS[code] for code in codes_of([name], of.name))):
                assert everything(answers, of, {name: text}) == [], (name, text)
    for after in ("", "x", "~~~~~", "1~2~3", "x\0", "'~'"):
        with suppress(WrongParameters):
            views.page(answers, of, {}, 2, after)
    with pytest.raises(WrongParameters):
        views.page(answers, of, {"nothing": "x"})
    if of.day is not None:
        with pytest.raises(WrongParameters):
            views.page(answers, of, {"first": "2008-02-01", "last": "2008-01-31"})
        with pytest.raises(WrongParameters):
            views.page(answers, of, {"first": "20080201"})


@pytest.mark.parametrize("buckets", [1])
def test_a_list_is_asked_as_of_a_moment_too(installed: Callable[[int], str], buckets: int) -> None:
    dsn = installed(buckets)
    with connect(dsn) as conn:
        lay(conn, full(buckets).log)
        then = moment(conn, Asked({0: 40}), datetime(2030, 1, 1, tzinfo=UTC))
    runner.project(dsn)
    with pairs.answers(dsn, then) as past, looking(connect(dsn)) as now:
        smaller = 0
        for of in VIEWS.values():
            with views.whole(past, of, {}) as rows:
                earlier = len(list(rows))
            assert earlier <= len(everything(now, of))
            smaller += earlier < len(everything(now, of))
        assert smaller > 3
