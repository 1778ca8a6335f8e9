"""Files of what there is, by a job: a list, the rows of a measure, the whole log; and what changed
between two moments."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal

import orjson
from psycopg import Connection
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import to_jsonable_python

from api import answers, log
from api.doors import Need
from api.jobs.work import Work
from api.runtime import moments
from api.runtime.exports import FORMATS, DoesNotFit, Export
from api.runtime.problems import DoorProblem, invalid
from api.runtime.rights import signed
from domain.kernel.values import ONE_LINE
from ledger.database import connect
from ledger.scratch import scratch
from projections.asof import changes, pairs
from projections.engine import moments as points
from projections.engine import runner, views
from projections.engine.answer import Answer, Moment
from projections.engine.building import Progress
from projections.engine.measure import MEASURES, Measured, UnknownMeasure
from projections.engine.moments import Asked
from projections.engine.schemas import log_ends
from projections.engine.views import VIEWS

JSONL = "application/jsonl"
AT_ONCE = 2_000
"""Events that are read at once."""
Conn = Connection[Any]
Written = Annotated[str, StringConstraints(pattern=ONE_LINE, max_length=views.CHARACTERS)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}(\.[a-z_]{1,40}){0,3}$")]
MomentText = Annotated[str, StringConstraints(pattern=moments.MOMENT_PATTERN)]
TimeText = Annotated[str, StringConstraints(pattern=moments.TIME_PATTERN)]
_OF_ROWS = Need("lists.read", "club_id", "unit_id")
_KNOWN, _EFFECTIVE = "as it was known then", "by what had happened until then"


class ExportRows(BaseModel):
    """Write all rows of a list or of a measure to a file."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["export"]
    rows: Literal["list", "measure"]
    name: Name = Field(description="of the list, or of the measure", examples=["members"])
    filters: Annotated[dict[Name, Written], Field(max_length=20)] = Field(
        {}, description="as the list takes them, or what the measure is asked with"
    )
    format: Literal["csv", "jsonl", "xlsx"] = "csv"
    known_at: MomentText | None = Field(None, description=_KNOWN)
    effective_at: TimeText | None = Field(None, description=_EFFECTIVE)


class ExportLog(BaseModel):
    """Write the whole log to a file as `GET /v1/events` shows it: an event a line, lane by lane."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["export_log"]


class Then(BaseModel):
    """A moment."""

    model_config = ConfigDict(extra="forbid")

    known_at: MomentText = Field(description=_KNOWN, examples=["2008-12-31"])
    effective_at: TimeText | None = Field(None, description=_EFFECTIVE)


class CompareMoments(BaseModel):
    """Tell what changed from one moment to another: every measure, and the events between."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["changes"]
    before: Then
    after: Then


