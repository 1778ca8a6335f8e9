"""Clubs: their services and prices, and how much they are used."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api import answers
from api.http.server.documented import refuses
from api.http.server.inputs import PAST, AsOf, Awaited, ClubPath, InHouse
from api.runtime.problems import invalid
from domain.clubs import UnknownClub
from domain.kernel.values import Day
from projections import visits
from projections.visits import ClubUse

router = APIRouter(tags=["clubs"])


@router.get(
    "/clubs/{club_id}/use",
    response_model=ClubUse,
    responses=refuses("unknown_club", *PAST),
)
async def club_use(
    club_id: ClubPath,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    first: Annotated[Day | None, Query(alias="from", description="this year's 1 January")] = None,
    last: Annotated[Day | None, Query(alias="to", description="today")] = None,
    by: Annotated[
        list[Literal["service_id", "month", "tier", "unit_id"]],
        Query(description="what the rows are grouped by", max_length=4),
    ] = ["month"],  # noqa: B006 - FastAPI copies it
) -> ClubUse:
    """Visits, companions, points and free visits on the days from `from` to `to`."""
    begins, today = answers.this_year(house.at(asked))
    begins, ends = first or begins, last or today
    if ends < begins:
        told = {"field": "query.to", "code": "reversed", "detail": "It lies before query.from"}
        raise invalid([told])
    found = await house.ask(
        lambda conn, _: visits.club_use(conn, club_id, begins, ends, by, today), wait_for, asked
    )
    if found is None:
        raise UnknownClub(club_id)
    return found
