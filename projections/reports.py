"""Reports with what they claim, values from outside, targets: as they were told."""

from datetime import date, datetime
from typing import Any

from psycopg.rows import class_row
from pydantic import Field

from domain.kernel.event import Event
from domain.kernel.values import Id
from domain.outside import OutsideRecorded
from domain.reports import Meant, ReportClaimed, ReportEntered
from domain.targets import Level, TargetSet, Way
from projections.engine.answer import Answer, Dated
from projections.engine.connection import Conn
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Stored, folded


class Reports(Projection):
    """A row a report, a claim, a value from outside, a target: those that stand."""

    tables = (
        """
        CREATE TABLE report (
            bucket smallint NOT NULL,
            report_id text NOT NULL,
            title text NOT NULL,
            source text NOT NULL,
            dated_on date NOT NULL,
            first date NOT NULL,
            last date NOT NULL,
            entered_at timestamptz NOT NULL,
            PRIMARY KEY (report_id, bucket)
        )
        """,
        """
        CREATE TABLE report_claim (
            bucket smallint NOT NULL,
            report_id text NOT NULL,
            claim_id text NOT NULL,
            position bigint NOT NULL,
            section text NOT NULL,
            title text NOT NULL,
            zh text,
            measure text,
            parameters jsonb NOT NULL,
            first date NOT NULL,
            last date NOT NULL,
            value text,
            digits bigint NOT NULL,
            unit text NOT NULL,
            meant text NOT NULL,
            formula text,
            note text,
            PRIMARY KEY (report_id, claim_id, bucket)
        )
        """,
        """
        CREATE TABLE outside_value (
            bucket smallint NOT NULL,
            outside_value_id text NOT NULL,
            title text NOT NULL,
            zh text,
            about text NOT NULL,
            measure text,
            parameters jsonb NOT NULL,
            first date NOT NULL,
            last date NOT NULL,
            value text NOT NULL,
            digits bigint NOT NULL,
            unit text NOT NULL,
            source text NOT NULL,
            dated_on date NOT NULL,
            said_by text NOT NULL,
            PRIMARY KEY (outside_value_id, bucket)
        )
        """,
        """
        CREATE TABLE target (
            bucket smallint NOT NULL,
            target_id text NOT NULL,
            title text NOT NULL,
            zh text,
            measure text NOT NULL,
            parameters jsonb NOT NULL,
            first date NOT NULL,
            last date NOT NULL,
            unit_id text,
            level text NOT NULL,
            ways jsonb NOT NULL,
            source text NOT NULL,
            PRIMARY KEY (target_id, bucket)
        )
        """,
    )
    fold = (
        """
        DELETE FROM report r USING {report_entered} e
        WHERE e.sign < 0 AND r.report_id = e.report_id AND r.bucket = e.bucket
        """,
        """
        INSERT INTO report (bucket, report_id, title, source, dated_on, first, last, entered_at)
        SELECT bucket, report_id, title, source, dated_on, first, last, occurred_at
        FROM {report_entered} e WHERE sign > 0
        """,
        """
        DELETE FROM report_claim c USING {report_claimed} e
        WHERE e.sign < 0 AND c.report_id = e.report_id AND c.claim_id = e.claim_id
            AND c.bucket = e.bucket
        """,
        """
        INSERT INTO report_claim (bucket, report_id, claim_id, position, section, title, zh,
            measure, parameters, first, last, value, digits, unit, meant, formula, note)
        SELECT bucket, report_id, claim_id, position, section, title, zh, measure,
            parameters::jsonb, first, last, value, digits, unit, meant, formula, note
        FROM {report_claimed} e WHERE sign > 0
        """,
        """
        DELETE FROM outside_value o USING {outside_recorded} e
        WHERE e.sign < 0 AND o.outside_value_id = e.outside_value_id AND o.bucket = e.bucket
        """,
        """
        INSERT INTO outside_value (bucket, outside_value_id, title, zh, about, measure, parameters,
            first, last, value, digits, unit, source, dated_on, said_by)
        SELECT bucket, outside_value_id, title, zh, about, measure, parameters::jsonb, first, last,
            value, digits, unit, source, dated_on, said_by
        FROM {outside_recorded} e WHERE sign > 0
        """,
        """
        DELETE FROM target t USING {target_set} e
        WHERE e.sign < 0 AND t.target_id = e.target_id AND t.bucket = e.bucket
        """,
        """
        INSERT INTO target (bucket, target_id, title, zh, measure, parameters, first, last,
            unit_id, level, ways, source)
        SELECT bucket, target_id, title, zh, measure, parameters::jsonb, first, last, unit_id,
            level, ways::jsonb, source
        FROM {target_set} e WHERE sign > 0
        """,
    )


class ReportEntry(Answer):
    """A report: whose document about which days, and how many values it claims."""

    report_id: str
    title: str
    source: str
    dated_on: date
    first: date
    last: date
    entered_at: datetime
    claimed: int = Field(description="how many values it claims")