class CompareRows(BaseModel):
    """Tell which rows make a measure come out otherwise at the later of two moments, each with the
    events that only one of them holds. All rows that differ are written to a file."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["changed_rows"]
    measure_id: Name = Field(examples=["members.vips"])
    params: Annotated[dict[Name, Written], Field(max_length=20)] = Field(
        {}, description="what the measure is asked with"
    )
    before: Then
    after: Then
    limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        100, description="how many rows the result tells"
    )


# ---------------------------------------------------------------------------------- as of a moment
def _moment(said: ExportRows | Then, name: str = "") -> Asked | None:
    if said.known_at is None is said.effective_at:
        return None
    names = (f"{name}known_at", f"{name}effective_at")
    try:
        return moments.asked(said.known_at, said.effective_at, names)
    except moments.Unreadable as error:
        where = f"body.{error.name}"
        raise invalid([{"field": where, "code": "moment", "detail": error.detail}]) from None


@contextmanager
def _looking(
    work: Work, asked: Asked | None, *, kept: bool = False
) -> Iterator[tuple[Conn, Moment | None]]:
    """(a connection that reads the answers, brought up to date; the moment they are as of).

    As of now they are the live ones, unless it is to be `kept` for who looks again.
    """

    def report(at: Progress) -> None:
        work.step(at.stage, at.done, at.total)

    now = work.clock.now()
    if asked is None or (asked.is_now(now) and not kept):
        runner.project(work.dsn, report)
        with connect(work.dsn) as conn, runner.snapshot(conn):
            yield conn, points.of_live(conn, asked, work.clock.now) if asked else None
        return
    moment = points.moment(work.conn, asked, now)
    with pairs.answers(work.dsn, moment, report) as conn:
        yield conn, moment


# ------------------------------------------------------------------------------------------ rows
def need_of(asked: ExportRows) -> tuple[Need, Mapping[str, str]]:
    """What who asks must have been given, and of what it is asked."""
    if asked.rows == "measure":
        return _OF_ROWS, asked.filters
    filters = VIEWS[asked.name].filters if asked.name in VIEWS else ()
    club, unit = (each if each in filters else None for each in ("club_id", "unit_id"))
    return Need("lists.read", club, unit), asked.filters


def require(asked: ExportRows) -> None:
    """Refuses what is not there, before it waits for its turn."""
    _moment(asked)
    if asked.rows == "measure":
        if asked.name not in MEASURES:
            raise UnknownMeasure
        return
    if asked.name not in VIEWS:
        raise DoorProblem("not_found", "There is no such list.")
    views.read(VIEWS[asked.name], asked.filters)


def export(work: Work, asked: ExportRows) -> dict[str, Any]:
    """Write the file."""
    form = FORMATS[asked.format]
    with _looking(work, _moment(asked)) as (conn, moment), scratch() as file:
        work.step("writing")
        found = _rows(work, asked, conn, moment)
        counted = _Counted(work, found)
        try:
            form.write(counted.export, file)
        except DoesNotFit as large:
            raise DoorProblem("too_large_a_sheet", str(large), {"most": large.most}) from large
        work.begin_files()
        work.make_file(f"{found.safe_name}.{asked.format}", form.media_type, file)
    told = None if moment is None else moment.model_dump(mode="json")
    return {"rows": counted.rows, "moment": told, "filters": dict(asked.filters)}


class _Counted:
    """An export whose rows are counted as they are written."""

    def __init__(self, work: Work, export: Export) -> None:
        self.rows = 0
        self.export = replace(export, rows=self._counting(work, export))

    @contextmanager
    def _counting(self, work: Work, export: Export) -> Iterator[Iterator[Answer]]:
        def counted(rows: Iterator[Answer]) -> Iterator[Answer]:
            for row in rows:
                self.rows += 1
                if self.rows % AT_ONCE == 0:
                    work.step("writing", self.rows)
                yield row

        with export.rows as rows:
            yield counted(rows)


def _rows(work: Work, asked: ExportRows, conn: Conn, moment: Moment | None) -> Export:
    by = signed(work.who, work.job.actor)
    if asked.rows == "list":
        of = VIEWS[asked.name]
        return answers.list_export(conn, work.meta, of, asked.filters, moment, by)
    on = answers.day_asked(moment, work.clock.now())
    return answers.contributions_export(conn, work.meta, asked.name, asked.filters, on, moment, by)


# --------------------------------------------------------------------------------------- the log
def export_log(work: Work, asked: ExportLog) -> dict[str, Any]:
    """Write the file: what the log holds when it begins."""
    del asked
    with connect(work.dsn) as conn:
        ends = log_ends(conn)
        work.begin_files()
        work.stream_file("events.jsonl", JSONL, _log(work, conn, ends))
    return {"events": sum(ends.values()), "positions": {str(k): v for k, v in ends.items()}}


def _log(work: Work, conn: Conn, ends: Mapping[int, int]) -> Iterator[bytes]:
    done, total = 0, sum(ends.values())
    for bucket, end in ends.items():
        after = 0
        while after < end:
            found = log.log_behind(conn, {bucket: after}, min(AT_ONCE, end - after))
            yield b"".join(each.said + b"\n" for each in found)
            done, after = done + len(found), found[-1].position
            work.step("writing", done, total)


# ------------------------------------------------------------------------------------- two moments
def require_moments(asked: CompareMoments | CompareRows) -> None:
    """Refuses what is no moment, before it waits for its turn."""
    _moment(asked.before, "before.")
    _moment(asked.after, "after.")


def compare_moments(work: Work, asked: CompareMoments) -> dict[str, Any]:
    """Tell what changed."""
    seen: list[tuple[Moment, list[Measured]]] = []
    for said in (asked.before, asked.after):
        with _looking(work, _moment(said)) as (conn, moment):
            assert moment is not None  # it was asked for
            on = answers.day_asked(moment, work.clock.now())
            seen.append((moment, changes.state(conn, on)))
    with _looking(work, None) as (conn, _):
        return changes.changed(conn, *seen).model_dump(mode="json")


def need_of_rows(asked: CompareRows) -> tuple[Need, Mapping[str, str]]:
    """What who asks must have been given, and of what it is asked."""
    return _OF_ROWS, asked.params


def require_rows(asked: CompareRows) -> None:
    """Refuses what is no moment and no measure, before it waits for its turn."""
    require_moments(CompareMoments(kind="changes", before=asked.before, after=asked.after))
    if asked.measure_id not in MEASURES:
        raise UnknownMeasure


def compare_rows(work: Work, asked: CompareRows) -> dict[str, Any]:
    """Tell them, and how much more all of them add to each input of the measure."""
    made = []
    for said in (asked.before, asked.after):
        with _looking(work, _moment(said), kept=True) as (_, moment):
            assert moment is not None  # it was asked for
            made.append((moment, answers.day_asked(moment, work.clock.now())))
    rows: list[changes.RowChange] = []
    adds = dict.fromkeys(MEASURES[asked.measure_id].added, 0)
    counted = 0

    def lines(found: Iterator[changes.RowChange]) -> Iterator[bytes]:
        nonlocal counted
        for row in found:
            counted += 1
            for name, value in row.adds.items():
                adds[name] += value
            if counted <= asked.limit:
                rows.append(row)
            if counted % AT_ONCE == 0:
                work.step("writing", counted)
            yield orjson.dumps(to_jsonable_python(row)) + b"\n"

    with changes.of_measure(work.dsn, asked.measure_id, asked.params, *made) as (both, found):
        work.begin_files()
        work.stream_file(f"{asked.measure_id}.changed.jsonl", JSONL, lines(found))
    before, after = (each.model_dump(mode="json") for each in both)
    told = {"changed": counted, "adds": adds, "rows": to_jsonable_python(rows)}
    return {"before": before, "after": after, **told}
