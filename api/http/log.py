"""The log from a position, for whoever wants to follow it; what is in doubt, what an exception."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import log
from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.inputs import PAST, AsOf, Awaited, InHouse, Limit, Position, place_of
from api.http.server.paging import Pages, paged
from api.runtime.problems import DoorProblem
from domain.kernel.correction import Topic
from domain.kernel.values import Code, Day, MemberId
from projections import exceptions as excepting
from projections.audit import doubts as doubting
from projections.engine.answer import Moment
from projections.engine.connection import Conn

router = APIRouter(prefix=PREFIX, tags=["log"])


@router.get("/events", response_model=log.LogPage, responses=refuses("not_found"))
@needs(Need("log.read"))
async def events(
    house: InHouse,
    after: Position = 0,
    limit: Limit = 100,
    bucket: Annotated[int, Query(ge=0, le=63)] = 0,
) -> Response:
    """Events of one bucket behind a position. Positions have no gaps and never change."""
    question = partial(log.log_page, bucket=bucket, after=after, limit=limit)
    found = await house.reads(question)
    if found is None:
        raise DoorProblem("not_found", f"There is no bucket {bucket}.")
    return Response(found, media_type="application/json")


@router.get("/doubts", response_model=paged(doubting.Doubts), responses=refuses(*PAST))
@needs(Need("lists.read"))
async def doubts(
    house: InHouse, wait_for: Awaited, asked: AsOf, pages: Pages, limit: Limit = 100
) -> doubting.Doubts:
    """Facts that were judged by other values than those now known for their time: somebody decides
    what becomes of them."""

    def page(conn: Conn, _: Moment | None) -> doubting.Doubts:
        found = doubting.page(conn, limit, place_of(pages.after))
        return pages.page(paged(doubting.Doubts), found, _named(found.next))

    return await house.ask(page, wait_for, asked)


@router.get(
    "/exceptions",
    response_model=paged(excepting.ExceptionPage),
    responses=refuses("unknown_member", "unknown_value", *PAST),
)
@needs(Need("lists.read"))
async def exceptions(
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    pages: Pages,
    member_id: Annotated[MemberId | None, Query(description="of this member")] = None,
    code: Annotated[Code | None, Query(description="that broke this rule")] = None,
    topic: Annotated[Topic | None, Query(description="events of this topic")] = None,
    first: Annotated[Day | None, Query(description="from this day on")] = None,
    last: Annotated[Day | None, Query(description="until this day, itself included")] = None,
    limit: Limit = 100,
) -> excepting.ExceptionPage:
    """Facts of a history that broke a rule which protects a live desk, each with the rules."""
    of = excepting.Wanted(member_id, code, topic, first, last)

    def page(conn: Conn, _: Moment | None) -> excepting.ExceptionPage:
        found = excepting.page(conn, of, limit, place_of(pages.after))
        return pages.page(paged(excepting.ExceptionPage), found, _named(found.next))

    return await house.ask(page, wait_for, asked)


def _named(place: tuple[int, int] | None) -> str | None:
    return None if place is None else f"{place[0]}:{place[1]}"
