"""Enrolments: a member is offered a campaign or kept out of it, and takes part up to a cap."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import md5
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct, field
from pydantic import Field, WithJsonSchema

from domain.bindings import (
    AlreadyBound,
    Bindings,
    BindingStarted,
    Policy,
    policies_within,
    require_known_since,
    still_remembered,
)
from domain.campaigns import (
    NOT_OVER,
    RUNNING,
    Campaign,
    Months,
    NotInSegment,
    require_in_segment,
    require_not_over,
    require_running,
)
from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, Receipt, saying
from domain.kernel.event import Event
from domain.kernel.parts import part_of
from domain.kernel.periods import TooLongAgo, forget, remembered, require_remembered
from domain.kernel.refusal import Refusal
from domain.kernel.values import (
    CampaignId,
    Count,
    Day,
    Fen,
    MemberId,
    Ordinal,
    Tier,
    UnitId,
    add_months,
    local_date,
)
from domain.members import ON_THE_NETWORK, Membership, require_on_network, tier_at

POLICY_OF: dict[str, Policy] = {
    "prepay": "prepay",
    "family_plan": "family_plan",
    "handset": "handset",
}
"""The policy under which an enrolment binds; care is a gift without binding."""
Written = Annotated[str, WithJsonSchema({"type": "string", "format": "date"})]
"""A day as a receipt has it."""


# -------------------------------------------------------------------------------------- parts
@part_of("places", counts=True)
class Places(Struct, array_like=True, gc=False):
    """What is counted against the limits of a campaign: places taken, and gifts in fen."""

    taken: int = 0
    gift_fen: int = 0
    freed: int = 0  # of the places taken: their enrolments were corrected

    @property
    def held(self) -> int:
        """Places that are taken and not free again."""
        return self.taken - self.freed


class Enrolment(Struct, array_like=True, gc=False):
    """A part taken in a campaign: what it takes of the limits, and the binding that it brought."""

    ends_on: date  # the last day of the campaign's window or of the binding, whichever is later
    place: int
    gift_fen: int
    binding: int | None = None
    # if the campaign does not stand beside some policies: which, and the day of the enrolment
    excludes: Annotated[list[str], AtMost(4)] = field(default_factory=list)
    enrolled_on: date | None = None


@part_of("member")
class Participation(Struct, array_like=True, gc=False):
    """The campaigns that a member was offered, and those that he takes part in."""

    enrolled: Annotated[dict[str, Enrolment], AtMost(200)] = field(default_factory=dict)
    # campaign -> last day of its window
    offered: Annotated[dict[str, date], AtMost(200)] = field(default_factory=dict)
    forgotten: date | None = None


# ------------------------------------------------------------------------------------- events
class PlaceTaken(Event, name="campaign.place_taken", stream="places"):
    """The n-th place of a campaign went to a member. Beside it stands his own enrolment."""

    place: Ordinal
    member_id: MemberId
    gift_fen: Fen

    def apply(self, places: Places) -> None:
        places.taken = self.place
        places.gift_fen += self.gift_fen


class PlaceFreed(Event, name="campaign.place_freed", stream="places"):
    """A place and the gift's part of the budget are free again: the enrolment was wrong."""

    place: Ordinal
    member_id: MemberId
    gift_fen: Fen
    corrects = True

    def apply(self, places: Places) -> None:
        places.freed += 1
        places.gift_fen -= self.gift_fen


class CampaignOffered(Event, name="campaign.offered", stream="member"):
    """A member was drawn: to be offered the campaign, or into its control group."""

    campaign_id: CampaignId
    arm: Literal["offered", "control"]
    closes_on: Day
    tier: Tier | None = None
    named_by = ("campaign_id",)
    kept_in = "offered"

    def apply(self, participation: Participation) -> None:
        forget(participation, "offered", closed_on, self.occurred_at)
        participation.offered[self.campaign_id] = self.closes_on


class CampaignEnrolled(Event, name="campaign.enrolled", stream="member"):
    """A member took part: the terms are copied in. Prepaid money is a liability, never income."""

    campaign_id: CampaignId
    place: Ordinal
    terms_version: Ordinal
    prepaid_fen: Fen
    gift_fen: Fen
    months_bound: Months
    min_monthly_fen: Fen
    closes_on: Day
    binding: Ordinal | None = None  # that it brought; it stands beside this
    tier: Tier | None = None
    unit_id: UnitId
    excludes: tuple[Policy, ...] | None = None  # if there are any
    named_by = ("campaign_id",)
    kept_in = "enrolled"

    def apply(self, participation: Participation) -> None:
        forget(participation, "enrolled", ended_on, self.occurred_at)
        ends_on = self.closes_on
        if self.binding is not None:
            bound_until = add_months(local_date(self.occurred_at), self.months_bound)
            ends_on = max(ends_on, bound_until)
        enrolment = Enrolment(ends_on, self.place, self.gift_fen, self.binding)
        if self.excludes:
            enrolment.excludes = list(self.excludes)
            enrolment.enrolled_on = local_date(self.occurred_at)
        participation.enrolled[self.campaign_id] = enrolment


