"""States: what the rules need to know of one stream, folded from its events.

A state is bounded: what no rule will ask for again (spent and expired lots, visits too old to be
undone, bindings and campaigns that ended more than LATE_DAYS ago) leaves it, and every collection
says the most that it may hold, so that a state is at most MAX_STATE_BYTES. The ledger stores it
as the *head* of its stream, as a JSON array of its fields: half the bytes of an object, and read
three times as fast as into a dataclass. Every command reads and writes heads.
"""

from datetime import date, datetime
from typing import Annotated

from msgspec import Struct, field

from domain.bounds import AtMost
from domain.lots import Lot
from domain.timeline import Timeline
from domain.values import TIERS, Tier

MAX_STATE_BYTES = 1 << 20
"""No state is longer as it is stored, whatever its stream has seen."""
MAX_LOTS = 5_000
"""Open lots of a member, and spent ones that a reversal may still ask for."""
REMEMBERED = 32
"""The latest debits and visits."""
MAX_CHANGES = 100
"""Changes of one thing of one stream that a fact told late may still have to be judged by."""
MAX_ADMISSIONS = 500
"""The latest admissions in emergencies: they can be corrected."""
MAX_VISITS = 400
"""Visits of a member, to all clubs, that one told late or twice is held against."""
MAX_PRICES = 2_000
"""The same of the prices of all services of a club."""


class Debit(Struct, array_like=True, gc=False):
    """A debit young enough to be reversed."""

    id: int
    at: datetime
    lots: Annotated[dict[int, int], AtMost(MAX_LOTS)]  # lot -> points
    visit: int | None = None  # the visit it paid for: undone with it, never alone


class Reversal(Struct, array_like=True, gc=False):
    """What reversals ask of a credit, and what they hold of its lot."""

    at: datetime  # when one last named the credit or took from the lot
    asked: int = 0  # of the credit, in all
    settled: int = 0  # of that: given for good by lots that are forgotten
    others: int = 0  # of what was asked: so much may come out of other lots
    upto: int = 0  # the last lot that was open when others were asked
    taken: int = 0  # what reversals hold of this lot: its own, or those of other credits


class Visit(Struct, array_like=True, gc=False):
    """A visit young enough to be undone."""

    id: int
    at: datetime
    club_id: str
    service_id: str
    desk: str
    debit: int | None  # the debit that paid it
    entitlement: str | None  # the key of the free visit it used


class Visited(Struct, array_like=True, gc=False):
    """When a member came to one club, so that no visit is taken twice: seconds since 1970, earliest
    first, of LATE_DAYS. Numbers, as many visits are read with every one."""

    seconds: Annotated[list[int], AtMost(MAX_VISITS)] = field(default_factory=list)
    forgotten: int | None = None  # the latest that is not remembered any more


class Binding(Struct, array_like=True, gc=False):
    """A policy that binds the member on the days [starts_on, ends_on)."""

    id: int
    policy: str
    starts_on: date
    ends_on: date
    campaign_id: str | None
    ended_on: date | None = None  # early: the first day on which it no longer bound

    @property
    def until(self) -> date:
        """The first day on which it no longer binds."""
        return self.ends_on if self.ended_on is None else self.ended_on


class Enrolment(Struct, array_like=True, gc=False):
    """A part taken in a campaign: what it takes of the limits, and the binding that it brought."""

    closes_on: date  # the last day of the campaign's window
    place: int
    gift_fen: int
    binding: int | None = None
    # if the campaign does not stand beside some policies: which, and the day of the enrolment
    excludes: Annotated[list[str], AtMost(4)] = field(default_factory=list)
    enrolled_on: date | None = None


