"""Things that the sentences of several tests speak of."""

from datetime import date, datetime
from typing import Any

from domain.campaigns import LaunchCampaign
from domain.clubs import OpenClub, PriceService
from domain.enrolments import Enrol
from domain.members import ChangeTier, JoinNetwork
from domain.outside import RecordOutside
from domain.points.movements import CreditPoints, DebitPoints
from domain.reports import ClaimValue, EnterReport
from domain.targets import SetTarget, Way
from domain.units import OpenUnit
from domain.visits import RecordVisit
from tests.domain.scenario import do, local

NOON = "2008-07-15 12:00"
"""Of a day on which the club is open and the campaign runs."""

WEST = do(OpenUnit, "2000-01-01 09:00", title="城西分局")
JOINED = do(JoinNetwork, "2005-03-01 10:00")
GOLD = do(ChangeTier, "2007-01-01 00:00", tier="gold")
EAST = do(OpenUnit, "2000-01-01 09:00", unit_id="east", title="城东分局")
MEMBER = (WEST, JOINED, GOLD)

HEALTH = do(
    OpenClub,
    "2008-06-01 09:00",
    opens_on=date(2008, 6, 30),
    opens_minute=9 * 60,
    closes_minute=22 * 60,
    tiers=("diamond", "gold"),
    important=True,
)


def price(at: str | datetime = "2008-06-01 09:30", points: int = 70, **said: Any) -> PriceService:
    """The room of the health club at 70 points, 50 for diamond; 30 a companion."""
    usual: dict[str, Any] = {"tier_points": {"diamond": 50}, "companion_points": 30}
    return do(PriceService, at, points=points, **{**usual, **said})


CLUB = (HEALTH, price())


def credit(points: int, at: str = "2008-01-01 09:00", expires: str | None = None) -> CreditPoints:
    """Points that can be spent at once."""
    expires_at = None if expires is None else local(expires)
    return do(CreditPoints, at, points=points, expires_at=expires_at)


def debit(points: int, at: str | datetime = NOON) -> DebitPoints:
    """Points taken for something that is not a visit."""
    return do(DebitPoints, at, points=points)


def visit(at: str | datetime = NOON, **said: Any) -> RecordVisit:
    """An admission to the health club's room."""
    return do(RecordVisit, at, **said)


def campaign(**said: Any) -> LaunchCampaign:
    """Prepay at least 100 yuan in July 2008, get a tenth as a gift, be bound for a year."""
    usual: dict[str, Any] = {
        "kind": "prepay",
        "opens_on": date(2008, 7, 1),
        "closes_on": date(2008, 7, 31),
        "tiers": ("diamond", "gold"),
        "prepaid_min_fen": 10_000,
        "gift_bp": 1_000,
        "months_bound": 12,
    }
    return do(LaunchCampaign, "2008-06-01 09:00", **{**usual, **said})


def enrol(at: str | datetime = NOON, prepaid_fen: int = 10_000, **said: Any) -> Enrol:
    """An enrolment in that campaign."""
    return do(Enrol, at, prepaid_fen=prepaid_fen, **said)


JANUARY, JUNE = date(2008, 1, 1), date(2008, 6, 30)
PERIOD: dict[str, Any] = {"first": JANUARY, "last": JUNE}


def enter(**said: Any) -> EnterReport:
    """A report about the first half of 2008."""
    return do(EnterReport, NOON, **{**PERIOD, "dated_on": date(2008, 7, 1), **said})


def claim(**said: Any) -> ClaimValue:
    """A growth rate of 5.59 %, by its arithmetic or a measure if one is said."""
    usual = {"claim_id": "members.rate", "section": "Members", "value": "5.59", "unit": "%"}
    return do(ClaimValue, NOON, **{**usual, **said})


def outside(**said: Any) -> RecordOutside:
    """A rate of the year before, told by the province."""
    usual: dict[str, Any] = {
        "outside_value_id": "rate_2007", "about": "us", "value": "91.40", "unit": "%",
        "dated_on": date(2008, 7, 1), "said_by": "the province",
    }  # fmt: skip
    return do(RecordOutside, NOON, **{**usual, **PERIOD, **said})


def target(**said: Any) -> SetTarget:
    """77 % at least, as the basic target."""
    usual: dict[str, Any] = {
        "target_id": "basic", "measure": "retention.rate", "level": "basic",
        "ways": (Way(kind="at_least", value="77"),),
    }  # fmt: skip
    return do(SetTarget, NOON, **{**usual, **PERIOD, **said})
