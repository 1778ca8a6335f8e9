"""Points: credits open lots, debits use them, lots expire, and either can be reversed.

Conserved at every position: credited = spendable + not yet spendable + debited + expired +
reversed, where a reversed debit counts as never debited.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, TypeVar

from msgspec.structs import replace
from pydantic import Field

from domain.kernel.bounds import TooMany, bounds_of, require_room
from domain.kernel.command import Command, Receipt, saying
from domain.kernel.event import Event
from domain.kernel.postings import MovesPoints, Posting, Postings, balances, owned
from domain.kernel.refusal import Refusal
from domain.kernel.timeline import LATE
from domain.kernel.values import Instant, Ordinal, PositivePoints, Text
from domain.members import (
    JOINED,
    ON_THE_NETWORK,
    MemberCommand,
    Membership,
    require_joined,
    require_on_network,
)
from domain.points.lots import (
    DEBITS,
    REVERSIBLE,
    REVERSIBLE_DAYS,
    Debit,
    Lot,
    NotEnoughPoints,
    Points,
    allocate,
    expired_by,
    put_in_its_place,
    spendable_points,
)
from domain.points.reversals import ask_back, let_go, reversal_of, settle

L = TypeVar("L", bound="LotOpened")
ReversalPolicy = Literal["forgive", "other_lots"]


# ------------------------------------------------------------------------------------- events
class LotOpened(MovesPoints, Event):
    """A lot was opened for a member. Its expiry is fixed for good."""

    postings: Postings
    available_from: Instant | None = None  # if that is later than when it was earned
    expires_at: Instant | None = None
    source: Text

    @property
    def lot(self) -> int:
        """The number of the lot."""
        return self.postings[0].lot

    def apply(self, points: Points) -> None:
        (posting,) = self.postings
        points.lots_opened = posting.lot
        spare = _spare(points, self.occurred_at)
        if spare is not None:
            let_go(points, spare, self.occurred_at)
            del points.lots[spare]
        lot = Lot(
            id=posting.lot,
            points=0,
            credited=posting.points,
            available_from=self.available_from or self.occurred_at,
            expires_at=self.expires_at,
            earned=None if self.available_from is None else self.occurred_at,
        )
        put_in_its_place(points.lots, lot)
        move(points, self.postings, self.occurred_at)


class PointsCredited(LotOpened, name="points.credited", stream="member"):
    """A member got points by a rule: a lot was opened. Its expiry is fixed for good."""

    rule: Text


class PointsCarriedOver(LotOpened, name="points.carried_over", stream="member"):
    """A member brought points along from the system that kept them before, which `source` names: a
    lot was opened. Without an expiry that was known they do not lapse."""

    rule: ClassVar[str] = "opening balance"


class PointsDebited(MovesPoints, Event, name="points.debited", stream="member"):
    """A member paid with points. Which lots paid is a fact, never recomputed."""

    postings: Postings
    debit: Ordinal
    reason: Text
    visit: Ordinal | None = None

    def apply(self, points: Points) -> None:
        points.debits_made = self.debit
        move(points, self.postings, self.occurred_at)
        lots = {posting.lot: posting.points for posting in self.postings}
        debit = Debit(self.debit, self.occurred_at, lots, self.visit)
        points.debits, gone = DEBITS.put(points.debits, debit)
        forget(points, self.occurred_at, gone)


class PointsExpired(MovesPoints, Event, name="points.expired", stream="member"):
    """What was left of a lot lapsed, at the lot's own instant; or what returned to a lot that had
    lapsed before, at the instant of its return."""

    postings: Postings

    def apply(self, points: Points) -> None:
        # Nothing is forgotten here: what may still be told must not hang on when somebody swept.
        move(points, self.postings, self.occurred_at)


class ExpiryReversed(MovesPoints, Event, name="points.expiry_reversed", stream="member"):
    """A fact told late used points before they lapsed: the expiry that had been written down is
    taken back, at its own instant, and what follows uses them."""

    postings: Postings

    def apply(self, points: Points) -> None:
        move(points, self.postings, self.occurred_at)


class DebitReversed(MovesPoints, Event, name="points.debit_reversed", stream="member"):
    """A debit was taken back: its points returned to the very lots they came from, and from there
    to the reversals of credits that had found these points spent."""

    postings: Postings
    debit: Ordinal
    reason: Text

    def apply(self, points: Points) -> None:
        move(points, self.postings, self.occurred_at)
        others = DEBITS.without(points.debits, self.debit)
        points.debits, gone = DEBITS.since(others, self.occurred_at)
        forget(points, self.occurred_at, gone)


class CreditReversed(MovesPoints, Event, name="points.credit_reversed", stream="member"):
    """Points of a credit were taken back, as far as its own lot and the policy gave them.

    `asked` is what was to be taken back; the postings are what was. The rest was forgiven, until
    points that paid for something return.
    """

    postings: Postings
    lot: Ordinal
    asked_points: PositivePoints
    policy: ReversalPolicy
    reason: Text

    def apply(self, points: Points) -> None:
        lot_of(points, self.lot)
        of_others = self.policy == "other_lots"
        ask_back(points, self.lot, self.asked_points, self.occurred_at, of_others=of_others)
        move(points, self.postings, self.occurred_at)
        points.debits, gone = DEBITS.since(points.debits, self.occurred_at)
        forget(points, self.occurred_at, gone)


def lot_of(account: Points, number: int) -> Lot:
    """The lot with this number, which the account must still hold."""
    lot = account.lots.get(number)
    if lot is None:
        raise ValueError(f"lot {number} is not in the member's state")
    return lot


def move(account: Points, postings: Postings, at: datetime) -> None:
    """Carry out postings, as far as the rules ask for what they change; no lot goes below zero."""
    for number, source, target, points in postings:
        lot = lot_of(account, number)
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
            reversal = reversal_of(account, number, at)
            reversal.taken -= points
            if not reversal.taken and not reversal.asked:
                del account.reversals[number]  # It gave for another, and has it back.
        if target == "reversed":
            reversal_of(account, number, at).taken += points


def forget(account: Points, at: datetime, gone: Iterable[Debit]) -> None:
    """Of the lots that these debits, which cannot be reversed any more, or old reversals have left
    empty drop those that no reversal can ask for, nor a fact told late. What an event does not
    touch it does not look at."""
    oldest = at - REVERSIBLE
    emptied = {lot for debit in gone for lot in debit.lots}
    if account.reversals:
        emptied.update(lot for lot, each in account.reversals.items() if each.at < oldest)
    lapsed_long_ago = at - LATE
    first = next(iter(account.lots.values()), None)
    if first is not None and first.expired_at(lapsed_long_ago):
        long_ago = expired_by(account.lots.values(), lapsed_long_ago)
        emptied.update(lot.id for lot in long_ago)
    for number in emptied:
        lot = account.lots.get(number)
        if lot is None or lot.points or _moved_lately(account, number, oldest):
            continue
        if not lot.expired or lot.expired_at(lapsed_long_ago):
            let_go(account, number, at)
            del account.lots[number]


def _spare(account: Points, at: datetime) -> int | None:
    """The lot that makes room for a new one where there is no other: the first that was written off
    and is kept for facts told late alone."""
    if len(account.lots) < bounds_of(Points)["lots"]:
        return None
    oldest = at - REVERSIBLE
    empty = (number for number, lot in account.lots.items() if not lot.points)
    return next((number for number in empty if not _moved_lately(account, number, oldest)), None)


def _moved_lately(account: Points, number: int, oldest: datetime) -> bool:
    """Whether a reversal or a debit that can be reversed took from this lot since an instant."""
    reversal = account.reversals.get(number)
    if reversal is not None and reversal.at >= oldest:
        return True
    debits = DEBITS.opened(account.debits)
    return any(debit.at >= oldest and number in debit.lots for debit in debits)


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
def lapsed(command: Command, account: Points, at: datetime) -> tuple[list[Event], Points]:
    """The expiries that are due, each dated at the lot's own instant, and the points after them.

    What follows them in one command is decided on those: an expiry tidies up, and what it
    drops is not there any more when the next event is applied.
    """
    first = next(iter(account.lots.values()), None)
    if first is None or not first.expired_at(at):
        return [], account
    due: list[Event] = [
        _expired(command, lot.expires_at, lot.id, lot.points)
        for lot in expired_by(account.lots.values(), at)
        if lot.points and lot.expires_at is not None
    ]
    if due:
        account = own_copy(account, account.lots)
        for event in due:
            event.apply(account)
    return due, account


def own_copy(account: Points, lots: Iterable[int]) -> Points:
    """The points with these lots and all reversals of their own, so that events may be tried."""
    return replace(
        account,
        lots={**account.lots, **{number: replace(lot_of(account, number)) for number in lots}},
        reversals={number: replace(each) for number, each in account.reversals.items()},
    )


def _expired(command: Command, at: datetime, lot: int, points: int) -> PointsExpired:
    return command.event(
        PointsExpired, at, postings=(Posting(lot, "spendable", "expired", points),)
    )


def unlapsed(command: Command, account: Points, postings: Postings) -> list[Event]:
    """What goes before these postings of a fact told late: points that they take out of lots which
    have been written off since are not expired."""
    if not sum([account.lots[posting.lot].expired for posting in postings]):
        return []
    taken = {lot: -owned(accounts) for lot, accounts in balances(postings).items()}
    lots = [lot_of(account, number) for number in taken]
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
    command: Command, account: Points, at: datetime, postings: Postings
) -> list[PointsExpired]:
    """What these postings return to lots that have lapsed: it expires at once."""
    return [
        _expired(command, at, lot, owned(accounts))
        for lot, accounts in balances(postings).items()
        if owned(accounts) > 0 and lot_of(account, lot).expired_at(at)
    ]


def pay(
    command: Command,
    account: Points,
    at: datetime,
    points: int,
    reason: str,
    visit: int | None = None,
) -> tuple[list[Event], PointsDebited]:
    """The debit of so many points, from the lots that expire soonest, and what goes before it; or a
    refusal."""
    postings = allocate(account.lots.values(), points, at)
    debit = command.event(
        PointsDebited,
        at,
        debit=account.debits_made + 1,
        postings=postings,
        reason=reason,
        visit=visit,
    )
    return unlapsed(command, account, postings), debit


def reversible(account: Points, number: int | None, at: datetime) -> Debit | None:
    """The debit with this number, if it was made by `at` and can still be reversed then."""
    oldest = at - REVERSIBLE
    for debit in DEBITS.opened(account.debits):
        if debit.id == number and oldest <= debit.at <= at:
            return debit
    return None


def give_back(
    command: Command, account: Points, at: datetime, debit: Debit, reason: str
) -> list[Event]:
    """Reverse a debit; what returns to a lot that has lapsed since expires at once."""
    postings = tuple(
        Posting(lot, "spent", "spendable", points) for lot, points in debit.lots.items()
    )
    if account.reversals:
        returned = own_copy(account, debit.lots)
        move(returned, postings, at)
        most = sum(n for lot, n in debit.lots.items() if not lot_of(account, lot).expired_at(at))
        postings += tuple(settle(returned, at, most))
    reversal = command.event(DebitReversed, at, debit=debit.id, postings=postings, reason=reason)
    return [
        *unlapsed(command, account, postings),
        reversal,
        *_lapsed_again(command, account, at, postings),
    ]


# ----------------------------------------------------------------------------------- receipts
class PointsReceipt(Receipt):
    """The points that there are now."""

    spendable_points: int


class CreditReceipt(PointsReceipt):
    """A lot opened, and the points that there are now."""

    lot: int


class DebitReceipt(PointsReceipt):
    """A debit, and what is left."""

    debit: int


class ExpiryReceipt(Receipt):
    """What was written off."""

    expired_points: int


# ----------------------------------------------------------------------------------- commands
class PointsCommand(MemberCommand):
    """A command about one member's points. Its receipt tells the spendable points after it."""

    def receipt(self, events: list[Event], **parts: Any) -> PointsReceipt:
        points: Points = parts["points"]
        at = events[-1].occurred_at  # before it stands what lapsed, or did not
        return {"spendable_points": spendable_points(points.lots.values(), at)}


