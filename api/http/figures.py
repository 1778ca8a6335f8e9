"""Every measure of the ledger, and what changed of them."""

from collections.abc import Mapping
from datetime import date
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from psycopg import Connection

from api import answers
from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.downloads import DOWNLOAD, Wanted, download
from api.http.server.inputs import (
    EFFECTIVE,
    EFFECTIVE_FORM,
    KNOWN,
    KNOWN_FORM,
    PAST,
    AsOf,
    Awaited,
    House,
    InHouse,
    KnownFigures,
    KnownLast,
    read_moment,
)
from api.runtime.clock import Clock
from api.runtime.demonstration import demo_of
from domain.kernel.values import local_date
from projections.asof import changes as changing
from projections.asof.changes import Changes
from projections.engine import runner
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.measure import Measured
from projections.engine.moments import Asked
from projections.figures.last_fact import idle_since, last_fact_on

router = APIRouter(prefix=PREFIX, tags=["figures"])


def _figures(
    conn: Connection[Any], meta: Mapping[str, str], known: KnownFigures
) -> tuple[dict[int, int], answers.Figures]:
    """What is known, if the answers and the installation are still where they were."""
    positions = {lane.bucket: lane.position for lane in runner.status(conn)}
    found = known.found
    today = local_date(Clock.of(meta).now())
    same = found is not None and known.positions == positions and found.demo == demo_of(meta)
    if found is None or not same or any(each.on != today for each in found.figures):
        found = answers.all_figures(conn, meta)
    return positions, found


@router.get(
    "/figures",
    response_model=answers.Figures,
    responses={**DOWNLOAD, **refuses(*PAST)},
)
@needs(Need("figures.read"))
async def all_figures(
    house: InHouse, wait_for: Awaited, asked: AsOf, wanted: Wanted
) -> answers.Figures | Response:
    """Every measure, for each id of a kind that it needs: today, or on the day of a moment."""
    positions: dict[int, int] = {}
    if asked is not None:
        shown = await house.ask(
            lambda conn, moment: answers.all_figures(conn, house.meta, moment), wait_for, asked
        )
    else:
        shown, positions = await live_figures(house, wait_for)
    if wanted is None:
        return shown
    by = wanted.by
    return await download(
        house,
        wanted,
        lambda conn, _: answers.figures_export(conn, house.meta, shown, by, positions),
    )


async def live_figures(
    house: House, wait_for: tuple[int, int] | None
) -> tuple[answers.Figures, dict[int, int]]:
    """Every measure now, taken once for all who ask meanwhile; and at which positions."""
    await house.reads.reach(wait_for)  # Before the lock, which others ask for.
    async with house.figures.turns:
        question = partial(_figures, meta=house.meta, known=house.figures)
        positions, found = await house.reads(question)
    house.figures.positions, house.figures.found = positions, found
    return found.model_copy(update={"clock": answers.local(house.clock.now())}), positions


async def since_when_idle(house: House) -> date | None:
    """The day of the last fact about customers, if it lies before today."""
    return idle_since(await known_last(house), local_date(house.clock.now()))


async def known_last(house: House) -> date | None:
    """The day of the last fact about customers; null: there is none."""
    today = local_date(house.clock.now())

    def look(conn: Conn) -> KnownLast:
        positions = {lane.bucket: lane.position for lane in runner.status(conn)}
        if positions == house.last_fact.positions:
            return house.last_fact
        return KnownLast(positions, last_fact_on(conn, today))

    house.last_fact = await house.reads(look)
    return house.last_fact.day


@router.get("/changes", response_model=Changes, responses=refuses(*PAST))
@needs(Need("figures.read"))
async def changes(
    house: InHouse,
    known_before: Annotated[
        str,
        Query(
            alias="from",
            description=KNOWN,
            examples=["2008-12-31"],
            json_schema_extra=KNOWN_FORM,
        ),
    ],
    known_after: Annotated[
        str | None,
        Query(alias="to", description=f"{KNOWN} Else now.", json_schema_extra=KNOWN_FORM),
    ] = None,
    before: Annotated[
        str | None,
        Query(alias="from_effective", description=EFFECTIVE, json_schema_extra=EFFECTIVE_FORM),
    ] = None,
    after: Annotated[
        str | None,
        Query(alias="to_effective", description=EFFECTIVE, json_schema_extra=EFFECTIVE_FORM),
    ] = None,
) -> Changes:
    """What changed from one moment to another: measures, each on its moment's day, and the events
    between."""
    earlier = read_moment(known_before, before, ("from", "from_effective"))
    later = read_moment(known_after, after, ("to", "to_effective"))
    one, other = [await _seen(house, asked) for asked in (earlier, later)]
    return await house.reads(lambda conn: changing.changed(conn, one, other))


async def _seen(house: House, asked: Asked) -> tuple[Moment, list[Measured]]:
    now = house.clock.now()

    def state(conn: Conn, moment: Moment | None) -> tuple[Moment, list[Measured]]:
        assert moment is not None  # it was asked for
        return moment, changing.state(conn, answers.day_asked(moment, now))

    return await house.ask(state, None, asked)
