"""What the door lets in: each kind of value at its edges, as JSON and as Python objects."""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.enrolments import Enrol
from domain.kernel.personal import Name, Phone
from domain.kernel.values import (
    PROGRAMME,
    Actor,
    BasisPoints,
    Count,
    Day,
    Fen,
    Id,
    Instant,
    Key,
    KnownTier,
    Minute,
    Month,
    Ordinal,
    PointsOrNone,
    PositivePoints,
    SignedFen,
    Text,
    Tier,
    add_months,
    days_in,
    local_date,
    local_minute,
    month_number,
    start_of,
)
from domain.points.movements import CreditPoints
from tests.domain.scenario import local

BILLION = 1_000_000_000


def let_in(kind: Any, value: Any) -> bool:
    """Whether JSON and Python agree that this value comes in."""
    door: TypeAdapter[Any] = TypeAdapter(kind)
    readers: tuple[Callable[[], Any], ...] = (
        lambda: door.validate_python(value, strict=True),
        lambda: door.validate_json(json.dumps(value), strict=True),
    )
    answers = set()
    for read_value in readers:
        try:
            read_value()
            answers.add(True)
        except ValidationError:
            answers.add(False)
    (answer,) = answers
    return answer


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text, "健康俱乐部：钻石卡“八折”！"),
        (Text, "𠮷" * 200),
        (Text, "  two  spaces  "),
        (Name, "买买提·艾力"),
        (Phone, "+8613800000000"),
        (Phone, "１３８００００００００"),
        (Id, "a"),
        (Id, "M-1_2.3"),
        (Id, "x" * 64),
        (Key, "~!x" + "k" * 125),
        (Actor, "supervisor:wang@desk-1"),
        (Month, "2008-02"),
        (Month, "1999-12"),
        (PositivePoints, 1),
        (PositivePoints, BILLION),
        (PointsOrNone, 0),
        (Fen, 0),
        (Fen, 1_000_000_000_000),
        (SignedFen, -1_000_000_000_000),
        (BasisPoints, 10_000),
        (Count, 0),
        (Ordinal, 1),
        (Minute, 1440),
        *((kind, tier) for kind in (Tier, KnownTier) for tier in PROGRAMME.tiers),
        (Tier, "platinum"),
    ],
)
def test_good_values_come_in(kind: Any, value: Any) -> None:
    assert let_in(kind, value)


CONTROLS = ["\0", "\x01", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\x9f", "\u2028", "\u2029"]


@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
@pytest.mark.parametrize("kind", [Text, Name, Phone, Id, Key, Actor, Month])
def test_control_characters_stay_out_wherever_they_stand(kind: Any, control: str) -> None:
    good = {Phone: "13800000000", Actor: "clerk:li", Month: "2008-02"}.get(kind, "li")
    assert let_in(kind, good)
    for bad in (control, good + control, control + good, good[:1] + control + good[1:]):
        assert not let_in(kind, bad)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Text, ""),
        (Text, "x" * 201),
        (Name, "x" * 101),
        (Phone, "1380000"[:4]),
        (Phone, "138-0000"),
        (Phone, "10086"),
        (Id, ""),
        (Id, "x" * 65),
        (Id, "member:m1"),
        (Id, ".hidden"),
        (Id, "a/b"),
        (Id, "客户"),
        (Id, "m١"),
        (Key, "two words"),
        (Key, "k" * 129),
        (Key, "é"),
        (Actor, "li"),
        (Actor, ":li"),
        (Actor, "clerk:"),
        (Actor, "Clerk:li"),
        (Actor, "clerk:李"),
        (Month, "2008-13"),
        (Month, "2008-00"),
        (Month, "2008-2"),
        (Month, "1899-12"),
        (Month, "20٠٨-07"),
        (KnownTier, "platinum"),
        (Tier, "Gold"),
        (Tier, "*"),
    ],
)
def test_bad_text_stays_out(kind: Any, value: str) -> None:
    assert not let_in(kind, value)


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [
        (PositivePoints, 1, BILLION),
        (PointsOrNone, 0, BILLION),
        (Fen, 0, 1_000_000_000_000),
        (SignedFen, -1_000_000_000_000, 1_000_000_000_000),
        (BasisPoints, 0, 10_000),
        (Count, 0, 1_000_000),
        (Ordinal, 1, BILLION),
        (Minute, 0, 1440),
    ],
)
def test_numbers_are_whole_and_bounded_and_nothing_else_is_a_number(
    kind: Any, least: int, most: int
) -> None:
    assert let_in(kind, least)
    assert let_in(kind, most)
    for bad in (least - 1, most + 1, 2**63, 10**40, -(10**40), 10**4_000):
        assert not let_in(kind, bad)
    for other in (True, False, 1.0, 1.5, "1", None, [1]):
        assert not let_in(kind, other)


