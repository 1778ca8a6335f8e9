"""A report as a whole: every claim checked, every target held against what is; and what a claim
rests on."""

from datetime import date

from pydantic import Field

from domain.kernel.values import Id
from projections import reports
from projections.engine.answer import Dated
from projections.engine.connection import Conn
from projections.engine.contributions import Contribution, contributions
from projections.engine.measure import MEASURES, Measured
from projections.figures.asking import words_for
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


class Explanation(Dated):
    """A claim, and what it rests on: its measure with a page of the rows that make it up, or the
    claims that its formula names."""

    figure: ClaimFigure
    rests_on: list[ClaimFigure] = Field(description="the claims that its formula names")
    measured: Measured | None = Field(description="null: it has no measure, or that has no value")
    contributions: list[Contribution]
    next: str | None = Field(description="send it as `after` for the next page; null at the end")


def explain(
    conn: Conn, found: ReportFigures, claim_id: str, limit: int, after: str | None = None
) -> Explanation | None:
    """What a claim of a report rests on; null if there is no such claim."""
    by_id = {each.claim_id: each for each in found.figures}
    figure = by_id.get(claim_id)
    if figure is None:
        return None
    named = Document(found.figures, [], []).named_by(figure)
    page = None
    if figure.measure in MEASURES and figure.derived is not None:
        words = words_for(figure.measure, figure.parameters, figure.first)
        page = contributions(conn, figure.measure, words, figure.last, limit, after)
    return Explanation(
        figure=figure,
        rests_on=[by_id[name] for name in named if name in by_id],
        measured=None if page is None else page.measured,
        contributions=[] if page is None else page.contributions,
        next=None if page is None else page.next,
    )
