"""Prepaid binding: a policy that binds a customer from a day to a day, and how it ends early."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Receipt, saying
from domain.kernel.event import Event, Excusable
from domain.kernel.parts import part_of
from domain.kernel.periods import NotComeYet, TooLongAgo, require_come
from domain.kernel.refusal import DeskRule, Refusal
from domain.kernel.timeline import LATE
from domain.kernel.values import CampaignId, Day, Ordinal, Text, UnitId, add_months, local_date
from domain.members import (
    JOINED,
    ON_THE_NETWORK,
    MemberCommand,
    Membership,
    require_joined,
    require_on_network,
    unit_at,
)

Policy = Literal["prepay", "family_plan", "handset"]
Cause = Literal["breach", "cancelled"]
"""Why a binding ends early."""
MAX_MONTHS = 120
"""The longest that terms or a policy bind."""
AHEAD_MONTHS = 24
"""How long ahead a binding may be agreed: it may follow one that still runs."""


# -------------------------------------------------------------------------------------- parts
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


@part_of("member")
class Bindings(Struct, array_like=True, gc=False):
    """What binds a member, or bound him not too long ago."""

    bindings: Annotated[list[Binding], AtMost(100)] = field(default_factory=list)
    made: int = 0
    # by policy: the first day after the latest binding that this has forgotten
    forgotten: Annotated[dict[str, date], AtMost(4)] = field(default_factory=dict)


# ------------------------------------------------------------------------------------- events
class BindingStarted(Excusable, name="binding.started", stream="member"):
    """A member is bound on the days [starts_on, ends_on)."""

    binding: Ordinal
    policy: Policy
    campaign_id: CampaignId | None = None
    starts_on: Day
    ends_on: Day
    unit_id: UnitId
    named_by = ("binding",)

    def apply(self, bindings: Bindings) -> None:
        bindings.made = self.binding
        kept = still_remembered(bindings.bindings, self.occurred_at)
        if len(kept) < len(bindings.bindings):
            bindings.forgotten = forgotten(bindings, kept)
        bindings.bindings = kept
        bindings.bindings.append(
            Binding(self.binding, self.policy, self.starts_on, self.ends_on, self.campaign_id)
        )

    @classmethod
    def stands(cls, part: Bindings, which: str) -> bool:
        return any(bound.id == int(which) for bound in part.bindings)

    @classmethod
    def take_back(cls, part: Bindings, which: str) -> None:
        part.bindings = [bound for bound in part.bindings if bound.id != int(which)]


class BindingEnded(Event, name="binding.ended", stream="member"):
    """A binding ends early: `ended_on` is the first day on which it no longer binds."""

    binding: Ordinal
    ended_on: Day
    cause: Cause
    reason: Text
    named_by = ("binding",)

    def apply(self, bindings: Bindings) -> None:
        bindings.bindings = ended(bindings.bindings, self.binding, self.ended_on)

    @classmethod
    def stands(cls, part: Bindings, which: str) -> bool:
        return any(bound.id == int(which) and bound.ended_on for bound in part.bindings)

    @classmethod
    def take_back(cls, part: Bindings, which: str) -> None:
        part.bindings = ended(part.bindings, int(which), None)


def ended(bindings: list[Binding], number: int, ended_on: date | None) -> list[Binding]:
    """The bindings, of which the one with this number ended early on this day, or did not."""
    return [
        replace(bound, ended_on=ended_on) if bound.id == number else bound for bound in bindings
    ]


# ----------------------------------------------------------------------------------- refusals
@dataclass
class AlreadyBound(DeskRule):
    """The member is bound by a policy that this one contradicts."""

    code = "already_bound"
    policy: str


@dataclass
class BindingReversed(Refusal):
    """The binding would end before it starts."""

    code = "binding_reversed"
    starts_on: date
    ends_on: date


@dataclass
class BoundBeforeJoining(Refusal):
    """The binding would start before the member joined."""

    code = "bound_before_joining"
    starts_on: date
    joined_on: date


@dataclass
class BindingTooFarAhead(DeskRule):
    """The binding would start too long after it is agreed."""

    code = "binding_too_far_ahead"
    starts_on: date
    latest: date


@dataclass
class BindingTooLong(DeskRule):
    """The binding would last longer than any terms bind."""

    code = "binding_too_long"
    starts_on: date
    ends_on: date
    months_allowed: int


@dataclass
class UnknownBinding(Refusal):
    """There is no such binding to end: never made, ended early already, or long over."""

    code = "unknown_binding"
    binding: int
    bindings_made: int


@dataclass
class NotWithinBinding(Refusal):
    """A binding can only end early on one of its own days."""

    code = "not_within_binding"
    ended_on: date
    starts_on: date
    ends_on: date


def still_remembered(bindings: list[Binding], at: datetime) -> list[Binding]:
    """The bindings that a fact told late may still be judged by."""
    oldest = local_date(at) - LATE
    return [bound for bound in bindings if bound.ends_on > oldest]


def forgotten(bindings: Bindings, kept: list[Binding]) -> dict[str, date]:
    """By policy, the first day after the latest binding that is remembered no more, once these are
    kept."""
    days = dict(bindings.forgotten)
    for gone in bindings.bindings:
        if gone not in kept:
            days[gone.policy] = max(gone.until, days.get(gone.policy, date.min))
    return days


def require_known_since(bindings: Bindings, policy: str, starts_on: date) -> None:
    """Refuses days of which this member's state may have forgotten a binding by this policy."""
    forgotten_until = bindings.forgotten.get(policy)
    if forgotten_until is not None and starts_on < forgotten_until:
        raise TooLongAgo(str(starts_on), str(forgotten_until))


