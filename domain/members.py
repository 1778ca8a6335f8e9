"""Members: joining, the important mark, tiers, monthly bills, leaving the network."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Struct, field

from domain.kernel import timeline
from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, saying
from domain.kernel.event import ONLY, Event
from domain.kernel.parts import MAX_CHANGES, part_of
from domain.kernel.periods import NotComeYet, TooLongAgo, require_come
from domain.kernel.personal import Name, Phone
from domain.kernel.refusal import Refusal
from domain.kernel.timeline import NothingChanges, Timeline
from domain.kernel.values import (
    Instant,
    KnownTier,
    MemberId,
    Month,
    Ordinal,
    SignedFen,
    Text,
    Tier,
    UnitId,
    month_number,
    month_of,
)
from domain.units import Unit

BILL_WINDOW_MONTHS = 36
"""A bill may come this many months late."""
BILLS_REMEMBERED = 96
"""The months that the snapshot remembers, as bits of one number: more, so that the months before a
bill that was wrong are known when it is taken back."""

MAX_ABSENCES = 50
"""How often somebody may leave and come back."""


# -------------------------------------------------------------------------------------- parts
@part_of("member")
class Membership(Struct, array_like=True, gc=False):
    """Whether a customer is on the network, in which unit and tier, and whether he is important."""

    joined_at: datetime | None = None
    left_at: datetime | None = None  # null while he is on it, or back
    unit_id: str = ""  # in which he joined
    tiers: Annotated[Timeline[Tier | None], AtMost(MAX_CHANGES)] = field(default_factory=list)
    important: Annotated[Timeline[bool], AtMost(MAX_CHANGES)] = field(default_factory=list)
    # units into which he moved, or came back, since
    moves: Annotated[Timeline[str], AtMost(MAX_CHANGES)] = field(default_factory=list)
    # (left, back, into which unit he moved besides at that very instant), earliest first: all of
    # them, since leaving ended what bound him then
    absences: Annotated[list[tuple[datetime, datetime, str | None]], AtMost(MAX_ABSENCES)] = field(
        default_factory=list
    )


@part_of("member")
class Bills(Struct, array_like=True, gc=False):
    """The months that are billed, as far as that is remembered."""

    latest: int = 0  # number of the latest month billed, 0 before the first
    mask: int = 0  # bit i: the month i before the latest is billed
    forgotten: int = 0  # number of the latest month whose bill went out of the mask


# ------------------------------------------------------------------------------------- events
class MemberJoined(Event, name="member.joined", stream="member"):
    """A customer came onto the network and belongs to a unit."""

    unit_id: UnitId

    def apply(self, membership: Membership) -> None:
        membership.joined_at, membership.unit_id = self.occurred_at, self.unit_id


class MemberMarkedImportant(Event, name="member.marked_important", stream="member"):
    """A customer was marked as important, or the mark was taken away."""

    important: bool
    reason: Text

    def apply(self, membership: Membership) -> None:
        important = timeline.put(membership.important, self.occurred_at, self.important)
        membership.important = important


class TierChanged(Event, name="tier.changed", stream="member"):
    """A customer went from one tier to another; null is no tier.

    `from_tier` is what was known when it was told: a change told later may have come between.
    """

    from_tier: Tier | None = None
    tier: Tier | None = None
    unit_id: UnitId
    reason: Text

    def apply(self, membership: Membership) -> None:
        membership.tiers = timeline.put(membership.tiers, self.occurred_at, self.tier)


class MemberMoved(Event, name="member.moved", stream="member"):
    """A customer went from one unit to another.

    `from_unit_id` is what was known when it was told: a move told later may have come between.
    """

    from_unit_id: UnitId
    unit_id: UnitId
    reason: Text

    def apply(self, membership: Membership) -> None:
        membership.moves = timeline.put(membership.moves, self.occurred_at, self.unit_id)
        if any(back_at == self.occurred_at for _, back_at, _ in membership.absences):
            membership.absences = [
                (left, back, self.unit_id if back == self.occurred_at else unit)
                for left, back, unit in membership.absences
            ]


class MemberLeft(Event, name="member.left", stream="member"):
    """A customer left the network: from that day on no binding binds him."""

    unit_id: UnitId
    tier: Tier | None = None
    reason: Text
    period: Ordinal | None = None  # the n-th time that he was on it; the first, if it says nothing
    named_by = ("period",)

    def apply(self, membership: Membership) -> None:
        membership.left_at = self.occurred_at

    @classmethod
    def stands(cls, part: Membership, which: str) -> bool:
        return part.left_at is not None and which == period_name(part)

    @classmethod
    def take_back(cls, part: Membership, which: str) -> None:
        part.left_at = None


class MemberReturned(Event, name="member.returned", stream="member"):
    """A customer who had left came back onto the network, into a unit, with his number, tier and
    points. What had bound him binds him no more."""

    unit_id: UnitId
    left_at: Instant
    reason: Text
    period: Ordinal  # the n-th time that he is on it
    named_by = ("period",)

    def apply(self, membership: Membership) -> None:
        moved = next((unit for at, unit in membership.moves if at == self.occurred_at), None)
        absence = (self.left_at, self.occurred_at, moved)
        membership.absences = [*membership.absences, absence]
        membership.left_at = None
        membership.moves = timeline.put(membership.moves, self.occurred_at, self.unit_id)

    @classmethod
    def stands(cls, part: Membership, which: str) -> bool:
        return part.left_at is None and bool(part.absences) and which == str(period_of(part))

    @classmethod
    def take_back(cls, part: Membership, which: str) -> None:
        *earlier, (left_at, back_at, moved) = part.absences
        part.absences, part.left_at = earlier, left_at
        part.moves = [each for each in part.moves if each[0] != back_at]
        if moved is not None:
            part.moves = timeline.put(part.moves, back_at, moved)


class BillIssued(Event, name="bill.issued", stream="member"):
    """A customer's bill of one month: what he spent, and the margin on it where it is known."""

    month: Month
    amount_fen: SignedFen  # below zero: a credit note
    margin_fen: SignedFen | None = None
    named_by = ("month",)

    def apply(self, bills: Bills) -> None:
        number = month_number(self.month)
        ahead = number - bills.latest
        if ahead > 0:
            kept = max(BILLS_REMEMBERED - ahead, 0)
            if lost := bills.mask >> kept:
                bills.forgotten = max(bills.forgotten, bills.latest - kept - lowest_bit(lost))
            bills.mask = (bills.mask << min(ahead, BILLS_REMEMBERED) | 1) & (
                (1 << BILLS_REMEMBERED) - 1
            )
            bills.latest = number
        else:
            bills.mask |= 1 << -ahead

    @classmethod
    def stands(cls, part: Bills, which: str) -> bool:
        return billed(part, which)

    @classmethod
    def take_back(cls, part: Bills, which: str) -> None:
        if not billed(part, which):
            return
        mask = part.mask & ~(1 << part.latest - month_number(which))
        if not mask:
            part.latest = part.mask = 0
            return
        back = lowest_bit(mask)  # to the latest month that is left
        part.latest -= back
        part.mask = mask >> back


