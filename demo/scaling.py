"""How the branch shrinks: all numbers of people by one factor: a small demo is a small branch."""

from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import TypeVar

T = TypeVar("T")

SMALLEST = "0.0005"
"""Below it some kinds of customers would have to come out of nobody."""


@dataclass(frozen=True)
class Scale:
    """A factor from the smallest scale to 1, and the seed of all that is drawn."""

    factor: Fraction
    seed: int

    def of(self, count: int, least: int = 2) -> int:
        """So many customers at this scale, but `least`, so that no kind of customer disappears."""
        return count if self.factor == 1 else max(min(least, count), round(count * self.factor))

    def random(self, topic: str) -> Random:
        """Draws of one topic. Each has its own, so that a change in one leaves the others alone."""
        return Random(f"{self.seed}/{topic}")


def scale_of(factor: str, seed: int) -> Scale:
    """The scale that a caller writes as text, such as "0.01"."""
    value = Fraction(factor)
    if not Fraction(SMALLEST) <= value <= 1:
        raise ValueError(f"a scale is at least {SMALLEST} and at most 1, not {factor}")
    return Scale(value, seed)


def some(draw: Random, pool: list[T], count: int) -> list[T]:
    """So many of these, each at most once; fewer if there are not so many."""
    return draw.sample(pool, min(count, len(pool)))
