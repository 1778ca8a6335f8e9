"""Visits: a member is admitted to a club's service and pays, uses a free visit, or goes free."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Raw, Struct, field
from pydantic import Field

from domain.clubs import (
    OPENED_BY,
    Club,
    ClubClosed,
    Price,
    UnknownClub,
    require_opened,
    require_opened_by,
    require_within_hours,
)
from domain.kernel import timeline
from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, Receipt, saying
from domain.kernel.event import Event, Excusable
from domain.kernel.free_visits import (
    first_year_remembered,
    free_visit_key,
    one_more_free,
    year_of,
)
from domain.kernel.latest import Latest
from domain.kernel.parts import REMEMBERED, part_of
from domain.kernel.periods import TooLongAgo, forget, remembered, require_remembered
from domain.kernel.refusal import DeskRule, Refusal
from domain.kernel.timeline import LATE
from domain.kernel.values import (
    ActivityId,
    ClubId,
    Desk,
    Instant,
    Ordinal,
    PointsPaid,
    ServiceId,
    Text,
    Tier,
    UnitId,
    local_date,
)
from domain.members import (
    JOINED,
    ON_THE_NETWORK,
    LeftTheNetwork,
    MemberCommand,
    Membership,
    is_important,
    require_joined,
    require_on_network,
    tier_at,
    unit_at,
)
from domain.points.lots import NotEnoughPoints, Points, spendable_points
from domain.points.movements import PointsReceipt, give_back, lapsed, pay, reversible

UNDO_MINUTES = 15
"""How long the desk itself may undo its visit; after that it takes a supervisor."""
UNDO_DAYS = 31
UNDO, UNDO_AT_DESK = timedelta(days=UNDO_DAYS), timedelta(minutes=UNDO_MINUTES)
"""A supervisor may undo it for 31 days, while it and its debit are among the latest 32."""
REPEAT_MINUTES = 10
"""A second visit to the same club within this time, to the second, is asked about."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LATE_SECONDS = LATE // timedelta(seconds=1)
MAX_VISITS = 400
"""Visits of a member, to all clubs, that one told late or twice is held against."""
ATTENDANCE_DAYS = 92
"""How late an attendance may be entered."""

Companions = Annotated[int, Field(ge=0, le=50)]
Payment = Literal["points", "free_visit", "free"]


# -------------------------------------------------------------------------------------- parts
class Visit(Struct, array_like=True, gc=False):
    """A visit young enough to be undone."""

    id: int
    at: datetime
    club_id: str
    service_id: str
    desk: str
    debit: int | None  # the debit that paid it
    entitlement: str | None  # the key of the free visit it used


VISITS = Latest(Visit, REMEMBERED, UNDO)


class Visited(Struct, array_like=True, gc=False):
    """When a member came to one club, so that no visit is taken twice: seconds since 1970, earliest
    first, of LATE_DAYS. Numbers, as many visits are read with every one."""

    seconds: Annotated[list[int], AtMost(MAX_VISITS)] = field(default_factory=list)
    forgotten: int | None = None  # the latest that is not remembered any more


@part_of("member", counts=True)
class Visits(Struct, array_like=True, gc=False):
    """A member's latest visits, and the free ones that he used."""

    latest: Annotated[list[Raw], AtMost(REMEMBERED), Visit] = field(default_factory=list)
    made: int = 0
    # club/service/year -> used
    free_visits: Annotated[dict[str, int], AtMost(130)] = field(default_factory=dict)
    # by club
    visited: Annotated[dict[str, Visited], AtMost(60)] = field(default_factory=dict)


@part_of("member")
class Attendance(Struct, array_like=True, gc=False):
    """The activities in which a member took part."""

    # club/activity -> held at
    attended: Annotated[dict[str, datetime], AtMost(200)] = field(default_factory=dict)
    forgotten: date | None = None


