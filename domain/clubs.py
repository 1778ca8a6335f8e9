"""Clubs: opening, priced services, emergency mode, activities."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Struct, field
from pydantic import Field

from domain.kernel import timeline
from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, saying
from domain.kernel.event import Event, Excusable
from domain.kernel.parts import MAX_CHANGES, part_of
from domain.kernel.refusal import DeskRule, Refusal
from domain.kernel.timeline import Timeline
from domain.kernel.values import (
    MAX_TIERS,
    ActivityId,
    ClubId,
    Count,
    Day,
    Fen,
    KnownTier,
    Minute,
    Ordinal,
    PointsOrNone,
    ServiceId,
    Text,
    Tier,
    local_date,
    local_minute,
)

PointsByTier = Annotated[dict[Tier, PointsOrNone], Field(max_length=MAX_TIERS)]
VisitsByTier = Annotated[dict[Tier, Count], Field(max_length=MAX_TIERS)]


MAX_PRICES = 800
"""Prices of all services of a club that a visit told late may still have to be judged by."""


# -------------------------------------------------------------------------------------- parts
class Price(Struct, array_like=True, gc=False):
    """What a service costs, in points, from one version on."""

    version: int
    points: int
    tier_points: Annotated[dict[Tier, int], AtMost(MAX_TIERS)]
    companion_points: int
    free_visits: Annotated[dict[Tier, int], AtMost(MAX_TIERS)]  # a calendar year, by tier

    def granted(self, tier: Tier | None) -> int:
        """The free visits a year that a tier has."""
        return 0 if tier is None else self.free_visits.get(tier, 0)


class Service(Struct, array_like=True, gc=False):
    """A service's prices, each from its instant on, and how many were ever told."""

    versions: int = 0
    prices: Annotated[Timeline[Price], AtMost(MAX_PRICES)] = field(default_factory=list)


@part_of("club")
class Club(Struct, array_like=True, gc=False):
    """A club, its services and their prices, and when it was in emergency mode.

    Its opening day, hours and tiers are told once: nothing changes them.
    """

    title: str = ""
    opens_on: date | None = None
    opens_minute: int = 0
    closes_minute: int = 1440
    tiers: Annotated[list[str], AtMost(MAX_TIERS)] = field(default_factory=list)
    important: bool = False
    services: Annotated[dict[str, Service], AtMost(300)] = field(default_factory=dict)
    emergency: Annotated[Timeline[bool], AtMost(MAX_CHANGES)] = field(default_factory=list)
    # activity -> held at
    activities: Annotated[dict[str, datetime], AtMost(5_000)] = field(default_factory=dict)


# ------------------------------------------------------------------------------------- events
class ClubOpened(Event, name="club.opened", stream="club"):
    """A club opened its doors, to these tiers and hours. Minutes are after local midnight."""

    title: Text
    opens_on: Day
    opens_minute: Minute
    closes_minute: Minute
    tiers: tuple[Tier, ...]
    important: bool
    capacity: Count | None = None

    def apply(self, club: Club) -> None:
        club.title, club.opens_on = self.title, self.opens_on
        club.opens_minute, club.closes_minute = self.opens_minute, self.closes_minute
        club.tiers, club.important = list(self.tiers), self.important


class ServicePriced(Event, name="service.priced", stream="club"):
    """A service of a club got a price from then on, in points; a tier may have its own."""

    service_id: ServiceId
    title: Text
    price_version: Ordinal
    points: PointsOrNone
    tier_points: PointsByTier
    companion_points: PointsOrNone
    free_visits: VisitsByTier

    @property
    def price(self) -> Price:
        """The price that it says."""
        return Price(
            version=self.price_version,
            points=self.points,
            tier_points=dict(self.tier_points),
            companion_points=self.companion_points,
            free_visits=dict(self.free_visits),
        )

    def apply(self, club: Club) -> None:
        service = club.services.setdefault(self.service_id, Service())
        service.versions = self.price_version
        service.prices = timeline.put(service.prices, self.occurred_at, self.price)


