"""Phone numbers: one number has one spelling, however it came.

Stored and compared is the international form, `+8613800000001` (ITU-T E.164). A number without a
country is one of the programme's own.
"""

import re
from dataclasses import dataclass
from functools import cached_property

ABROAD = "00"
"""What begins a number of another country, as + does."""
_PLAN = re.compile(r"\+([1-9][0-9]{0,2})(?: ([0-9]))? ([0-9]{1,2})-([0-9]{1,2})")
SHORTEST, LONGEST = 7, 15
"""Digits of a number of another country, with the country's."""

_ZERO_WIDE = ord("\uff10")  # the full-width 0, as Chinese keyboards write it
_GAPS = (
    r" \u00a0\u2002-\u200a\u202f\u3000"  # spaces of every width
    r"\u2010-\u2015\u2212\uff0d"  # hyphens, dashes, a minus
    r".\uff0e()\uff08\uff09"
    r"\u200e\u200f\u202a-\u202e\u2066-\u2069"  # directions, which address books put around numbers
    r"-"
)
MOST_TOGETHER = 3
"""Of them between two digits: as in `) - `."""
_GAP = f"[{_GAPS}]{{0,{MOST_TOGETHER}}}"
BRACKETED_TRUNK = rf"[(\uff08]{_GAP}[0\uff10]{_GAP}[)\uff09]"
"""Of another country nobody knows whether this 0 is dialled."""


_GAP_OF_ANY_WIDTH = re.compile(f"[{_GAPS}]+")
_TOO_WIDE = re.compile(f"[{_GAPS}]{{{MOST_TOGETHER + 1}}}")
_ASCII = {_ZERO_WIDE + digit: str(digit) for digit in range(10)} | {ord("\uff0b"): "+"}
_PLAIN = re.compile("[0-9]+").fullmatch  # as nearly all come
_ONE_NUMBER = re.compile(r"[0-9+]+")


class NoPhoneNumber(ValueError):
    """Why this is none, in a sentence that repeats nothing of it."""


def _digits(allowed: str) -> str:
    """These digits, full-width as well, and the gap behind them."""
    wide = re.sub("[0-9]", lambda found: f"\\u{_ZERO_WIDE + int(found[0]):x}", allowed)
    return f"[{allowed}{wide}]{_GAP}"


@dataclass(frozen=True)
class NumberingPlan:
    """How a country writes its numbers: its own code, what begins a number at home (nothing in some
    countries), and how many digits it has, with the area code and without what begins it."""

    country: str
    trunk: str
    shortest: int
    longest: int

    @classmethod
    def said(cls, text: str) -> "NumberingPlan":
        """One that is written as `+86 0 10-11`, or `+39 6-11` where nothing begins a number at
        home. Raises ValueError."""
        found = _PLAN.fullmatch(text)
        if found is None:
            raise ValueError("it is written as +86 0 10-11: country, 0 before the area, digits")
        plan = cls(found[1], found[2] or "", int(found[3]), int(found[4]))
        if not SHORTEST <= plan.shortest <= plan.longest <= LONGEST - len(plan.country):
            most = LONGEST - len(plan.country)
            raise ValueError(f"its numbers have {SHORTEST} to {most} digits without the country")
        return plan

    def __str__(self) -> str:
        trunk = f" {self.trunk}" if self.trunk else ""
        return f"+{self.country}{trunk} {self.shortest}-{self.longest}"

    @cached_property
    def pattern(self) -> str:
        """Every spelling that is taken. Exact, so that who reads a description knows as much."""
        abroad = rf"(?:[+\uff0b]{_GAP}|{_word(ABROAD)})"
        rest = f"(?:{_digits('0-9')})"
        first = "1-9" if self.trunk else "0-9"
        home = (
            f"(?:{_word(self.trunk)})?{_digits(first)}{rest}"
            f"{{{self.shortest - 1},{self.longest - 1}}}"
        )
        size = len(self.country)
        others = "|".join(map(self._departing, range(size)))
        foreign = f"(?:{others}){rest}{{{SHORTEST - size},{LONGEST - size}}}"
        home = f"{_GAP}(?:{abroad}?{_word(self.country)})?{home}"
        return f"^(?:{home}|(?!.*{BRACKETED_TRUNK}){_GAP}{abroad}{foreign})$"

    def _departing(self, place: int) -> str:
        """As many digits as the country has, that are its own up to this place and not there."""
        among = "0123456789" if place else "123456789"
        other = _digits(among.replace(self.country[place], ""))
        left = len(self.country) - place - 1
        return _word(self.country[:place]) + other + _digits("0-9") * left

    @cached_property
    def _written(self) -> re.Pattern[str]:
        return re.compile(self.pattern[1:-1])

    def canonical(self, written: str) -> str:
        """The one spelling of a number: `+`, the country, the number. Raises NoPhoneNumber.

        Gaps say nothing, full-width digits are digits, `00` is `+`, and the 0 before an area code
        goes.
        """
        plain = len(written) == self.longest and _PLAIN(written)
        if plain and self.trunk and not written.startswith(self.trunk):
            return f"+{self.country}{written}"
        if not self._written.fullmatch(written):
            raise NoPhoneNumber(self._why(written))
        number = _without_gaps(written)
        if number.startswith(ABROAD):
            number = "+" + number.removeprefix(ABROAD)
        home = number.removeprefix("+" + self.country)
        if number.startswith("+") and home == number:
            return number
        if home == number and len(number.removeprefix(self.trunk)) > self.longest:
            home = number.removeprefix(self.country)
        return f"+{self.country}{home.removeprefix(self.trunk)}"

    def at_home(self, number: str) -> str:
        """A number in its one spelling, as it is written in this country."""
        return number.removeprefix(f"+{self.country}")

    def _why(self, written: str) -> str:
        if not _ONE_NUMBER.fullmatch(_without_gaps(written)):
            return (
                "a phone number holds digits, a + before them, spaces, hyphens, dots and brackets"
            )
        left_out = re.sub(BRACKETED_TRUNK, "", written)
        if left_out != written and self._written.fullmatch(_without_gaps(left_out)):
            return "the 0 in brackets is not dialled from abroad: leave it out"
        if _TOO_WIDE.search(written) and self._written.fullmatch(_without_gaps(written)):
            return f"no more than {MOST_TOGETHER} spaces, hyphens, dots and brackets stand together"
        return (
            f"a phone number of this country has {self.shortest} to {self.longest} digits, its area"
            f" code among them; one of another begins with + or {ABROAD} and the country, and has"
            f" {SHORTEST} to {LONGEST}"
        )


def _without_gaps(written: str) -> str:
    return _GAP_OF_ANY_WIDTH.sub("", written.translate(_ASCII))


def _word(text: str) -> str:
    return "".join(map(_digits, text))


CHINA = NumberingPlan(country="86", trunk="0", shortest=10, longest=11)
"""That of mainland China."""