def period_of(membership: Membership) -> int:
    """The n-th time that the member is, or was last, on the network."""
    return len(membership.absences) + 1


def period_name(membership: Membership, period: int | None = None) -> str:
    """What names a time on it, the last unless another is meant: the first has no number."""
    number = period or period_of(membership)
    return ONLY if number == 1 else str(number)


def lowest_bit(mask: int) -> int:
    """The place of the lowest bit that is set."""
    return (mask & -mask).bit_length() - 1


def billed(bills: Bills, month: str) -> bool:
    """Whether this month is billed, as far as that is remembered."""
    late = bills.latest - month_number(month)
    return 0 <= late < BILLS_REMEMBERED and bool(bills.mask >> late & 1)


# ----------------------------------------------------------------------------------- refusals
@dataclass
class UnknownMember(Refusal):
    """There is no such member."""

    code = "unknown_member"
    member_id: str


@dataclass
class AlreadyJoined(Refusal):
    """The member is already on the network."""

    code = "already_joined"
    member_id: str
    joined_at: datetime


@dataclass
class BeforeJoining(Refusal):
    """It is dated before the member joined."""

    code = "before_joining"
    at: datetime
    joined_at: datetime


@dataclass
class LeftTheNetwork(Refusal):
    """The member has left the network."""

    code = "left_the_network"
    member_id: str
    left_at: datetime


@dataclass
class OnTheNetwork(Refusal):
    """The member is on the network: he has not left it."""

    code = "on_the_network"
    member_id: str


@dataclass
class BackBeforeLeaving(Refusal):
    """The member would come back before he left."""

    code = "back_before_leaving"
    at: datetime
    left_at: datetime


@dataclass
class UnknownUnit(Refusal):
    """There is no such unit."""

    code = "unknown_unit"
    unit_id: str