class EmergencyDeclared(Excusable, name="emergency.declared", stream="club"):
    """A club was opened to people who are not members, around the clock."""

    reason: Text

    def apply(self, club: Club) -> None:
        club.emergency = timeline.put(club.emergency, self.occurred_at, True)


class EmergencyEnded(Excusable, name="emergency.ended", stream="club"):
    """A club went back to its members and hours."""

    def apply(self, club: Club) -> None:
        club.emergency = timeline.put(club.emergency, self.occurred_at, False)


class ActivityHeld(Excusable, name="activity.held", stream="club"):
    """A club held an activity. Money in fen: cost, fee a participant, commission to the partner."""

    activity_id: ActivityId
    title: Text
    cost_fen: Fen
    fee_fen: Fen
    commission_fen: Fen
    named_by = ("activity_id",)
    kept_in = "activities"

    def apply(self, club: Club) -> None:
        club.activities[self.activity_id] = self.occurred_at


# ----------------------------------------------------------------------------------- refusals
@dataclass
class UnknownClub(Refusal):
    """There is no such club."""

    code = "unknown_club"
    club_id: str


@dataclass
class ClubExists(Refusal):
    """The club is already there."""

    code = "club_exists"
    club_id: str


@dataclass
class HoursReversed(Refusal):
    """The club would close before it opens."""

    code = "hours_reversed"
    opens_minute: int
    closes_minute: int


@dataclass
class EmergencyAlready(Refusal):
    """The club is already in emergency mode."""

    code = "emergency_already"
    since: datetime


@dataclass
class NoEmergency(DeskRule):
    """The club is not in emergency mode."""

    code = "no_emergency"
    club_id: str


@dataclass
class NotOpenYet(DeskRule):
    """The club has not opened yet."""

    code = "not_open_yet"
    club_id: str
    day: date
    opens_on: date


@dataclass
class ClubClosed(DeskRule):
    """The club is closed at this hour. Minutes are after local midnight."""

    code = "club_closed"
    minute: int
    opens_minute: int
    closes_minute: int


@dataclass
class ActivityExists(Refusal):
    """The club already has an activity of this name."""

    code = "activity_exists"
    activity_id: str


OPENED_BY = (UnknownClub, NotOpenYet)
IN_EMERGENCY = (*OPENED_BY, NoEmergency)


def require_opened(club: Club, club_id: str) -> date:
    """The club's opening day; refuses a club that does not exist."""
    if club.opens_on is None:
        raise UnknownClub(club_id)
    return club.opens_on


def require_opened_by(command: Command, club: Club, club_id: str, at: datetime) -> None:
    """Refuses a club that had not opened by this day."""
    opens_on = require_opened(club, club_id)
    if local_date(at) < opens_on:
        command.unless_despite(NotOpenYet(club_id, local_date(at), opens_on))


def require_within_hours(command: Command, club: Club, at: datetime) -> None:
    """Refuses an hour at which the club is closed; in an emergency it never is."""
    minute = local_minute(at)
    if club.opens_minute <= minute < club.closes_minute or timeline.at(club.emergency, at):
        return
    command.unless_despite(ClubClosed(minute, club.opens_minute, club.closes_minute))


def require_emergency(command: Command, club: Club, club_id: str, at: datetime) -> None:
    """Refuses a club that was not in emergency mode at this instant."""
    require_opened_by(command, club, club_id, at)
    if not timeline.at(club.emergency, at):
        command.unless_despite(NoEmergency(club_id))


# ----------------------------------------------------------------------------------- commands
class ClubCommand(Command):
    """A command about one club alone."""

    writes: ClassVar[dict[str, str]] = {"club": "club_id"}
    club_id: ClubId


class OpenClub(ClubCommand):
    """Enter a club. It admits nobody before its opening day."""

    command: Literal["club.open"] = "club.open"
    refuses = (ClubExists, HoursReversed)
    example = saying(
        club_id="chess", title="Chess club", opens_on="2008-06-30", tiers=["diamond", "gold"]
    )
    title: Text
    opens_on: Day
    tiers: Annotated[tuple[KnownTier, ...], Field(max_length=MAX_TIERS)]
    important: bool = False
    opens_minute: Minute = 0
    closes_minute: Minute = 1440
    capacity: Count | None = None

    def decide(self, at: datetime, club: Club) -> list[Event]:
        if club.opens_on is not None:
            raise ClubExists(self.club_id)
        if self.opens_minute >= self.closes_minute:
            raise HoursReversed(self.opens_minute, self.closes_minute)
        event = self.event(
            ClubOpened,
            at,
            title=self.title,
            opens_on=self.opens_on,
            opens_minute=self.opens_minute,
            closes_minute=self.closes_minute,
            tiers=self.tiers,
            important=self.important,
            capacity=self.capacity,
        )
        return [event]


