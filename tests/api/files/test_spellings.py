"""Facts that are written in any of the spellings come out as the same commands."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.files import spelling
from api.files.spelling import Spelling, Unspelt
from domain.catalogue import COMMANDS
from domain.kernel.values import PROGRAMME
from tests.api.files.tables import Taken, as_csv, as_xlsx

SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, *HealthCheck]
)
DAYS = {
    "yyyy-mm-dd": ("{y:04}-{m:02}-{d:02}", "{y}/{m}/{d}", "{y}.{m:02}.{d}", "{y}年{m}月{d}日"),
    "dd-mm-yyyy": ("{d:02}/{m:02}/{y}", "{d}.{m}.{y}", "{d}-{m:02}-{y}"),
    "mm-dd-yyyy": ("{m}/{d}/{y}", "{m:02}-{d:02}-{y}"),
    "yyyymmdd": ("{y:04}{m:02}{d:02}",),
    "dd-mm-yy": ("{d:02}/{m:02}/{short:02}",),
}
MONTHS = {"yyyy-mm": ("{y}-{m:02}", "{y}年{m}月", "{y}/{m}"), "yyyymm": ("{y}{m:02}",)}
WIDE = str.maketrans("0123456789,.-()", "０１２３４５６７８９，．－（）")
TIERS = {"金卡": "gold", "银卡": "silver", "钻石卡": "diamond"}


def money(fen: int, way: str) -> str:
    """Yuan, as people write them."""
    yuan = f"{abs(fen) / 100:,.2f}" if "thousands" in way else f"{abs(fen) / 100:.2f}"
    if "comma" in way:
        yuan = yuan.translate(str.maketrans(",.", ".,"))
    if "signed" in way:
        yuan = f"¥{yuan}"
    if fen < 0:
        yuan = f"({yuan})" if "brackets" in way else f"-{yuan}"
    return yuan.translate(WIDE) if "wide" in way else yuan


bills: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    member=st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,10}", fullmatch=True),
    month=st.integers(0, 239),
    amount=st.integers(0, 10**9),
    margin=st.none() | st.integers(-(10**8), 10**8),
)
changes: st.SearchStrategy[dict[str, Any]] = st.builds(
    dict,
    member=st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,10}", fullmatch=True),
    day=st.dates(date(2001, 1, 1), date(2049, 12, 31)),
    minute=st.none() | st.integers(0, 1439),
    tier=st.sampled_from(list(TIERS)),
)


def expected_bill(bill: dict[str, Any]) -> dict[str, Any]:
    year, month = 2010 + bill["month"] // 12, bill["month"] % 12 + 1
    ends = datetime(year + month // 12, month % 12 + 1, 1, 20, tzinfo=PROGRAMME.zone)
    return {
        "key": "-",
        "actor": "system:x",
        "at": ends - timedelta(days=1),
        "member_id": bill["member"],
        "month": f"{year}-{month:02}",
        "amount_fen": bill["amount"],
        "margin_fen": bill["margin"],
    }


@SLOW
@given(
    some=st.lists(bills, min_size=1, max_size=8),
    months=st.sampled_from([(way, form) for way, forms in MONTHS.items() for form in forms]),
    way=st.sets(st.sampled_from(["thousands", "brackets", "wide", "signed"])),
    comma=st.booleans(),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]),
    title_row=st.booleans(),
)
def test_bills_in_csv(
    some: list[dict[str, Any]],
    months: tuple[str, str],
    way: set[str],
    comma: bool,
    separator: str,
    encoding: str,
    title_row: bool,
) -> None:
    ways = " ".join(way | {"comma"} if comma else way)
    rows: list[list[str]] = [["账单", "", "", ""]] * title_row + [["客户", "账期", "金额", "毛利"]]
    for bill in some:
        year, month = 2010 + bill["month"] // 12, bill["month"] % 12 + 1
        margin = "" if bill["margin"] is None else money(bill["margin"], ways)
        amount = money(bill["amount"], ways)
        rows.append([bill["member"], months[1].format(y=year, m=month), amount, margin])
    mapping = f"""
        months = "{months[0]}"
        decimal = "{"," if comma else "."}"
        [missing]
        actor = "system:x"
        [[table]]
        files = "*"
        separator = {separator!r}
        header = {1 + title_row}
        [[table.fact]]
        kind = "bill.record"
        [table.fact.fields]
        member_id = "客户"
        month = "账期"
        amount_fen = "金额"
        margin_fen = "毛利"
        at = {{ column = "账期", day_of_month = "last", time = "20:00" }}
    """.replace("'\\t'", '"\\t"')
    taken = Taken(mapping, bills__csv=as_csv(rows, separator, encoding))
    assert taken.unread == []
    wanted = [COMMANDS["bill.record"](**expected_bill(bill)) for bill in some]
    order = sorted(range(len(some)), key=lambda n: (wanted[n].at, n))
    assert taken.asked == [wanted[n].asked() for n in order]


def instants(change: dict[str, Any], form: str) -> tuple[str, datetime]:
    """A day in a form, with its time if it has one; and what it means."""
    day, minute = change["day"], change["minute"]
    text = form.format(y=day.year, m=day.month, d=day.day, short=day.year % 100)
    at = datetime(day.year, day.month, day.day, tzinfo=PROGRAMME.zone)
    if minute is None:
        return text, at
    return f"{text} {minute // 60}:{minute % 60:02}", at + timedelta(minutes=minute)


CHANGES = """
    [missing]
    actor = "system:x"
    [[table]]
    files = "*"
    [[table.fact]]
    kind = "tier.change"
    [table.fact.fields]
    member_id = "member"
    tier.column = "tier"
    tier.words = {{ "金卡" = "gold", "银卡" = "silver", "钻石卡" = "diamond" }}
    reason = {{ text = "as {{tier}}" }}
    at = {{ column = "since", days = "{way}" }}
