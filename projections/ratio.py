"""A rate, kept as the two whole numbers it comes from and divided at the last step."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Ratio:
    """part / whole; without a value where the whole is zero."""

    part: int
    whole: int

    @property
    def value(self) -> Fraction | None:
        return Fraction(self.part, self.whole) if self.whole else None

    def percent(self, digits: int = 2) -> Decimal | None:
        """In percent, rounded half up to so many digits."""
        return None if self.value is None else rounded(self.value * 100, digits)

    def quotient(self, digits: int = 2) -> Decimal | None:
        """As it is (a mean, a cost a participant), rounded half up to so many digits."""
        return None if self.value is None else rounded(self.value, digits)


def rounded(value: Fraction | int | Decimal, digits: int) -> Decimal:
    """Half up, away from zero at the half, exactly: no float on the way."""
    scaled = abs(Fraction(value)) * 10**digits
    whole = (scaled.numerator * 2 + scaled.denominator) // (scaled.denominator * 2)
    return Decimal(-whole if value < 0 else whole).scaleb(-digits)
