"""Campaigns: launched under terms, enrolled into up to a cap, closed. What an enrolment binds."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import md5
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from domain import bindings, timeline
from domain.bindings import AlreadyBound, BindingStarted, Policy, policies_within, still_remembered
from domain.bounds import room_for_one
from domain.command import Command
from domain.event import Event
from domain.members import NothingChanges, on_the_network, tier_at
from domain.periods import forget, not_forgotten, remembered
from domain.refusal import Refusal
from domain.state import Campaign, Enrolment, Member, Places, Terms
from domain.values import (
    BasisPoints,
    CampaignId,
    Count,
    Day,
    Fen,
    Id,
    MemberId,
    Ordinal,
    Text,
    Tier,
    UnitId,
    add_months,
    local_date,
)

Kind = Literal["prepay", "family_plan", "handset", "care"]
POLICY_OF: dict[str, Policy] = {
    "prepay": "prepay",
    "family_plan": "family_plan",
    "handset": "handset",
}
"""The policy under which an enrolment binds; care is a gift without binding."""

Months = Annotated[int, Field(ge=0, le=bindings.MAX_MONTHS)]


class CostItem(BaseModel):
    """A cost of a campaign that does not grow with its participants, in fen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    item: Text
    cost_fen: Fen


# ------------------------------------------------------------------------------------- events
class CampaignLaunched(Event, name="campaign.launched", stream="campaign"):
    """A campaign was announced: its window (both days included), segment, limits and terms.

    With a control share, who is in the control group is drawn by `drawn_into_control`, which
    anyone can repeat from the seed.
    """

    title: Text
    kind: Kind
    opens_on: Day
    closes_on: Day
    tiers: tuple[Tier, ...]
    untiered: bool
    excludes: tuple[Policy, ...]
    cap: Count | None = None
    budget_fen: Fen | None = None
    control_bp: BasisPoints
    control_seed: Id
    costs: tuple[CostItem, ...]
    prepaid_min_fen: Fen
    gift_bp: BasisPoints
    months_bound: Months
    min_monthly_fen: Fen

    def apply(self, state: Campaign) -> None:
        state.title, state.kind = self.title, self.kind
        state.opens_on, state.closes_on = self.opens_on, self.closes_on
        state.tiers, state.untiered = list(self.tiers), self.untiered
        state.excludes = list(self.excludes)
        state.cap, state.budget_fen = self.cap, self.budget_fen
        state.control_bp, state.control_seed = self.control_bp, self.control_seed
        state.terms = timeline.put(state.terms, self.occurred_at, self.first_terms)
        state.terms_versions = 1

    @property
    def first_terms(self) -> Terms:
        """The terms that it says."""
        return Terms(1, self.prepaid_min_fen, self.gift_bp, self.months_bound, self.min_monthly_fen)


class TermsChanged(Event, name="campaign.terms_changed", stream="campaign"):
    """A campaign got terms of a new version; enrolments keep those they were made under."""

    terms_version: Ordinal
    prepaid_min_fen: Fen
    gift_bp: BasisPoints
    months_bound: Months
    min_monthly_fen: Fen

    def apply(self, state: Campaign) -> None:
        state.terms = timeline.put(state.terms, self.occurred_at, self.terms)
        state.terms_versions = self.terms_version

    @property
    def terms(self) -> Terms:
        """The terms that it says."""
        return Terms(
            self.terms_version,
            self.prepaid_min_fen,
            self.gift_bp,
            self.months_bound,
            self.min_monthly_fen,
        )


class CampaignClosed(Event, name="campaign.closed", stream="campaign"):
    """A campaign takes no more enrolments."""

    reason: Text
    named_by = ()
    kept_in = "closed_at"

    def apply(self, state: Campaign) -> None:
        state.closed_at = self.occurred_at


class PlaceTaken(Event, name="campaign.place_taken", stream="places"):
    """The n-th place of a campaign went to a member. Beside it stands his own enrolment."""

    place: Ordinal
    member_id: MemberId
    gift_fen: Fen

    def apply(self, state: Places) -> None:
        state.taken = self.place
        state.gift_fen += self.gift_fen