class CreditPoints(PointsCommand):
    """Give a member points: open a lot."""

    command: Literal["points.credit"] = "points.credit"
    refuses = (*ON_THE_NETWORK, ExpiresBeforeAvailable, TooMany)
    example = saying(member_id="m1", points=500, source="bill 2008-07", rule="2008-v1")
    points: PositivePoints
    source: Text
    rule: Text
    available_from: Instant | None = None
    expires_at: Instant | None = None

    def decide(self, at: datetime, membership: Membership, points: Points) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        return open_lot(self, PointsCredited, at, points, rule=self.rule)

    def receipt(self, events: list[Event], **parts: Any) -> CreditReceipt:
        return {"lot": parts["points"].lots_opened, **super().receipt(events, **parts)}


class CarryPointsOver(PointsCommand):
    """Give a member the points that he brings along from another system, at migration: an opening
    balance. Of several expiries each is told for itself; without one the points do not lapse."""

    command: Literal["points.carry_over"] = "points.carry_over"
    refuses = (*ON_THE_NETWORK, ExpiresBeforeAvailable, TooMany)
    example = saying(member_id="m1", points=1_200, source="boss-2007")
    points: PositivePoints
    source: Text = Field(description="the system that kept them before")
    available_from: Instant | None = None
    expires_at: Instant | None = Field(None, description="as that system had it, if it is known")

    def decide(self, at: datetime, membership: Membership, points: Points) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        return open_lot(self, PointsCarriedOver, at, points)

    def receipt(self, events: list[Event], **parts: Any) -> CreditReceipt:
        return {"lot": parts["points"].lots_opened, **super().receipt(events, **parts)}


