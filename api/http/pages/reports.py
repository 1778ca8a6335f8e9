"""Reports at the pages: what they claim beside what the events give, what each claim rests on, and
the targets and values from outside beside them."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request
from fastapi.responses import Response

from api import answers
from api.doors import DOOR_OF, PREFIX, Need
from api.http.measures import OF_ITS_ROWS, After
from api.http.pages import administration
from api.http.pages.figures import gauges, gauges_of, rows_of
from api.http.pages.measures import (
    TITLED,
    event_address,
    in_words_of,
    input_word_of,
    sums_of,
    titles_of,
    valued,
)
from api.http.pages.page import FIGURES, link, page, router_of_pages
from api.http.server.access import Who, needs
from api.http.server.inputs import AsOf, Awaited, House, InHouse, Limit
from api.runtime.problems import DoorProblem
from api.runtime.report_files import KINDS
from api.runtime.rights import at_the_door
from domain.access import Principal
from domain.kernel.values import DottedId, Id
from domain.reports import UnknownReport
from projections import reports
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.measure import MEASURES
from projections.figures.asking import words_for
from projections.figures.claims import CONTRADICTS, DIFFERS, ClaimFigure
from projections.figures.reported import Explanation

router = router_of_pages()
OF_FIGURES = Need("figures.read")
REPORT = f"{FIGURES}/reports/{{report_id}}"
ODD = {DIFFERS, CONTRADICTS}


def may_enter(who: Principal, report_id: str | None = None) -> dict[str, str]:
    """The kinds of entries that somebody may make, each with the form of its command."""
    found = {}
    for kind, (name, _) in KINDS.items():
        of = report_id if DOOR_OF[name].ids == ["report_id"] else None
        if who.granted(DOOR_OF[name].need.scope or ""):
            found[kind] = link(administration.COMMAND.format(name=name), {"of": of})
    return found


def rows_words(figure: ClaimFigure) -> dict[str, Any] | None:
    """With what the measure of a claim is asked; null where it has none."""
    if figure.measure not in MEASURES:
        return None
    words = words_for(figure.measure or "", figure.parameters, figure.first)
    return {**words, "on": figure.last}


def claimed(figure: ClaimFigure, value: Decimal | None) -> str:
    """A value of a claim, as its measure has values: a day as a day."""
    known = MEASURES.get(figure.measure or "")
    return valued(value, known.unit if known else figure.unit, figure.digits)


def odd(figure: ClaimFigure) -> bool:
    """Whether somebody should look at it."""
    return figure.verdict in ODD or bool(figure.flags)


SHOWN: dict[str, Any] = {
    "valued": valued,
    "claimed": claimed,
    "rows_of": rows_of,
    "rows_words": rows_words,
}
"""What a page takes that shows claims."""


@router.get(f"{FIGURES}/reports")
@needs(OF_FIGURES)
async def list_of_reports(
    request: Request, house: InHouse, who: Who, wait_for: Awaited, asked: AsOf
) -> Response:
    """Every report."""

    def question(conn: Conn, moment: Moment | None) -> Any:
        return reports.reports(conn), moment

    found, moment = await house.ask(question, wait_for, asked)
    return page(
        request,
        "figures/reports.html",
        base=FIGURES,
        found=found,
        moment_of=moment,
        kinds=may_enter(who),
    )


@router.get(REPORT)
@needs(OF_FIGURES)
async def one_report(
    request: Request,
    house: InHouse,
    who: Who,
    wait_for: Awaited,
    asked: AsOf,
    report_id: Annotated[Id, Path()],
    only: Annotated[Literal["odd"] | None, Query()] = None,
) -> Response:
    """A report, claim by claim: as printed, as derived, by its own arithmetic."""
    found, titles = await house.ask(
        partial(_report, house=house, report_id=report_id), wait_for, asked
    )
    sections: dict[str, list[ClaimFigure]] = {}
    for each in found.figures:
        if only is None or odd(each):
            sections.setdefault(each.section, []).append(each)
    return page(
        request,
        "figures/report.html",
        base=FIGURES,
        api=PREFIX,
        found=found,
        moment_of=found.moment,
        sections=sections,
        verdicts=Counter(each.verdict for each in found.figures),
        wrong=sum(map(odd, found.figures)),
        only=only,
        gauges=gauges_of(found.targets),
        kinds=may_enter(who, report_id),
        entered=report_id,
        titles=titles,
        **_shown(who),
    )


def _report(
    conn: Conn, moment: Moment | None, house: House, report_id: str
) -> tuple[answers.ReportAnswer, dict[str, dict[str, str]]]:
    found = answers.report(conn, house.meta, report_id, moment)
    if found is None:
        raise UnknownReport(report_id)
    return found, titles_of(conn, TITLED)


def _shown(who: Principal) -> dict[str, Any]:
    rows_too = at_the_door(who, OF_ITS_ROWS, {}, None) is not None
    return {"rows_too": rows_too, **SHOWN}


@router.get(f"{REPORT}/claims/{{claim_id}}")
@needs(OF_FIGURES)
async def one_claim(
    request: Request,
    house: InHouse,
    who: Who,
    wait_for: Awaited,
    asked: AsOf,
    report_id: Annotated[Id, Path()],
    claim_id: Annotated[DottedId, Path()],
    limit: Limit = 50,
    after: After = None,
) -> Response:
    """What a claim rests on: its measure with the rows that make it up, or other claims."""

    def question(
        conn: Conn, moment: Moment | None
    ) -> tuple[answers.ReportAnswer, Explanation, Mapping[str, Any]]:
        report, titles = _report(conn, moment, house, report_id)
        found = answers.explained(conn, report, claim_id, limit, after)
        if found is None:
            raise DoorProblem("unknown_claim")
        return report, found, titles

    report, found, titles = await house.ask(question, wait_for, asked)
    measure = MEASURES.get(found.figure.measure or "")
    return page(
        request,
        "figures/claim.html",
        base=FIGURES,
        api=PREFIX,
        report=report,
        claim=found.figure,
        rests_on=found.rests_on,
        found=found.measured,
        measure=measure,
        rows=found.contributions,
        adds=sums_of(measure, found.contributions),
        columns=measure.rows.columns if measure else (),
        next=found.next,
        after=after,
        moment_of=report.moment,
        titles=titles,
        in_words=in_words_of(request),
        input_word=input_word_of(request),
        event_address=event_address,
        **_shown(who),
    )


@router.get(f"{FIGURES}/targets")
@needs(OF_FIGURES)
async def list_of_targets(
    request: Request, house: InHouse, who: Who, wait_for: Awaited, asked: AsOf
) -> Response:
    """Every target beside what is."""

    def question(conn: Conn, moment: Moment | None) -> Any:
        return gauges(conn), moment, titles_of(conn, TITLED)

    found, moment, titles = await house.ask(question, wait_for, asked)
    return page(
        request,
        "figures/targets.html",
        base=FIGURES,
        found=found,
        moment_of=moment,
        titles=titles,
        kinds=may_enter(who),
        **_shown(who),
    )


@router.get(f"{FIGURES}/outside-values")
@needs(OF_FIGURES)
async def list_of_outside_values(
    request: Request, house: InHouse, who: Who, wait_for: Awaited, asked: AsOf
) -> Response:
    """Every value that events cannot give, and who says so."""

    def question(conn: Conn, moment: Moment | None) -> Any:
        return reports.outside_values(conn), moment

    found, moment = await house.ask(question, wait_for, asked)
    return page(
        request,
        "figures/outside_values.html",
        base=FIGURES,
        found=found,
        moment_of=moment,
        kinds=may_enter(who),
    )
