"""Outside values: what our events cannot give, with who says so."""

from datetime import datetime
from typing import ClassVar, Literal

from msgspec import Struct
from pydantic import Field

from domain.corrections import Correction, Retellable, ToldAlready, UnknownFact
from domain.kernel.command import saying
from domain.kernel.correction import TakesBack
from domain.kernel.event import ONLY, Event
from domain.kernel.parts import part_of
from domain.kernel.periods import NotComeYet, PeriodReversed, require_come, require_in_order
from domain.kernel.values import Day, Digits, DottedId, Parameters, Printed, Text
from domain.reports import printed_digits


@part_of("outside")
class Outside(Struct, array_like=True, gc=False):
    """A value from outside, as long as it stands."""

    recorded_at: datetime | None = None


class OutsideRecorded(Event, name="outside.recorded", stream="outside"):
    """A value was learned from outside: a survey's, a rank, another branch's, last year's."""

    title: Text
    zh: Text | None = None
    about: Text
    measure: DottedId | None = None
    parameters: Parameters
    first: Day
    last: Day
    value: Printed
    digits: Digits
    unit: Text
    source: Text
    dated_on: Day
    said_by: Text
    named_by = ()
    kept_in = "recorded_at"

    def apply(self, outside: Outside) -> None:
        outside.recorded_at = self.occurred_at


class OutsideFactCorrected(TakesBack, name="outside.fact_corrected", stream="outside"):
    """A value from outside was wrong."""


class RecordOutside(Retellable):
    """Record a value that our events cannot give: of what, of whom, of which days, and who says so.

    Under the id of a measure it is that measure's value there, and targets are held against it.
    """

    command: Literal["outside.record"] = "outside.record"
    writes: ClassVar[dict[str, str]] = {"outside": "outside_value_id"}
    refuses = (PeriodReversed, NotComeYet, ToldAlready, UnknownFact)
    example = saying(
        outside_value_id="satisfaction_2007",
        title="Satisfaction",
        zh="满意度",
        about="our customers",
        first="2007-01-01",
        last="2007-12-31",
        value="81.3",
        unit="%",
        source="survey of 2007",
        dated_on="2008-01-31",
        said_by="the survey's institute",
    )
    outside_value_id: DottedId
    title: Text
    zh: Text | None = None
    about: Text = Field(description="of whom, or of where")
    measure: DottedId | None = None
    parameters: Parameters = Field({})
    first: Day
    last: Day
    value: Printed
    digits: Digits | None = Field(None, description="decimals; those of the value if left out")
    unit: Text
    source: Text
    dated_on: Day
    said_by: Text = Field(description="a body or a function, never a person's name")

    def decide(self, at: datetime, outside: Outside) -> list[Event]:
        require_in_order(self.first, self.last)
        require_come(max(self.last, self.dated_on), at)
        wrong = self.in_place(at, OutsideRecorded, outside, ONLY)
        digits = printed_digits(self.value) if self.digits is None else self.digits
        return [*wrong, self.telling(at, OutsideRecorded, digits=digits)]


class CorrectOutside(Correction):
    """Take back a value from outside."""

    command: Literal["outside.correct"] = "outside.correct"
    writes: ClassVar[dict[str, str]] = {"outside": "outside_value_id"}
    fact = OutsideRecorded
    refuses = (UnknownFact,)
    example = saying(outside_value_id="satisfaction_2006", reason="of another branch")
    outside_value_id: DottedId

    def decide(self, at: datetime, outside: Outside) -> list[Event]:
        return self.taken_back(at, outside)
