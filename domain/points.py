"""Points: credits open lots, debits use them, lots expire, and either can be reversed.

Conserved at every position: credited = spendable + not yet spendable + debited + expired +
reversed, where a reversed debit counts as never debited.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec.structs import replace

from domain.bounds import bounds_of, room_for_one
from domain.command import Command
from domain.event import Event
from domain.lots import Lot, allocate, expired_by, put_in_its_place, spendable_points
from domain.members import MemberCommand, joined, on_the_network
from domain.postings import MovesPoints, Posting, Postings, balances, owned
from domain.refusal import Refusal
from domain.reversals import ask_back, let_go, reversal_of, settle
from domain.state import REMEMBERED, Debit, Member
from domain.timeline import LATE
from domain.values import Instant, Ordinal, Points, Text

REVERSIBLE_DAYS = 31
REVERSIBLE = timedelta(days=REVERSIBLE_DAYS)
REVERSIBLE_DEBITS = REMEMBERED
"""A debit can be reversed for 31 days while it is among the member's latest 32. So can a credit
whose lot is empty: for 31 days after the last such debit, or reversal, that took from the lot."""
ReversalPolicy = Literal["forgive", "other_lots"]


# ------------------------------------------------------------------------------------- events
class PointsCredited(MovesPoints, Event, name="points.credited", stream="member"):
    """A member got points: a lot was opened. Its expiry is fixed for good."""

    postings: Postings
    available_from: Instant | None = None  # if that is later than when it was earned
    expires_at: Instant | None = None
    source: Text
    rule: Text

    @property
    def lot(self) -> int:
        """The number of the lot."""
        return self.postings[0].lot

    def apply(self, state: Member) -> None:
        (posting,) = self.postings
        state.lots_opened = posting.lot
        spare = _spare(state, self.occurred_at)
        if spare is not None:
            let_go(state, spare, self.occurred_at)
            del state.lots[spare]
        lot = Lot(
            id=posting.lot,
            points=0,
            credited=posting.points,
            earned_at=self.occurred_at,
            available_from=self.available_from or self.occurred_at,
            expires_at=self.expires_at,
        )
        put_in_its_place(state.lots, lot)
        move(state, self.postings, self.occurred_at)


class PointsDebited(MovesPoints, Event, name="points.debited", stream="member"):
    """A member paid with points. Which lots paid is a fact, never recomputed."""

    postings: Postings
    debit: Ordinal
    reason: Text
    visit: Ordinal | None = None

    def apply(self, state: Member) -> None:
        state.debits_made = self.debit
        move(state, self.postings, self.occurred_at)
        lots = {posting.lot: posting.points for posting in self.postings}
        state.debits.append(Debit(self.debit, self.occurred_at, lots, self.visit))
        forget(state, self.occurred_at)


class PointsExpired(MovesPoints, Event, name="points.expired", stream="member"):
    """What was left of a lot lapsed, at the lot's own instant; or what returned to a lot that had
    lapsed before, at the instant of its return."""

    postings: Postings

    def apply(self, state: Member) -> None:
        move(state, self.postings, self.occurred_at)
        forget(state, self.occurred_at, [posting.lot for posting in self.postings])


class ExpiryReversed(MovesPoints, Event, name="points.expiry_reversed", stream="member"):
    """A fact told late used points before they lapsed: the expiry that had been written down is
    taken back, at its own instant, and what follows uses them."""

    postings: Postings

    def apply(self, state: Member) -> None:
        move(state, self.postings, self.occurred_at)


class DebitReversed(MovesPoints, Event, name="points.debit_reversed", stream="member"):
    """A debit was taken back: its points returned to the very lots they came from, and from there
    to the reversals of credits that had found these points spent."""

    postings: Postings
    debit: Ordinal
    reason: Text

    def apply(self, state: Member) -> None:
        move(state, self.postings, self.occurred_at)
        state.debits = [debit for debit in state.debits if debit.id != self.debit]
        forget(state, self.occurred_at)


class CreditReversed(MovesPoints, Event, name="points.credit_reversed", stream="member"):
    """Points of a credit were taken back, as far as its own lot and the policy gave them.

    `asked` is what was to be taken back; the postings are what was. The rest was forgiven, until
    points that paid for something return.
    """

    postings: Postings
    lot: Ordinal
    asked_points: Points
    policy: ReversalPolicy
    reason: Text

    def apply(self, state: Member) -> None:
        lot_of(state, self.lot)
        of_others = self.policy == "other_lots"
        ask_back(state, self.lot, self.asked_points, self.occurred_at, of_others=of_others)
        move(state, self.postings, self.occurred_at)
        forget(state, self.occurred_at)


def lot_of(member: Member, number: int) -> Lot:
    """The lot with this number, which the member's state must still hold."""
    lot = member.lots.get(number)
    if lot is None:
        raise ValueError(f"lot {number} is not in the member's state")
    return lot


