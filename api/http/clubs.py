"""Clubs: their services and prices, and how much they are used."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from api import answers
from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.inputs import PAST, AsOf, Awaited, ClubPath, InHouse, several
from api.runtime.problems import invalid
from domain.clubs import UnknownClub
from domain.kernel.values import Day
from projections import visits
from projections.visits import DIMENSIONS, ClubUse

router = APIRouter(prefix=PREFIX, tags=["clubs"])
_COLUMN = f"({'|'.join(each for each in DIMENSIONS if each != 'club_id')})"
Columns = Annotated[str, StringConstraints(pattern=f"^{_COLUMN}(,{_COLUMN}){{0,3}}$")]


@router.get(
    "/clubs/{club_id}/use",
    response_model=ClubUse,
    responses=refuses("unknown_club", *PAST),
)
@needs(Need("clubs.read", "club_id"))
async def club_use(
    club_id: ClubPath,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    first: Annotated[Day | None, Query(alias="from", description="this year's 1 January")] = None,
    last: Annotated[Day | None, Query(alias="to", description="today")] = None,
    by: Annotated[
        list[Columns],
        Query(description="what the rows are grouped by, several by commas", max_length=4),
    ] = ["month"],  # noqa: B006 - FastAPI copies it
) -> ClubUse:
    """Visits, companions, points and free visits on the days from `from` to `to`."""
    columns: Any = several(by)  # the pattern knows no others
    begins, today = answers.this_year(house.at(asked))
    begins, ends = first or begins, last or today
    if ends < begins:
        told = {"field": "query.to", "code": "reversed", "detail": "It lies before query.from"}
        raise invalid([told])
    found = await house.ask(
        lambda conn, _: visits.club_use(conn, club_id, begins, ends, columns, today),
        wait_for,
        asked,
    )
    if found is None:
        raise UnknownClub(club_id)
    return found
