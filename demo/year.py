"""The year in chapters: three for the branch as it stood at the end of 2007, one for each month.

Each chapter can be written by itself and comes out the same, so that a load that was interrupted
goes on with the next one.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from demo import clubs, staying, tiers
from demo.bills import Bills
from demo.bindings import Bindings
from demo.campaigns import Prepaid
from demo.customers import Customers, customers
from demo.desk import Desk
from demo.facts import Source, count_within, within
from demo.instants import on
from demo.points import Lots
from demo.scaling import scale_of

DEFAULT_SEED = 2008

_NAMES = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_WINDOWS = [
    ("demo-2005", "The branch to the end of 2005", on(2000), on(2006)),
    ("demo-2006", "The branch in 2006", on(2006), on(2007)),
    ("demo-2007", "The branch in 2007", on(2007), on(2008)),
] + [
    (
        f"demo-2008-{month:02d}",
        f"{_NAMES[month - 1]} 2008",
        on(2008, month),
        on(2008, month + 1) if month < 12 else on(2009),
    )
    for month in range(1, 13)
]


@dataclass(frozen=True)
class Chapter:
    """A part of the history. `lines()` writes it from its start, each time the same."""

    key: str
    title: str
    lines: Callable[[], Iterator[bytes]]
    facts: int


@dataclass(frozen=True)
class Year:
    """Everything that was drawn, and where its facts come from."""

    customers: Customers
    bills: Bills
    lots: Lots
    prepaid: Prepaid
    bindings: Bindings
    sources: list[Source]


def plan(scale: str, seed: int = DEFAULT_SEED) -> Year:
    """Draw the whole history; this takes a few seconds and writes no line yet."""
    those = customers(scale_of(scale, seed))
    staying.plan(those)
    prepaid = Prepaid(those)
    bindings = Bindings(prepaid)
    bills = Bills(those)
    lots = Lots(those, bills)
    # At one instant the earlier sources come first: a club before its visits, a tier before them.
    sources = [
        *tiers.facts(those),
        *clubs.facts(those),
        *prepaid.facts(),
        *bindings.facts(),
        *Desk(those, lots).facts(),
        *staying.facts(those),
        *lots.facts(),
        *bills.facts(),
    ]
    return Year(those, bills, lots, prepaid, bindings, sources)


def chapters(scale: str, seed: int = DEFAULT_SEED) -> Iterator[Chapter]:
    """The history in order. `scale` is from 0.0005 to 1; figures are exact only at 1."""
    sources = plan(scale, seed).sources
    for key, title, first, until in _WINDOWS:
        facts = count_within(sources, first, until)
        yield Chapter(key, title, within(sources, first, until), facts)