class PlaceFreed(Event, name="campaign.place_freed", stream="places"):
    """A place and the gift's part of the budget are free again: the enrolment was wrong."""

    place: Ordinal
    member_id: MemberId
    gift_fen: Fen
    corrects = True

    def apply(self, state: Places) -> None:
        state.freed += 1
        state.gift_fen -= self.gift_fen


class CampaignOffered(Event, name="campaign.offered", stream="member"):
    """A member was drawn: to be offered the campaign, or into its control group."""

    campaign_id: CampaignId
    arm: Literal["offered", "control"]
    closes_on: Day
    tier: Tier | None = None
    named_by = ("campaign_id",)
    kept_in = "offered"

    def apply(self, state: Member) -> None:
        forget(state, "offered", closed_on, self.occurred_at)
        state.offered[self.campaign_id] = self.closes_on


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
    tier: Tier | None = None
    unit_id: UnitId
    excludes: tuple[Policy, ...] | None = None  # if there are any
    named_by = ("campaign_id",)
    kept_in = "enrolled"

    def apply(self, state: Member) -> None:
        forget(state, "enrolled", ended_on(state), self.occurred_at)
        enrolment = Enrolment(self.closes_on, self.place, self.gift_fen)
        if self.excludes:
            enrolment.excludes = list(self.excludes)
            enrolment.enrolled_on = local_date(self.occurred_at)
        state.enrolled[self.campaign_id] = enrolment


def ended_on(member: Member) -> Callable[[Enrolment], date]:
    """The last day on which an enrolment of the member says something: of its window, or of the
    binding that it brought."""
    ends = {bound.id: bound.ends_on for bound in member.bindings if bound.campaign_id is not None}
    return lambda each: max(each.closes_on, ends.get(each.binding or 0, each.closes_on))


def closed_on(closes_on: date) -> date:
    """The last day on which an offer may be told."""
    return closes_on


# ----------------------------------------------------------------------------------- refusals
@dataclass
class UnknownCampaign(Refusal):
    """There is no such campaign."""

    code = "unknown_campaign"
    campaign_id: str


@dataclass
class CampaignExists(Refusal):
    """The campaign is already there."""

    code = "campaign_exists"
    campaign_id: str


@dataclass
class WindowReversed(Refusal):
    """The campaign would close before it opens."""

    code = "window_reversed"
    opens_on: date
    closes_on: date


@dataclass
class CampaignNotOpen(Refusal):
    """The campaign's window has not begun."""

    code = "campaign_not_open"
    day: date
    opens_on: date


@dataclass
class CampaignOver(Refusal):
    """The campaign has ended."""

    code = "campaign_over"
    day: date
    closes_on: date


@dataclass
class NotInSegment(Refusal):
    """The campaign is not for this tier."""

    code = "not_in_segment"
    tier: str | None
    tiers: list[str]


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


def launched(campaign: Campaign, campaign_id: str) -> tuple[date, date]:
    """(first day, last day); refuses a campaign that does not exist."""
    opens_on, closes_on = campaign.opens_on, campaign.closes_on
    if opens_on is None or closes_on is None:
        raise UnknownCampaign(campaign_id)
    return opens_on, closes_on


def running(campaign: Campaign, campaign_id: str, at: datetime) -> Terms:
    """The terms in force; refuses a campaign that is not open to enrolments at `at`.

    The first terms hold from its first day on, however late it was announced.
    """
    opens_on, _ = launched(campaign, campaign_id)
    if local_date(at) < opens_on:
        raise CampaignNotOpen(local_date(at), opens_on)
    not_over(campaign, campaign_id, at)
    return timeline.at(campaign.terms, at) or campaign.terms[0][1]


def not_over(campaign: Campaign, campaign_id: str, at: datetime) -> date:
    """The last day of the window; refuses a campaign that has ended or was closed by `at`."""
    _, closes_on = launched(campaign, campaign_id)
    today = local_date(at)
    if today > closes_on:
        raise CampaignOver(today, closes_on)
    if campaign.closed_at is not None and at >= campaign.closed_at:
        raise CampaignOver(today, local_date(campaign.closed_at))
    return closes_on


