"""Points: credits open lots, debits use them, lots expire, and either can be reversed.

Conserved at every position: credited = spendable + not yet spendable + debited + expired +
reversed, where a reversed debit counts as never debited.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec.structs import replace

from domain.bounds import room_for_one
from domain.command import Command
from domain.event import Event
from domain.lots import Lot, LotUse, allocate, expired_by, put_in_its_place, spendable_points
from domain.members import MemberCommand, joined, on_the_network
from domain.refusal import Refusal
from domain.state import REMEMBERED, Debit, Member
from domain.values import Instant, Ordinal, Points, PointsOrNone, PointsPaid, Text

REVERSIBLE_DAYS = 31
REVERSIBLE = timedelta(days=REVERSIBLE_DAYS)
REVERSIBLE_DEBITS = REMEMBERED
"""A debit can be reversed for 31 days while it is among the member's latest 32."""
OPEN_REVERSALS = REMEMBERED
"""So many credits that were reversed in part are remembered after their last point is gone."""


# ------------------------------------------------------------------------------------- events
class PointsCredited(Event, name="points.credited", stream="member"):
    """A member got points: a lot was opened. Its expiry is fixed for good."""

    lot: Ordinal
    points: Points
    available_from: Instant
    expires_at: Instant | None = None
    source: Text
    rule: Text

    def apply(self, state: Member) -> None:
        state.lots_opened = self.lot
        lot = Lot(
            id=self.lot,
            points=self.points,
            credited=self.points,
            reversed=0,
            earned_at=self.occurred_at,
            available_from=self.available_from,
            expires_at=self.expires_at,
        )
        put_in_its_place(state.lots, lot)


class PointsDebited(Event, name="points.debited", stream="member"):
    """A member paid with points. Which lots paid is a fact, never recomputed."""

    debit: Ordinal
    points: PointsPaid
    lots: tuple[LotUse, ...]
    reason: Text
    visit: Ordinal | None = None

    def apply(self, state: Member) -> None:
        state.debits_made = self.debit
        take(state, self.lots)
        lots = {use.lot: use.points for use in self.lots}
        state.debits.append(Debit(self.debit, self.occurred_at, lots, self.visit))
        forget(state, self.occurred_at)


class PointsExpired(Event, name="points.expired", stream="member"):
    """What was left of a lot lapsed, at the lot's own instant; or what returned to a lot that had
    lapsed before, at the instant of its return."""

    lot: Ordinal
    points: Points

    def apply(self, state: Member) -> None:
        take(state, (LotUse(lot=self.lot, points=self.points),))
        forget(state, self.occurred_at, (self.lot,))


class DebitReversed(Event, name="points.debit_reversed", stream="member"):
    """A debit was taken back: its points returned to the very lots they came from."""

    debit: Ordinal
    points: PointsPaid
    lots: tuple[LotUse, ...]
    reason: Text

    def apply(self, state: Member) -> None:
        for use in self.lots:
            lot_of(state, use.lot).points += use.points
        state.debits = [debit for debit in state.debits if debit.id != self.debit]
        forget(state, self.occurred_at)


class CreditReversed(Event, name="points.credit_reversed", stream="member"):
    """Points of a credit were taken back, as far as its own lot and the policy gave them.

    `asked` is what was to be taken back; `lots` is what was; the rest was forgiven.
    """

    lot: Ordinal
    asked: Points
    points: PointsOrNone
    lots: tuple[LotUse, ...]
    reason: Text

    def apply(self, state: Member) -> None:
        lot, open_reversals = lot_of(state, self.lot), state.reversed_in_part
        lot.reversed += self.asked
        take(state, self.lots)
        if lot.reversed == lot.credited:
            state.reversed_in_part = [each for each in open_reversals if each != lot.id]
        elif lot.id not in open_reversals:
            state.reversed_in_part = [*open_reversals, lot.id][-OPEN_REVERSALS:]
        used = (use.lot for use in self.lots)
        forget(state, self.occurred_at, (lot.id, *open_reversals[:1], *used))


def lot_of(member: Member, number: int) -> Lot:
    """The lot with this number, which the member's state must still hold."""
    lot = member.lots.get(number)
    if lot is None:
        raise ValueError(f"lot {number} is not in the member's state")
    return lot


