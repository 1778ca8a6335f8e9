"""The figures of the report, each with what the events give."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from psycopg import Connection

from api import answers
from api.http.server.documented import refuses
from api.http.server.downloads import DOWNLOAD, Wanted, download
from api.http.server.inputs import (
    EFFECTIVE,
    EFFECTIVE_FORM,
    KNOWN,
    KNOWN_FORM,
    PAST,
    After,
    AsOf,
    Awaited,
    House,
    InHouse,
    KnownFigures,
    Limit,
    place_of,
    read_moment,
)
from api.runtime.demonstration import demo_of
from api.runtime.exports import Export
from api.runtime.problems import DoorProblem
from domain.kernel.values import local_date
from projections.asof import changes as changing
from projections.asof.changes import Changes
from projections.engine import runner
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.measure import Measured
from projections.engine.moments import Asked
from projections.figures.report import Explanation, reported

router = APIRouter(tags=["figures"])


def _figures(
    conn: Connection[Any], meta: Mapping[str, str], known: KnownFigures
) -> tuple[dict[int, int], answers.Figures]:
    """What is known, if the answers and the installation are still where they were."""
    positions = {lane.bucket: lane.position for lane in runner.status(conn)}
    found = known.found
    if found is None or known.positions != positions or found.demo != demo_of(meta):
        found = answers.all_figures(conn, meta)
    return positions, found


@router.get(
    "/figures",
    response_model=answers.Figures,
    responses={**DOWNLOAD, **refuses(*PAST)},
)
async def all_figures(
    house: InHouse, wait_for: Awaited, asked: AsOf, wanted: Wanted
) -> answers.Figures | Response:
    """Every figure: reported, derived, difference, verdict, assumptions, number of events."""
    positions: dict[int, int] = {}
    if asked is not None:
        shown = await house.ask(
            lambda conn, moment: answers.all_figures(conn, house.meta, moment), wait_for, asked
        )
    else:
        shown, positions = await _live_figures(house, wait_for)
    if wanted is None:
        return shown
    by = wanted.by
    return await download(
        house,
        wanted,
        lambda conn, _: answers.figures_export(conn, house.meta, shown, by, positions),
    )


async def _live_figures(
    house: House, wait_for: tuple[int, int] | None
) -> tuple[answers.Figures, dict[int, int]]:
    await house.reads.reach(wait_for)  # Before the lock, which others ask for.
    async with house.figures.turns:
        question = partial(_figures, meta=house.meta, known=house.figures)
        positions, found = await house.reads(question)
    house.figures.positions, house.figures.found = positions, found
    return found.model_copy(update={"clock": answers.local(house.clock.now())}), positions


@router.get(
    "/figures/{figure_id}/explain",
    response_model=Explanation,
    responses={**DOWNLOAD, **refuses("unknown_figure", "too_large_a_sheet", *PAST)},
)
async def explain_figure(
    figure_id: Annotated[str, Path(pattern=r"^[a-z0-9_.-]{1,100}$", examples=["binding.rate"])],
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    wanted: Wanted,
    limit: Limit = 50,
    after: After = None,
) -> Explanation | Response:
    """A figure's formula, its inputs, and the events behind it, page by page. Or all as a file."""
    if figure_id not in reported()[1]:
        raise DoorProblem("unknown_figure")
    behind = place_of(after)

    def page(conn: Conn, moment: Moment | None) -> Explanation:
        return answers.explanation(conn, house.meta, figure_id, limit, behind, moment)

    if wanted is None:
        return await house.ask(page, wait_for, asked)
    by = wanted.by

    def whole(conn: Conn, moment: Moment | None) -> Export:
        return answers.evidence_export(conn, house.meta, figure_id, moment, by)

    return await download(house, wanted, whole, wait_for, asked)


@router.get("/changes", response_model=Changes, responses=refuses(*PAST))
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
    on = local_date(house.at(asked))

    def state(conn: Conn, moment: Moment | None) -> tuple[Moment, list[Measured]]:
        assert moment is not None  # it was asked for
        return moment, changing.state(conn, on)

    return await house.ask(state, None, asked)