def in_segment(campaign: Campaign, tier: Tier | None) -> None:
    """Refuses a tier that the campaign is not for."""
    if campaign.untiered if tier is None else tier in campaign.tiers:
        return
    raise NotInSegment(tier, list(campaign.tiers))


# ----------------------------------------------------------------------------------- commands
class CampaignCommand(Command):
    """A command about one campaign alone."""

    writes: ClassVar[dict[str, str]] = {"campaign": "campaign_id"}
    campaign_id: CampaignId


class LaunchCampaign(CampaignCommand):
    """Announce a campaign. Its window is from day to day, both included."""

    command: Literal["campaign.launch"] = "campaign.launch"
    title: Text
    kind: Kind
    opens_on: Day
    closes_on: Day
    tiers: Annotated[tuple[Tier, ...], Field(max_length=4)]
    untiered: bool = False
    excludes: Annotated[tuple[Policy, ...], Field(max_length=4)] = ()
    cap: Count | None = None
    budget_fen: Fen | None = None
    control_bp: BasisPoints = 0
    control_seed: Id = "none"
    costs: Annotated[tuple[CostItem, ...], Field(max_length=50)] = ()
    prepaid_min_fen: Fen = 0
    gift_bp: BasisPoints = 0
    months_bound: Months = 0
    min_monthly_fen: Fen = 0

    def decide(self, at: datetime, campaign: Campaign) -> list[Event]:
        if campaign.opens_on is not None:
            raise CampaignExists(self.campaign_id)
        if self.closes_on < self.opens_on:
            raise WindowReversed(self.opens_on, self.closes_on)
        terms = self.model_dump(exclude={"command", "campaign_id", "key", "actor", "at", "costs"})
        return [self.event(CampaignLaunched, at, costs=self.costs, **terms)]


class ChangeTerms(CampaignCommand):
    """Give a campaign new terms, from then on or to the next ones. Versions count as they are
    told; enrolments keep the terms they were made under."""

    command: Literal["campaign.change_terms"] = "campaign.change_terms"
    prepaid_min_fen: Fen
    gift_bp: BasisPoints
    months_bound: Months
    min_monthly_fen: Fen

    def decide(self, at: datetime, campaign: Campaign) -> list[Event]:
        launched(campaign, self.campaign_id)
        room_for_one(campaign, "terms", len(timeline.forget(campaign.terms, at)))
        event = self.event(
            TermsChanged,
            at,
            terms_version=campaign.terms_versions + 1,
            prepaid_min_fen=self.prepaid_min_fen,
            gift_bp=self.gift_bp,
            months_bound=self.months_bound,
            min_monthly_fen=self.min_monthly_fen,
        )
        return [event]


class CloseCampaign(CampaignCommand):
    """Take no more enrolments. A campaign closes once: at another time once that is corrected."""

    command: Literal["campaign.close"] = "campaign.close"
    reason: Text

    def decide(self, at: datetime, campaign: Campaign) -> list[Event]:
        launched(campaign, self.campaign_id)
        if campaign.closed_at is not None:
            raise NothingChanges("closed")
        return [self.event(CampaignClosed, at, reason=self.reason)]


class OfferCampaign(Command):
    """Draw a member: to be offered the campaign, or into its control group."""

    command: Literal["campaign.offer"] = "campaign.offer"
    writes: ClassVar[dict[str, str]] = {"member": "member_id"}
    reads: ClassVar[dict[str, str]] = {"campaign": "campaign_id"}
    member_id: MemberId
    campaign_id: CampaignId

    def decide(self, at: datetime, member: Member, campaign: Campaign) -> list[Event]:
        on_the_network(member, self.member_id, at)
        closes_on = not_over(campaign, self.campaign_id, at)
        if not campaign.control_bp:
            raise NoDraw(self.campaign_id)
        tier = tier_at(member, at)
        in_segment(campaign, tier)
        if self.campaign_id in member.offered:
            raise AlreadyOffered(self.campaign_id)
        not_forgotten(member, closes_on)
        room_for_one(member, "offered", len(remembered(member.offered, closed_on, at)))
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

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        return {"arm": getattr(events[-1], "arm", None)}