# ------------------------------------------------------------------------------------- events
class VisitRecorded(Excusable, name="visit.recorded", stream="member"):
    """A member came to a club. What decided it is copied in: tier, price, version."""

    visit: Ordinal
    club_id: ClubId
    service_id: ServiceId
    companions: Companions
    tier: Tier | None = None
    important: bool
    unit_id: UnitId
    payment: Payment
    points: PointsPaid  # what was debited: the price, or that of the companions alone
    price_version: Ordinal
    desk: Desk
    debit: Ordinal | None = None

    def apply(self, visits: Visits) -> None:
        visits.made = self.visit
        came(visits.visited, self.club_id, self.occurred_at)
        free = None
        if self.payment == "free_visit":
            free = free_visit_key(self.club_id, self.service_id, self.occurred_at)
            visits.free_visits = one_more_free(visits.free_visits, free)
        visit = Visit(
            id=self.visit,
            at=self.occurred_at,
            club_id=self.club_id,
            service_id=self.service_id,
            desk=self.desk,
            debit=self.debit,
            entitlement=free,
        )
        visits.latest, _ = VISITS.put(visits.latest, visit)


class VisitUndone(Excusable, name="visit.undone", stream="member"):
    """A visit was taken back; if points paid for it, they were returned beside this."""

    visit: Ordinal
    visited_at: Instant
    club_id: ClubId
    service_id: ServiceId
    reason: Text

    def apply(self, visits: Visits) -> None:
        for visit in VISITS.opened(visits.latest):
            if visit.id == self.visit and visit.entitlement in visits.free_visits:
                visits.free_visits[visit.entitlement] -= 1
        came_not(visits.visited, self.club_id, self.visited_at)
        visits.latest = VISITS.without(visits.latest, self.visit)


class ActivityAttended(Event, name="activity.attended", stream="member"):
    """A member took part in a club's activity."""

    club_id: ClubId
    activity_id: ActivityId
    held_at: Instant
    tier: Tier | None = None
    named_by = ("club_id", "activity_id")
    kept_in = "attended"

    def apply(self, attendance: Attendance) -> None:
        forget(attendance, "attended", local_date, self.occurred_at)
        attendance.attended[self.named] = self.held_at


def seconds_of(at: datetime) -> int:
    """An instant in whole seconds since 1970."""
    since = at - EPOCH
    return since.days * 86_400 + since.seconds


def came(visited: dict[str, Visited], club: str, at: datetime) -> None:
    """Remember one more visit. Those LATE_DAYS before the latest to this club are forgotten, and
    the earliest of what would be too many; of these the latest is remembered."""
    known = visited.get(club)
    if known is None:
        known = visited[club] = Visited()
    seconds = known.seconds
    insort(seconds, seconds_of(at))
    late = seconds[-1] - LATE_SECONDS
    if seconds[0] < late:
        forget_first(known, bisect_left(seconds, late))
    if sum([len(each.seconds) for each in visited.values()]) > MAX_VISITS:
        earliest = min((each.seconds[0], name) for name, each in visited.items() if each.seconds)[1]
        forget_first(visited[earliest], 1)


def forget_first(visited: Visited, n: int) -> None:
    """Forget the first n."""
    latest = visited.seconds[n - 1]
    visited.forgotten = latest if visited.forgotten is None else max(latest, visited.forgotten)
    del visited.seconds[:n]


def came_not(visited: dict[str, Visited], club: str, at: datetime) -> None:
    """Take a visit out of those that are remembered, if it is."""
    known, second = visited.get(club), seconds_of(at)
    if known is not None and second in known.seconds:
        known.seconds.remove(second)


# ----------------------------------------------------------------------------------- refusals
@dataclass
class NotEligible(DeskRule):
    """The club does not admit this tier."""

    code = "not_eligible"
    club_id: str
    tier: str | None
    important: bool
    admitted_tiers: list[str]


@dataclass
class VisitRepeated(DeskRule):
    """The member came to this club a moment ago: say that it is another visit.

    `last_visit` is its number, while it can be undone."""

    code = "visit_repeated"
    last_visit: int | None
    last_at: datetime
    within_minutes: int


