"""Prepaid binding: a policy that binds a customer from a day to a day, and how it ends early."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from msgspec.structs import replace

from domain.bounds import room_for_one
from domain.event import Event
from domain.members import MemberCommand, joined, on_the_network
from domain.periods import has_come
from domain.refusal import Refusal
from domain.state import Binding, Member
from domain.timeline import LATE
from domain.values import CampaignId, Day, Ordinal, Text, UnitId, local_date

Policy = Literal["prepay", "family_plan", "handset"]


# ------------------------------------------------------------------------------------- events
class BindingStarted(Event, name="binding.started", stream="member"):
    """A member is bound on the days [starts_on, ends_on)."""

    binding: Ordinal
    policy: Policy
    campaign: CampaignId | None = None
    starts_on: Day
    ends_on: Day
    unit: UnitId
    named_by = ("binding",)

    def apply(self, state: Member) -> None:
        state.bindings_made = self.binding
        if self.campaign in state.enrolled:
            enrolment = state.enrolled[self.campaign]
            state.enrolled[self.campaign] = replace(enrolment, binding=self.binding)
        state.bindings = still_remembered(state.bindings, self.occurred_at)
        state.bindings.append(
            Binding(self.binding, self.policy, self.starts_on, self.ends_on, self.campaign)
        )

    @classmethod
    def stands(cls, state: Member, which: str) -> bool:
        return any(bound.id == int(which) for bound in state.bindings)

    @classmethod
    def take_back(cls, state: Member, which: str) -> None:
        state.bindings = [bound for bound in state.bindings if bound.id != int(which)]


class BindingEnded(Event, name="binding.ended", stream="member"):
    """A binding ends early: `ended_on` is the first day on which it no longer binds."""

    binding: Ordinal
    ended_on: Day
    cause: Literal["breach", "cancelled"]
    reason: Text
    named_by = ("binding",)

    def apply(self, state: Member) -> None:
        state.bindings = ended(state.bindings, self.binding, self.ended_on)

    @classmethod
    def stands(cls, state: Member, which: str) -> bool:
        return any(bound.id == int(which) and bound.ended_on for bound in state.bindings)

    @classmethod
    def take_back(cls, state: Member, which: str) -> None:
        state.bindings = ended(state.bindings, int(which), None)


def ended(bindings: list[Binding], number: int, ended_on: date | None) -> list[Binding]:
    """The bindings, of which the one with this number ended early on this day, or did not."""
    return [
        replace(bound, ended_on=ended_on) if bound.id == number else bound for bound in bindings
    ]


# ----------------------------------------------------------------------------------- refusals
@dataclass
class AlreadyBound(Refusal):
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


def policies_within(member: Member, starts_on: date, ends_on: date) -> list[str]:
    """The policies that bind the member on any of the days [starts_on, ends_on)."""
    return [
        bound.policy
        for bound in member.bindings
        if bound.starts_on < min(ends_on, bound.until) and starts_on < bound.until
    ]


# ----------------------------------------------------------------------------------- commands
class StartBinding(MemberCommand):
    """Bind a member by a policy outside any campaign, on the days [starts_on, ends_on)."""

    command: Literal["binding.start"] = "binding.start"
    policy: Policy
    starts_on: Day
    ends_on: Day

    def decide(self, at: datetime, member: Member) -> list[Event]:
        on_the_network(member, self.member_id, at)
        if self.ends_on <= self.starts_on:
            raise BindingReversed(self.starts_on, self.ends_on)
        if self.policy in policies_within(member, self.starts_on, self.ends_on):
            raise AlreadyBound(self.policy)
        room_for_one(member, "bindings", len(still_remembered(member.bindings, at)))
        event = self.event(
            BindingStarted,
            at,
            binding=member.bindings_made + 1,
            policy=self.policy,
            campaign=None,
            starts_on=self.starts_on,
            ends_on=self.ends_on,
            unit=member.unit,
        )
        return [event]

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        return {"binding": states["member"].bindings_made}


class EndBinding(MemberCommand):
    """End a binding early, by the member's breach or by cancellation."""

    command: Literal["binding.end"] = "binding.end"
    binding: Ordinal
    ended_on: Day
    cause: Literal["breach", "cancelled"]
    reason: Text

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        for bound in member.bindings:
            if bound.id == self.binding and bound.ended_on is None:
                ends_on = bound.ends_on
                if member.left_at is not None:  # leaving has ended it
                    ends_on = min(ends_on, local_date(member.left_at))
                if self.cause == "breach":  # found, not agreed: its last day has come
                    has_come(self.ended_on - timedelta(days=1), at)
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
        raise UnknownBinding(self.binding, member.bindings_made)