def test_numbers_that_are_not_numbers_stay_out() -> None:
    for bad in (b"NaN", b"Infinity", b"1e3", b"1" + b"0" * 5_000, b"01"):
        with pytest.raises(ValidationError):
            TypeAdapter(PositivePoints).validate_json(bad, strict=True)


# ----------------------------------------------------------------------------------------- times
def read(kind: Any, text: str) -> Any:
    return TypeAdapter(kind).validate_json(json.dumps(text), strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "2008-07-15T12:00:00",  # of no zone
        "2008-07-15",
        "20080715",  # would be seconds of 1970
        "20080715120000",  # would be milliseconds of 2606
        "200807151200",
        "2008-07-15T25:00:00Z",
        "2008-02-30T00:00:00Z",
        "0001-01-01T00:00:00+08:00",  # not even an instant in UTC
        "9999-12-31T23:59:59-08:00",
        "1979-12-31T23:59:59Z",
        "2500-01-01T00:00:00Z",
        "2008-07-15T12:00:00Z\n",
        "2008123123",  # the 31st at 23 to one reader, seconds of 2033 to another
        "1214874000",
        "1214874000.5",
        "1214874000000",
        "-1214874000",
        "20080715T120000Z",
        "20080715T12:00:00+08:00",
        "2008-W29-2T12:00:00Z",
        "2008-197T12:00:00Z",
        "2008-07-15 12:00:00Z",
        "2008-07-15_12:00:00Z",
        "2008-07-15t12:00:00Z",
        "2008-07-15T12:00:00z",
        "2008-07-15T24:00:00Z",
        "2008-07-15T23:59:60Z",
        "2008-07-15T12:00:00,5Z",
        "2008-07-15T12Z",
        "2008-07-15T12:00:00+08",
        "2008-07-15T12:00:00+24:00",
        "12008-07-15T12:00:00Z",
        "+2008-07-15T12:00:00Z",
        "２００８-07-15T12:00:00Z",
        "now",
        "",
    ],
)
def test_instants_without_a_zone_or_of_another_age_stay_out(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Instant, text)


def test_instants_are_brought_to_utc() -> None:
    assert read(Instant, "2008-07-15T12:00:00+08:00") == datetime(2008, 7, 15, 4, tzinfo=UTC)
    west = datetime(2008, 7, 15, 12, tzinfo=timezone(timedelta(hours=-8)))
    brought = TypeAdapter(Instant).validate_python(west, strict=True)
    assert (brought.tzinfo, brought.hour) == (UTC, 20)
    already = datetime(2008, 7, 15, tzinfo=UTC)
    assert TypeAdapter(Instant).validate_python(already) is already


@pytest.mark.parametrize("bad", [datetime(2008, 7, 15), date(2008, 7, 15), 1_216_080_000, None])  # noqa: DTZ001
def test_what_is_no_instant_stays_out(bad: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Instant).validate_python(bad, strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "2008-02-30",
        "2009-02-29",
        "20080715",
        "1214870400",  # a day to pydantic, if midnight divides it
        "1214870400000",
        "0",
        "1979-12-31",
        "2500-01-01",
        "2008-7-15",
        "2008-W29-2",
        "2008-197",
        "2008-07",
        "2008-07-15T00:00:00",
        "2008-07-15T00:00:00Z",
        "2008-07-15 ",
        "2008-07-15\n",
        "２００８-07-15",
        "",
    ],
)
def test_days_that_are_none_stay_out(text: str) -> None:
    with pytest.raises(ValidationError):
        read(Day, text)


