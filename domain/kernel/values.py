"""Words every rule uses: identifiers, instants, tiers, points, money.

Each is an annotated type, so that a field says in its type what it may hold and a bad value is
named at the door. Patterns keep control characters out of everything that is stored.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from domain.kernel.phones import CHINA, NumberingPlan


@dataclass
class Programme:
    """What holds for a whole ledger: days, months, quarters and hours are those of its zone;
    instants are stored in UTC. Its tiers stand highest first, some with titles for readers, in
    Chinese and in English. A phone number without a country is one of its own. A process keeps the
    time, the tiers and the plan of numbers of the ledger that it opened."""

    zone: ZoneInfo
    tiers: tuple[str, ...]
    titles: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    phones: NumberingPlan = CHINA

    def keep_time_of(self, zone: str) -> None:
        """Another zone, named as in the IANA time zone database."""
        if zone != self.zone.key:
            self.zone = ZoneInfo(zone)
            local_date.cache_clear()
            local_minute.cache_clear()


PROGRAMME = Programme(ZoneInfo("Asia/Shanghai"), ("diamond", "gold", "silver", "member"))
"""Of this process. What a ledger has is fixed when it is made: `ledger.database.install`."""
MAX_TIERS = 8

FIRST_YEAR, YEARS_END = 1980, 2500
"""Outside of these years an instant or a day is a mistake."""

_DATE = r"(19[89][0-9]|2[0-4][0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?"
_OFFSET = r"(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])"
DAY_PATTERN, INSTANT_PATTERN = f"^{_DATE}$", f"^{_DATE}T{_TIME}{_OFFSET}$"
"""ISO 8601 with its hyphens and colons, and nothing else: digits alone are a year to one reader
and seconds to another. No 24:00 and no leap second, which other clocks cannot hold."""
_DAY, _INSTANT = re.compile(_DATE), re.compile(f"{_DATE}T{_TIME}{_OFFSET}")
_AGES = f"the years are {FIRST_YEAR} to {YEARS_END - 1}"
_NO_DAY = f"a day is written as 2008-12-31; {_AGES}"
_NO_INSTANT = (
    "an instant is written with its offset, as 2008-12-31T18:00:00+08:00 (hours to 23, seconds to"
    f" 59); {_AGES}"
)


class _InstantForm:
    """In UTC; what is not written as an instant is never guessed at. Each fact has one, so the
    pattern of text is held without a detour through Python."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        known = handler(source)
        written = core_schema.custom_error_schema(
            core_schema.str_schema(pattern=INSTANT_PATTERN, strict=True),
            custom_error_type="instant",
            custom_error_message=_NO_INSTANT,
        )
        read = core_schema.no_info_before_validator_function(_read, known)
        other = core_schema.no_info_before_validator_function(_instant, known)
        return core_schema.json_or_python_schema(core_schema.chain_schema([written, read]), other)


@lru_cache(maxsize=1_000)  # of a file, many facts are of one day and hour
def _read(written: str) -> datetime:
    try:
        return datetime.fromisoformat(written).astimezone(UTC)
    except ValueError:
        raise _not_in_the_calendar() from None


def _instant(written: Any) -> datetime:
    if isinstance(written, datetime) and written.tzinfo is not None:
        if FIRST_YEAR <= written.year < YEARS_END:  # every event has one, and mostly in UTC
            return written if written.tzinfo is UTC else written.astimezone(UTC)
    elif isinstance(written, str) and _INSTANT.fullmatch(written):
        return _read(written)
    raise PydanticCustomError("instant", _NO_INSTANT)


def _day(written: Any) -> date:
    if isinstance(written, date) and not isinstance(written, datetime) and _of_our_age(written):
        return written
    elif isinstance(written, str) and _DAY.fullmatch(written):
        try:
            return date.fromisoformat(written)
        except ValueError:
            raise _not_in_the_calendar() from None
    raise PydanticCustomError("day", _NO_DAY)


def _of_our_age(written: date) -> bool:
    return FIRST_YEAR <= written.year < YEARS_END


def _not_in_the_calendar() -> PydanticCustomError:
    return PydanticCustomError("day", "that month does not have so many days")


def _schema(form: str, pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "format": form, "pattern": pattern})


Instant = Annotated[AwareDatetime, _InstantForm, _schema("date-time", INSTANT_PATTERN)]
"""A moment, with its offset on the way in and in UTC ever after. Every door takes this type, and no
bare datetime, which pydantic would read from a number."""