def ended_on(enrolment: Enrolment) -> date:
    """The last day on which an enrolment says something."""
    return enrolment.ends_on


def closed_on(closes_on: date) -> date:
    """The last day on which an offer may be told."""
    return closes_on


# ----------------------------------------------------------------------------------- refusals
@dataclass
class AlreadyEnrolled(Refusal):
    """The member already takes part."""

    code = "already_enrolled"
    campaign_id: str


@dataclass
class AlreadyOffered(Refusal):
    """The member is already drawn."""

    code = "already_offered"
    campaign_id: str


@dataclass
class InControlGroup(Refusal):
    """The member was drawn into the control group."""

    code = "in_control_group"
    campaign_id: str


@dataclass
class NoDraw(Refusal):
    """The campaign has no control group to draw for."""

    code = "no_draw"
    campaign_id: str


@dataclass
class CapReached(Refusal):
    """All places of the campaign are taken."""

    code = "cap_reached"
    cap: int
    participants: int


@dataclass
class BudgetUsedUp(Refusal):
    """The gift does not fit into what is left of the budget."""

    code = "budget_used_up"
    budget_fen: int
    spent_fen: int
    gift_fen: int


@dataclass
class PrepaidTooSmall(Refusal):
    """The prepaid sum is below what the terms ask for."""

    code = "prepaid_too_small"
    prepaid_fen: int
    prepaid_min_fen: int


@dataclass
class TermsAreNewer(Refusal):
    """The terms are not those that the member was shown."""

    code = "terms_are_newer"
    shown_terms_version: int
    terms_version: int