def take(member: Member, uses: tuple[LotUse, ...]) -> None:
    """Take points out of the lots they are said to come from; never below zero."""
    for use in uses:
        lot = lot_of(member, use.lot)
        if lot.points < use.points:
            raise ValueError(f"lot {use.lot} holds {lot.points} points, not {use.points}")
        lot.points -= use.points


def forget(member: Member, at: datetime, emptied: Iterable[int] = ()) -> None:
    """Drop debits too old to be reversed, and of the lots that they or this event have left empty
    those that no reversal can ask for. What an event does not touch it does not look at."""
    oldest, debits = at - REVERSIBLE, member.debits
    member.debits = [d for d in debits[-REVERSIBLE_DEBITS:] if d.at >= oldest]
    if len(member.debits) < len(debits):
        gone = [*debits[:-REVERSIBLE_DEBITS], *(d for d in debits if d.at < oldest)]
        emptied = {*emptied, *(lot for debit in gone for lot in debit.lots)}
    for number in emptied:
        lot = member.lots.get(number)
        if lot is not None and not lot.points and not _asked_for(member, number):
            del member.lots[number]


def _asked_for(member: Member, number: int) -> bool:
    """Whether a reversal may still name this lot, or return points to it."""
    if number in member.reversed_in_part:
        return True
    return any(number in debit.lots for debit in member.debits)


# ----------------------------------------------------------------------------------- refusals
@dataclass
class ExpiresBeforeAvailable(Refusal):
    """The lot would expire before its points could be spent."""

    code = "expires_before_available"
    available_from: datetime
    expires_at: datetime


@dataclass
class UnknownDebit(Refusal):
    """There is no such debit to reverse: never made, a visit's, reversed already, or too old."""

    code = "unknown_debit"
    debit: int
    debits_made: int
    reversible_days: int


@dataclass
class UnknownLot(Refusal):
    """There is no such lot to reverse: never opened, lapsed, or spent long ago."""

    code = "unknown_lot"
    lot: int
    lots_opened: int


@dataclass
class MoreThanCredited(Refusal):
    """The reversals of this credit would add up to more than the credit."""

    code = "more_than_credited"
    credited_points: int
    reversed_points: int
    asked_points: int


# -------------------------------------------------------------------------------------- rules
def lapsed(command: Command, member: Member, at: datetime) -> tuple[list[Event], Member]:
    """The expiries that are due, each dated at the lot's own instant, and the member after them.

    What follows them in one command is decided on that member: an expiry tidies up, and what it
    drops is not there any more when the next event is applied.
    """
    due: list[Event] = [
        command.event(PointsExpired, lot.expires_at, lot=lot.id, points=lot.points)
        for lot in expired_by(member.lots.values(), at)
        if lot.points and lot.expires_at is not None
    ]
    if due:
        member = replace(member, lots={lot.id: replace(lot) for lot in member.lots.values()})
        for event in due:
            event.apply(member)
    return due, member


def pay(
    command: Command,
    member: Member,
    at: datetime,
    points: int,
    reason: str,
    visit: int | None = None,
) -> PointsDebited:
    """The debit of so many points, from the lots that expire soonest, or a refusal."""
    return command.event(
        PointsDebited,
        at,
        debit=member.debits_made + 1,
        points=points,
        lots=allocate(member.lots.values(), points, at),
        reason=reason,
        visit=visit,
    )


def reversible(member: Member, number: int | None, at: datetime) -> Debit | None:
    """The debit with this number, if it was made by `at` and can still be reversed then."""
    oldest = at - REVERSIBLE
    for debit in member.debits:
        if debit.id == number and oldest <= debit.at <= at:
            return debit
    return None


def give_back(
    command: Command, member: Member, at: datetime, debit: Debit, reason: str
) -> list[Event]:
    """Reverse a debit; what returns to a lot that has lapsed since expires at once."""
    events: list[Event] = [
        command.event(
            DebitReversed,
            at,
            debit=debit.id,
            points=sum(debit.lots.values()),
            lots=tuple(LotUse(lot=lot, points=points) for lot, points in debit.lots.items()),
            reason=reason,
        )
    ]
    events += [
        command.event(PointsExpired, at, lot=lot, points=points)
        for lot, points in debit.lots.items()
        if lot_of(member, lot).expired_at(at)
    ]
    return events


