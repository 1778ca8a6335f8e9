"""Measures: the catalogue, what each comes to, and the rows that make it up."""

from collections.abc import Mapping
from inspect import Parameter, Signature
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import StringConstraints

from api import answers
from api.doors import PREFIX, Need
from api.http.figures import known_last
from api.http.server.access import SIGNED_IN, needs
from api.http.server.documented import refuses
from api.http.server.downloads import DOWNLOAD, Wanted, download
from api.http.server.inputs import PAST, AsOf, Awaited, House, InHouse, Limit, several
from api.http.server.paging import Pages, Paging, paged
from api.runtime.exports import Export
from domain.kernel.values import ONE_LINE
from projections.engine import contributions, measure
from projections.engine.answer import Answer, Moment
from projections.engine.connection import Conn
from projections.engine.contributions import Contributions
from projections.engine.measure import (
    DAYS,
    MEASURES,
    Described,
    UnknownMeasure,
    catalogue,
    described,
    form_of,
)
from projections.engine.moments import Asked
from projections.engine.names import codes_of
from projections.figures.last_fact import last_fact_on

router = APIRouter(prefix=PREFIX, tags=["measures"])
OF_ITS_VALUE = Need("figures.read", "club_id", "unit_id")
OF_ITS_ROWS = Need("lists.read", "club_id", "unit_id")

MeasureId = Annotated[str, Path(pattern=r"^[a-z0-9_.]{1,100}$", examples=["members.vips"])]
_Columns = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}(,[a-z_]{1,40}){0,5}$")]
By = Annotated[
    list[_Columns], Query(description="what it is grouped by, several by commas", max_length=6)
]
After = Annotated[
    str | None, Query(pattern=ONE_LINE, max_length=500, description="`next` of the page before")
]
_WORDS = list(dict.fromkeys([*DAYS, *(name for each in catalogue() for name in each.takes)]))
"""All that some measure takes."""
_CODES = ("unknown_measure", "wrong_parameters", *codes_of(_WORDS), *PAST)


class Catalogue(Answer):
    """Every measure."""

    measures: list[Described]


@router.get("/measures", response_model=Catalogue)
@needs(SIGNED_IN)
async def list_measures() -> Catalogue:
    """Every measure: what it means, its formula, and what it is asked with."""
    return Catalogue(measures=[described(each) for each in catalogue()])


def asked_with(**more: tuple[Any, Any]) -> Signature:
    """What FastAPI goes by: every parameter that some measure takes, and more with their usual."""
    taken = {"measure_id": MeasureId, "house": InHouse, "wait_for": Awaited, "asked": AsOf}
    words = {
        name: Annotated[
            str | None,
            Query(
                pattern=ONE_LINE,
                max_length=1000,
                description=DAYS.get(name, "where the measure takes it"),
                json_schema_extra=dict(form_of(name)),
            ),
        ]
        for name in _WORDS
    }
    all_of_them = {
        **{name: (of, Parameter.empty) for name, of in taken.items()},
        **more,
        **{name: (of, None) for name, of in words.items()},
    }
    return Signature(
        [
            Parameter(name, Parameter.KEYWORD_ONLY, annotation=of, default=usual)
            for name, (of, usual) in all_of_them.items()
        ]
    )


def said_of(words: Mapping[str, Any]) -> dict[str, Any]:
    """Those of its parameters that were said."""
    return {name: value for name, value in words.items() if value is not None}


@needs(OF_ITS_VALUE)
async def ask_measure(
    measure_id: str,
    house: House,
    wait_for: tuple[int, int] | None,
    asked: Asked | None,
    by: list[str],
    **words: Any,
) -> answers.MeasureAnswer:
    """What a measure comes to: in all, and by columns of its rows. A filter takes several values by
    commas, `none` for nothing and `*` for anything there."""
    now, said = house.clock.now(), said_of(words)

    def ask(conn: Conn, moment: Moment | None) -> answers.MeasureAnswer:
        on = answers.day_asked(moment, now)
        found = measure.measured(conn, measure_id, said, on, several(by))
        return answers.measure_answer(found, last_fact_on(conn, on) if moment else None)

    found = await house.ask(ask, wait_for, asked)
    return found if asked else answers.measure_answer(found, await known_last(house))


@needs(OF_ITS_ROWS)
async def ask_contributions(
    measure_id: str,
    house: House,
    wait_for: tuple[int, int] | None,
    asked: Asked | None,
    wanted: Any,
    limit: int,
    pages: Paging,
    **words: Any,
) -> Contributions | Response:
    """The rows that make a measure up, page by page: what each is, the days and values that
    decided, what it adds, and its events. Or all of them as a file."""
    if measure_id not in MEASURES:
        raise UnknownMeasure
    now, said = house.clock.now(), said_of(words)

    def page(conn: Conn, moment: Moment | None) -> Contributions:
        on = answers.day_asked(moment, now)
        found = contributions.contributions(conn, measure_id, said, on, limit, pages.after)
        return pages.page(paged(Contributions), found, found.next)

    def whole(conn: Conn, moment: Moment | None) -> Export:
        on = answers.day_asked(moment, now)
        of = (conn, house.meta, measure_id, said, on, moment, wanted.by)
        return answers.contributions_export(*of)

    if wanted is None:
        return await house.ask(page, wait_for, asked)
    return await download(house, wanted, whole, wait_for, asked)


ask_measure.__dict__["__signature__"] = asked_with(by=(By, []))
ask_contributions.__dict__["__signature__"] = asked_with(
    wanted=(Wanted, Parameter.empty), limit=(Limit, 50), pages=(Pages, Parameter.empty)
)
router.add_api_route(
    "/measures/{measure_id}",
    ask_measure,
    name="measure",
    response_model=answers.MeasureAnswer,
    responses=refuses(*_CODES),
)
router.add_api_route(
    "/measures/{measure_id}/contributions",
    ask_contributions,
    name="contributions",
    response_model=paged(Contributions),
    responses={**DOWNLOAD, **refuses(*_CODES, "too_large_a_sheet")},
)
