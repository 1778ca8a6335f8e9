"""Many short rounds with everybody in each, and medians of the ratios within a round.

The machine's speed drifts by a third within minutes: a ratio of two medians would compare one
minute with another, a median of ratios does not.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from subprocess import SubprocessError

import psycopg

from bench import cpu
from bench.options import Options
from bench.parts import Arena, Subject
from bench.words import FaultError

Tell = Callable[[str], None]
GIVE_UP_AFTER = 2
"""Faults after which a subject is not run any more."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends of what the rounds gave."""

    median: float
    minimum: float
    maximum: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values), len(values))


@dataclass(slots=True)
class Series:
    """A subject's rounds: metric -> value, or None where a round did not count."""

    subject: str
    title: str
    counts: str
    arena: str
    rounds: list[Mapping[str, float] | None] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether its figures may be used: one bad run spoils them."""
        return not self.faults and any(each is not None for each in self.rounds)

    def metrics(self) -> list[str]:
        """What was measured, in order of appearance."""
        return list(dict.fromkeys(name for each in self.rounds if each for name in each))

    def values(self, metric: str) -> list[float | None]:
        """Round by round."""
        return [None if each is None else each.get(metric) for each in self.rounds]

    def spread(self, metric: str) -> Spread | None:
        """Of the rounds that counted."""
        known = [value for value in self.values(metric) if value is not None]
        return Spread.of(known) if known else None


def ratios(above: Series, below: Series, metric: str) -> list[float]:
    """The ratio in each round that has both."""
    pairs = zip(above.values(metric), below.values(metric), strict=False)
    return [a / b for a, b in pairs if a is not None and b]


def arranged(subjects: Sequence[Subject]) -> list[Subject]:
    """Each behind the one that it is compared with."""
    names = {each.name for each in subjects}

    def with_company(subject: Subject) -> list[Subject]:
        company = [each for each in subjects if each.beside == subject.name]
        return [subject, *(one for each in company for one in with_company(each))]

    alone = [each for each in subjects if each.beside not in names]
    return [one for each in alone for one in with_company(each)]


def order_of(subjects: Sequence[Subject], number: int, in_order: bool) -> list[Subject]:
    """The order of a round: who begins changes, and every second round runs backwards."""
    if in_order or not subjects:
        return list(subjects)
    start = number * 5 % len(subjects)
    turned = [*subjects[start:], *subjects[:start]]
    return turned[::-1] if number % 2 else turned


def play(
    name: str,
    arena: Arena,
    subjects: Sequence[Subject],
    options: Options,
    until: float,
    tell: Tell,
) -> dict[str, Series]:
    """Run the subjects of an arena round after round; no round begins after `until`."""
    placed = list(subjects) if arena.in_order else arranged(subjects)
    found = {each.name: Series(each.name, each.title, each.counts, name) for each in placed}
    if arena.warm and options.warm_up:
        tell(f"{arena.title}: warming up {len(placed)} subjects")
        for subject in placed:
            _try(subject, 1, found[subject.name], counts=False, tell=tell)
    rounds = min(options.rounds, arena.most_rounds)
    for number in range(rounds):
        if number and time.monotonic() > until:
            tell(f"{arena.title}: no time for round {number + 1}")
            break
        for subject in order_of(placed, number, arena.in_order):
            series = found[subject.name]
            if len(series.faults) >= GIVE_UP_AFTER:
                series.rounds.append(None)
                continue
            tell(f"{arena.title}, round {number + 1} of {rounds}: {subject.title}")
            _try(subject, options.seconds, series, counts=True, tell=tell)
    return found


def _try(subject: Subject, seconds: int, series: Series, *, counts: bool, tell: Tell) -> None:
    try:
        measured: Mapping[str, float] | None = measure(subject, seconds)
    except (FaultError, psycopg.Error, OSError, SubprocessError) as fault:
        said = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        series.faults.append(said)
        measured = None
        tell(f"{subject.title}: does not count: {said}")
    if counts:
        series.rounds.append(measured)


def measure(subject: Subject, seconds: int) -> dict[str, float]:
    """One run: its rate, what it tells itself, the processors' time a unit in microseconds, and
    the share of their time that the host of this machine kept for others."""
    if subject.before:
        subject.before()
    try:
        watched = subject.watch if cpu.known() else {}
        spent = {who: cpu.seconds_of(pids) for who, pids in watched.items()}
        before = cpu.stolen()
        outcome = subject.run(seconds)
        after = cpu.stolen()
        spent = {who: cpu.seconds_of(pids) - spent[who] for who, pids in watched.items()}
    finally:
        if subject.after:
            subject.after()
    if not outcome.count or outcome.seconds <= 0:
        raise FaultError("nothing was done")
    each = {f"cpu_{who}_us": used / outcome.count * 1e6 for who, used in spent.items()}
    if before and after:
        each["stolen_percent"] = 100 * (after[0] - before[0]) / max(after[1] - before[1], 1)
    return {"rate": outcome.count / outcome.seconds, **outcome.more, **each}