@dataclass
class AlreadyBilled(Refusal):
    """That month is already billed."""

    code = "already_billed"
    month: str


@dataclass
class BillTooLate(Refusal):
    """That month lies too far before the latest month billed."""

    code = "bill_too_late"
    month: str
    months_late: int
    months_allowed: int


JOINED = (UnknownMember, BeforeJoining)
ON_THE_NETWORK = (*JOINED, LeftTheNetwork)


def require_joined(membership: Membership, member_id: str, at: datetime) -> datetime:
    """When the member joined; refuses who had not by `at`. He may have left since."""
    if membership.joined_at is None:
        raise UnknownMember(member_id)
    if at < membership.joined_at:
        raise BeforeJoining(at, membership.joined_at)
    return membership.joined_at


def require_on_network(membership: Membership, member_id: str, at: datetime) -> None:
    """Refuses who was not on the network at `at`."""
    require_joined(membership, member_id, at)
    if membership.left_at is not None and at >= membership.left_at:
        raise LeftTheNetwork(member_id, membership.left_at)
    if membership.absences:  # as of hardly anybody
        for left_at, back_at, _ in membership.absences:
            if left_at <= at < back_at:
                raise LeftTheNetwork(member_id, left_at)


def unit_at(membership: Membership, at: datetime) -> str:
    """The unit that the member belonged to at this instant."""
    if not membership.moves:  # as nearly everybody
        return membership.unit_id
    return timeline.at(membership.moves, at) or membership.unit_id


def tier_at(membership: Membership, at: datetime) -> Tier | None:
    """The tier that the member held at this instant."""
    return timeline.at(membership.tiers, at)


def is_important(membership: Membership, at: datetime) -> bool:
    """Whether the member was marked as important at this instant."""
    if not membership.important:  # as nearly everybody
        return False
    return timeline.at(membership.important, at) or False


# ----------------------------------------------------------------------------------- commands
class MemberCommand(Command):
    """A command about one member alone."""

    writes: ClassVar[dict[str, str]] = {"member": "member_id"}
    member_id: MemberId


class JoinNetwork(MemberCommand):
    """Take a customer on. His name and phone are kept apart from the events."""

    command: Literal["member.join"] = "member.join"
    reads: ClassVar[dict[str, str]] = {"unit": "unit_id"}
    refuses = (AlreadyJoined, UnknownUnit)
    example = saying(
        member_id="m2", unit_id="north", phone="13800000002", at="2008-01-05T09:00:00+08:00"
    )
    unit_id: UnitId
    name: Name | None = None
    phone: Phone | None = None

    def decide(self, at: datetime, membership: Membership, unit: Unit) -> list[Event]:
        if membership.joined_at is not None:
            raise AlreadyJoined(self.member_id, membership.joined_at)
        if not unit.titles:
            raise UnknownUnit(self.unit_id)
        return [self.event(MemberJoined, at, unit_id=self.unit_id)]


class MoveToUnit(MemberCommand):
    """Move a customer into another unit, from then on or to the next move. What is told of a time
    before stays with the unit of that time."""

    command: Literal["member.move"] = "member.move"
    reads: ClassVar[dict[str, str]] = {"unit": "unit_id"}
    refuses = (*ON_THE_NETWORK, UnknownUnit, NothingChanges, TooMany)
    example = saying(member_id="m1", unit_id="south", reason="moved house")
    unit_id: UnitId
    reason: Text

    def decide(self, at: datetime, membership: Membership, unit: Unit) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        if not unit.titles:
            raise UnknownUnit(self.unit_id)
        if timeline.repeats(membership.moves, at, self.unit_id, membership.unit_id):
            raise NothingChanges(self.unit_id)
        require_room(membership, "moves", len(timeline.forget(membership.moves, at)))
        before = unit_at(membership, at)
        said = {"from_unit_id": before, "unit_id": self.unit_id, "reason": self.reason}
        return [self.event(MemberMoved, at, **said)]


class MarkImportant(MemberCommand):
    """Mark a customer as important, or take the mark away, from then on or to the next change."""

    command: Literal["member.mark_important"] = "member.mark_important"
    refuses = (*ON_THE_NETWORK, NothingChanges, TooMany)
    example = saying(member_id="m1", important=True, reason="a guest of the city")
    important: bool
    reason: Text

    def decide(self, at: datetime, membership: Membership) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        if timeline.repeats(membership.important, at, self.important, False):
            raise NothingChanges(str(self.important).lower())
        require_room(membership, "important", len(timeline.forget(membership.important, at)))
        event = self.event(MemberMarkedImportant, at, important=self.important, reason=self.reason)
        return [event]


