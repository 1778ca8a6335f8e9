"""A rate, kept as the two whole numbers it comes from and divided at the last step."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Self

from pydantic import Field

from projections.engine.answer import Answer, Number


@dataclass(frozen=True, slots=True)
class Ratio:
    """part / whole; without a value where the whole is zero."""

    part: int
    whole: int

    @property
    def value(self) -> Fraction | None:
        return Fraction(self.part, self.whole) if self.whole else None


class Mean(Answer):
    """A sum over a count; `mean` is rounded half up to two digits."""

    part: int
    whole: int
    mean: Number | None = Field(description="null if the whole is 0")

    @classmethod
    def of(cls, part: int, whole: int) -> Self:
        return cls(part=part, whole=whole, mean=_quotient(part, whole, 2))


class Rate(Answer):
    """A ratio of two whole numbers; `percent` is rounded half up to four digits."""

    part: int
    whole: int
    percent: Number | None = Field(description="null if the whole is 0")

    @classmethod
    def of(cls, part: int, whole: int) -> Self:
        return cls(part=part, whole=whole, percent=_quotient(100 * part, whole, 4))


def _quotient(part: int, whole: int, digits: int) -> Decimal | None:
    return rounded(Fraction(part, whole), digits) if whole else None


def rounded(value: Fraction | int | Decimal, digits: int) -> Decimal:
    """Half up, away from zero at the half, exactly: no float on the way."""
    scaled = abs(Fraction(value)) * 10**digits
    whole = (scaled.numerator * 2 + scaled.denominator) // (scaled.denominator * 2)
    return Decimal(-whole if value < 0 else whole).scaleb(-digits)
