"""Phone numbers: one number has one spelling, however it came.

Stored and compared is the international form, `+8613800000001` (ITU-T E.164). A number without a
country is one of the programme's own.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NumberingPlan:
    """How a country writes its numbers: what begins them at home, from abroad and to abroad."""

    country: str
    trunk: str
    abroad: str
    shortest: int  # with the area code, without what begins it
    longest: int


PROGRAMME_PLAN = NumberingPlan(country="86", trunk="0", abroad="00", shortest=10, longest=11)
"""That of the programme, as `values.PROGRAMME` has its clock: the plan of mainland China."""
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


def _digits(allowed: str) -> str:
    """These digits, full-width as well, and the gap behind them."""
    wide = re.sub("[0-9]", lambda found: f"\\u{_ZERO_WIDE + int(found[0]):x}", allowed)
    return f"[{allowed}{wide}]{_GAP}"


def _pattern(plan: NumberingPlan) -> str:
    """Every spelling that is taken. Exact, so that who reads a description knows as much."""

    def word(text: str) -> str:
        return "".join(map(_digits, text))

    first, other = plan.country[0], plan.country[1]
    abroad = rf"(?:[+\uff0b]{_GAP}|{word(plan.abroad)})"
    not_first = "".join(digit for digit in "123456789" if digit != first)
    not_other = "".join(digit for digit in "0123456789" if digit != other)
    rest = f"(?:{_digits('0-9')})"
    home = (
        f"(?:{word(plan.trunk)})?{_digits('1-9')}{rest}{{{plan.shortest - 1},{plan.longest - 1}}}"
    )
    foreign = (
        f"(?:{_digits(not_first)}{_digits('0-9')}|{_digits(first)}{_digits(not_other)})"
        f"{rest}{{{SHORTEST - 2},{LONGEST - 2}}}"
    )
    home = f"{_GAP}(?:{abroad}?{word(plan.country)})?{home}"
    return f"^(?:{home}|(?!.*{BRACKETED_TRUNK}){_GAP}{abroad}{foreign})$"


PATTERN = _pattern(PROGRAMME_PLAN)
_WRITTEN = re.compile(PATTERN[1:-1])
_GAP_OF_ANY_WIDTH = re.compile(f"[{_GAPS}]+")
_TOO_WIDE = re.compile(f"[{_GAPS}]{{{MOST_TOGETHER + 1}}}")
_ASCII = {_ZERO_WIDE + digit: str(digit) for digit in range(10)} | {ord("\uff0b"): "+"}
_PLAIN = re.compile("[0-9]+").fullmatch  # as nearly all come
_ONE_NUMBER = re.compile(r"[0-9+]+")


class NoPhoneNumber(ValueError):
    """Why this is none, in a sentence that repeats nothing of it."""


def canonical(written: str) -> str:
    """The one spelling of a number: `+`, the country, the number. Raises NoPhoneNumber.

    Gaps say nothing, full-width digits are digits, `00` is `+`, and the 0 before an area code goes.
    """
    plan = PROGRAMME_PLAN
    if len(written) == plan.longest and _PLAIN(written) and not written.startswith(plan.trunk):
        return f"+{plan.country}{written}"
    if not _WRITTEN.fullmatch(written):
        raise NoPhoneNumber(_why(written))
    number = _without_gaps(written)
    if number.startswith(plan.abroad):
        number = "+" + number.removeprefix(plan.abroad)
    home = number.removeprefix("+" + plan.country)
    if number.startswith("+") and home == number:
        return number
    if home == number and len(number.removeprefix(plan.trunk)) > plan.longest:
        home = number.removeprefix(plan.country)
    return f"+{plan.country}{home.removeprefix(plan.trunk)}"


def at_home(number: str) -> str:
    """A number in its one spelling, as it is written in the programme's own country."""
    return number.removeprefix(f"+{PROGRAMME_PLAN.country}")


def _without_gaps(written: str) -> str:
    return _GAP_OF_ANY_WIDTH.sub("", written.translate(_ASCII))


def _why(written: str) -> str:
    plan = PROGRAMME_PLAN
    if not _ONE_NUMBER.fullmatch(_without_gaps(written)):
        return "a phone number holds digits, a + before them, spaces, hyphens, dots and brackets"
    left_out = re.sub(BRACKETED_TRUNK, "", written)
    if left_out != written and _WRITTEN.fullmatch(_without_gaps(left_out)):
        return "the 0 in brackets is not dialled from abroad: leave it out"
    if _TOO_WIDE.search(written) and _WRITTEN.fullmatch(_without_gaps(written)):
        return f"no more than {MOST_TOGETHER} spaces, hyphens, dots and brackets stand together"
    return (
        f"a phone number of this country has {plan.shortest} or {plan.longest} digits, its area"
        f" code among them; one of another begins with + or {plan.abroad} and the country, and has"
        f" {SHORTEST} to {LONGEST}"
    )
