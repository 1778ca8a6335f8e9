"""What doors add to the answers: the demo that is loaded, the clock, and files."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import date, datetime
from importlib import metadata
from typing import Any

from psycopg import Connection
from pydantic import Field

from api.runtime.clock import Clock
from api.runtime.demonstration import Demo, assumed, demo_of
from api.runtime.exports import Export
from api.runtime.report_files import ReportFile
from domain.kernel.values import PROGRAMME, local_date
from projections import points
from projections.asof import statement
from projections.engine import contributions, measure, moments, runner, views
from projections.engine.answer import Answer, Dated, Moment, Number, dated
from projections.engine.moments import Asked
from projections.engine.schemas import held
from projections.engine.views import View
from projections.figures import claims, reported, targets
from projections.figures.last_fact import idle_since, last_fact_on
from projections.reports import Target


class MeasureFigure(Answer):
    """A measure of the catalogue, for an id of each kind that it needs."""

    measure_id: str
    title: str
    zh: str
    params: dict[str, str]
    first: date | None = Field(description="of the days from here to `on`; null: at its end")
    on: date
    value: Number | None
    unit: str
    why: str | None = Field(description="why it is not computable")


class Figures(Dated):
    """What the ledger gives on a day: every measure."""

    demo: Demo | None
    clock: datetime
    last_fact_on: date | None = Field(
        description="the day of the last fact about customers until then; null: there is none"
    )
    figures: list[MeasureFigure]

    @property
    def idle_since(self) -> date | None:
        """That day, if these are of now and today is a later one."""
        today = local_date(self.clock)
        return None if self.moment else idle_since(self.last_fact_on, today)


class MeasureAnswer(measure.Measured):
    """What a measure comes to, and when something last happened."""

    last_fact_on: date | None = Field(
        description="the day of the last fact about customers until then; null: there is none"
    )


def measure_answer(found: measure.Measured, last: date | None) -> MeasureAnswer:
    """A measure with the day of the last fact."""
    told = {name: getattr(found, name) for name in measure.Measured.model_fields}
    return MeasureAnswer(**told, last_fact_on=last)


class ReportAnswer(reported.ReportFigures):
    """What a report claims beside what the events give, and the targets of its days."""

    demo: Demo | None
    clock: datetime

    @property
    def findings(self) -> bool:
        """Whether something of it is not as it should be."""
        odd = (claims.DIFFERS, claims.CONTRADICTS)
        wrong = any(each.verdict in odd or each.flags for each in self.figures)
        return wrong or any(each.flags for each in self.targets)


class Lane(Answer):
    """A bucket of the log: how long it is and how much of it the answers hold."""

    bucket: int
    log_end: int
    position: int
    lag: int = Field(description="events that the answers do not hold yet")
    lag_s: float = Field(description="age of the oldest of them, in seconds; 0 if there is none")


class Status(Answer):
    """What this installation is and how far its answers are."""

    version: str
    database: str | None = Field(description="where it is; not told over HTTP")
    server: str = Field(description="the version of PostgreSQL")
    clock: datetime
    zone: str = Field(
        description="whose days, months and hours are the programme's", examples=["Asia/Shanghai"]
    )
    demo_clock: bool = Field(description="whether the clock shows another time than the real one")
    demo: Demo | None
    buckets: int
    events: int
    behind: int = Field(description="events that the answers do not hold yet")
    behind_s: float = Field(description="age of the oldest of them, in seconds")
    standstills: list[runner.Standstill] = Field(
        description="where the answers stand still; none: well"
    )
    lanes: list[Lane]


def all_figures(
    conn: Connection[Any], meta: Mapping[str, str], moment: Moment | None = None
) -> Figures:
    """Every measure, today or on the day of a moment."""
    now = Clock.of(meta).now()
    on = local_date((moment and moment.at) or now)
    return Figures(
        moment=moment,
        demo=demo_of(meta),
        clock=local(now),
        last_fact_on=last_fact_on(conn, on),
        figures=[_shown(each) for each in measure.overview(conn, on)],
    )


def _shown(found: measure.Measured) -> MeasureFigure:
    return MeasureFigure(**{name: getattr(found, name) for name in MeasureFigure.model_fields})


def report(
    conn: Connection[Any], meta: Mapping[str, str], report_id: str, moment: Moment | None = None
) -> ReportAnswer | None:
    """A report that was entered, checked; null if there is none."""
    found = reported.report_figures(conn, report_id)
    return None if found is None else _report(meta, found, moment)


def checked(conn: Connection[Any], meta: Mapping[str, str], file: ReportFile) -> ReportAnswer:
    """A report's file, checked before it is entered."""
    said, of = file.header, file.document(conn)
    found = reported.ReportFigures(
        report_id=said.report_id,
        title=said.title,
        source=said.source,
        dated_on=said.dated_on,
        first=said.first,
        last=said.last,
        figures=claims.figures(conn, of),
        targets=targets.progress(conn, of, file.of(Target)),
    )
    return _report(meta, found, None)


