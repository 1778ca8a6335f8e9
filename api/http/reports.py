"""Reports: what they claim beside what the events give."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response

from api import answers
from api.answers import ReportAnswer
from api.http.server.documented import refuses
from api.http.server.downloads import DOWNLOAD, Wanted, download
from api.http.server.inputs import PAST, AsOf, Awaited, InHouse
from api.runtime.exports import Export
from domain.kernel.values import Id
from domain.reports import UnknownReport
from projections.engine.answer import Moment
from projections.engine.connection import Conn

router = APIRouter(tags=["reports"])


@router.get(
    "/reports/{report_id}/figures",
    response_model=ReportAnswer,
    responses={**DOWNLOAD, **refuses("unknown_report", "too_large_a_sheet", *PAST)},
)
async def report_figures(
    report_id: Annotated[Id, Path(examples=["vip-2008"])],
    house: InHouse,
    wait_for: Awaited,
    asked: AsOf,
    wanted: Wanted,
) -> ReportAnswer | Response:
    """What a report claims: printed, derived, by its own arithmetic; and its targets."""

    def page(conn: Conn, moment: Moment | None) -> ReportAnswer:
        found = answers.report(conn, house.meta, report_id, moment)
        if found is None:
            raise UnknownReport(report_id)
        return found

    if wanted is None:
        return await house.ask(page, wait_for, asked)
    by = wanted.by

    def whole(conn: Conn, moment: Moment | None) -> Export:
        return answers.report_export(conn, house.meta, page(conn, moment), by)

    return await download(house, wanted, whole, wait_for, asked)