class ChangeTier(MemberCommand):
    """Put a customer into a tier, or take his tier away, from then on or to the next change."""

    command: Literal["tier.change"] = "tier.change"
    refuses = (*ON_THE_NETWORK, NothingChanges, TooMany)
    example = saying(member_id="m1", tier="gold", reason="spent enough in 2008")
    tier: KnownTier | None
    reason: Text

    def decide(self, at: datetime, membership: Membership) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        from_tier = tier_at(membership, at)
        if timeline.repeats(membership.tiers, at, self.tier, None):
            raise NothingChanges(self.tier or "none")
        require_room(membership, "tiers", len(timeline.forget(membership.tiers, at)))
        event = self.event(
            TierChanged,
            at,
            from_tier=from_tier,
            tier=self.tier,
            unit_id=unit_at(membership, at),
            reason=self.reason,
        )
        return [event]


class LeaveNetwork(MemberCommand):
    """Record that a customer left the network."""

    command: Literal["member.leave"] = "member.leave"
    refuses = (*ON_THE_NETWORK, TooMany)
    example = saying(member_id="m1", reason="moved away")
    reason: Text

    def decide(self, at: datetime, membership: Membership) -> list[Event]:
        require_joined(membership, self.member_id, at)
        if membership.left_at is not None:  # on whatever day: nobody leaves twice
            raise LeftTheNetwork(self.member_id, membership.left_at)
        if membership.absences and at < membership.absences[-1][1]:  # nor before he came back
            raise LeftTheNetwork(self.member_id, membership.absences[-1][0])
        require_room(membership, "absences")  # for when he comes back
        event = self.event(
            MemberLeft,
            at,
            unit_id=unit_at(membership, at),
            tier=tier_at(membership, at),
            reason=self.reason,
            period=period_of(membership) if membership.absences else None,
        )
        return [event]


class ReturnToNetwork(MemberCommand):
    """Take a customer on again who had left: a new period of membership begins, in the unit that is
    said. His tier, name and number are what they were, his points too, as far as they have not
    lapsed; what had bound him ended when he left."""

    command: Literal["member.return"] = "member.return"
    reads: ClassVar[dict[str, str]] = {"unit": "unit_id"}
    refuses = (*JOINED, OnTheNetwork, BackBeforeLeaving, UnknownUnit, TooMany)
    example = saying(member_id="m5", unit_id="south", reason="won back")
    unit_id: UnitId
    reason: Text

    def decide(self, at: datetime, membership: Membership, unit: Unit) -> list[Event]:
        require_joined(membership, self.member_id, at)
        if membership.left_at is None:
            raise OnTheNetwork(self.member_id)
        if at < membership.left_at:
            raise BackBeforeLeaving(at, membership.left_at)
        if not unit.titles:
            raise UnknownUnit(self.unit_id)
        require_room(membership, "moves", len(timeline.forget(membership.moves, at)))
        returned = self.event(
            MemberReturned,
            at,
            unit_id=self.unit_id,
            left_at=membership.left_at,
            reason=self.reason,
            period=period_of(membership) + 1,
        )
        return [returned]


class RecordBill(MemberCommand):
    """Record a customer's bill of one month; it may be a credit note, and then is below zero."""

    command: Literal["bill.record"] = "bill.record"
    refuses = (*JOINED, NotComeYet, BillTooLate, TooLongAgo, AlreadyBilled)
    example = saying(member_id="m1", month="2008-07", amount_fen=16_300, margin_fen=4_100)
    month: Month
    amount_fen: SignedFen
    margin_fen: SignedFen | None = None

    def decide(self, at: datetime, membership: Membership, bills: Bills) -> list[Event]:
        require_joined(membership, self.member_id, at)  # a last bill may follow when he has left
        require_come(self.month, at)
        number = month_number(self.month)
        late = bills.latest - number
        if late >= BILL_WINDOW_MONTHS:
            raise BillTooLate(self.month, late, BILL_WINDOW_MONTHS - 1)
        if number <= bills.forgotten:
            raise TooLongAgo(self.month, month_of(bills.forgotten))
        if billed(bills, self.month):
            raise AlreadyBilled(self.month)
        event = self.event(
            BillIssued,
            at,
            month=self.month,
            amount_fen=self.amount_fen,
            margin_fen=self.margin_fen,
        )
        return [event]