@dataclass
class UnknownService(Refusal):
    """The club has no such service, or had none then."""

    code = "unknown_service"
    club_id: str
    service_id: str


@dataclass
class PriceChanged(DeskRule):
    """The price is not the one that the member was shown."""

    code = "price_changed"
    shown_points: int
    price_points: int
    price_version: int


@dataclass
class NoFreeVisit(DeskRule):
    """The member has no free visit left this year."""

    code = "no_free_visit"
    granted: int
    used: int


@dataclass
class UnknownVisit(Refusal):
    """There is no such visit to undo: never made, undone already, or too long ago."""

    code = "unknown_visit"
    visit: int
    visits_made: int
    undo_days: int


@dataclass
class UndoNeedsSupervisor(DeskRule):
    """Only the same desk may undo a visit or an admission, and only for a quarter of an hour."""

    code = "undo_needs_supervisor"
    visited_at: datetime
    undo_minutes: int


@dataclass
class UnknownActivity(Refusal):
    """The club held no such activity lately."""

    code = "unknown_activity"
    club_id: str
    activity_id: str


@dataclass
class AlreadyAttended(Refusal):
    """The member is already down as having taken part."""

    code = "already_attended"
    activity_id: str


# -------------------------------------------------------------------------------------- rules
def price_of(price: Price, tier: Tier | None, companions: int) -> tuple[int, int]:
    """(points for the member, points for the companions)."""
    own = price.points if tier is None else price.tier_points.get(tier, price.points)
    return own, price.companion_points * companions


def require_admitted(
    command: Command, club: Club, club_id: str, tier: Tier | None, important: bool
) -> None:
    """Refuses a member whom the club does not serve."""
    if tier in club.tiers or (important and club.important):
        return
    command.unless_despite(NotEligible(club_id, tier, important, list(club.tiers)))


def price_at(club: Club, club_id: str, service_id: str, at: datetime) -> Price:
    """The price in force at this instant; refuses a service that had none yet."""
    service = club.services.get(service_id)
    price = None if service is None else timeline.at(service.prices, at)
    if price is None:
        raise UnknownService(club_id, service_id)
    return price


# ----------------------------------------------------------------------------------- receipts
class VisitReceipt(Receipt):
    """A visit, what paid for it and what is left."""

    visit: int
    payment: Payment
    points: Annotated[int, Field(description="debited")]
    price_version: int
    spendable_points: int


class UndoReceipt(PointsReceipt):
    """A visit taken back, and the points there are now."""

    visit: int


# ----------------------------------------------------------------------------------- commands
ADMITTED = (ClubClosed, NotEligible, VisitRepeated, TooLongAgo)
PAID = (UnknownService, NoFreeVisit, TooMany, PriceChanged, NotEnoughPoints)


