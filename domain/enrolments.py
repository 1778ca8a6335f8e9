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
    Terms,
    require_in_segment,
    require_not_over,
    require_running,
)
from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, Receipt, saying
from domain.kernel.event import Event, Excusable
from domain.kernel.parts import part_of
from domain.kernel.periods import TooLongAgo, forget, remembered, require_remembered
from domain.kernel.refusal import DeskRule, Refusal
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
from domain.members import ON_THE_NETWORK, Membership, require_on_network, tier_at, unit_at

POLICY_OF: dict[str, Policy] = {
    "prepay": "prepay",
    "family_plan": "family_plan",
    "handset": "handset",
}
"""The policy under which an enrolment binds; care is a gift without binding."""
Arm = Literal["offered", "control"]
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


class Offer(Struct, array_like=True, gc=False):
    """The arm of a campaign that a member is in."""

    closes_on: date  # the last day of the campaign's window
    control_since: datetime | None = None  # if he was given into the control group


@part_of("member")
class Participation(Struct, array_like=True, gc=False):
    """The campaigns that a member was offered, and those that he takes part in."""

    enrolled: Annotated[dict[str, Enrolment], AtMost(200)] = field(default_factory=dict)
    offered: Annotated[dict[str, Offer], AtMost(200)] = field(default_factory=dict)
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


class CampaignOffered(Excusable, name="campaign.offered", stream="member"):
    """A member was drawn, or given, to be offered the campaign or into its control group."""

    campaign_id: CampaignId
    arm: Arm
    closes_on: Day
    tier: Tier | None = None
    given: bool | None = None  # the list gave the arm: no draw did
    named_by = ("campaign_id",)
    kept_in = "offered"

    def apply(self, participation: Participation) -> None:
        forget(participation, "offered", closed_on, self.occurred_at)
        control = self.given and self.arm == "control"
        offer = Offer(self.closes_on, self.occurred_at if control else None)
        participation.offered[self.campaign_id] = offer


class CampaignEnrolled(Excusable, name="campaign.enrolled", stream="member"):
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


def closed_on(offer: Offer) -> date:
    """The last day on which an offer may be told."""
    return offer.closes_on


# ----------------------------------------------------------------------------------- refusals
@dataclass
class AlreadyEnrolled(Refusal):
    """The member already takes part."""

    code = "already_enrolled"
    campaign_id: str


@dataclass
class AlreadyOffered(Refusal):
    """The member is already in an arm."""

    code = "already_offered"
    campaign_id: str


@dataclass
class InControlGroup(DeskRule):
    """The member was drawn or given into the control group."""

    code = "in_control_group"
    campaign_id: str


@dataclass
class NoDraw(Refusal):
    """The campaign has no control group to draw for."""

    code = "no_draw"
    campaign_id: str


@dataclass
class ArmNotGiven(Refusal):
    """The campaign's arms are given: the offer has to say which."""

    code = "arm_not_given"
    campaign_id: str


@dataclass
class ArmIsDrawn(Refusal):
    """The campaign's arms are drawn: no offer gives another."""

    code = "arm_is_drawn"
    campaign_id: str


@dataclass
class CapReached(DeskRule):
    """All places of the campaign are taken."""

    code = "cap_reached"
    cap: int
    participants: int


@dataclass
class BudgetUsedUp(DeskRule):
    """The gift does not fit into what is left of the budget."""

    code = "budget_used_up"
    budget_fen: int
    spent_fen: int
    gift_fen: int


@dataclass
class PrepaidTooSmall(DeskRule):
    """The prepaid sum is below what the terms ask for."""

    code = "prepaid_too_small"
    prepaid_fen: int
    prepaid_min_fen: int


@dataclass
class TermsAreNewer(DeskRule):
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


def given_into_control(participation: Participation, campaign_id: str, at: datetime) -> bool:
    """Whether a list had put the member into the control group by this instant."""
    offer = participation.offered.get(campaign_id)
    since = None if offer is None else offer.control_since
    return since is not None and since <= at


# ----------------------------------------------------------------------------------- receipts
class OfferReceipt(Receipt):
    """The arm that a member is in."""

    arm: Arm


class EnrolmentReceipt(Receipt):
    """A place in a campaign."""

    campaign_id: str
    place: int
    terms_version: int
    gift_fen: int
    ends_on: Annotated[Written | None, Field(description="the first day that is free again")]


