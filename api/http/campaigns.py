"""Campaigns: see what they came to."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.editing import TAGGED, tag, tagged
from api.http.server.inputs import PAST, AsOf, Awaited, CampaignPath, InHouse, Limit
from api.http.server.paging import Pages, paged
from domain.campaigns import UnknownCampaign
from domain.kernel.values import Day, local_date
from projections import campaigns
from projections.campaigns import Campaign, CampaignFigures
from projections.engine.answer import Answer, Moment
from projections.engine.connection import Conn

router = APIRouter(prefix=PREFIX, tags=["campaigns"])


class Campaigns(Answer):
    """Every campaign."""

    campaigns: list[Campaign]


@router.get("/campaigns", response_model=paged(Campaigns))
@needs(Need("campaigns.read"))
async def list_campaigns(
    house: InHouse, wait_for: Awaited, pages: Pages, limit: Limit = 100
) -> Campaigns:
    """Every campaign by now."""
    question = partial(campaigns.campaigns, until=local_date(house.at(None)))
    rows, place = pages.of(await house.reads(question, wait_for), limit, ("campaign_id",))
    return pages.page(paged(Campaigns), Campaigns(campaigns=[*rows]), place)


@router.get(
    "/campaigns/{campaign_id}",
    response_model=CampaignFigures,
    responses={200: {"headers": TAGGED}, **refuses("unknown_campaign", *PAST)},
)
@needs(Need("campaigns.read"))
async def campaign_figures(
    campaign_id: CampaignPath,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    response: Response,
    until: Annotated[
        Day | None, Query(description="the last day of which events count; else today")
    ] = None,
) -> CampaignFigures:
    """A campaign: participants, prepaid sum, mean, cost, and its return where there is one."""
    upto = until or local_date(house.at(asked))

    def answer(conn: Conn, _: Moment | None) -> CampaignFigures | None:
        if asked is None:
            tagged(response, tag(conn, "campaign", campaign_id))
        return campaigns.campaign_figures(conn, campaign_id, upto)

    found = await house.ask(answer, wait_for, asked)
    if found is None:
        raise UnknownCampaign(campaign_id)
    return found