class RecordVisit(MemberCommand):
    """Admit a member to a club's service and debit the points. Tier, mark, price and emergency are
    those in force at its own time.
    """

    command: Literal["visit.record"] = "visit.record"
    reads: ClassVar[dict[str, str]] = {"club": "club_id"}
    refuses = (*ON_THE_NETWORK, *OPENED_BY, *ADMITTED, *PAID)
    example = saying(
        member_id="m1", club_id="tennis", service_id="hour", desk="d1", shown_points=60
    )
    club_id: ClubId
    service_id: ServiceId
    desk: Desk
    shown_points: PointsPaid | None = Field(
        None,
        description="what the member was told: the whole price, or with a free visit that of the"
        " companions. If the price has moved the visit is refused with the new one.",
    )
    companions: Companions = 0
    payment: Literal["auto", "points", "free_visit"] = Field(
        "auto", description="`auto` uses a free visit of the year if there is one"
    )
    confirm_repeat: bool = Field(
        False, description="it is another visit although the last one was a moment ago"
    )

    def decide(
        self, at: datetime, membership: Membership, points: Points, visits: Visits, club: Club
    ) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        require_opened_by(self, club, self.club_id, at)
        require_within_hours(self, club, at)
        tier, important = tier_at(membership, at), is_important(membership, at)
        require_admitted(self, club, self.club_id, tier, important)
        self._not_twice(visits, at)
        price = price_at(club, self.club_id, self.service_id, at)
        own, others = price_of(price, tier, self.companions)
        granted = price.granted(tier)
        asked = granted or self.payment == "free_visit"
        free = own and asked and self._free(visits, granted, at)  # without a price none is used
        payment: Payment = "free_visit" if free else "points"
        price_points = others if payment == "free_visit" else own + others
        if self.shown_points is not None and self.shown_points != price_points:
            self.unless_despite(PriceChanged(self.shown_points, price_points, price.version))
            price_points = self.shown_points  # he paid what he was shown
        if payment == "points" and not price_points:
            payment = "free"
        if self.club_id not in visits.visited:
            require_room(visits, "visited")
        events, points = lapsed(self, points, at)
        visit = visits.made + 1
        debit = None
        if price_points:
            reason = f"{self.club_id}/{self.service_id}"
            before, debit = pay(self, points, at, price_points, reason, visit)
            events += [*before, debit]
        recorded = self.event(
            VisitRecorded,
            at,
            visit=visit,
            club_id=self.club_id,
            service_id=self.service_id,
            companions=self.companions,
            tier=tier,
            important=important,
            unit_id=unit_at(membership, at),
            payment=payment,
            points=price_points,
            price_version=price.version,
            desk=self.desk,
            debit=None if debit is None else debit.debit,
        )
        return [*events, recorded]

    def _not_twice(self, visits: Visits, at: datetime) -> None:
        if self.confirm_repeat:
            return
        known = visits.visited.get(self.club_id)
        if known is None:
            return
        second, near = seconds_of(at), REPEAT_MINUTES * 60
        before = bisect_right(known.seconds, second + near) - 1
        if before >= 0 and known.seconds[before] >= second - near:
            self.unless_despite(self._repeats(visits, known.seconds[before]))
            return
        if known.forgotten is not None and second - near <= known.forgotten:
            forgotten = EPOCH + timedelta(seconds=known.forgotten)
            raise TooLongAgo(str(local_date(at)), str(local_date(forgotten)))

    def _repeats(self, visits: Visits, second: int) -> VisitRepeated:
        """What says that the visit of this second is repeated."""
        for visit in VISITS.opened(visits.latest):
            if visit.club_id == self.club_id and seconds_of(visit.at) == second:
                return VisitRepeated(visit.id, visit.at, REPEAT_MINUTES)
        return VisitRepeated(None, EPOCH + timedelta(seconds=second), REPEAT_MINUTES)

    def outlook(self, at: datetime, **parts: Any) -> Mapping[str, Any]:
        """How many free visits of the year are left then."""
        price = price_at(parts["club"], self.club_id, self.service_id, at)
        granted = price.granted(tier_at(parts["membership"], at))
        used = self._used(parts["visits"], granted, at)  # a history may have used more
        return {"free_visits_left": max(granted - used, 0)}

    def _used(self, visits: Visits, granted: int, at: datetime) -> int:
        """How many of the free visits granted a year were used."""
        key = free_visit_key(self.club_id, self.service_id, at)
        if year_of(key) < first_year_remembered(visits.free_visits):
            return granted  # nobody remembers: a visit told that late gets none
        return visits.free_visits.get(key, 0)

    def _free(self, visits: Visits, granted: int, at: datetime) -> bool:
        """Whether this visit uses one of the free visits granted a year."""
        key, used = (
            free_visit_key(self.club_id, self.service_id, at),
            self._used(visits, granted, at),
        )
        if self.payment == "free_visit":
            if used >= granted:
                self.unless_despite(NoFreeVisit(granted, used))
        elif self.payment == "points" or used >= granted:
            return False
        if not used:
            require_room(visits, "free_visits", len(one_more_free(visits.free_visits, key)) - 1)
        return True

    def receipt(self, events: list[Event], **parts: Any) -> VisitReceipt:
        visit = events[-1]
        assert isinstance(visit, VisitRecorded)
        points: Points = parts["points"]
        return {
            "visit": visit.visit,
            "payment": visit.payment,
            "points": visit.points,
            "price_version": visit.price_version,
            "spendable_points": spendable_points(points.lots.values(), visit.occurred_at),
        }


