"""A measure asked for somebody else's figure: its value, or why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from domain.kernel.refusal import Refusal
from projections.engine.connection import Conn
from projections.engine.measure import MEASURES, Measure, Measured, measured


@dataclass(frozen=True)
class Given:
    """A measure's exact value, or why there is none."""

    exact: Fraction | None
    why: str | None = None
    whole: int | None = None
    """Of a rate: how many it is of."""


def ask(conn: Conn, measure: str, parameters: Mapping[str, str], first: date, last: date) -> Given:
    """A measure for these parameters, of the days from `first` to `last`, or on `last`."""
    known = MEASURES.get(measure)
    if known is None:
        return Given(None, "the ledger has no such measure")
    try:
        found = measured(conn, measure, words_for(measure, parameters, first), last)
    except Refusal as refusal:
        told = [f"{name} {', '.join(said)}" for name, said in refusal.numbers().items() if said]
        return Given(None, ": ".join([refusal.title.rstrip("."), *told[:1]]))
    return Given(found.exact, found.why, _whole(known, found))


def words_for(measure: str, parameters: Mapping[str, str], first: date) -> dict[str, Any]:
    """With what a measure is asked: the first day, too, where it is of days."""
    return {**({"first": first} if MEASURES[measure].days else {}), **parameters}


def _whole(known: Measure, found: Measured) -> int | None:
    """How many customers a rate is of: what its formula divides by, if that is one sum."""
    below = {name for _, names in known.formula.quotients for name in names}
    if known.unit != "%" or len(below) != 1:
        return None
    return found.sums()[below.pop()]