def open_lot(
    command: CreditPoints | CarryPointsOver,
    kind: type[L],
    at: datetime,
    points: Points,
    **said: Any,
) -> list[Event]:
    """What lapsed before, and the lot that is opened now; or a refusal."""
    expiries, points = lapsed(command, points, at)
    available_from = command.available_from or at
    if command.expires_at is not None and command.expires_at <= max(available_from, at):
        raise ExpiresBeforeAvailable(available_from, command.expires_at)
    spare = _spare(points, at)
    require_room(points, "lots", len(points.lots) - (spare is not None))
    opened = command.event(
        kind,
        at,
        postings=(Posting(points.lots_opened + 1, "outside", "spendable", command.points),),
        available_from=None if available_from == at else available_from,
        expires_at=command.expires_at,
        source=command.source,
        **said,
    )
    return [*expiries, opened]


class DebitPoints(PointsCommand):
    """Take points for something that is not a visit."""

    command: Literal["points.debit"] = "points.debit"
    refuses = (*ON_THE_NETWORK, NotEnoughPoints)
    example = saying(member_id="m1", points=30, reason="an umbrella")
    points: PositivePoints
    reason: Text

    def decide(self, at: datetime, membership: Membership, points: Points) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        expiries, points = lapsed(self, points, at)
        before, debit = pay(self, points, at, self.points, self.reason)
        return [*expiries, *before, debit]

    def receipt(self, events: list[Event], **parts: Any) -> DebitReceipt:
        return {"debit": parts["points"].debits_made, **super().receipt(events, **parts)}