Day = Annotated[date, BeforeValidator(_day), _schema("date", DAY_PATTERN)]
"""A calendar day of the programme's zone. Every door takes this type, and no bare date."""

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name that a system gave: ASCII, at most 64 characters, no colon (streams are `kind:id`)."""

DottedId = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$", max_length=64)
]
"""A name as formulas have it: `retention.rate`."""

MemberId = Id
ClubId = Id
ServiceId = Id
CampaignId = Id
CohortId = Id
UnitId = Id
ActivityId = Id

Key = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,128}$")]
"""An idempotency key: 1 to 128 visible ASCII characters."""

Actor = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,16}:[A-Za-z0-9._@-]{1,64}$")]
"""Who did it, as `role:id`: `clerk:li`, `supervisor:wang`, `system:billing`, `partner:k7`."""

Desk = Id
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,63}$")]
"""The code of a refusal."""
Codes = Annotated[tuple[Code, ...], Field(max_length=32)]
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$"
"""No control characters and no line or paragraph separators, ASCII or not."""
Text = Annotated[str, StringConstraints(pattern=ONE_LINE, min_length=1, max_length=200)]
"""One line for a human reader. Never a name, a phone number or an identity number of a person."""

PositivePoints = Annotated[int, Field(ge=1, le=1_000_000_000)]
PointsOrNone = Annotated[int, Field(ge=0, le=1_000_000_000)]
PointsPaid = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
"""What a visit cost in all: its price and that of every companion."""
PointsMoved = Annotated[int, Field(ge=1, le=1_000_000_000_000)]
"""What one posting moves."""
Fen = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
"""Money: 1 yuan = 100 fen."""
SignedFen = Annotated[int, Field(ge=-1_000_000_000_000, le=1_000_000_000_000)]
BasisPoints = Annotated[int, Field(ge=0, le=10_000)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Printed = Annotated[
    str, StringConstraints(pattern=rf"^(-?[0-9]{{1,15}}(\.[0-9]{{1,6}})?|{_DATE})$")
]
"""A number as a document prints it, so that its digits are known; or a day."""
Digits = Annotated[int, Field(ge=0, le=6)]
"""Decimals."""
Parameters = Annotated[
    dict[
        DottedId, Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9*][A-Za-z0-9.,_-]{0,199}$")]
    ],
    Field(max_length=10),
]
"""Of what and of whom something is measured: `{"cohort_id": "vips", "tier": "gold,silver"}`."""
Ordinal = Annotated[int, Field(ge=1, le=1_000_000_000)]
"""The n-th lot, debit, visit or binding of a member, or place of a campaign; its stream counts."""
Month = Annotated[str, StringConstraints(pattern=r"^(19|20)[0-9]{2}-(0[1-9]|1[0-2])$")]
Minute = Annotated[int, Field(ge=0, le=1440)]
"""Minutes after midnight in the programme's zone."""


def as_json_means(sent: Any) -> Any:
    """What JSON Schema means by it: 1.0 is the whole number 1, and a list is a tuple."""
    return sent if type(sent) is int else _whole(sent, 3)


def _whole(sent: Any, levels: int) -> Any:
    if isinstance(sent, list | dict):
        if not levels:  # nothing of ours is nested deeper
            return sent
        if isinstance(sent, list):
            return tuple(_whole(each, levels - 1) for each in sent)
        return {name: _whole(each, levels - 1) for name, each in sent.items()}
    is_whole = getattr(sent, "is_integer", None)
    return int(sent) if is_whole and is_whole() and not isinstance(sent, bool) else sent


WHOLE = BeforeValidator(as_json_means)
"""For what of a request holds whole numbers or lists: 1.0 is 1 there, as JSON Schema has it, and a
list is a tuple."""

TIER_PATTERN = r"^[a-z][a-z0-9_-]{0,15}$"
Tier = Annotated[str, StringConstraints(pattern=TIER_PATTERN)]
"""A tier by its code, as events say it: it was one of the ledger's when they were written."""


def _known(tier: str) -> str:
    if tier not in PROGRAMME.tiers:
        said = "there is no such tier; there are {tiers}"
        raise PydanticCustomError("tier", said, {"tiers": ", ".join(PROGRAMME.tiers)})
    return tier


class _OneOfThem:
    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, __: GetJsonSchemaHandler) -> Any:
        return {"type": "string", "enum": list(PROGRAMME.tiers)}


KnownTier = Annotated[Tier, AfterValidator(_known), _OneOfThem]
"""A tier that the ledger has, as commands say it."""


@lru_cache(maxsize=1024)
def local_date(instant: datetime) -> date:
    """The programme's calendar day that holds this instant. All of a batch share one instant."""
    return instant.astimezone(PROGRAMME.zone).date()


@lru_cache(maxsize=1024)
def local_minute(instant: datetime) -> int:
    """Minutes after the programme's midnight."""
    local = instant.astimezone(PROGRAMME.zone)
    return local.hour * 60 + local.minute


def start_of(day: date) -> datetime:
    """The instant at which this calendar day begins in the programme's zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=PROGRAMME.zone).astimezone(UTC)


@lru_cache(maxsize=1024)
def month_number(month: str) -> int:
    """Months since year 0, so that months can be subtracted."""
    return int(month[:4]) * 12 + int(month[5:]) - 1


def month_of(number: int) -> str:
    """The month with this number."""
    return f"{number // 12:04}-{number % 12 + 1:02}"


def add_months(day: date, months: int) -> date:
    """The same day n months on, or the last day of that month (31 January + 1 = 29 February)."""
    number = day.year * 12 + day.month - 1 + months
    year, month = number // 12, number % 12 + 1
    return date(year, month, min(day.day, days_in(year, month)))


def days_in(year: int, month: int) -> int:
    """Days of a month, leap years included."""
    following = date(year + month // 12, month % 12 + 1, 1)
    return (following - date(year, month, 1)).days