"""


@SLOW
@given(
    some=st.lists(changes, min_size=1, max_size=8),
    days=st.sampled_from([(way, form) for way, forms in DAYS.items() for form in forms]),
)
def test_days_and_words_in_csv(some: list[dict[str, Any]], days: tuple[str, str]) -> None:
    rows, wanted = [["member", "tier", "since"]], []
    for change in some:
        text, at = instants(change, days[1])
        rows.append([change["member"], change["tier"], text])
        said = {"member_id": change["member"], "tier": TIERS[change["tier"]], "at": at}
        said |= {"actor": "system:x", "reason": f"as {change['tier']}"}
        wanted.append(COMMANDS["tier.change"](**said))
    taken = Taken(CHANGES.format(way=days[0]), tiers__csv=as_csv(rows))
    assert taken.unread == []
    order = sorted(range(len(some)), key=lambda n: (wanted[n].at, n))
    assert taken.asked == [wanted[n].asked() for n in order]


@settings(SLOW, max_examples=8)
@given(some=st.lists(changes, min_size=1, max_size=8))
def test_the_same_in_a_workbook(some: list[dict[str, Any]]) -> None:
    rows = [["member", "tier", "since"]]
    rows += [[c["member"], c["tier"], instants(c, "{d}/{m}/{y}")[0]] for c in some]
    mapping = CHANGES.format(way="dd-mm-yyyy")
    one, other = Taken(mapping, t__csv=as_csv(rows)), Taken(mapping, t__xlsx=as_xlsx(rows))
    assert other.unread == []
    assert other.asked == one.asked


def test_real_days_and_numbers_of_a_workbook_are_what_they_show() -> None:
    rows: list[list[Any]] = [
        ["member", "tier", "since"],
        ["m1", "金卡", datetime(2024, 2, 29, 9, 30)],  # noqa: DTZ001 - a spreadsheet has no zone
        [1002, "银卡", date(2023, 12, 31)],
        ["m3", "钻石卡", "2025-01-02 8:05"],
        ["m4", "金卡", 45000],  # a serial number, shown as a day
    ]
    taken = Taken(
        CHANGES.format(way="dd/mm/yyyy"),
        t__xlsx=as_xlsx(rows, formats=(None, None, "yyyy-mm-dd hh:mm")),
    )
    assert taken.unread == []
    told = {c.streams()[0]: c.at for c in taken.commands if c.at}
    local = {
        member: f"{at.astimezone(PROGRAMME.zone):%Y-%m-%d %H:%M}" for member, at in told.items()
    }
    assert local == {
        "member:1002": "2023-12-31 00:00",
        "member:m4": "2023-03-15 00:00",
        "member:m1": "2024-02-29 09:30",
        "member:m3": "2025-01-02 08:05",
    }


def test_what_a_spreadsheet_reckoned_is_the_money_that_it_shows() -> None:
    reckoned = [10.03 - 10, 0.1 + 0.2, -9.69, 1e9 / 3 // 1, 1163.5]
    rows: list[list[Any]] = [["member", "month", "amount", "margin"]]
    rows += [["m1", f"2025-{n + 1:02}", 1, value] for n, value in enumerate(reckoned)]
    mapping = """
        [missing]
        actor = "system:x"
        [[table]]
        files = "*"
        [[table.fact]]
        kind = "bill.record"
        fields.member_id = "member"
        fields.month = "month"
        fields.amount_fen = "amount"
        fields.margin_fen = "margin"
        fields.at = { column = "month", day_of_month = 28 }
    """
    taken = Taken(mapping, t__xlsx=as_xlsx(rows))
    assert taken.unread == []
    told = [json.loads(asked)["margin_fen"] for asked in taken.asked]
    assert told == [3, 30, -969, 33333333300, 116350]


@pytest.mark.parametrize(
    "day", ["3/4/2025", "03-04-25", "2025-13-01", "2025-02-30", "soon", "45000"]
)
def test_a_day_that_is_none_or_could_be_two_is_refused(day: str) -> None:
    with pytest.raises(Unspelt) as told:
        spelling.reader_of_days(Spelling())(day)
    assert day not in str(told.value)


@pytest.mark.parametrize("number", ["1,23", "1.2.3", "", "12a", "1,2345", "--3", "(5", "1e3", "٣"])
def test_what_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(Unspelt):
        spelling.number(number)


@pytest.mark.parametrize(
    ("written", "value"),
    [("１，２３４．５０", "1234.5"), ("(12.00)", "-12"), ("（３）", "-3"), ("¥ 1,000元", "1000"),
     ("-¥5", "-5"), ("5-", "-5"), ("−7", "-7"), ("+8", "8"), ("1 000", "1000")],
)  # fmt: skip
def test_numbers_however_they_are_dressed(written: str, value: str) -> None:
    assert spelling.number(written) == Decimal(value)


def test_money_in_parts_of_a_fen_is_refused() -> None:
    with pytest.raises(Unspelt, match="parts of a fen"):
        spelling.money("1.005", Spelling())
    assert spelling.money("1.5", Spelling()) == 150
    assert spelling.money("150", Spelling(money="fen")) == 150


@pytest.mark.parametrize(
    ("written", "at"),
    [("2025-03-01 下午3:05", "15:05"), ("2025年3月1日 9时30分", "09:30"),
     ("2025/3/1 9:30 PM", "21:30"), ("2025-03-01T09:30:15", "09:30:15"),
     ("2025-03-01 12:10 am", "00:10")],
)  # fmt: skip
def test_times_of_day(written: str, at: str) -> None:
    day, time = spelling.reader_of_days(Spelling())(written)
    assert day == date(2025, 3, 1)
    assert time is not None
    assert time.isoformat().removesuffix(":00") == at


LEAVERS = """
[missing]
actor = "system:crm"
[[table]]
files = "leavers.csv"
[[table.fact]]
kind = "member.leave"
[table.fact.fields]
member_id = "客户编号"
reason = { value = "left" }
at = "离网时间"
"""


def test_a_time_that_the_clocks_skipped_is_none() -> None:
    """In 1986 they were put on at 2:00 on 4 May, and back at 2:00 on 14 September."""
    days = ("05-04 02:30", "05-04 03:30", "05-04", "09-14 01:30")
    rows = [["客户编号", "离网时间"], *(["H1", f"1986-{day}"] for day in days)]
    taken = Taken(LEAVERS, leavers__csv=as_csv(rows))
    why = "at: a time that the clocks skipped on that day"
    assert [(line, reason) for _, line, _, reason in taken.unread] == [(2, why)]
    assert [c.at and c.at.isoformat() for c in taken.commands] == [
        "1986-05-03T18:30:00+00:00",
        "1986-05-04T14:59:59+00:00",
        "1986-09-13T16:30:00+00:00",
    ]
