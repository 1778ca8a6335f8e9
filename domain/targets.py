"""Targets: what a measure is to reach in a period, at a level."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field

from domain.corrections import Correction, Retellable, ToldAlready, UnknownFact
from domain.kernel.command import saying
from domain.kernel.correction import TakesBack
from domain.kernel.event import ONLY, Event
from domain.kernel.parts import part_of
from domain.kernel.periods import PeriodReversed, require_in_order
from domain.kernel.values import Day, DottedId, Parameters, Printed, Text, UnitId

Level = Literal["basic", "challenge", "contest"]
WayKind = Literal["at_least", "at_most", "rank_at_most", "better_by"]


class Way(BaseModel):
    """A way to pass: `better_by` so many points than the period before."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: WayKind
    value: Printed


Ways = Annotated[tuple[Way, ...], Field(min_length=1, max_length=5)]


@part_of("target")
class Target(Struct, array_like=True, gc=False):
    """A target, as long as it stands."""

    set_at: datetime | None = None


class TargetSet(Event, name="target.set", stream="target"):
    """A measure is to reach this in these days: in any of several ways."""

    title: Text
    zh: Text | None = None
    measure: DottedId
    parameters: Parameters
    first: Day
    last: Day
    unit_id: UnitId | None = None
    level: Level
    ways: Ways
    source: Text
    named_by = ()
    kept_in = "set_at"

    def apply(self, target: Target) -> None:
        target.set_at = self.occurred_at


class TargetFactCorrected(TakesBack, name="target.fact_corrected", stream="target"):
    """A target was never set so."""


class SetTarget(Retellable):
    """Set what a measure is to reach: of the whole programme or of a unit, at a level.

    Any one of its ways passes it.
    """

    command: Literal["target.set"] = "target.set"
    writes: ClassVar[dict[str, str]] = {"target": "target_id"}
    refuses = (PeriodReversed, ToldAlready, UnknownFact)
    example = saying(
        target_id="service.challenge_2008",
        title="Satisfaction, challenge",
        zh="满意度挑战值",
        measure="satisfaction.rate",
        first="2008-01-01",
        last="2008-12-31",
        level="challenge",
        ways=[{"kind": "at_least", "value": "82"}, {"kind": "rank_at_most", "value": "4"}],
        source="plan of the province",
    )
    target_id: DottedId
    title: Text
    zh: Text | None = None
    measure: DottedId
    parameters: Parameters = Field({})
    first: Day
    last: Day
    unit_id: UnitId | None = Field(None, description="null: of the whole programme")
    level: Level
    ways: Ways
    source: Text

    def decide(self, at: datetime, target: Target) -> list[Event]:
        require_in_order(self.first, self.last)
        wrong = self.in_place(at, TargetSet, target, ONLY)
        return [*wrong, self.telling(at, TargetSet)]


class CorrectTarget(Correction):
    """Take back a target."""

    command: Literal["target.correct"] = "target.correct"
    writes: ClassVar[dict[str, str]] = {"target": "target_id"}
    fact = TargetSet
    refuses = (UnknownFact,)
    example = saying(target_id="service.basic_2008", reason="of another year")
    target_id: DottedId

    def decide(self, at: datetime, target: Target) -> list[Event]:
        return self.taken_back(at, target)
