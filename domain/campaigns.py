"""Campaigns: launched under terms, for a segment and a window, and closed."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Struct, field
from pydantic import BaseModel, ConfigDict, Field

from domain.bindings import MAX_MONTHS, Policy
from domain.kernel import timeline
from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, saying
from domain.kernel.event import Event
from domain.kernel.parts import MAX_CHANGES, part_of
from domain.kernel.refusal import DeskRule, Refusal
from domain.kernel.timeline import NothingChanges, Timeline
from domain.kernel.values import (
    MAX_TIERS,
    BasisPoints,
    CampaignId,
    Count,
    Day,
    Fen,
    Id,
    KnownTier,
    Ordinal,
    Text,
    Tier,
    local_date,
)

Kind = Literal["prepay", "family_plan", "handset", "care"]

Arms = Literal["drawn", "given"]
"""Who is offered and who is kept out: drawn with a seed and a share, or given, one by one."""

Months = Annotated[int, Field(ge=0, le=MAX_MONTHS)]


class CostItem(BaseModel):
    """A cost of a campaign that does not grow with its participants, in fen."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    item: Text
    cost_fen: Fen


# -------------------------------------------------------------------------------------- parts
class Terms(Struct, array_like=True, gc=False):
    """Terms of a campaign in one version. Money in fen."""

    version: int
    prepaid_min_fen: int
    gift_bp: int
    months_bound: int
    min_monthly_fen: int


@part_of("campaign")
class Campaign(Struct, array_like=True, gc=False):
    """A campaign, and its terms in every version that a late enrolment may be made under."""

    title: str = ""
    kind: str = ""
    opens_on: date | None = None
    closes_on: date | None = None  # the last day of the window
    tiers: Annotated[list[str], AtMost(MAX_TIERS)] = field(default_factory=list)
    untiered: bool = False
    excludes: Annotated[list[str], AtMost(4)] = field(default_factory=list)
    cap: int | None = None
    budget_fen: int | None = None
    control_bp: int = 0
    control_seed: str = ""
    arms_given: bool = False
    terms: Annotated[Timeline[Terms], AtMost(MAX_CHANGES)] = field(default_factory=list)
    terms_versions: int = 0
    closed_at: datetime | None = None


# ------------------------------------------------------------------------------------- events
class CampaignLaunched(Event, name="campaign.launched", stream="campaign"):
    """A campaign was announced: its window (both days included), segment, limits and terms.

    With a control share, who is in the control group is drawn by `drawn_into_control`, which
    anyone can repeat from the seed; where arms are given, each offer says which.
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
    arms: Arms | None = None  # drawn, if it says nothing

    def apply(self, campaign: Campaign) -> None:
        campaign.title, campaign.kind = self.title, self.kind
        campaign.arms_given = self.arms == "given"
        campaign.opens_on, campaign.closes_on = self.opens_on, self.closes_on
        campaign.tiers, campaign.untiered = list(self.tiers), self.untiered
        campaign.excludes = list(self.excludes)
        campaign.cap, campaign.budget_fen = self.cap, self.budget_fen
        campaign.control_bp, campaign.control_seed = self.control_bp, self.control_seed
        campaign.terms = timeline.put(campaign.terms, self.occurred_at, self.first_terms)
        campaign.terms_versions = 1

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

    def apply(self, campaign: Campaign) -> None:
        campaign.terms = timeline.put(campaign.terms, self.occurred_at, self.terms)
        campaign.terms_versions = self.terms_version

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

    def apply(self, campaign: Campaign) -> None:
        campaign.closed_at = self.occurred_at


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
class CampaignNotOpen(DeskRule):
    """The campaign's window has not begun."""

    code = "campaign_not_open"
    day: date
    opens_on: date


@dataclass
class CampaignOver(DeskRule):
    """The campaign has ended."""

    code = "campaign_over"
    day: date
    closes_on: date


@dataclass
class NotInSegment(DeskRule):
    """The campaign is not for this tier."""

    code = "not_in_segment"
    tier: str | None
    tiers: list[str]


@dataclass
class ArmsGivenAndDrawn(Refusal):
    """Arms that are given are not drawn: there is no share to draw."""

    code = "arms_given_and_drawn"
    control_bp: int


# -------------------------------------------------------------------------------------- rules
RUNNING = (UnknownCampaign, CampaignNotOpen, CampaignOver)
NOT_OVER = (UnknownCampaign, CampaignOver)