class PriceService(ClubCommand):
    """Give a service a price, from then on or to the next one. Versions count as they are told."""

    command: Literal["service.price"] = "service.price"
    refuses = (UnknownClub, TooMany)
    example = saying(club_id="tennis", service_id="hour", title="An hour", points=60)
    service_id: ServiceId
    title: Text
    points: PointsOrNone
    tier_points: Annotated[dict[KnownTier, PointsOrNone], Field(max_length=MAX_TIERS)] = Field(
        default_factory=dict
    )
    companion_points: PointsOrNone = 0
    free_visits: Annotated[dict[KnownTier, Count], Field(max_length=MAX_TIERS)] = Field(
        default_factory=dict
    )

    def decide(self, at: datetime, club: Club) -> list[Event]:
        require_opened(club, self.club_id)
        before = club.services.get(self.service_id)
        if before is None:
            require_room(club, "services")
        prices = sum([len(service.prices) for service in club.services.values()])
        if before is not None:
            prices += len(timeline.forget(before.prices, at)) - len(before.prices)
        if prices >= MAX_PRICES:
            raise TooMany("prices", prices, MAX_PRICES)
        event = self.event(
            ServicePriced,
            at,
            service_id=self.service_id,
            title=self.title,
            price_version=1 if before is None else before.versions + 1,
            points=self.points,
            tier_points=self.tier_points,
            companion_points=self.companion_points,
            free_visits=self.free_visits,
        )
        return [event]


class DeclareEmergency(ClubCommand):
    """Open a club to people who are not members."""

    command: Literal["emergency.declare"] = "emergency.declare"
    refuses = (*OPENED_BY, EmergencyAlready, TooMany)
    example = saying(club_id="tennis", reason="snow")
    reason: Text

    def decide(self, at: datetime, club: Club) -> list[Event]:
        require_opened_by(self, club, self.club_id, at)
        if timeline.at(club.emergency, at):
            since = max(since for since, declared in club.emergency if declared and since <= at)
            raise EmergencyAlready(since)
        require_room(club, "emergency", len(timeline.forget(club.emergency, at)))
        return [self.event(EmergencyDeclared, at, reason=self.reason)]


class EndEmergency(ClubCommand):
    """Give a club back to its members."""

    command: Literal["emergency.end"] = "emergency.end"
    refuses = (*IN_EMERGENCY, TooMany)
    example = saying(club_id="library")

    def decide(self, at: datetime, club: Club) -> list[Event]:
        require_emergency(self, club, self.club_id, at)
        require_room(club, "emergency", len(timeline.forget(club.emergency, at)))
        return [self.event(EmergencyEnded, at)]


class HoldActivity(ClubCommand):
    """Record an activity of a club."""

    command: Literal["activity.hold"] = "activity.hold"
    refuses = (*OPENED_BY, ActivityExists, TooMany)
    example = saying(club_id="tennis", activity_id="drive", title="A drive", cost_fen=800_000)
    activity_id: ActivityId
    title: Text
    cost_fen: Fen = 0
    fee_fen: Fen = 0
    commission_fen: Fen = 0

    def decide(self, at: datetime, club: Club) -> list[Event]:
        require_opened_by(self, club, self.club_id, at)
        if self.activity_id in club.activities:
            raise ActivityExists(self.activity_id)
        require_room(club, "activities")
        event = self.event(
            ActivityHeld,
            at,
            activity_id=self.activity_id,
            title=self.title,
            cost_fen=self.cost_fen,
            fee_fen=self.fee_fen,
            commission_fen=self.commission_fen,
        )
        return [event]
