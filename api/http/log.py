"""The log from a position, for whoever wants to follow it; what is in doubt, what an exception."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import log
from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.inputs import PAST, After, AsOf, Awaited, InHouse, Limit, Position, place_of
from api.runtime.problems import DoorProblem
from domain.kernel.correction import Topic
from domain.kernel.values import Code, Day, MemberId
from projections import exceptions as excepting
from projections.audit import doubts as doubting

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


@router.get("/doubts", response_model=doubting.Doubts, responses=refuses(*PAST))
@needs(Need("lists.read"))
async def doubts(
    house: InHouse, wait_for: Awaited, asked: AsOf, limit: Limit = 100, after: After = None
) -> doubting.Doubts:
    """Facts that were judged by other values than those now known for their time: somebody decides
    what becomes of them."""
    behind = place_of(after)
    return await house.ask(lambda conn, _: doubting.page(conn, limit, behind), wait_for, asked)


@router.get(
    "/exceptions",
    response_model=excepting.ExceptionPage,
    responses=refuses("unknown_member", *PAST),
)
@needs(Need("lists.read"))
async def exceptions(
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    member_id: Annotated[MemberId | None, Query(description="of this member")] = None,
    code: Annotated[Code | None, Query(description="that broke this rule")] = None,
    topic: Annotated[Topic | None, Query(description="events of this topic")] = None,
    first: Annotated[Day | None, Query(description="from this day on")] = None,
    last: Annotated[Day | None, Query(description="until this day, itself included")] = None,
    limit: Limit = 100,
    after: After = None,
) -> excepting.ExceptionPage:
    """Facts of a history that broke a rule which protects a live desk, each with the rules."""
    behind = place_of(after)
    of = excepting.Wanted(member_id, code, topic, first, last)
    return await house.ask(lambda conn, _: excepting.page(conn, of, limit, behind), wait_for, asked)