class ExpirePoints(MemberCommand):
    """Write down what has lapsed by now. Spending never waits for it."""

    command: Literal["points.expire"] = "points.expire"
    refuses = JOINED
    example = saying(member_id="m1")

    def decide(self, at: datetime, membership: Membership, points: Points) -> list[Event]:
        require_joined(membership, self.member_id, at)
        expiries, _ = lapsed(self, points, at)
        return expiries

    def receipt(self, events: list[Event], **parts: Any) -> ExpiryReceipt:
        return {"expired_points": sum(getattr(event, "points", 0) for event in events)}


class ReverseDebit(PointsCommand):
    """Take back a debit that was not a visit's: a visit is undone as a whole."""

    command: Literal["points.reverse_debit"] = "points.reverse_debit"
    refuses = (*JOINED, UnknownDebit)
    example = saying(member_id="m4", debit=1, reason="brought back", at="2008-03-05T09:00:00+08:00")
    debit: Ordinal
    reason: Text

    def decide(self, at: datetime, membership: Membership, points: Points) -> list[Event]:
        require_joined(membership, self.member_id, at)
        debit = reversible(points, self.debit, at)
        if debit is None or debit.visit is not None:
            raise UnknownDebit(self.debit, points.debits_made, REVERSIBLE_DAYS)
        return give_back(self, points, at, debit, self.reason)


class ReverseCredit(PointsCommand):
    """Take back points of a credit: what its own lot still holds, then by policy.

    A lot that has lapsed is not reversed, whether or not its expiry is written down yet.
    `forgive` lets the rest be; `other_lots` takes it from the member's other lots, down to zero.
    """

    command: Literal["points.reverse_credit"] = "points.reverse_credit"
    refuses = (*JOINED, UnknownLot, MoreThanCredited, TooMany)
    example = saying(member_id="m1", lot=1, points=100, reason="the bill was wrong")
    lot: Ordinal
    points: PositivePoints
    reason: Text
    policy: ReversalPolicy = "forgive"

    def decide(self, at: datetime, membership: Membership, points: Points) -> list[Event]:
        require_joined(membership, self.member_id, at)
        expiries, points = lapsed(self, points, at)
        lot = points.lots.get(self.lot)
        if lot is None or at < lot.earned_at or lot.expired_at(at):
            raise UnknownLot(self.lot, points.lots_opened)
        if not lot.left_at(at) and not _moved_lately(points, lot.id, at - REVERSIBLE):
            raise UnknownLot(self.lot, points.lots_opened)
        reversal = points.reversals.get(self.lot)
        reversed_points = 0 if reversal is None else reversal.asked
        if reversed_points + self.points > lot.credited:
            raise MoreThanCredited(lot.credited, reversed_points, self.points)
        if reversal is None:
            require_room(points, "reversals")
        asked = own_copy(points, ())
        ask_back(asked, lot.id, self.points, at, of_others=self.policy == "other_lots")
        postings = tuple(settle(asked, at, self.points))
        event = self.event(
            CreditReversed,
            at,
            lot=lot.id,
            asked_points=self.points,
            policy=self.policy,
            postings=postings,
            reason=self.reason,
        )
        again = _lapsed_again(self, points, at, postings)
        return [*expiries, *unlapsed(self, points, postings), event, *again]
