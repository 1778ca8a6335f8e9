"""Clubs: their services and prices, and how much they are used."""

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from api import answers, models
from api.http.documented import refuses
from api.http.inputs import PAST, AsOf, Awaited, InHouse, PathId
from api.problems import invalid
from domain.clubs import UnknownClub
from domain.values import Day
from projections import clubs

router = APIRouter(tags=["clubs"])


@router.get("/clubs", response_model=models.Clubs)
async def list_clubs(house: InHouse, wait_for: Awaited) -> models.Clubs:
    """Every club."""
    found = await house.reads(clubs.clubs, wait_for)
    return models.Clubs(clubs=[models.Club.model_validate(each) for each in found])


@router.get(
    "/clubs/{club_id}",
    response_model=models.ClubCard,
    responses=refuses("unknown_club"),
)
async def club(club_id: PathId, house: InHouse, wait_for: Awaited) -> models.ClubCard:
    """A club with its services and the prices in force."""
    found = await house.reads(partial(answers.club, club_id=club_id), wait_for)
    if found is None:
        raise UnknownClub(club_id)
    return found


@router.get(
    "/clubs/{club_id}/use",
    response_model=models.ClubUse,
    responses=refuses("unknown_club", *PAST),
)
async def club_use(
    club_id: PathId,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    first: Annotated[Day | None, Query(alias="from", description="this year's 1 January")] = None,
    last: Annotated[Day | None, Query(alias="to", description="today")] = None,
    by: Annotated[
        list[Literal["service_id", "month", "tier", "unit_id"]],
        Query(description="what the rows are grouped by", max_length=4),
    ] = ["month"],  # noqa: B006 - FastAPI copies it
) -> models.ClubUse:
    """Visits, companions, points and free visits on the days from `from` to `to`."""
    begins, today = answers.this_year(house.at(asked))
    begins, ends = first or begins, last or today
    if ends < begins:
        told = {"field": "query.to", "code": "reversed", "detail": "It lies before query.from"}
        raise invalid([told])
    question = partial(
        answers.club_use, club_id=club_id, first=begins, last=ends, by=by, today=today
    )
    found = await house.ask(question, wait_for, asked)
    if found is None:
        raise UnknownClub(club_id)
    return found