def move(member: Member, postings: Postings, at: datetime) -> None:
    """Carry out postings, as far as the rules ask for what they change; no lot goes below zero."""
    for number, source, target, points in postings:
        lot = lot_of(member, number)
        if source == "spendable":
            if lot.points < points:
                raise ValueError(f"lot {number} holds {lot.points} points, not {points}")
            lot.points -= points
        if source == "expired":
            if lot.expired < points:
                raise ValueError(f"{lot.expired} points of lot {number} expired, not {points}")
            lot.expired -= points
        if target == "spendable":
            lot.points += points
        if target == "expired":
            lot.expired += points
        if source == "reversed":
            reversal = reversal_of(member, number, at)
            reversal.taken -= points
            if not reversal.taken and not reversal.asked:
                del member.reversals[number]  # It gave for another, and has it back.
        if target == "reversed":
            reversal_of(member, number, at).taken += points


def forget(member: Member, at: datetime, emptied: Iterable[int] = ()) -> None:
    """Drop debits too old to be reversed, and of the lots that they, old reversals or this event
    have left empty those that no reversal can ask for, nor a fact told late. What an event does not
    touch it does not look at."""
    oldest, debits = at - REVERSIBLE, member.debits
    member.debits = [d for d in debits[-REVERSIBLE_DEBITS:] if d.at >= oldest]
    if len(member.debits) < len(debits):
        gone = [*debits[:-REVERSIBLE_DEBITS], *(d for d in debits if d.at < oldest)]
        emptied = {*emptied, *(lot for debit in gone for lot in debit.lots)}
    if member.reversals:
        emptied = {*emptied, *(lot for lot, each in member.reversals.items() if each.at < oldest)}
    lapsed_long_ago = at - LATE
    first = next(iter(member.lots.values()), None)
    if first is not None and first.expired_at(lapsed_long_ago):
        long_ago = expired_by(member.lots.values(), lapsed_long_ago)
        emptied = {*emptied, *(lot.id for lot in long_ago)}
    for number in emptied:
        lot = member.lots.get(number)
        if lot is None or lot.points or _moved_lately(member, number, oldest):
            continue
        if not lot.expired or lot.expired_at(lapsed_long_ago):
            let_go(member, number, at)
            del member.lots[number]


def _spare(member: Member, at: datetime) -> int | None:
    """The lot that makes room for a new one where there is no other: the first that was written off
    and is kept for facts told late alone."""
    if len(member.lots) < bounds_of(Member)["lots"]:
        return None
    oldest = at - REVERSIBLE
    empty = (number for number, lot in member.lots.items() if not lot.points)
    return next((number for number in empty if not _moved_lately(member, number, oldest)), None)


def _moved_lately(member: Member, number: int, oldest: datetime) -> bool:
    """Whether a reversal or a debit that can be reversed took from this lot since an instant."""
    reversal = member.reversals.get(number)
    if reversal is not None and reversal.at >= oldest:
        return True
    return any(debit.at >= oldest and number in debit.lots for debit in member.debits)


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
        _expired(command, lot.expires_at, lot.id, lot.points)
        for lot in expired_by(member.lots.values(), at)
        if lot.points and lot.expires_at is not None
    ]
    if due:
        member = own_copy(member, member.lots)
        for event in due:
            event.apply(member)
    return due, member


def own_copy(member: Member, lots: Iterable[int]) -> Member:
    """The member with these lots and all reversals of its own, so that events may be tried."""
    return replace(
        member,
        lots={**member.lots, **{number: replace(lot_of(member, number)) for number in lots}},
        reversals={number: replace(each) for number, each in member.reversals.items()},
    )


