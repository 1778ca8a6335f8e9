"""Reports: somebody's document about a period, and what it claims."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Struct, field
from pydantic import Field

from domain.corrections import Correction, Retellable, ToldAlready, UnknownFact
from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import saying
from domain.kernel.correction import TakesBack
from domain.kernel.event import ONLY, Event
from domain.kernel.formula import MAX_CHARACTERS, BadFormula, require_formula
from domain.kernel.parts import part_of
from domain.kernel.periods import NotComeYet, PeriodReversed, require_come, require_in_order
from domain.kernel.refusal import Refusal
from domain.kernel.values import (
    Day,
    Digits,
    DottedId,
    Id,
    Parameters,
    Printed,
    Text,
)

Meant = Literal["exact", "nearly", "stated"]
"""How a value is claimed: as it is; at most so much, and 95 % of it at least; not to be derived."""

FormulaText = Annotated[
    str, Field(min_length=1, max_length=MAX_CHARACTERS, pattern=r"^[a-z0-9_. +*/()-]+$")
]


# -------------------------------------------------------------------------------------- parts
@part_of("report")
class Report(Struct, array_like=True, gc=False):
    """A document: the period that it is about, and under which names it claims something."""

    first: date | None = None
    last: date | None = None
    claims: Annotated[list[str], AtMost(500)] = field(default_factory=list)


# ------------------------------------------------------------------------------------- events
class ReportEntered(Event, name="report.entered", stream="report"):
    """A document about a period was taken into the log."""

    title: Text
    source: Text
    dated_on: Day
    first: Day
    last: Day
    named_by = ()
    kept_in = "first"

    def apply(self, report: Report) -> None:
        report.first, report.last = self.first, self.last


class ReportClaimed(Event, name="report.claimed", stream="report"):
    """A document says a value: of a measure, or by its own arithmetic, or without either."""

    claim_id: DottedId
    section: Text
    title: Text
    zh: Text | None = None
    measure: DottedId | None = None
    parameters: Parameters
    first: Day
    last: Day
    value: Printed | None = None
    digits: Digits
    unit: Text
    meant: Meant
    formula: FormulaText | None = None
    note: Text | None = None
    named_by = ("claim_id",)
    kept_in = "claims"

    def apply(self, report: Report) -> None:
        report.claims.append(self.claim_id)


class ReportFactCorrected(TakesBack, name="report.fact_corrected", stream="report"):
    """A fact about a report was wrong: the latest of this topic and name in the stream."""


# ----------------------------------------------------------------------------------- refusals
@dataclass
class UnknownReport(Refusal):
    """There is no such report."""

    code = "unknown_report"
    report_id: str


def require_entered(report: Report, report_id: str) -> tuple[date, date]:
    """The days that it is about; refuses a report that does not exist."""
    if report.first is None or report.last is None:
        raise UnknownReport(report_id)
    return report.first, report.last


# ----------------------------------------------------------------------------------- commands
class EnterReport(Retellable):
    """Take in a document about a period. What it claims is told one by one."""

    command: Literal["report.enter"] = "report.enter"
    writes: ClassVar[dict[str, str]] = {"report": "report_id"}
    refuses = (PeriodReversed, NotComeYet, ToldAlready, UnknownFact)
    example = saying(
        report_id="half-2008",
        title="The first half of 2008",
        source="half-yearly report, page 3",
        dated_on="2008-07-01",
        first="2008-01-01",
        last="2008-06-30",
    )
    report_id: Id
    title: Text
    source: Text
    dated_on: Day
    first: Day
    last: Day

    def decide(self, at: datetime, report: Report) -> list[Event]:
        require_in_order(self.first, self.last)
        require_come(max(self.last, self.dated_on), at)
        wrong = self.in_place(at, ReportEntered, report, ONLY)
        return [*wrong, self.telling(at, ReportEntered)]


class ClaimValue(Retellable):
    """Tell what a report claims: a value as it is printed, of a measure or by its own arithmetic.

    It is of the report's period unless another is said, and has the digits that are printed. Names
    in the formula are those of its other claims, of outside values and of targets.
    """

    command: Literal["report.claim"] = "report.claim"
    writes: ClassVar[dict[str, str]] = {"report": "report_id"}
    refuses = (UnknownReport, PeriodReversed, BadFormula, ToldAlready, UnknownFact, TooMany)
    example = saying(
        report_id="annual-2008",
        claim_id="members.growth_rate",
        section="Members",
        title="Growth rate",
        zh="增幅",
        value="5.59",
        unit="%",
        formula="growth / (vip_total - growth) * 100",
    )
    report_id: Id
    claim_id: DottedId
    section: Text
    title: Text
    zh: Text | None = None
    measure: DottedId | None = None
    parameters: Parameters = Field({})
    first: Day | None = None
    last: Day | None = None
    value: Printed | None = Field(None, description="null: it is spoken of without a number")
    digits: Digits | None = Field(None, description="decimals; those of the value if left out")
    unit: Text
    meant: Meant = "exact"
    formula: FormulaText | None = None
    note: Text | None = None

    def decide(self, at: datetime, report: Report) -> list[Event]:
        begins, ends = require_entered(report, self.report_id)
        last = self.last or ends
        first = self.first or min(begins, last)
        require_in_order(first, last)
        if self.formula is not None:
            require_formula(self.formula)
        wrong = self.in_place(at, ReportClaimed, report, self.claim_id)
        if not wrong:
            require_room(report, "claims")
        digits = printed_digits(self.value) if self.digits is None else self.digits
        return [*wrong, self.telling(at, ReportClaimed, first=first, last=last, digits=digits)]


def printed_digits(value: str | None) -> int:
    """The decimals of a value as it is printed."""
    return len((value or "").partition(".")[2])


class CorrectReport(Correction):
    """Take back a report: none of its claims is told until it is entered again."""

    command: Literal["report.correct"] = "report.correct"
    writes: ClassVar[dict[str, str]] = {"report": "report_id"}
    fact = ReportEntered
    refuses = (UnknownFact,)
    example = saying(report_id="annual-2008", reason="of another branch")
    report_id: Id

    def decide(self, at: datetime, report: Report) -> list[Event]:
        return self.taken_back(at, report)


class CorrectClaim(Correction):
    """Take back what a report claims: it does not say so."""

    command: Literal["report.correct_claim"] = "report.correct_claim"
    writes: ClassVar[dict[str, str]] = {"report": "report_id"}
    fact = ReportClaimed
    refuses = (UnknownFact,)
    example = saying(report_id="annual-2008", claim_id="members.vip_total", reason="misread")
    report_id: Id
    claim_id: DottedId

    def decide(self, at: datetime, report: Report) -> list[Event]:
        return self.taken_back(at, report)
