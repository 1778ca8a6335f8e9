"""The figures of the report: derived from the events, beside what the report prints.

What is reported stands in `figures.toml`; how each is derived, in `derivations.py`, under its id.
"""

import tomllib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from domain.kernel.values import local_date
from projections.engine.answer import Answer, Dated, Moment, Number, number_or_same
from projections.engine.connection import Conn
from projections.engine.ratio import rounded
from projections.figures import evidence
from projections.figures.derivations import DERIVE, RETENTION_2007, THE_THREE, Derived, Report
from projections.figures.evidence import EventRef

AGREES, DIFFERS, CONTRADICTS = "agrees", "DIFFERS", "DISAGREES"
NOT_DERIVABLE, NOT_COMPUTABLE, NOT_REPORTED = "not derivable", "not computable", "not reported"
NEARLY = Fraction(95, 100)
DAY = "yyyymmdd"
"""The unit of a day written as a number: what lies between two of them is counted in days."""


class Figure(Answer):
    """A figure of the report beside the one derived from the events."""

    figure_id: str
    section: str
    title: str
    zh: str
    unit: str
    reported: Number | None
    derived: Number | None
    difference: Number | None = Field(description="between days, in days")
    verdict: str = Field(
        description="agrees; DIFFERS; DISAGREES: the document contradicts itself; not derivable;"
        " not reported; not computable; scaled: it differs, since the demo is scaled down"
    )
    assumed: list[str] = Field(description="the assumptions it rests on")
    events: int = Field(description="how many events it is derived from")
    formula: str | None
    note: str | None


class Input(Answer):
    """A value that went into a figure."""

    name: str
    value: Annotated[Any, BeforeValidator(number_or_same)]


class Explanation(Dated):
    """A figure, its formula and inputs, and a page of the events behind it."""

    figure: Figure
    inputs: list[Input]
    events: list[EventRef]
    next: tuple[int, int] | None = Field(
        description="send it as `after=<bucket>:<position>` for the next page"
    )


@dataclass(frozen=True, slots=True)
class Reported:
    """An entry of figures.toml."""

    id: str
    section: str
    title: str
    zh: str
    unit: str
    reported: Decimal | None = None
    digits: int = 0
    rule: str = "exact"
    by_its_inputs: Decimal | None = None
    formula: str | None = None
    evidence: str | None = None
    note: str | None = None


@cache
def reported() -> tuple[date, dict[str, Reported]]:
    """The report's date, and what it prints, by id."""
    text = (files("projections.figures") / "figures.toml").read_text("utf-8")
    found = tomllib.loads(text, parse_float=Decimal)
    entries = {}
    for entry in found["figure"]:
        numbers = ("reported", "by_its_inputs")
        exact = {name: Decimal(entry[name]) for name in numbers if name in entry}
        entries[entry["id"]] = Reported(**{**entry, **exact})
    return found["report_date"], entries


def figures(conn: Conn, on: date | None = None) -> list[Figure]:
    """Every figure at a date, by default the report's; at another date nothing is reported."""
    date_of_report, entries = reported()
    report = Report(conn, on or date_of_report)
    counts: dict[tuple[str | None, str], int] = {}
    found = []
    for entry in entries.values():
        scope = (entry.evidence, entry.id if entry.evidence in ("enrolments", "offers") else "")
        if scope not in counts:
            counts[scope] = _count(report, entry)
        found.append(_figure(report, entry, counts[scope]))
    return found


def explain(
    conn: Conn,
    figure_id: str,
    on: date | None = None,
    limit: int = 50,
    after: tuple[int, int] | None = None,
) -> Explanation:
    """A figure with its inputs and a page of the events behind it."""
    date_of_report, entries = reported()
    entry = entries[figure_id]
    report = Report(conn, on or date_of_report)
    figure = _figure(report, entry, _count(report, entry))
    inputs = DERIVE[figure_id](report).inputs if figure_id in DERIVE else {}
    events: list[EventRef] = []
    if entry.evidence is not None:
        events = evidence.page(conn, entry.evidence, _given(report, entry), limit + 1, after)
    last = events[limit - 1] if len(events) > limit else None
    return Explanation(
        figure=figure,
        inputs=[Input(name=name, value=value) for name, value in inputs.items()],
        events=events[:limit],
        next=None if last is None else (last.bucket, last.position),
    )