# -------------------------------------------------------------------------------------- rules
def drawn_into_control(seed: str, member_id: str, control_bp: int) -> bool:
    """The draw: the first 8 hex digits of md5("seed:member") modulo 10,000, below the share.

    md5 is here a repeatable lottery that SQL has too, not a protection.
    """
    digest = md5(f"{seed}:{member_id}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % 10_000 < control_bp


# ----------------------------------------------------------------------------------- receipts
class OfferReceipt(Receipt):
    """What a member was drawn for."""

    arm: Literal["offered", "control"]


class EnrolmentReceipt(Receipt):
    """A place in a campaign."""

    campaign_id: str
    place: int
    terms_version: int
    gift_fen: int
    ends_on: Annotated[Written | None, Field(description="the first day that is free again")]


# ----------------------------------------------------------------------------------- commands
class OfferCampaign(Command):
    """Draw a member: to be offered the campaign, or into its control group."""

    command: Literal["campaign.offer"] = "campaign.offer"
    writes: ClassVar[dict[str, str]] = {"member": "member_id"}
    reads: ClassVar[dict[str, str]] = {"campaign": "campaign_id"}
    refuses = (
        *ON_THE_NETWORK,
        *NOT_OVER,
        NoDraw,
        NotInSegment,
        AlreadyOffered,
        TooLongAgo,
        TooMany,
    )
    example = saying(member_id="m1", campaign_id="spring")
    member_id: MemberId
    campaign_id: CampaignId

    def decide(
        self,
        at: datetime,
        membership: Membership,
        participation: Participation,
        campaign: Campaign,
    ) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        closes_on = require_not_over(campaign, self.campaign_id, at)
        if not campaign.control_bp:
            raise NoDraw(self.campaign_id)
        tier = tier_at(membership, at)
        require_in_segment(campaign, tier)
        if self.campaign_id in participation.offered:
            raise AlreadyOffered(self.campaign_id)
        require_remembered(participation, closes_on)
        require_room(
            participation, "offered", len(remembered(participation.offered, closed_on, at))
        )
        control = drawn_into_control(campaign.control_seed, self.member_id, campaign.control_bp)
        event = self.event(
            CampaignOffered,
            at,
            campaign_id=self.campaign_id,
            arm="control" if control else "offered",
            closes_on=closes_on,
            tier=tier,
        )
        return [event]

    def receipt(self, events: list[Event], **parts: Any) -> OfferReceipt:
        offered = events[-1]
        assert isinstance(offered, CampaignOffered)
        return {"arm": offered.arm}


class Enrol(Command):
    """Enrol a member in a campaign: one place, his enrolment, and the binding it brings."""

    command: Literal["campaign.enrol"] = "campaign.enrol"
    writes: ClassVar[dict[str, str]] = {"member": "member_id", "places": "campaign_id"}
    reads: ClassVar[dict[str, str]] = {"campaign": "campaign_id"}
    refuses = (
        *ON_THE_NETWORK,
        *RUNNING,
        TermsAreNewer,
        NotInSegment,
        AlreadyEnrolled,
        TooLongAgo,
        InControlGroup,
        AlreadyBound,
        PrepaidTooSmall,
        CapReached,
        BudgetUsedUp,
        TooMany,
    )
    example = saying(
        member_id="m1", campaign_id="spring", prepaid_fen=60_000, shown_terms_version=1
    )
    member_id: MemberId
    campaign_id: CampaignId
    prepaid_fen: Fen = 0
    shown_terms_version: Count | None = Field(
        None, description="the version of the terms; if they have moved, it is refused"
    )

    def decide(
        self,
        at: datetime,
        membership: Membership,
        participation: Participation,
        bindings: Bindings,
        places: Places,
        campaign: Campaign,
    ) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        terms = require_running(campaign, self.campaign_id, at)
        if self.shown_terms_version is not None and self.shown_terms_version != terms.version:
            raise TermsAreNewer(self.shown_terms_version, terms.version)
        tier = tier_at(membership, at)
        require_in_segment(campaign, tier)
        policy = POLICY_OF.get(campaign.kind) if terms.months_bound else None
        starts_on = local_date(at)
        ends_on = add_months(starts_on, terms.months_bound)
        self._admissible(participation, campaign)
        self._contradicts_nothing(bindings, campaign, starts_on, ends_on if policy else starts_on)
        if self.prepaid_fen < terms.prepaid_min_fen:
            raise PrepaidTooSmall(self.prepaid_fen, terms.prepaid_min_fen)
        gift_fen = self.prepaid_fen * terms.gift_bp // 10_000  # rounded down to a fen
        self._within_limits(campaign, places, gift_fen)
        require_room(
            participation, "enrolled", len(remembered(participation.enrolled, ended_on, at))
        )
        if policy:
            require_room(bindings, "bindings", len(still_remembered(bindings.bindings, at)))
        place = places.taken + 1
        number = bindings.made + 1 if policy else None
        events: list[Event] = [
            self.event(PlaceTaken, at, place=place, member_id=self.member_id, gift_fen=gift_fen),
            self.event(
                CampaignEnrolled,
                at,
                campaign_id=self.campaign_id,
                place=place,
                terms_version=terms.version,
                prepaid_fen=self.prepaid_fen,
                gift_fen=gift_fen,
                months_bound=terms.months_bound,
                min_monthly_fen=terms.min_monthly_fen,
                closes_on=campaign.closes_on,
                binding=number,
                tier=tier,
                unit_id=membership.unit_id,
                excludes=tuple(campaign.excludes) or None,
            ),
        ]
        if policy:
            binding = self.event(
                BindingStarted,
                at,
                binding=number,
                policy=policy,
                campaign_id=self.campaign_id,
                starts_on=starts_on,
                ends_on=ends_on,
                unit_id=membership.unit_id,
            )
            events.append(binding)
        return events

    def _admissible(self, participation: Participation, campaign: Campaign) -> None:
        if self.campaign_id in participation.enrolled:
            raise AlreadyEnrolled(self.campaign_id)
        if campaign.closes_on is not None:
            require_remembered(participation, campaign.closes_on)
        if campaign.control_bp and drawn_into_control(
            campaign.control_seed, self.member_id, campaign.control_bp
        ):
            raise InControlGroup(self.campaign_id)

    def _contradicts_nothing(
        self, bindings: Bindings, campaign: Campaign, starts_on: date, ends_on: date
    ) -> None:
        """Today no excluded policy binds him, nor later while this enrolment would."""
        tomorrow = starts_on + timedelta(days=1)
        bound = policies_within(bindings, starts_on, max(tomorrow, ends_on))
        for policy in campaign.excludes:
            if policy in bound:
                raise AlreadyBound(policy)
            require_known_since(bindings, policy, starts_on)

    def _within_limits(self, campaign: Campaign, places: Places, gift_fen: int) -> None:
        if campaign.cap is not None and places.held >= campaign.cap:
            raise CapReached(campaign.cap, places.held)
        if (budget := campaign.budget_fen) is not None and places.gift_fen + gift_fen > budget:
            raise BudgetUsedUp(budget, places.gift_fen, gift_fen)

    def receipt(self, events: list[Event], **parts: Any) -> EnrolmentReceipt:
        enrolled = next(event for event in events if isinstance(event, CampaignEnrolled))
        bound = [event.ends_on for event in events if isinstance(event, BindingStarted)]
        return {
            "campaign_id": self.campaign_id,
            "place": enrolled.place,
            "terms_version": enrolled.terms_version,
            "gift_fen": enrolled.gift_fen,
            "ends_on": bound[0].isoformat() if bound else None,
        }