def explained(
    conn: Connection[Any], found: ReportAnswer, claim_id: str, limit: int, after: str | None = None
) -> reported.Explanation | None:
    """A claim of a report and what it rests on; null if there is no such claim."""
    told = reported.explain(conn, found, claim_id, limit, after)
    return None if told is None else dated(told, found.moment)


def report_export(
    conn: Connection[Any], meta: Mapping[str, str], found: ReportAnswer, by: str
) -> Export:
    """A report's figures as a file."""
    of = found.model_dump(mode="json", exclude={"figures", "targets", "moment", "clock"})
    rows, name = nullcontext(iter(found.figures)), f"report-{found.report_id}"
    return exported(conn, meta, name, claims.ClaimFigure, rows, found.moment, by, **of)


def _report(
    meta: Mapping[str, str], found: reported.ReportFigures, moment: Moment | None
) -> ReportAnswer:
    demo = demo_of(meta)
    shown = [_claim(each, demo) for each in found.figures]
    beside = {"figures": shown, "demo": demo, "clock": local(Clock.of(meta).now())}
    return ReportAnswer(**{**dict(found), **beside, "moment": moment})


def _claim(figure: claims.ClaimFigure, demo: Demo | None) -> claims.ClaimFigure:
    if demo is None:
        return figure
    scaled = demo.scale != "1" and figure.verdict == claims.DIFFERS
    verdict = claims.SCALED if scaled else figure.verdict
    return figure.model_copy(update={"verdict": verdict, "assumed": assumed(figure.claim_id)})


def figures_export(
    conn: Connection[Any],
    meta: Mapping[str, str],
    found: Figures,
    by: str,
    positions: Mapping[int, int] | None = None,
) -> Export:
    """All figures as a file: as they were found at these positions, unless as of a moment."""
    rows, demo = nullcontext(iter(found.figures)), found.model_dump(mode="json")["demo"]
    made = exported(conn, meta, "figures", MeasureFigure, rows, found.moment, by, positions)
    return replace(made, about={**made.about, "demo": demo})


def contributions_export(
    conn: Connection[Any],
    meta: Mapping[str, str],
    measure_id: str,
    params: Mapping[str, Any],
    on: date,
    moment: Moment | None,
    by: str,
) -> Export:
    """All rows that make a measure up as a file, below what it comes to."""
    found = measure.measured(conn, measure_id, params, on)
    of = found.model_dump(mode="json", exclude={"groups", "moment", "inputs"})
    of["inputs"] = found.sums()
    kind = contributions.row_model(measure.MEASURES[measure_id])
    rows = _rows(conn, measure_id, params, on, kind)
    return exported(conn, meta, measure_id, kind, rows, moment, by, **of)


@contextmanager
def _rows(
    conn: Connection[Any], measure_id: str, params: Mapping[str, Any], on: date, kind: type[Answer]
) -> Iterator[Iterator[Answer]]:
    names = list(kind.model_fields)
    with contributions.all_contributions(conn, measure_id, params, on) as rows:
        yield (kind.model_construct(**dict(zip(names, row, strict=True))) for row in rows)


