"""The people of the invented branch: what became of each, by the rules as they are written, in
plain Python. Nothing here asks the ledger."""

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, TypeVar

ZONE = timezone(timedelta(hours=8))
V = TypeVar("V")


def at(day: date, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """That time of that day, by the branch's clocks."""
    return datetime.combine(day, time(hour, minute, second), ZONE)


def end_of(day: date) -> datetime:
    """When that day is over."""
    return at(day + timedelta(days=1))


def month_of(day: date | datetime) -> str:
    return f"{day:%Y-%m}"


def months_on(day: date, months: int) -> date:
    """The same day so many months on, or the last of the month that has no such day."""
    number = day.year * 12 + day.month - 1 + months
    first = date(number // 12, number % 12 + 1, 1)
    after = date((number + 1) // 12, (number + 1) % 12 + 1, 1)
    return min(first + timedelta(days=day.day - 1), after - timedelta(days=1))


def in_force(values: list[tuple[datetime, V]], when: datetime) -> V | None:
    """The last of the values since `when` or before."""
    known = [value for since, value in sorted(values, key=lambda each: each[0]) if since <= when]
    return known[-1] if known else None


@dataclass
class Lot:
    """Points of one credit, and what was taken from it and came back, each at its time."""

    number: int
    points: int
    earned_at: datetime
    available_from: datetime
    expires_at: datetime | None
    source: str
    moves: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def left(self) -> int:
        return self.points + sum(points for _, points in self.moves)

    def left_before(self, end: datetime) -> int:
        """What was left of it when a day was over, lapsed or not."""
        if self.earned_at >= end:
            return 0
        return self.points + sum(points for when, points in self.moves if when < end)

    def lapsed(self, when: datetime) -> bool:
        return self.expires_at is not None and self.expires_at <= when


@dataclass
class Posting:
    """Points credited, debited or reversed, with the tier and unit of the time."""

    when: datetime
    topic: str
    points: int
    tier: str | None
    unit: str


@dataclass
class Visit:
    number: int
    club: str
    service: str
    when: datetime
    desk: str
    companions: int
    tier: str | None
    unit: str
    payment: str
    points: int
    taken: list[tuple[Lot, int]]
    undone: bool = False


@dataclass
class Binding:
    number: int
    policy: str
    starts_on: date
    ends_on: date
    tier: str | None
    unit: str
    campaign: str | None = None
    ended_on: date | None = None
    cause: str | None = None


@dataclass
class Enrolment:
    when: datetime
    tier: str | None
    unit: str
    prepaid_fen: int
    gift_fen: int


@dataclass
class Member:
    """A customer, with all that the branch remembers of him."""

    member_id: str
    joined_at: datetime
    units: list[tuple[datetime, str]]
    tiers: list[tuple[datetime, str | None]] = field(default_factory=list)
    important: list[tuple[datetime, bool]] = field(default_factory=list)
    away: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    bills: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    lots: list[Lot] = field(default_factory=list)
    debits: list[tuple[datetime, list[tuple[Lot, int]]]] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    offers: dict[str, tuple[datetime, str, str | None, str]] = field(default_factory=dict)
    enrolments: dict[str, Enrolment] = field(default_factory=dict)
    bindings: list[Binding] = field(default_factory=list)
    cohorts: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    attended: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def unit(self, when: datetime) -> str:
        return in_force(self.units, when) or self.units[0][1]

    def tier(self, when: datetime) -> str | None:
        return in_force(self.tiers, when)

    def is_important(self, when: datetime) -> bool:
        return in_force(self.important, when) is True

    def on_network(self, when: datetime) -> bool:
        """Whether he is on the network at that instant."""
        gone = any(left <= when and (back is None or when < back) for left, back in self.away)
        return self.joined_at <= when and not gone

    def on_network_after(self, day: date) -> bool:
        """Whether he is when the day is over."""
        return self.on_network(end_of(day) - timedelta(microseconds=1))

    # --------------------------------------------------------------------------- points
    def post(self, when: datetime, topic: str, points: int) -> None:
        if points:
            self.postings.append(Posting(when, topic, points, self.tier(when), self.unit(when)))

    def credit(self, when: datetime, points: int, source: str, **days: Any) -> None:
        available = days.get("available_from") or when
        expires = days.get("expires_at")
        self.lots.append(Lot(len(self.lots) + 1, points, when, available, expires, source))
        self.post(when, days.get("topic", "points.credited"), points)

    def spendable(self, when: datetime) -> list[Lot]:
        """His lots that can be spent at `when` with what is left, soonest expiring first."""
        never = at(date(9999, 1, 1))
        return sorted(
            (
                lot
                for lot in self.lots
                if lot.left > 0 and lot.available_from <= when and not lot.lapsed(when)
            ),
            key=lambda lot: (lot.expires_at or never, lot.earned_at, lot.number),
        )

    def can_pay(self, when: datetime, points: int) -> bool:
        return sum(lot.left for lot in self.spendable(when)) >= points

    def debit(self, when: datetime, points: int) -> list[tuple[Lot, int]]:
        taken, wanted = [], points
        for lot in self.spendable(when):
            part = min(lot.left, wanted)
            if part:
                taken.append((lot, part))
                lot.moves.append((when, -part))
                wanted -= part
        assert wanted == 0
        self.debits.append((when, taken))
        self.post(when, "points.debited", points)
        return taken

    def give_back(self, when: datetime, taken: list[tuple[Lot, int]]) -> None:
        """A debit is reversed: its points return to the very lots."""
        for lot, points in taken:
            lot.moves.append((when, points))
        self.post(when, "points.debit_reversed", sum(points for _, points in taken))

    def take_back(self, when: datetime, number: int, points: int) -> None:
        """A credit is reversed: what its own lot still holds; the rest is forgiven."""
        lot = self.lots[number - 1]
        part = min(points, lot.left)
        lot.moves.append((when, -part))
        self.post(when, "points.credit_reversed", part)

    # ----------------------------------------------------------------------------- clubs
    def free_visits_used(self, club: str, service: str, year: int) -> int:
        return sum(
            (each.club, each.service, each.when.year) == (club, service, year)
            and each.payment == "free_visit"
            and not each.undone
            for each in self.visits
        )


def active(member: Member, binding: Binding, day: date) -> bool:
    """Whether it binds on the day: it was not ended before, nor by leaving since it began."""
    left = any(binding.starts_on <= gone.date() <= day for gone, _ in member.away)
    return binding.starts_on <= day < (binding.ended_on or binding.ends_on) and not left
