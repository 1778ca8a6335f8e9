"""Who is bound, unit by unit: ranked, with the change from the day before; as a page and a file."""

from contextlib import nullcontext
from datetime import date
from functools import partial
from typing import Annotated

from fastapi import Query, Request
from fastapi.responses import Response

from api import answers
from api.doors import Need
from api.http.figures import since_when_idle
from api.http.pages.campaigns import BASE
from api.http.pages.measures import titles_of
from api.http.pages.page import page, router_of_pages
from api.http.server.access import needs
from api.http.server.downloads import Wanted, download
from api.http.server.inputs import AsOf, Awaited, InHouse
from api.runtime.exports import Export
from domain.kernel.values import CohortId, Day, local_date
from projections.engine.answer import Answer, Moment, Number
from projections.engine.connection import Conn
from projections.engine.measure import MEASURES, known
from projections.figures.bulletin import Bulletin, UnitLine, bulletin

RATE = "bindings.rate"
AT = f"{BASE}/-/bindings"
"""No campaign is called so."""

router = router_of_pages()


class Ranked(Answer):
    """A line of the file."""

    rank: int | None
    unit_id: str
    unit_title: str | None
    base: int
    bound: int
    value: Number | None
    change: Number | None


def _ranked(line: UnitLine) -> Ranked:
    sums = {each.name: each.value for each in line.inputs}
    return Ranked(**line.model_dump(exclude={"inputs"}), base=sums["base"], bound=sums["bound"])


def _cohorts(conn: Conn) -> dict[str, str]:
    """Those whose customers are to be bound with their titles, the latest first."""
    found = [each["cohort_id"] for each in reversed(known(conn, MEASURES[RATE].rows.needs))]
    titles = titles_of(conn, ("cohort_id",)).get("cohort_id", {})
    return {each: titles.get(each, each) for each in found}


def _asked(
    conn: Conn, _: Moment | None, cohort_id: str | None, on: date
) -> tuple[dict[str, str], Bulletin | None]:
    cohorts = _cohorts(conn)
    chosen = cohort_id or next(iter(cohorts), None)
    if chosen is None:
        return cohorts, None
    return cohorts, bulletin(conn, RATE, {"cohort_id": chosen}, on)


@router.get(AT)
@needs(Need("figures.read", unit="unit_id"))
async def bindings_by_unit(
    request: Request,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    wanted: Wanted,
    cohort_id: CohortId | None = None,
    on: Annotated[Day | None, Query()] = None,
) -> Response:
    """The bulletin of a day, of a cohort whose customers are to be bound."""
    day = on or local_date(house.at(asked))
    question = partial(_asked, cohort_id=cohort_id, on=day)
    if wanted is None:
        cohorts, found = await house.ask(question, wait_for, asked)
        moment = None if asked is None else await house.past.moment(asked, house.clock.now())
        of_today = asked is None and on is None
        idle = await since_when_idle(house) if of_today else None
        return page(
            request, "campaigns/bindings.html",
            base=BASE, at=AT, cohorts=cohorts, bulletin=found, on=day, moment_of=moment, idle=idle,
            lines=[_ranked(each) for each in found.units] if found else [],
        )  # fmt: skip
    by = wanted.by

    def whole(conn: Conn, moment: Moment | None) -> Export:
        _, found = question(conn, moment)
        rows = nullcontext(map(_ranked, found.units if found else ()))
        return answers.exported(
            *(conn, house.meta, "bindings_by_unit", Ranked, rows, moment, by),
            measure=RATE,
            on=str(day),
            params=found.measured.params if found else {},
        )

    return await download(house, wanted, whole, wait_for, asked)