def statement_export(
    conn: Connection[Any],
    meta: Mapping[str, str],
    member_id: str,
    moment: Moment | None,
    by: str,
) -> Export:
    """A member's whole statement as a file, of the live answers, which hold the moment."""
    lines = points.whole_statement(conn, member_id, statement.sources(moment))
    name, of = f"statement-{member_id}", {"member_id": member_id}
    return exported(conn, meta, name, points.Entry, lines, moment, by, filters=of)


def list_export(
    conn: Connection[Any],
    meta: Mapping[str, str],
    of: View,
    said: Mapping[str, str | None],
    moment: Moment | None,
    by: str,
) -> Export:
    """All rows of a list that fulfil its filters as a file."""
    filters = {name: value for name, value in said.items() if value is not None}
    rows = views.whole(conn, of, said)
    return exported(conn, meta, of.name, of.row, rows, moment, by, about=of.about, filters=filters)


def exported(
    conn: Connection[Any],
    meta: Mapping[str, str],
    name: str,
    kind: type[Answer],
    rows: AbstractContextManager[Iterator[Answer]],
    moment: Moment | None,
    by: str,
    positions: Mapping[int, int] | None = None,
    **of: Any,
) -> Export:
    """A list as a file that stands alone: of which ledger and positions, as of which times, by
    whom and when; and what the list is of (filters, a formula). Its name tells a moment from now.
    """
    now = Clock.of(meta).now()
    then = moment or moments.moment(conn, Asked(positions or held(conn)), now)
    about = {
        "program": f"clubledger {metadata.version('clubledger')}",
        "ledger": meta.get("ledger_id"),
        "made_at": local(now),
        "made_by": by,
        "zone": PROGRAMME.zone.key,
        **({"tiers": _tiers()} if PROGRAMME.titles else {}),
        **then.model_dump(mode="json"),
        **of,
    }
    return Export(name if moment is None else f"{name}{_as_of(moment)}", about, kind, rows)


def _tiers() -> dict[str, str]:
    """What the codes of tiers mean, the highest first."""
    return {tier: " / ".join(PROGRAMME.titles.get(tier, (tier,))) for tier in PROGRAMME.tiers}


def _as_of(moment: Moment) -> str:
    """A moment in the name of a file."""
    times = {"known": moment.known_at, "effective": moment.effective_at}
    said = [
        f"-{name}-{at.astimezone(PROGRAMME.zone):%Y-%m-%dT%H%M%S}"
        for name, at in times.items()
        if at is not None
    ]
    return "".join(said) or "-before-the-first-event"


def status(
    conn: Connection[Any], meta: Mapping[str, str], version: str, place: str | None
) -> Status:
    """What this installation is and how far its answers are."""
    clock = Clock.of(meta)
    now = clock.now()
    lanes = [
        Lane(
            bucket=lane.bucket,
            log_end=lane.log_end,
            position=lane.position,
            lag=lane.lag,
            lag_s=lane.lag_s(now),
        )
        for lane in runner.status(conn)
    ]
    server = conn.info.server_version
    return Status(
        version=version,
        database=place,
        server=f"{server // 10_000}.{server % 10_000}",
        clock=local(now),
        zone=PROGRAMME.zone.key,
        demo_clock=clock.is_demo,
        demo=demo_of(meta),
        buckets=len(lanes),
        events=sum(lane.log_end for lane in lanes),
        behind=sum(lane.lag for lane in lanes),
        behind_s=max((lane.lag_s for lane in lanes), default=0.0),
        standstills=runner.standstills(conn),
        lanes=lanes,
    )


def day_asked(moment: Moment | None, now: datetime) -> date:
    """The day on which a measure is asked unless another is said: that of the moment, else now."""
    return local_date((moment and moment.at) or now)


def this_year(now: datetime) -> tuple[date, date]:
    """From the first day of the programme's year to today."""
    today = local_date(now)
    return today.replace(month=1, day=1), today


def local(instant: datetime) -> datetime:
    """This second by the programme's clock."""
    return instant.astimezone(PROGRAMME.zone).replace(microsecond=0)
