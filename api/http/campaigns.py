"""Campaigns: enrol a member; see what a campaign came to."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from api import models
from api.http.documented import refuses
from api.http.inputs import (
    DEFAULT_ACTOR,
    PAST,
    AsOf,
    Awaited,
    InHouse,
    PathId,
    WriteActor,
    WriteKey,
    sent,
)
from api.http.receipts import WRITE, receipt_of
from domain.campaigns import UnknownCampaign
from domain.enrolments import Enrol
from domain.values import WHOLE, Day, Fen, MemberId, local_date
from projections import campaigns, returns
from projections.answer import Answer
from projections.campaigns import Campaign
from projections.returns import CampaignFigures

router = APIRouter(tags=["campaigns"])


class EnrolmentRequest(BaseModel):
    """Who takes part, what he pays in advance, and the terms he was shown."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [{"member_id": "m0000001", "prepaid_fen": 60_000, "shown_terms_version": 1}]
        },
    )

    member_id: MemberId
    prepaid_fen: Annotated[Fen, WHOLE] = 0
    shown_terms_version: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        None, description="the version of the terms; if they have moved, it is refused"
    )

    def command(self, path_id: str, key: str, actor: str) -> Enrol:
        """The enrolment in the campaign of the path."""
        return Enrol(key=key, actor=actor, campaign_id=path_id, **sent(self))


class Campaigns(Answer):
    """Every campaign."""

    campaigns: list[Campaign]


@router.get("/campaigns", response_model=Campaigns)
async def list_campaigns(house: InHouse, wait_for: Awaited) -> Campaigns:
    """Every campaign by now."""
    question = partial(campaigns.campaigns, until=local_date(house.at(None)))
    return Campaigns(campaigns=await house.reads(question, wait_for))


@router.get(
    "/campaigns/{campaign_id}",
    response_model=CampaignFigures,
    responses=refuses("unknown_campaign", *PAST),
)
async def campaign_figures(
    campaign_id: PathId,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    until: Annotated[
        Day | None, Query(description="the last day of which events count; else today")
    ] = None,
) -> CampaignFigures:
    """A campaign: participants, prepaid sum, mean, cost, and its return where there is one."""
    upto = until or local_date(house.at(asked))
    found = await house.ask(
        lambda conn, _: returns.campaign_figures(conn, campaign_id, upto), wait_for, asked
    )
    if found is None:
        raise UnknownCampaign(campaign_id)
    return found


@router.post(
    "/campaigns/{campaign_id}/enrolments",
    status_code=201,
    response_model=models.EnrolmentReceipt,
    responses={
        **WRITE,
        **refuses(
            "unknown_member",
            "unknown_campaign",
            "before_joining",
            "left_the_network",
            "campaign_not_open",
            "campaign_over",
            "terms_are_newer",
            "not_in_segment",
            "already_enrolled",
            "too_long_ago",
            "in_control_group",
            "already_bound",
            "prepaid_too_small",
            "cap_reached",
            "budget_used_up",
            "too_many",
        ),
    },
)
async def enrol(
    campaign_id: PathId,
    enrolment: EnrolmentRequest,
    house: InHouse,
    key: WriteKey,
    actor: WriteActor = DEFAULT_ACTOR,
) -> Response:
    """Enrol a member: one place of the campaign, and the binding it brings. Safe to send again."""
    return receipt_of(await house.ledger.execute(enrolment.command(campaign_id, key, actor)))