def _expired(command: Command, at: datetime, lot: int, points: int) -> PointsExpired:
    return command.event(
        PointsExpired, at, postings=(Posting(lot, "spendable", "expired", points),)
    )


def unlapsed(command: Command, member: Member, postings: Postings) -> list[Event]:
    """What goes before these postings of a fact told late: points that they take out of lots which
    have been written off since are not expired."""
    if not sum([member.lots[posting.lot].expired for posting in postings]):
        return []
    taken = {lot: -owned(accounts) for lot, accounts in balances(postings).items()}
    lots = [lot_of(member, number) for number in taken]
    return [
        command.event(
            ExpiryReversed,
            lot.expires_at,
            postings=(Posting(lot.id, "expired", "spendable", taken[lot.id] - lot.points),),
        )
        for lot in lots
        if lot.expires_at is not None and taken[lot.id] > lot.points
    ]


def _lapsed_again(
    command: Command, member: Member, at: datetime, postings: Postings
) -> list[PointsExpired]:
    """What these postings return to lots that have lapsed: it expires at once."""
    return [
        _expired(command, at, lot, owned(accounts))
        for lot, accounts in balances(postings).items()
        if owned(accounts) > 0 and lot_of(member, lot).expired_at(at)
    ]


def pay(
    command: Command,
    member: Member,
    at: datetime,
    points: int,
    reason: str,
    visit: int | None = None,
) -> tuple[list[Event], PointsDebited]:
    """The debit of so many points, from the lots that expire soonest, and what goes before it; or a
    refusal."""
    postings = allocate(member.lots.values(), points, at)
    debit = command.event(
        PointsDebited,
        at,
        debit=member.debits_made + 1,
        postings=postings,
        reason=reason,
        visit=visit,
    )
    return unlapsed(command, member, postings), debit


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
    postings = tuple(
        Posting(lot, "spent", "spendable", points) for lot, points in debit.lots.items()
    )
    if member.reversals:
        returned = own_copy(member, debit.lots)
        move(returned, postings, at)
        postings += tuple(settle(returned, at))
    reversal = command.event(DebitReversed, at, debit=debit.id, postings=postings, reason=reason)
    return [
        *unlapsed(command, member, postings),
        reversal,
        *_lapsed_again(command, member, at, postings),
    ]


# ----------------------------------------------------------------------------------- commands
class PointsCommand(MemberCommand):
    """A command about one member's points. Its receipt tells the spendable points after it."""

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        member: Member = states["member"]
        at = events[-1].occurred_at  # before it stands what lapsed, or did not
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
        spare = _spare(member, at)
        room_for_one(member, "lots", len(member.lots) - (spare is not None))
        lot = member.lots_opened + 1
        credit = self.event(
            PointsCredited,
            at,
            postings=(Posting(lot, "outside", "spendable", self.points),),
            available_from=None if available_from == at else available_from,
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
        before, debit = pay(self, member, at, self.points, self.reason)
        return [*expiries, *before, debit]

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
    policy: ReversalPolicy = "forgive"

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        expiries, member = lapsed(self, member, at)
        lot = member.lots.get(self.lot)
        if lot is None or at < lot.earned_at or lot.expired_at(at):
            raise UnknownLot(self.lot, member.lots_opened)
        if not lot.left_at(at) and not _moved_lately(member, lot.id, at - REVERSIBLE):
            raise UnknownLot(self.lot, member.lots_opened)
        reversal = member.reversals.get(self.lot)
        reversed_points = 0 if reversal is None else reversal.asked
        if reversed_points + self.points > lot.credited:
            raise MoreThanCredited(lot.credited, reversed_points, self.points)
        if reversal is None:
            room_for_one(member, "reversals")
        asked = own_copy(member, ())
        ask_back(asked, lot.id, self.points, at, of_others=self.policy == "other_lots")
        postings = tuple(settle(asked, at))
        event = self.event(
            CreditReversed,
            at,
            lot=lot.id,
            asked_points=self.points,
            policy=self.policy,
            postings=postings,
            reason=self.reason,
        )
        again = _lapsed_again(self, member, at, postings)
        return [*expiries, *unlapsed(self, member, postings), event, *again]
