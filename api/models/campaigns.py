"""Campaigns and what they came to."""

from datetime import date, datetime

from pydantic import Field

from api.models.base import Dated, Mean, Number, Rate, View
from domain.campaigns import Kind


class Campaign(View):
    """A campaign, its terms in force and what it came to. Money in fen.

    Walk-ins enrolled without an offer; the participants, prepaid sum and gifts of all hold
    theirs.
    """

    campaign_id: str
    title: str
    kind: Kind
    opens_on: date
    closes_on: date
    closed_at: datetime | None
    cap: int | None
    budget_fen: int | None
    control_bp: int
    terms_version: int
    prepaid_min_fen: int
    gift_bp: int
    months_bound: int
    min_monthly_fen: int
    participants: int
    prepaid_fen: int = Field(description="a liability, never income")
    gift_fen: int
    walk_in_participants: int
    walk_in_prepaid_fen: int
    walk_in_gift_fen: int
    other_costs_fen: int
    offered: int
    control: int


class Arm(View):
    """One side of the draw."""

    customers: int
    margin_fen: int
    retained: int


class Return(View):
    """What a campaign brought, by intention to treat; or why that cannot be computed."""

    value: Number | None = Field(description="(incremental margin - cost) / cost")
    low: Number | None = None
    high: Number | None = None
    first_month: date | None = Field(None, description="margins are counted from this month")
    last_month: date | None = None
    incremental_fen: Number | None = None
    cost_fen: int | None = Field(
        None,
        description="of those offered: their gifts, and by their number a share of the other costs",
    )
    cost_per_retained_fen: Number | None = Field(
        None, description="null if no more were retained than without the campaign"
    )
    offered: Arm | None = None
    control: Arm | None = None
    reason: str | None = Field(None, description="why it is not computable")


class CampaignFigures(Campaign, Dated):
    """A campaign with the figures derived from its events."""

    mean_prepaid_fen: Mean
    cost_fen: int
    cost_per_participant_fen: Mean
    take_up: Rate = Field(description="of those offered, who enrolled")
    campaign_return: Return


class Campaigns(View):
    """Every campaign."""

    campaigns: list[Campaign]