def require_launched(campaign: Campaign, campaign_id: str) -> tuple[date, date]:
    """(first day, last day); refuses a campaign that does not exist."""
    opens_on, closes_on = campaign.opens_on, campaign.closes_on
    if opens_on is None or closes_on is None:
        raise UnknownCampaign(campaign_id)
    return opens_on, closes_on


def require_running(command: Command, campaign: Campaign, campaign_id: str, at: datetime) -> Terms:
    """The terms in force; refuses a campaign that is not open to enrolments at `at`.

    The first terms hold from its first day on, however late it was announced.
    """
    opens_on, _ = require_launched(campaign, campaign_id)
    if local_date(at) < opens_on:
        command.unless_despite(CampaignNotOpen(local_date(at), opens_on))
    require_not_over(command, campaign, campaign_id, at)
    return timeline.at(campaign.terms, at) or campaign.terms[0][1]


def require_not_over(command: Command, campaign: Campaign, campaign_id: str, at: datetime) -> date:
    """The last day of the window; refuses a campaign that has ended or was closed by `at`."""
    _, closes_on = require_launched(campaign, campaign_id)
    today = local_date(at)
    if today > closes_on:
        command.unless_despite(CampaignOver(today, closes_on))
    if campaign.closed_at is not None and at >= campaign.closed_at:
        command.unless_despite(CampaignOver(today, local_date(campaign.closed_at)))
    return closes_on


def require_in_segment(command: Command, campaign: Campaign, tier: Tier | None) -> None:
    """Refuses a tier that the campaign is not for."""
    if campaign.untiered if tier is None else tier in campaign.tiers:
        return
    command.unless_despite(NotInSegment(tier, list(campaign.tiers)))


# ----------------------------------------------------------------------------------- commands
class CampaignCommand(Command):
    """A command about one campaign alone."""

    writes: ClassVar[dict[str, str]] = {"campaign": "campaign_id"}
    campaign_id: CampaignId


class LaunchCampaign(CampaignCommand):
    """Announce a campaign. Its window is from day to day, both included."""

    command: Literal["campaign.launch"] = "campaign.launch"
    refuses = (CampaignExists, WindowReversed, ArmsGivenAndDrawn)
    example = saying(
        campaign_id="autumn",
        title="Prepay and get credit",
        kind="prepay",
        opens_on="2008-03-01",
        closes_on="2099-12-31",
        tiers=["gold", "silver"],
        control_bp=1_000,
        control_seed="autumn",
        prepaid_min_fen=60_000,
        gift_bp=1_000,
        months_bound=12,
    )
    title: Text
    kind: Kind
    opens_on: Day
    closes_on: Day
    tiers: Annotated[tuple[KnownTier, ...], Field(max_length=MAX_TIERS)]
    untiered: bool = False
    excludes: Annotated[tuple[Policy, ...], Field(max_length=4)] = ()
    cap: Count | None = None
    budget_fen: Fen | None = None
    control_bp: BasisPoints = 0
    control_seed: Id = "none"
    arms: Arms = Field(
        "drawn", description="by seed and share; or each offer gives the arm, as a list has it"
    )
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
        given = self.arms == "given"
        if given and self.control_bp:
            raise ArmsGivenAndDrawn(self.control_bp)
        beside = {"command", "campaign_id", "costs", "arms"}
        terms = self.model_dump(exclude={*Command.model_fields, *beside})
        arms = self.arms if given else None
        return [self.event(CampaignLaunched, at, costs=self.costs, arms=arms, **terms)]


class ChangeTerms(CampaignCommand):
    """Give a campaign new terms, from then on or to the next ones. Versions count as they are
    told; enrolments keep the terms they were made under."""

    command: Literal["campaign.change_terms"] = "campaign.change_terms"
    refuses = (UnknownCampaign, TooMany)
    example = saying(
        campaign_id="spring",
        prepaid_min_fen=30_000,
        gift_bp=500,
        months_bound=12,
        min_monthly_fen=0,
    )
    prepaid_min_fen: Fen
    gift_bp: BasisPoints
    months_bound: Months
    min_monthly_fen: Fen

    def decide(self, at: datetime, campaign: Campaign) -> list[Event]:
        require_launched(campaign, self.campaign_id)
        require_room(campaign, "terms", len(timeline.forget(campaign.terms, at)))
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
    refuses = (UnknownCampaign, NothingChanges)
    example = saying(campaign_id="spring", reason="the budget was cut")
    reason: Text

    def decide(self, at: datetime, campaign: Campaign) -> list[Event]:
        require_launched(campaign, self.campaign_id)
        if campaign.closed_at is not None:
            raise NothingChanges("closed")
        return [self.event(CampaignClosed, at, reason=self.reason)]
