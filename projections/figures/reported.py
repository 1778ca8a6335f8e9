"""A report as a whole: every claim checked, every target held against what is."""

from datetime import date

from domain.kernel.values import Id
from projections import reports
from projections.engine.answer import Dated
from projections.engine.connection import Conn
from projections.figures.claims import ClaimFigure, Document, figures
from projections.figures.targets import TargetProgress, progress


class ReportFigures(Dated):
    """What a report claims beside what the events give, and the targets of its days."""

    report_id: str
    title: str
    source: str
    dated_on: date
    first: date
    last: date
    figures: list[ClaimFigure]
    targets: list[TargetProgress]


def report_figures(conn: Conn, report_id: Id) -> ReportFigures | None:
    """What a report claims, checked; null if there is none."""
    found = reports.report(conn, report_id)
    if found is None:
        return None
    of = Document(found.claims, reports.outside_values(conn), reports.targets(conn))
    within = [each for each in of.targets if found.first <= each.last and each.first <= found.last]
    return ReportFigures(
        report_id=found.report_id,
        title=found.title,
        source=found.source,
        dated_on=found.dated_on,
        first=found.first,
        last=found.last,
        figures=figures(conn, of),
        targets=progress(conn, of, within),
    )
