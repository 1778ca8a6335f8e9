"""The log from a position, for whoever wants to follow it; and what of it is in doubt."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import log
from api.http.server.documented import refuses
from api.http.server.inputs import PAST, After, AsOf, Awaited, InHouse, Limit, Position, place_of
from api.runtime.problems import DoorProblem
from projections.audit import doubts as doubting

router = APIRouter(tags=["log"])


@router.get("/events", response_model=log.LogPage, responses=refuses("not_found"))
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
async def doubts(
    house: InHouse, wait_for: Awaited, asked: AsOf, limit: Limit = 100, after: After = None
) -> doubting.Doubts:
    """Facts that were judged by other values than those now known for their time: somebody decides
    what becomes of them."""
    behind = place_of(after)
    return await house.ask(lambda conn, _: doubting.page(conn, limit, behind), wait_for, asked)
