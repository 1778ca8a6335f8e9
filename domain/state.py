"""States: what the rules need to know of one stream, folded from its events.

A state is bounded: what no rule will ask for again (spent and expired lots, visits too old to be
undone, bindings and campaigns that ended more than LATE_DAYS ago) leaves it. The ledger stores it
as the *head* of its stream, as a JSON array of its fields: half the bytes of an object, and read
three times as fast as into a dataclass. Every command reads and writes heads.
"""

from datetime import date, datetime

from msgspec import Struct, field

from domain.lots import Lot
from domain.values import Tier

LATE_DAYS = 400
"""How long what has ended stays in a head, so that a fact told late is still judged by it."""


class Debit(Struct, array_like=True, gc=False):
    """A debit young enough to be reversed."""

    id: int
    at: datetime
    lots: list[tuple[int, int]]  # (lot, points)
    visit: int | None = None  # the visit it paid for: undone with it, never alone


class Visit(Struct, array_like=True, gc=False):
    """A visit young enough to be undone."""

    id: int
    at: datetime
    club: str
    service: str
    desk: str
    debit: int | None  # the debit that paid it
    entitlement: str | None  # the key of the free visit it used


class Binding(Struct, array_like=True, gc=False):
    """A policy that binds the member on the days [starts_on, ends_on)."""

    id: int
    policy: str
    starts_on: date
    ends_on: date
    campaign: str | None
    ended: bool = False  # early: `ends_on` is then the first day on which it no longer bound


class Member(Struct, array_like=True, gc=False):
    """A customer: network, tier, lots, visits, enrolments and bindings."""

    joined_at: datetime | None = None
    left_at: datetime | None = None
    unit: str = ""
    tier: Tier | None = None
    tier_since: datetime | None = None
    important: bool = False
    billed_month: int = 0  # number of the latest month billed, 0 before the first
    billed_mask: int = 0  # bit i: the month i before the latest is billed
    cohorts: list[str] = field(default_factory=list)
    lots: list[Lot] = field(default_factory=list)  # soonest expiring first
    lots_opened: int = 0
    debits: list[Debit] = field(default_factory=list)
    debits_made: int = 0
    visits: list[Visit] = field(default_factory=list)
    visits_made: int = 0
    free_visits: dict[str, int] = field(default_factory=dict)  # club/service/year -> used
    attended: dict[str, datetime] = field(default_factory=dict)  # club/activity -> held at
    enrolled: dict[str, date] = field(default_factory=dict)  # campaign -> last day of its window
    offered: dict[str, date] = field(default_factory=dict)  # campaign -> last day of its window
    bindings: list[Binding] = field(default_factory=list)
    bindings_made: int = 0


class Price(Struct, array_like=True, gc=False):
    """What a service costs, in points, from one version on."""

    version: int
    name: str
    points: int
    tier_points: dict[Tier, int]
    companion_points: int
    free_visits: dict[Tier, int]  # a calendar year, by tier


class Club(Struct, array_like=True, gc=False):
    """A club, its services and their prices, and whether it is in emergency mode."""

    name: str = ""
    opens_on: date | None = None
    opens_minute: int = 0
    closes_minute: int = 1440
    tiers: list[str] = field(default_factory=list)
    important: bool = False
    services: dict[str, Price] = field(default_factory=dict)
    emergency_since: datetime | None = None
    activities: dict[str, datetime] = field(default_factory=dict)  # activity -> held at


class Admissions(Struct, array_like=True, gc=False):
    """Who was let into a club in emergencies, counted."""

    people: int = 0


class Terms(Struct, array_like=True, gc=False):
    """Terms of a campaign in one version. Money in fen."""

    version: int
    prepaid_min_fen: int
    gift_bp: int
    months_bound: int
    min_monthly_fen: int


class Campaign(Struct, array_like=True, gc=False):
    """A campaign and its terms in force."""

    name: str = ""
    kind: str = ""
    opens_on: date | None = None
    closes_on: date | None = None  # the last day of the window
    tiers: list[str] = field(default_factory=list)
    untiered: bool = False
    excludes: list[str] = field(default_factory=list)
    cap: int | None = None
    budget_fen: int | None = None
    control_bp: int = 0
    control_seed: str = ""
    terms: Terms | None = None
    closed_at: datetime | None = None


class Places(Struct, array_like=True, gc=False):
    """What is counted against the limits of a campaign: places taken, and gifts in fen."""

    taken: int = 0
    gift_fen: int = 0


class Cohort(Struct, array_like=True, gc=False):
    """A snapshot of customers: open while it is taken, frozen ever after."""

    name: str = ""
    purpose: str = ""
    on: date | None = None
    frozen_size: int | None = None


class Unit(Struct, array_like=True, gc=False):
    """A county branch or city district office."""

    name: str = ""


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