class Enrol(Command):
    """Enrol a member in a campaign: one place, his enrolment, and the binding it brings.

    Refused in this order: unknown, outside the window, terms not as shown, not in the segment,
    already enrolled or so long ago that this may be forgotten, in the control group, contradicting
    a binding, sum too small, cap, budget.
    """

    command: Literal["campaign.enrol"] = "campaign.enrol"
    writes: ClassVar[dict[str, str]] = {"member": "member_id", "places": "campaign_id"}
    reads: ClassVar[dict[str, str]] = {"campaign": "campaign_id"}
    member_id: MemberId
    campaign_id: CampaignId
    prepaid_fen: Fen = 0
    shown_terms_version: Count | None = None

    def decide(
        self, at: datetime, member: Member, places: Places, campaign: Campaign
    ) -> list[Event]:
        on_the_network(member, self.member_id, at)
        terms = running(campaign, self.campaign_id, at)
        if self.shown_terms_version is not None and self.shown_terms_version != terms.version:
            raise TermsAreNewer(self.shown_terms_version, terms.version)
        tier = tier_at(member, at)
        in_segment(campaign, tier)
        policy = POLICY_OF.get(campaign.kind) if terms.months_bound else None
        starts_on = local_date(at)
        ends_on = add_months(starts_on, terms.months_bound)
        self._admissible(member, campaign)
        self._contradicts_nothing(member, campaign, starts_on, ends_on if policy else starts_on)
        if self.prepaid_fen < terms.prepaid_min_fen:
            raise PrepaidTooSmall(self.prepaid_fen, terms.prepaid_min_fen)
        gift_fen = self.prepaid_fen * terms.gift_bp // 10_000  # rounded down to a fen
        self._within_limits(campaign, places, gift_fen)
        room_for_one(member, "enrolled", len(remembered(member.enrolled, ended_on(member), at)))
        if policy:
            room_for_one(member, "bindings", len(still_remembered(member.bindings, at)))
        place = places.taken + 1
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
                tier=tier,
                unit_id=member.unit_id,
                excludes=tuple(campaign.excludes) or None,
            ),
        ]
        if policy:
            binding = self.event(
                BindingStarted,
                at,
                binding=member.bindings_made + 1,
                policy=policy,
                campaign_id=self.campaign_id,
                starts_on=starts_on,
                ends_on=ends_on,
                unit_id=member.unit_id,
            )
            events.append(binding)
        return events

    def _admissible(self, member: Member, campaign: Campaign) -> None:
        if self.campaign_id in member.enrolled:
            raise AlreadyEnrolled(self.campaign_id)
        if campaign.closes_on is not None:
            not_forgotten(member, campaign.closes_on)
        if campaign.control_bp and drawn_into_control(
            campaign.control_seed, self.member_id, campaign.control_bp
        ):
            raise InControlGroup(self.campaign_id)

    def _contradicts_nothing(
        self, member: Member, campaign: Campaign, starts_on: date, ends_on: date
    ) -> None:
        """Today no excluded policy binds him, nor later while this enrolment would."""
        tomorrow = starts_on + timedelta(days=1)
        bound = policies_within(member, starts_on, max(tomorrow, ends_on))
        for policy in campaign.excludes:
            if policy in bound:
                raise AlreadyBound(policy)
            bindings.known_since(member, policy, starts_on)

    def _within_limits(self, campaign: Campaign, places: Places, gift_fen: int) -> None:
        if campaign.cap is not None and places.held >= campaign.cap:
            raise CapReached(campaign.cap, places.held)
        if (budget := campaign.budget_fen) is not None and places.gift_fen + gift_fen > budget:
            raise BudgetUsedUp(budget, places.gift_fen, gift_fen)

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        enrolled = next(event for event in events if isinstance(event, CampaignEnrolled))
        bound = [event.ends_on for event in events if isinstance(event, BindingStarted)]
        return {
            "campaign_id": self.campaign_id,
            "place": enrolled.place,
            "terms_version": enrolled.terms_version,
            "gift_fen": enrolled.gift_fen,
            "ends_on": bound[0].isoformat() if bound else None,
        }