@pytest.mark.parametrize("kind", [Instant, Day])
@pytest.mark.parametrize("number", [0, 20080715, 1_214_870_400, 1_214_870_400.0, -1, True])
def test_a_number_is_no_time(kind: Any, number: object) -> None:
    """Not even where a door is lax, as that for query parameters is."""
    for strict in (True, False):
        for written in (number, str(number)):
            with pytest.raises(ValidationError):
                TypeAdapter(kind).validate_python(written, strict=strict)
            with pytest.raises(ValidationError):
                TypeAdapter(kind).validate_json(json.dumps(written), strict=strict)


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2008-07-15T12:00+08:00", 0),
        ("2008-07-15T12:00:00+0800", 0),
        ("2008-07-15T04:00:00Z", 0),
        ("2008-07-15T04:00:00.5Z", 500_000),
        ("2008-07-15T04:00:00.123456789-00:00", 123_456),
    ],
)
def test_an_instant_may_be_written_in_these_ways(text: str, microsecond: int) -> None:
    assert read(Instant, text) == datetime(2008, 7, 15, 4, 0, 0, microsecond, UTC)


def test_days_come_in() -> None:
    assert read(Day, "2008-02-29") == date(2008, 2, 29)
    with pytest.raises(ValidationError):
        TypeAdapter(Day).validate_python(local("2008-02-29"), strict=True)


def test_a_command_is_read_whole_or_not_at_all() -> None:
    good = {"actor": "clerk:li", "member_id": "m1", "campaign_id": "spring", "key": "k1"}
    assert Enrol.model_validate_json(json.dumps(good)).role == "clerk"
    bad: dict[str, Any]
    for bad in (
        {"shown_terms_version": 10**30},
        {"shown_terms_version": True},
        {"tier": "gold"},
        {"key": "a b"},
    ):
        with pytest.raises(ValidationError):
            Enrol.model_validate_json(json.dumps({**good, **bad}))
    points = {"actor": "clerk:li", "member_id": "m1", "points": 1, "source": "赠送", "rule": "v1"}
    assert CreditPoints.model_validate_json(json.dumps(points)).source == "赠送"
    for bad in ({"expires_at": "2008-08-01T00:00:00"}, {"points": 1.0}, {"points": True}):
        with pytest.raises(ValidationError):
            CreditPoints.model_validate_json(json.dumps({**points, **bad}))


# -------------------------------------------------------------------------------------- calendar
def test_days_are_those_of_the_programmes_zone() -> None:
    before, after = (
        datetime(2008, 6, 30, 15, 59, 59, 999_999, UTC),
        datetime(2008, 6, 30, 16, 0, 0, 0, UTC),
    )
    assert (local_date(before), local_minute(before)) == (date(2008, 6, 30), 1439)
    assert (local_date(after), local_minute(after)) == (date(2008, 7, 1), 0)
    assert start_of(date(2008, 7, 1)) == after


def test_a_day_of_summer_time_begins_at_its_own_midnight() -> None:
    """The zone had summer time from 1986 to 1991."""
    assert start_of(date(1988, 7, 1)) == datetime(1988, 6, 30, 15, tzinfo=UTC)
    assert local_date(datetime(1988, 6, 30, 15, tzinfo=UTC)) == date(1988, 7, 1)


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        ((2008, 1, 31), 1, (2008, 2, 29)),
        ((2007, 1, 31), 1, (2007, 2, 28)),
        ((2008, 2, 29), 12, (2009, 2, 28)),
        ((2008, 2, 29), 48, (2012, 2, 29)),
        ((2008, 12, 31), 2, (2009, 2, 28)),
        ((2008, 12, 15), 1, (2009, 1, 15)),
        ((2008, 11, 30), 1, (2008, 12, 30)),
        ((2008, 3, 31), -1, (2008, 2, 29)),
        ((2008, 1, 15), -1, (2007, 12, 15)),
        ((2008, 7, 15), 0, (2008, 7, 15)),
        ((2008, 7, 15), 120, (2018, 7, 15)),
    ],
)
def test_months_on(day: tuple[int, int, int], months: int, then: tuple[int, int, int]) -> None:
    assert add_months(date(*day), months) == date(*then)


def test_months_have_their_days() -> None:
    assert [days_in(2008, month) for month in range(1, 13)] == [
        31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31
    ]  # fmt: skip
    assert [days_in(year, 2) for year in (1900, 2000, 2007, 2100)] == [28, 29, 28, 28]


def test_months_can_be_subtracted() -> None:
    assert month_number("2009-01") - month_number("2008-12") == 1
    assert month_number("2009-01") - month_number("2008-01") == 12