class Member(Struct, array_like=True, gc=False):
    """A customer: network, tier, lots, visits, enrolments and bindings."""

    joined_at: datetime | None = None
    left_at: datetime | None = None
    unit_id: str = ""  # for good: nothing changes it
    tiers: Annotated[Timeline[Tier | None], AtMost(MAX_CHANGES)] = field(default_factory=list)
    important: Annotated[Timeline[bool], AtMost(MAX_CHANGES)] = field(default_factory=list)
    billed_month: int = 0  # number of the latest month billed, 0 before the first
    billed_mask: int = 0  # bit i: the month i before the latest is billed
    bills_forgotten: int = 0  # number of the latest month whose bill went out of the mask
    cohorts: Annotated[list[str], AtMost(500)] = field(default_factory=list)
    # by number, soonest expiring first
    lots: Annotated[dict[int, Lot], AtMost(MAX_LOTS)] = field(default_factory=dict)
    lots_opened: int = 0
    debits: Annotated[list[Debit], AtMost(REMEMBERED)] = field(default_factory=list)
    debits_made: int = 0
    visits: Annotated[list[Visit], AtMost(REMEMBERED)] = field(default_factory=list)
    visits_made: int = 0
    # club/service/year -> used
    free_visits: Annotated[dict[str, int], AtMost(130)] = field(default_factory=dict)
    # club/activity -> held at
    attended: Annotated[dict[str, datetime], AtMost(200)] = field(default_factory=dict)
    enrolled: Annotated[dict[str, Enrolment], AtMost(200)] = field(default_factory=dict)
    # campaign -> last day of its window
    offered: Annotated[dict[str, date], AtMost(200)] = field(default_factory=dict)
    bindings: Annotated[list[Binding], AtMost(100)] = field(default_factory=list)
    bindings_made: int = 0
    # by lot: those that a reversal named or took from
    reversals: Annotated[dict[int, Reversal], AtMost(300)] = field(default_factory=dict)
    # the latest end of a campaign or an activity that this has forgotten
    forgotten: date | None = None
    # by club
    visited: Annotated[dict[str, Visited], AtMost(60)] = field(default_factory=dict)
    # by policy: the first day after the latest binding that this has forgotten
    bindings_forgotten: Annotated[dict[str, date], AtMost(4)] = field(default_factory=dict)


class Price(Struct, array_like=True, gc=False):
    """What a service costs, in points, from one version on."""

    version: int
    points: int
    tier_points: Annotated[dict[Tier, int], AtMost(len(TIERS))]
    companion_points: int
    free_visits: Annotated[dict[Tier, int], AtMost(len(TIERS))]  # a calendar year, by tier


class Service(Struct, array_like=True, gc=False):
    """A service's prices, each from its instant on, and how many were ever told."""

    versions: int = 0
    prices: Annotated[Timeline[Price], AtMost(MAX_PRICES)] = field(default_factory=list)


class Club(Struct, array_like=True, gc=False):
    """A club, its services and their prices, and when it was in emergency mode.

    Its opening day, hours and tiers are told once: nothing changes them.
    """

    title: str = ""
    opens_on: date | None = None
    opens_minute: int = 0
    closes_minute: int = 1440
    tiers: Annotated[list[str], AtMost(len(TIERS))] = field(default_factory=list)
    important: bool = False
    services: Annotated[dict[str, Service], AtMost(300)] = field(default_factory=dict)
    emergency: Annotated[Timeline[bool], AtMost(MAX_CHANGES)] = field(default_factory=list)
    # activity -> held at
    activities: Annotated[dict[str, datetime], AtMost(5_000)] = field(default_factory=dict)


class Admissions(Struct, array_like=True, gc=False):
    """The admissions to a club in emergencies, by number."""

    made: int = 0
    # those that can be corrected
    latest: Annotated[list[str], AtMost(MAX_ADMISSIONS)] = field(default_factory=list)


class Terms(Struct, array_like=True, gc=False):
    """Terms of a campaign in one version. Money in fen."""

    version: int
    prepaid_min_fen: int
    gift_bp: int
    months_bound: int
    min_monthly_fen: int


class Campaign(Struct, array_like=True, gc=False):
    """A campaign, and its terms in every version that a late enrolment may be made under."""

    title: str = ""
    kind: str = ""
    opens_on: date | None = None
    closes_on: date | None = None  # the last day of the window
    tiers: Annotated[list[str], AtMost(len(TIERS))] = field(default_factory=list)
    untiered: bool = False
    excludes: Annotated[list[str], AtMost(4)] = field(default_factory=list)
    cap: int | None = None
    budget_fen: int | None = None
    control_bp: int = 0
    control_seed: str = ""
    terms: Annotated[Timeline[Terms], AtMost(MAX_CHANGES)] = field(default_factory=list)
    terms_versions: int = 0
    closed_at: datetime | None = None


class Places(Struct, array_like=True, gc=False):
    """What is counted against the limits of a campaign: places taken, and gifts in fen."""

    taken: int = 0
    gift_fen: int = 0
    freed: int = 0  # of the places taken: their enrolments were corrected

    @property
    def held(self) -> int:
        """Places that are taken and not free again."""
        return self.taken - self.freed


class Cohort(Struct, array_like=True, gc=False):
    """Customers of a day: open while it is taken, frozen ever after."""

    title: str = ""
    purpose: str = ""
    taken_on: date | None = None
    size: int | None = None


class Unit(Struct, array_like=True, gc=False):
    """A county branch or city district office, by the names that it had."""

    titles: Annotated[Timeline[str], AtMost(MAX_CHANGES)] = field(default_factory=list)


STATES: dict[str, type] = {
    "member": Member,
    "club": Club,
    "admissions": Admissions,
    "campaign": Campaign,
    "places": Places,
    "cohort": Cohort,
    "unit": Unit,
}
"""The state of each kind of stream."""