def bound_until(bound: Binding, membership: Membership) -> date:
    """The first day on which a binding binds no more: leaving ended those that had begun, and those
    that would have begun while he was away, for good."""
    until = bound.until
    for left_at, back_at, _ in membership.absences:
        if local_date(back_at) > bound.starts_on:
            return min(until, local_date(left_at))
    return until


def policies_within(
    bindings: Bindings, membership: Membership, starts_on: date, ends_on: date
) -> list[str]:
    """The policies that bind the member on any of the days [starts_on, ends_on)."""
    found = []
    for bound in bindings.bindings:
        until = bound_until(bound, membership)
        if bound.starts_on < min(ends_on, until) and starts_on < until:
            found.append(bound.policy)
    return found


# ----------------------------------------------------------------------------------- commands
class BindingReceipt(Receipt):
    """The number of a binding, by which it is ended or taken back."""

    binding: int


class StartBinding(MemberCommand):
    """Bind a member by a policy outside any campaign, on the days [starts_on, ends_on)."""

    command: Literal["binding.start"] = "binding.start"
    refuses = (
        *ON_THE_NETWORK,
        BindingReversed,
        BoundBeforeJoining,
        BindingTooFarAhead,
        BindingTooLong,
        AlreadyBound,
        TooLongAgo,
        TooMany,
    )
    example = saying(member_id="m1", policy="handset", starts_on="2008-08-01", ends_on="2009-08-01")
    policy: Policy
    starts_on: Day
    ends_on: Day

    def decide(self, at: datetime, membership: Membership, bindings: Bindings) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        if self.ends_on <= self.starts_on:
            raise BindingReversed(self.starts_on, self.ends_on)
        self._agreed(at, require_joined(membership, self.member_id, at))
        if self.policy in policies_within(bindings, membership, self.starts_on, self.ends_on):
            self.unless_despite(AlreadyBound(self.policy))
        require_known_since(bindings, self.policy, self.starts_on)
        require_room(bindings, "bindings", len(still_remembered(bindings.bindings, at)))
        event = self.event(
            BindingStarted,
            at,
            binding=bindings.made + 1,
            policy=self.policy,
            campaign_id=None,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            unit_id=unit_at(membership, at),
        )
        return [event]

    def _agreed(self, at: datetime, joined_at: datetime) -> None:
        """Refuses days that nobody means: before he joined, far ahead, longer than terms bind."""
        if self.starts_on < local_date(joined_at):
            raise BoundBeforeJoining(self.starts_on, local_date(joined_at))
        latest = add_months(local_date(at), AHEAD_MONTHS)
        if self.starts_on > latest:
            self.unless_despite(BindingTooFarAhead(self.starts_on, latest))
        if self.ends_on > add_months(self.starts_on, MAX_MONTHS):
            self.unless_despite(BindingTooLong(self.starts_on, self.ends_on, MAX_MONTHS))

    def receipt(self, events: list[Event], **parts: Any) -> BindingReceipt:
        return {"binding": parts["bindings"].made}


class EndBinding(MemberCommand):
    """End a binding early, by the member's breach or by cancellation."""

    command: Literal["binding.end"] = "binding.end"
    refuses = (*JOINED, UnknownBinding, NotComeYet, NotWithinBinding)
    example = saying(
        member_id="m4", binding=1, ended_on="2008-12-01", cause="cancelled", reason="as asked"
    )
    binding: Ordinal
    ended_on: Day
    cause: Cause
    reason: Text

    def decide(self, at: datetime, membership: Membership, bindings: Bindings) -> list[Event]:
        require_joined(membership, self.member_id, at)
        bound = next((each for each in bindings.bindings if each.id == self.binding), None)
        if bound is None or bound.ended_on is not None:
            raise UnknownBinding(self.binding, bindings.made)
        ends_on = bound_until(bound, membership)
        if membership.left_at is not None:  # leaving has ended it
            ends_on = min(ends_on, local_date(membership.left_at))
        if self.cause == "breach":  # found, not agreed: its last day has come
            require_come(self.ended_on - timedelta(days=1), at)
        if not bound.starts_on <= self.ended_on < ends_on:
            raise NotWithinBinding(self.ended_on, bound.starts_on, ends_on)
        event = self.event(
            BindingEnded,
            at,
            binding=self.binding,
            ended_on=self.ended_on,
            cause=self.cause,
            reason=self.reason,
        )
        return [event]
