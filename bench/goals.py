"""Goals: ratios of two subjects, or one figure, judged by the median of their rounds."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.rounds import Series, Spread, ratios

GOALS = Path(__file__).with_name("goals.toml")


@dataclass(frozen=True, slots=True)
class Goal:
    """An entry of goals.toml."""

    id: str
    text: str
    above: str
    below: str  # empty: the figure itself is judged
    metric: str
    comparison: Literal[">=", "<="]
    goal: float
    prototype: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal and what was measured; `why` says what is missing if nothing was."""

    goal: Goal
    ratio: Spread | None
    why: str = ""

    @property
    def met(self) -> bool | None:
        """None if it was not measured."""
        if self.ratio is None:
            return None
        value = self.ratio.median
        return value >= self.goal.goal if self.goal.comparison == ">=" else value <= self.goal.goal


def listed() -> list[Goal]:
    """All goals, in their order."""
    return [Goal(**each) for each in tomllib.loads(GOALS.read_text("utf-8"))["goal"]]


def judged(found: Mapping[str, Series]) -> list[Judged]:
    """Every goal with what the run has to say of it."""
    return [_judged(goal, found) for goal in listed()]


def _judged(goal: Goal, found: Mapping[str, Series]) -> Judged:
    for name in filter(None, (goal.above, goal.below)):
        if name not in found:
            return Judged(goal, None, f"{name} was not measured")
        if not found[name].valid:
            return Judged(goal, None, f"{name} does not count")
    if goal.below:
        values = ratios(found[goal.above], found[goal.below], goal.metric)
    else:
        values = [each for each in found[goal.above].values(goal.metric) if each is not None]
    if not values:
        return Judged(goal, None, "no round has both")
    return Judged(goal, Spread.of(values))