def events(
    conn: Conn, figure_id: str, on: date | None = None
) -> AbstractContextManager[Iterator[EventRef]]:
    """All events behind a figure, fetched as they are asked for. Only within a transaction."""
    date_of_report, entries = reported()
    entry = entries[figure_id]
    if entry.evidence is None:
        return nullcontext(iter(()))
    return evidence.whole(conn, entry.evidence, _given(Report(conn, on or date_of_report), entry))


def counted(figure_id: str) -> str:
    """Which events were counted for a figure, where that is not plain."""
    evidence_of = reported()[1][figure_id].evidence
    return evidence.EVIDENCE[evidence_of].why_more if evidence_of is not None else ""


def report_day(moment: Moment) -> date:
    """The day at which figures are asked: the report's, or that of an earlier moment."""
    printed_on, _ = reported()
    return printed_on if moment.at is None else min(printed_on, local_date(moment.at))


def failures(found: Sequence[Figure]) -> list[Figure]:
    """The figures that the events do not bear out, without the document's own contradictions."""
    return [figure for figure in found if figure.verdict == DIFFERS]


def _given(report: Report, entry: Reported) -> dict[str, Any]:
    purpose = "retention" if entry.evidence == "retention" else "binding"
    name = entry.id.split(".")[1]
    return {
        **evidence.bounds(report.on),
        "cohort_id": report.cohort(purpose),
        "campaigns": list(THE_THREE) if name == "all_three" else [name],
    }


def _count(report: Report, entry: Reported) -> int:
    if entry.evidence is None:
        return 0
    return evidence.count(report.conn, entry.evidence, _given(report, entry))


def _figure(report: Report, entry: Reported, events: int) -> Figure:
    claimed = entry.reported if report.on == reported()[0] else None
    given = DERIVE[entry.id](report) if entry.id in DERIVE else Derived(None)
    derived = None if given.value is None else rounded(given.value, entry.digits)
    verdict = verdict_on(entry, claimed, derived)
    notes = [entry.note, given.note, given.why, _flag(report, entry)]
    return Figure(
        figure_id=entry.id,
        section=entry.section,
        title=entry.title,
        zh=entry.zh,
        unit=entry.unit,
        reported=claimed,
        derived=derived,
        difference=difference(entry.unit, claimed, derived),
        verdict=verdict,
        assumed=[],
        events=events,
        formula=entry.formula,
        note=" ".join(note for note in notes if note) or None,
    )


def difference(unit: str, before: Decimal | None, after: Decimal | None) -> Decimal | None:
    """How much more the second is than the first, if there are both; between days, in days."""
    if before is None or after is None:
        return None
    return Decimal((day_of(after) - day_of(before)).days) if unit == DAY else after - before


def day_of(value: Decimal) -> date:
    """The day that such a number writes."""
    return date.fromisoformat(str(value))


def verdict_on(entry: Reported, claimed: Decimal | None, derived: Decimal | None) -> str:
    if derived is None:
        return NOT_COMPUTABLE if entry.id.endswith(".return") else NOT_DERIVABLE
    if claimed is None:
        return NOT_REPORTED
    if entry.rule == "nearly":
        return AGREES if Fraction(claimed) * NEARLY <= derived <= claimed else DIFFERS
    if derived == claimed:
        return AGREES
    if entry.rule == "contradiction" and derived == entry.by_its_inputs:
        return CONTRADICTS
    return DIFFERS


def _flag(report: Report, entry: Reported) -> str | None:
    """What a reader must know of a target beside its number."""
    if entry.rule != "claim" or ".target_" not in entry.id or entry.reported is None:
        return None
    if entry.id.startswith("retention."):
        if entry.reported < RETENTION_2007:
            return f"Below last year's actual of {rounded(RETENTION_2007, 2)} %."
        return None
    found = report.binding
    if found is None:
        return None
    needed = -(-found.base * int(entry.reported) // 100)
    ahead = found.bound - needed
    done = f"passed by {ahead:,}" if ahead >= 0 else f"missed by {-ahead:,}"
    return f"{needed:,} customers needed: {done}."