# ----------------------------------------------------------------------------------- commands
class PointsCommand(MemberCommand):
    """A command about one member's points. Its receipt tells the spendable points after it."""

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        member: Member = states["member"]
        at = max(event.occurred_at for event in events)
        return {"spendable_points": spendable_points(member.lots.values(), at)}


class CreditPoints(PointsCommand):
    """Give a member points: open a lot."""

    command: Literal["points.credit"] = "points.credit"
    points: Points
    source: Text
    rule: Text
    available_from: Instant | None = None
    expires_at: Instant | None = None

    def decide(self, at: datetime, member: Member) -> list[Event]:
        on_the_network(member, self.member_id, at)
        expiries, member = lapsed(self, member, at)
        available_from = self.available_from or at
        if self.expires_at is not None and self.expires_at <= max(available_from, at):
            raise ExpiresBeforeAvailable(available_from, self.expires_at)
        room_for_one(member, "lots")
        credit = self.event(
            PointsCredited,
            at,
            lot=member.lots_opened + 1,
            points=self.points,
            available_from=available_from,
            expires_at=self.expires_at,
            source=self.source,
            rule=self.rule,
        )
        return [*expiries, credit]

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        return {"lot": states["member"].lots_opened, **super().receipt(events, **states)}


class DebitPoints(PointsCommand):
    """Take points for something that is not a visit."""

    command: Literal["points.debit"] = "points.debit"
    points: Points
    reason: Text

    def decide(self, at: datetime, member: Member) -> list[Event]:
        on_the_network(member, self.member_id, at)
        expiries, member = lapsed(self, member, at)
        return [*expiries, pay(self, member, at, self.points, self.reason)]

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        return {"debit": states["member"].debits_made, **super().receipt(events, **states)}


class ExpirePoints(PointsCommand):
    """Write down what has lapsed by now. Spending never waits for it."""

    command: Literal["points.expire"] = "points.expire"

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        expiries, _ = lapsed(self, member, at)
        return expiries

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        return {"expired_points": sum(getattr(event, "points", 0) for event in events)}


class ReverseDebit(PointsCommand):
    """Take back a debit that was not a visit's: a visit is undone as a whole."""

    command: Literal["points.reverse_debit"] = "points.reverse_debit"
    debit: Ordinal
    reason: Text

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        debit = reversible(member, self.debit, at)
        if debit is None or debit.visit is not None:
            raise UnknownDebit(self.debit, member.debits_made, REVERSIBLE_DAYS)
        return give_back(self, member, at, debit, self.reason)


class ReverseCredit(PointsCommand):
    """Take back points of a credit: what its own lot still holds, then by policy.

    A lot that has lapsed is not reversed, whether or not its expiry is written down yet.
    `forgive` lets the rest be; `other_lots` takes it from the member's other lots, down to zero.
    """

    command: Literal["points.reverse_credit"] = "points.reverse_credit"
    lot: Ordinal
    points: Points
    reason: Text
    policy: Literal["forgive", "other_lots"] = "forgive"

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        expiries, member = lapsed(self, member, at)
        lot = member.lots.get(self.lot)
        if lot is None or at < lot.earned_at or lot.expired_at(at):
            raise UnknownLot(self.lot, member.lots_opened)
        if lot.reversed + self.points > lot.credited:
            raise MoreThanCredited(lot.credited, lot.reversed, self.points)
        own = min(lot.points, self.points)
        uses = [LotUse(lot=lot.id, points=own)] if own else []
        rest = self.points - own
        if rest and self.policy == "other_lots":
            others = [other for other in member.lots.values() if other.id != lot.id]
            rest = min(rest, spendable_points(others, at))
            uses += allocate(others, rest, at) if rest else ()
        reversal = self.event(
            CreditReversed,
            at,
            lot=lot.id,
            asked=self.points,
            points=sum(use.points for use in uses),
            lots=tuple(uses),
            reason=self.reason,
        )
        return [*expiries, reversal]