# ----------------------------------------------------------------------------------- commands
class OfferCampaign(Command):
    """Draw a member, to be offered the campaign or into its control group; or put him where the
    list has him, if the campaign's arms are given."""

    command: Literal["campaign.offer"] = "campaign.offer"
    writes: ClassVar[dict[str, str]] = {"member": "member_id"}
    reads: ClassVar[dict[str, str]] = {"campaign": "campaign_id"}
    refuses = (
        *ON_THE_NETWORK,
        *NOT_OVER,
        ArmNotGiven,
        ArmIsDrawn,
        NoDraw,
        NotInSegment,
        AlreadyOffered,
        TooLongAgo,
        TooMany,
    )
    example = saying(member_id="m1", campaign_id="spring")
    member_id: MemberId
    campaign_id: CampaignId
    arm: Arm | None = Field(None, description="if the campaign's arms are given; else it is drawn")

    def decide(
        self,
        at: datetime,
        membership: Membership,
        participation: Participation,
        campaign: Campaign,
    ) -> list[Event]:
        require_on_network(membership, self.member_id, at)
        closes_on = require_not_over(self, campaign, self.campaign_id, at)
        arm = self._arm(campaign)
        tier = tier_at(membership, at)
        require_in_segment(self, campaign, tier)
        if self.campaign_id in participation.offered:
            raise AlreadyOffered(self.campaign_id)
        require_remembered(participation, closes_on)
        require_room(
            participation, "offered", len(remembered(participation.offered, closed_on, at))
        )
        event = self.event(
            CampaignOffered,
            at,
            campaign_id=self.campaign_id,
            arm=arm,
            closes_on=closes_on,
            tier=tier,
            given=campaign.arms_given or None,
        )
        return [event]

    def _arm(self, campaign: Campaign) -> Arm:
        if campaign.arms_given:
            if self.arm is None:
                raise ArmNotGiven(self.campaign_id)
            return self.arm
        if self.arm is not None:
            raise ArmIsDrawn(self.campaign_id)
        if not campaign.control_bp:
            raise NoDraw(self.campaign_id)
        control = drawn_into_control(campaign.control_seed, self.member_id, campaign.control_bp)
        return "control" if control else "offered"

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
        terms = self._terms(campaign, require_running(self, campaign, self.campaign_id, at))
        tier = tier_at(membership, at)
        require_in_segment(self, campaign, tier)
        policy = POLICY_OF.get(campaign.kind) if terms.months_bound else None
        starts_on = local_date(at)
        ends_on = add_months(starts_on, terms.months_bound)
        self._admissible(participation, campaign, at)
        until = max(starts_on + timedelta(days=1), ends_on if policy else starts_on)
        bound = policies_within(bindings, membership, starts_on, until)
        self._contradicts_nothing(bindings, campaign, bound, starts_on)
        if self.prepaid_fen < terms.prepaid_min_fen:
            self.unless_despite(PrepaidTooSmall(self.prepaid_fen, terms.prepaid_min_fen))
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
                unit_id=unit_at(membership, at),
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
                unit_id=unit_at(membership, at),
            )
            events.append(binding)
        return events

    def _terms(self, campaign: Campaign, in_force: Terms) -> Terms:
        """The terms of the enrolment: those in force, or of a history those that were shown."""
        shown = self.shown_terms_version
        if shown is None or shown == in_force.version:
            return in_force
        self.unless_despite(TermsAreNewer(shown, in_force.version))
        known = (terms for _, terms in campaign.terms if terms.version == shown)
        return next(known, in_force)

    def _admissible(self, participation: Participation, campaign: Campaign, at: datetime) -> None:
        if self.campaign_id in participation.enrolled:
            raise AlreadyEnrolled(self.campaign_id)
        if campaign.closes_on is not None:
            require_remembered(participation, campaign.closes_on)
        if campaign.arms_given:
            kept_out = given_into_control(participation, self.campaign_id, at)
        else:
            seed, share = campaign.control_seed, campaign.control_bp
            kept_out = bool(share) and drawn_into_control(seed, self.member_id, share)
        if kept_out:
            self.unless_despite(InControlGroup(self.campaign_id))

    def _contradicts_nothing(
        self, bindings: Bindings, campaign: Campaign, bound: list[str], starts_on: date
    ) -> None:
        """Of the policies that bind him today, or later while this enrolment would, none is
        excluded."""
        for policy in campaign.excludes:
            if policy in bound:
                self.unless_despite(AlreadyBound(policy))
            require_known_since(bindings, policy, starts_on)

    def _within_limits(self, campaign: Campaign, places: Places, gift_fen: int) -> None:
        if campaign.cap is not None and places.held >= campaign.cap:
            self.unless_despite(CapReached(campaign.cap, places.held))
        if (budget := campaign.budget_fen) is not None and places.gift_fen + gift_fen > budget:
            self.unless_despite(BudgetUsedUp(budget, places.gift_fen, gift_fen))

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
