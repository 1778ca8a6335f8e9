"""What if: the history under changed rules."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from psycopg.errors import QueryCanceled

from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.calls import Call, Line
from api.http.server.documented import refuses
from api.http.server.inputs import House, InHouse, Limit
from api.runtime.problems import DoorProblem
from domain.simulation.scenario import Scenario
from ledger.database import connect_as
from ledger.log.batcher import Busy
from projections.engine.building import Progress
from projections.whatif.differences import WhatIf, what_if
from projections.whatif.overlay import AnotherIsSupposed

LIMIT_S = 120.0
"""How long a replay may take here. The command line has no limit."""
AGAIN_S = 5

router = APIRouter(prefix=PREFIX, tags=["figures"])

Skip = Annotated[int, Query(ge=0, le=1_000_000, description="how many to leave out before them")]


class TooLong(Exception):
    """The replay has taken longer than it may."""


def _within_limit(house: House, scenario: Scenario, limit: int, skip: int, call: Call) -> WhatIf:
    until = time.monotonic() + LIMIT_S

    def look(_: Progress) -> None:
        if time.monotonic() > until:
            raise TooLong

    @contextmanager
    def opened(dsn: str) -> Iterator[Line]:
        with connect_as(Line, dsn) as line, call.on(line):
            yield line

    at = house.clock.now()
    how = {"alone": True, "timeout_s": LIMIT_S, "opened": opened}
    return what_if(house.dsn, scenario, at, limit, skip, look, **how)


@router.post(
    "/what-if",
    response_model=WhatIf,
    responses=refuses(
        "unknown_club",
        "unknown_service",
        "unknown_campaign",
        "what_if_running",
        "what_if_too_long",
    ),
)
@needs(Need("whatif.ask"))
async def suppose(scenario: Scenario, house: InHouse, limit: Limit = 50, skip: Skip = 0) -> WhatIf:
    """Replay the history under changed rules, and tell what would be otherwise. Writes nothing.

    `limit` and `skip` page through the members affected and the refusals; each page is a replay.
    """
    try:
        return await house.supposing(partial(_within_limit, house, scenario, limit, skip))
    except (AnotherIsSupposed, Busy):
        raise DoorProblem("what_if_running", more={"retry_after_s": AGAIN_S}) from None
    except (QueryCanceled, TooLong):
        raise DoorProblem("what_if_too_long", more={"limit_s": int(LIMIT_S)}) from None
