"""Figures, what explains them, and what changed."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from api.models.base import Dated, Moment, Number, View, number_or_same


class Figure(View):
    """A figure of the report beside the one derived from the events."""

    figure_id: str
    section: str
    title: str
    zh: str
    unit: str | None
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


class Demo(View):
    """The demo that is loaded."""

    scale: str
    seed: int
    complete: bool


class Figures(Dated):
    """All figures of the report."""

    demo: Demo | None
    clock: datetime
    figures: list[Figure]


class Input(View):
    """A value that went into a figure."""

    name: str
    value: Annotated[Any, BeforeValidator(number_or_same)]


class EventRef(View):
    """Where the log holds an event."""

    bucket: int
    position: int
    stream: str
    topic: str
    occurred_at: datetime
    rule: str | None = Field(
        description="what decided it: a version of a price or of terms, or a policy",
        examples=["terms spring 1"],
    )


class Explanation(Dated):
    """A figure, its formula and inputs, and a page of the events behind it."""

    figure: Figure
    inputs: list[Input]
    events: list[EventRef]
    next: tuple[int, int] | None = Field(
        description="send it as `after=<bucket>:<position>` for the next page"
    )


class FigureChange(View):
    """A figure that is another one at the later moment; null where it has no value."""

    figure_id: str
    unit: str
    before: Number | None
    after: Number | None
    difference: Number | None = Field(description="between days, in days")


class Cause(View):
    """The events of a topic that only one of the moments holds, and what they add to a sum."""

    topic: str
    events: int
    amount: int


class SumChange(View):
    """A sum over events at the two moments, and the events between that make the difference."""

    name: str = Field(examples=["points.balance", "clubs.health.visits"])
    before: int
    after: int
    difference: int
    causes: list[Cause]
    foots: bool = Field(description="whether the causes add up to the difference; they must")


class Between(View):
    """How many events of a topic only the later, and only the earlier moment holds."""

    topic: str
    added: int
    dropped: int


class Changes(View):
    """What changed from one moment to another."""

    before: Moment
    after: Moment
    figures: list[FigureChange]
    sums: list[SumChange]
    events: list[Between]
    foots: bool = Field(description="whether every sum changed by what its events add up to")
