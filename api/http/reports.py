"""Reports: what they claim beside what the events give."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from api import answers
from api.answers import ReportAnswer
from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.downloads import DOWNLOAD, Wanted, download
from api.http.server.inputs import PAST, AsOf, Awaited, House, InHouse, Limit
from api.http.server.paging import Pages, paged
from api.runtime.exports import Export
from api.runtime.problems import DoorProblem
from domain.kernel.values import DottedId, Id
from domain.reports import UnknownReport
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.figures.reported import Explanation

router = APIRouter(prefix=PREFIX, tags=["reports"])
ReportId = Annotated[Id, Path(examples=["vip-2008"])]
ClaimId = Annotated[DottedId, Path(examples=["binding.rate"])]


@router.get(
    "/reports/{report_id}/figures",
    response_model=ReportAnswer,
    responses={**DOWNLOAD, **refuses("unknown_report", "too_large_a_sheet", *PAST)},
)
@needs(Need("figures.read"))
async def report_figures(
    report_id: ReportId,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    wanted: Wanted,
) -> ReportAnswer | Response:
    """What a report claims: printed, derived, by its own arithmetic; and its targets."""

    def page(conn: Conn, moment: Moment | None) -> ReportAnswer:
        return _report(house, conn, report_id, moment)

    if wanted is None:
        return await house.ask(page, wait_for, asked)
    by = wanted.by

    def whole(conn: Conn, moment: Moment | None) -> Export:
        return answers.report_export(conn, house.meta, page(conn, moment), by)

    return await download(house, wanted, whole, wait_for, asked)


def _report(house: House, conn: Conn, report_id: str, moment: Moment | None) -> ReportAnswer:
    found = answers.report(conn, house.meta, report_id, moment)
    if found is None:
        raise UnknownReport(report_id)
    return found


@router.get(
    "/reports/{report_id}/figures/{claim_id}",
    response_model=paged(Explanation),
    responses=refuses("unknown_report", "unknown_claim", "wrong_parameters", *PAST),
)
@needs(Need("figures.read"))
async def explain_claim(
    report_id: ReportId,
    claim_id: ClaimId,
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    pages: Pages,
    limit: Limit = 50,
) -> Explanation:
    """What a claim rests on: its measure with the rows that make it up, page by page, or the claims
    that its formula names."""

    def page(conn: Conn, moment: Moment | None) -> Explanation:
        shown = _report(house, conn, report_id, moment)
        found = answers.explained(conn, shown, claim_id, limit, pages.after)
        if found is None:
            raise DoorProblem("unknown_claim")
        return pages.page(paged(Explanation), found, found.next)

    return await house.ask(page, wait_for, asked)