class UndoVisit(MemberCommand):
    """Take a visit back, and return its points or its free visit.

    The same desk may for a quarter of an hour, a supervisor for 31 days.
    """

    command: Literal["visit.undo"] = "visit.undo"
    refuses = (*JOINED, UnknownVisit, UndoNeedsSupervisor)
    example = saying(
        member_id="m1", visit=1, desk="d1", reason="wrong member", at="2008-07-01T15:10:00+08:00"
    )
    stronger = "supervisor"
    visit: Ordinal = Field(description="the n-th visit of the member")
    desk: Desk
    reason: Text

    def until(self, visited_at: datetime) -> datetime:
        """Until when who asks may take back a visit of this time."""
        return visited_at + (UNDO if self.role == self.stronger else UNDO_AT_DESK)

    def decide(
        self, at: datetime, membership: Membership, points: Points, visits: Visits
    ) -> list[Event]:
        require_joined(membership, self.member_id, at)
        visit = next((v for v in VISITS.opened(visits.latest) if v.id == self.visit), None)
        if visit is None or not timedelta() <= at - visit.at <= UNDO:
            raise UnknownVisit(self.visit, visits.made, UNDO_DAYS)
        debit = reversible(points, visit.debit, at)
        if debit is None and visit.debit is not None:  # its points could not be returned
            raise UnknownVisit(self.visit, visits.made, UNDO_DAYS)
        if self.role != self.stronger and (at > self.until(visit.at) or self.desk != visit.desk):
            self.unless_despite(UndoNeedsSupervisor(visit.at, UNDO_MINUTES))
        undone = self.event(
            VisitUndone,
            at,
            visit=visit.id,
            visited_at=visit.at,
            club_id=visit.club_id,
            service_id=visit.service_id,
            reason=self.reason,
        )
        events: list[Event] = [undone]
        if debit is not None:
            events += give_back(self, points, at, debit, self.reason)
        return events

    def receipt(self, events: list[Event], **parts: Any) -> UndoReceipt:
        points: Points = parts["points"]
        spendable = spendable_points(points.lots.values(), events[0].occurred_at)
        return {"visit": self.visit, "spendable_points": spendable}


class AttendActivity(MemberCommand):
    """Record that a member took part in an activity."""

    command: Literal["activity.attend"] = "activity.attend"
    reads: ClassVar[dict[str, str]] = {"club": "club_id"}
    refuses = (
        *JOINED,
        UnknownClub,
        UnknownActivity,
        LeftTheNetwork,
        AlreadyAttended,
        TooLongAgo,
        TooMany,
    )
    example = saying(
        member_id="m1", club_id="tennis", activity_id="cup", at="2008-05-01T18:00:00+08:00"
    )
    club_id: ClubId
    activity_id: ActivityId

    def decide(
        self, at: datetime, membership: Membership, attendance: Attendance, club: Club
    ) -> list[Event]:
        require_joined(membership, self.member_id, at)
        require_opened(club, self.club_id)
        held_at = club.activities.get(self.activity_id)
        if held_at is None or not held_at <= at < held_at + timedelta(days=ATTENDANCE_DAYS):
            raise UnknownActivity(self.club_id, self.activity_id)
        require_on_network(membership, self.member_id, held_at)
        if f"{self.club_id}/{self.activity_id}" in attendance.attended:
            raise AlreadyAttended(self.activity_id)
        require_remembered(attendance, local_date(held_at))
        require_room(attendance, "attended", len(remembered(attendance.attended, local_date, at)))
        event = self.event(
            ActivityAttended,
            at,
            club_id=self.club_id,
            activity_id=self.activity_id,
            held_at=held_at,
            tier=tier_at(membership, held_at),
        )
        return [event]
