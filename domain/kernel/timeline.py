"""Timelines: values with the instant from which each of them holds.

A rule reads them at the instant of the fact that it decides, so a fact told late is judged by what
was in force at its own time; a value told late takes its place among the others. What nothing that
may still be told can ask for is forgotten: LATE_DAYS before what is put in, the value then in force
is the earliest kept.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, TypeVar

from domain.kernel.refusal import Refusal

V = TypeVar("V")

LATE_DAYS = 400
"""How long what has ended stays in a state, so that a fact told late is still judged by it."""
LATE = timedelta(days=LATE_DAYS)

Timeline: TypeAlias = list[tuple[datetime, V]]
"""(since, value), earliest first, no two of one instant. Never changed in place."""


@dataclass
class NothingChanges(Refusal):
    """It is so already, and nothing later is known: nothing would change."""

    code = "nothing_changes"
    value: str


def at(timeline: Timeline[V], instant: datetime) -> V | None:
    """The value in force at an instant; null before the first."""
    if not timeline:
        return None
    if timeline[-1][0] <= instant:  # mostly the only one, and mostly in force
        return timeline[-1][1]
    return next((value for since, value in reversed(timeline) if since <= instant), None)


def repeats(timeline: Timeline[V], since: datetime, value: V, at_first: V) -> bool:
    """Whether this value would say nothing new: it is in force and nothing later is known, or it is
    there already. One told late is a fact of its own, though it changes nothing as things stand:
    what made it true before it may turn out to be wrong."""
    if timeline and since < timeline[-1][0]:
        return (since, value) in timeline
    return (timeline[-1][1] if timeline else at_first) == value


def put(timeline: Timeline[V], since: datetime, value: V) -> Timeline[V]:
    """The timeline with one more value in its place; of two for one instant the last told holds."""
    before = [each for each in timeline if each[0] < since]
    after = [each for each in timeline if each[0] > since]
    return [*forget(before, since), (since, value), *after]


def forget(timeline: Timeline[V], now: datetime) -> Timeline[V]:
    """What may still be asked for by facts told up to LATE_DAYS before `now`, and later ones."""
    oldest = now - LATE
    ended = sum(since <= oldest for since, _ in timeline)
    return timeline[max(ended - 1, 0) :]
