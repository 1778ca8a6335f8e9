"""Campaigns: see what they came to."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.inputs import PAST, AsOf, Awaited, CampaignPath, InHouse
from domain.campaigns import UnknownCampaign
from domain.kernel.values import Day, local_date
from projections import campaigns
from projections.campaigns import Campaign, CampaignFigures
from projections.engine.answer import Answer

router = APIRouter(prefix=PREFIX, tags=["campaigns"])


class Campaigns(Answer):
    """Every campaign."""

    campaigns: list[Campaign]


@router.get("/campaigns", response_model=Campaigns)
@needs(Need("campaigns.read"))
async def list_campaigns(house: InHouse, wait_for: Awaited) -> Campaigns:
    """Every campaign by now."""
    question = partial(campaigns.campaigns, until=local_date(house.at(None)))
    return Campaigns(campaigns=await house.reads(question, wait_for))


@router.get(
    "/campaigns/{campaign_id}",
    response_model=CampaignFigures,
    responses=refuses("unknown_campaign", *PAST),
)
@needs(Need("campaigns.read"))
async def campaign_figures(
    campaign_id: CampaignPath,
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
        lambda conn, _: campaigns.campaign_figures(conn, campaign_id, upto), wait_for, asked
    )
    if found is None:
        raise UnknownCampaign(campaign_id)
    return found