class Claim(Answer):
    """What a report claims: a value as it is printed."""

    claim_id: str
    section: str
    title: str
    zh: str | None
    measure: str | None
    parameters: dict[str, str]
    first: date
    last: date
    value: str | None = Field(description="as it is printed; null: no number is given")
    digits: int
    unit: str
    meant: Meant
    formula: str | None = Field(description="the document's own arithmetic")
    note: str | None


class Report(Dated):
    """A report with what it claims, in the order in which it was told."""

    report_id: str
    title: str
    source: str
    dated_on: date
    first: date
    last: date
    entered_at: datetime
    claims: list[Claim]


class OutsideValue(Answer):
    """A value that our events cannot give, and who says so."""

    outside_value_id: str
    title: str
    zh: str | None
    about: str
    measure: str | None
    parameters: dict[str, str]
    first: date
    last: date
    value: str
    digits: int
    unit: str
    source: str
    dated_on: date
    said_by: str


class Target(Answer):
    """What a measure is to reach in its days; any of the ways passes it."""

    target_id: str
    title: str
    zh: str | None
    measure: str
    parameters: dict[str, str]
    first: date
    last: date
    unit_id: str | None = Field(description="null: of the whole programme")
    level: Level
    ways: tuple[Way, ...]
    source: str


def reports(conn: Conn) -> list[ReportEntry]:
    """All reports, the latest period first."""
    cursor = conn.cursor(row_factory=class_row(ReportEntry))
    return cursor.execute(
        """
        SELECT report_id, title, source, dated_on, first, last, entered_at,
            (SELECT count(*) FROM report_claim c WHERE c.report_id = r.report_id) AS claimed
        FROM report r ORDER BY last DESC, report_id
        """
    ).fetchall()


def report(conn: Conn, report_id: Id) -> Report | None:
    """One report with what it claims."""
    found = conn.execute(
        "SELECT title, source, dated_on, first, last, entered_at FROM report WHERE report_id = %s",
        (report_id,),
    ).fetchone()
    if found is None:
        return None
    names = ("title", "source", "dated_on", "first", "last", "entered_at")
    known = dict(zip(names, found, strict=True))
    return Report(report_id=report_id, claims=claims(conn, report_id), **known)


def claims(conn: Conn, report_id: str) -> list[Claim]:
    """What a report claims, in the order in which it was told."""
    cursor = conn.cursor(row_factory=class_row(Claim))
    return cursor.execute(
        """
        SELECT claim_id, section, title, zh, measure, parameters, first, last, value, digits,
            unit, meant, formula, note
        FROM report_claim WHERE report_id = %s ORDER BY position
        """,
        (report_id,),
    ).fetchall()


def outside_values(conn: Conn) -> list[OutsideValue]:
    """All values from outside, by their id."""
    cursor = conn.cursor(row_factory=class_row(OutsideValue))
    return cursor.execute(
        """
        SELECT outside_value_id, title, zh, about, measure, parameters, first, last, value, digits,
            unit, source, dated_on, said_by
        FROM outside_value ORDER BY outside_value_id
        """
    ).fetchall()


def targets(conn: Conn) -> list[Target]:
    """All targets, by their id."""
    cursor = conn.cursor(row_factory=class_row(Target))
    return cursor.execute(
        """
        SELECT target_id, title, zh, measure, parameters, first, last, unit_id, level, ways,
            source
        FROM target ORDER BY target_id
        """
    ).fetchall()


# ----------------------------------------------------------------------- the same in plain Python
def _said(event: Event, *left_out: str) -> dict[str, Any]:
    """What the event says, but for what every one carries."""
    return event.model_dump(exclude={"occurred_at", "actor", "key", *left_out})


@folded(ReportEntered)
def _report_entered(fold: ReferenceFold, at: Stored, event: ReportEntered, sign: int = 1) -> None:
    if sign < 0:
        del fold.tables["report"][(at.id,)]
        return
    fold.add("report", (at.id,), bucket=at.bucket, report_id=at.id, **_said(event),
             entered_at=event.occurred_at)  # fmt: skip


@folded(ReportClaimed)
def _report_claimed(fold: ReferenceFold, at: Stored, event: ReportClaimed, sign: int = 1) -> None:
    key = (at.id, event.claim_id)
    if sign < 0:
        del fold.tables["report_claim"][key]
        return
    fold.add("report_claim", key, bucket=at.bucket, report_id=at.id, position=at.position,
             **_said(event))  # fmt: skip


@folded(OutsideRecorded)
def _outside_recorded(
    fold: ReferenceFold, at: Stored, event: OutsideRecorded, sign: int = 1
) -> None:
    if sign < 0:
        del fold.tables["outside_value"][(at.id,)]
        return
    fold.add("outside_value", (at.id,), bucket=at.bucket, outside_value_id=at.id, **_said(event))


@folded(TargetSet)
def _target_set(fold: ReferenceFold, at: Stored, event: TargetSet, sign: int = 1) -> None:
    if sign < 0:
        del fold.tables["target"][(at.id,)]
        return
    fold.add("target", (at.id,), bucket=at.bucket, target_id=at.id, **_said(event, "ways"),
             ways=[way.model_dump() for way in event.ways])  # fmt: skip
