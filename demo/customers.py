"""The customers: who joined when, the tier at both year ends and between, who left.

Customers are numbered from 0 in the order in which they joined; every other plan speaks of them by
number. What happens to a customer is drawn once, here, and kept in lists by number.
"""

from dataclasses import dataclass, field
from random import Random

from demo import examples
from demo.assumptions import assumed
from demo.instants import DAY, office_hours, on
from demo.people import people
from demo.scaling import Scale, some

NONE, MEMBER, SILVER, GOLD, DIAMOND = range(5)
TIERS = ("none", "member", "silver", "gold", "diamond")
"""Lowest first; a tier's number in the plans is its place here."""
CODE = {name: code for code, name in enumerate(TIERS)}

BINDING_BASE_DRAWN = on(2008, 9)
"""Who joins, joins before: everybody stands on the province's list."""


@dataclass
class Customers:
    """All customers by number."""

    scale: Scale
    joined: list[int]
    tier_2007: list[int]
    tier_2008: list[int]
    unit: list[int]
    names: list[str]
    phones: list[str]
    ids: list[str]
    joined_before_q4: int  # so many, in the order of joining
    joined_before_2008: int
    tier_since: dict[int, int] = field(default_factory=dict)  # when he came into his tier of 2007
    changes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # (at, tier) of 2008
    left: dict[int, int] = field(default_factory=dict)
    important: dict[int, int] = field(default_factory=dict)  # since when
    low: dict[int, int] = field(default_factory=dict)  # mask of the months below 50 yuan
    retention: set[int] = field(default_factory=set)  # the cohort of the end of 2007
    uplift: dict[int, int] = field(default_factory=dict)  # spends more from this month on

    def __len__(self) -> int:
        return len(self.joined)

    def tier_at(self, number: int, at: int) -> int:
        """The tier at an instant of 2008."""
        tier = self.tier_2007[number]
        for changed, after in self.changes.get(number, ()):
            if changed <= at:
                tier = after
        return tier

    def here(self, number: int, at: int) -> bool:
        """Whether he is on the network."""
        left = self.left.get(number)
        return self.joined[number] <= at and (left is None or at < left)

    def steady(self, tier: int) -> list[int]:
        """Those who had this tier all year, examples apart."""
        return [
            number
            for number in range(len(examples.PLANNED), len(self))
            if self.tier_2007[number] == tier == self.tier_2008[number]
            and number not in self.changes
        ]


def customers(scale: Scale) -> Customers:
    """Draw all customers."""
    draw = scale.random("customers")
    old, late, new = _cells(scale)
    for example in examples.PLANNED:
        old.remove((CODE[example.tier],) * 2)
    for cells in (old, late, new):
        draw.shuffle(cells)
    cells = [(CODE[e.tier],) * 2 for e in examples.PLANNED] + old + late + new
    before_q4 = len(examples.PLANNED) + len(old)
    units = assumed("units")
    names, phones = people(scale, len(cells))
    all_of_them = Customers(
        scale=scale,
        joined=_joined(draw, len(old), len(late), len(new)),
        tier_2007=[before for before, _ in cells],
        tier_2008=[after for _, after in cells],
        unit=draw.choices(range(len(units)), [unit["share"] for unit in units], k=len(cells)),
        names=names,
        phones=phones,
        ids=[examples.member_id(number) for number in range(len(cells))],
        joined_before_q4=before_q4,
        joined_before_2008=before_q4 + len(late),
    )
    _change_tiers(all_of_them, draw)
    _go_and_come_back(all_of_them, draw)
    _mark_important(all_of_them, draw)
    return all_of_them


Cells = list[tuple[int, ...]]


def _cells(scale: Scale) -> tuple[Cells, Cells, Cells]:
    """(tier of 2007, tier of 2008) of those who joined before Q4 2007, in Q4 2007, and in 2008."""
    joiners = assumed("joiners")
    late_counts = {tier: scale.of(count) for tier, count in joiners["late_2007"].items()}
    new_counts = {tier: scale.of(count) for tier, count in joiners["in_2008"].items()}
    old: Cells = []
    for cell in assumed("tier-transitions"):
        count = scale.of(cell["count"])
        if cell["from"] == "none":
            count -= late_counts.get(cell["to"], 0) + new_counts.get(cell["to"], 0)
        old += [(CODE[cell["from"]], CODE[cell["to"]])] * count
    late: Cells = [(NONE, CODE[tier]) for tier, count in late_counts.items() for _ in range(count)]
    new: Cells = [(NONE, CODE[tier]) for tier, count in new_counts.items() for _ in range(count)]
    return old, late, new


def _joined(draw: Random, old: int, late: int, new: int) -> list[int]:
    """When each joined, in order: more in later years, the examples first of all."""
    first = [on(2000, 3, 1 + number, 10) for number in range(len(examples.PLANNED))]
    spans = (
        (old, on(2000, 4), on(2007, 9, 20), 0.75),
        (late, on(2007, 10, 2), on(2007, 12, 18), 1.0),
        (new, on(2008, 1, 3), BINDING_BASE_DRAWN - 3 * DAY, 1.0),
    )
    for count, begin, end, skew in spans:
        first += sorted(office_hours(draw, begin, end, skew) for _ in range(count))
    return first


def _change_tiers(those: Customers, draw: Random) -> None:
    for number in range(len(those)):
        before, after = those.tier_2007[number], those.tier_2008[number]
        if before:
            earliest = max(those.joined[number] + 40 * DAY, on(2004, 6))
            those.tier_since[number] = office_hours(draw, earliest, on(2007, 12, 20))
        if before != after:
            earliest = max(those.joined[number] + 45 * DAY, on(2008, 1, 8))
            those.changes[number] = [(office_hours(draw, earliest, on(2008, 12, 22)), after)]


def _go_and_come_back(those: Customers, draw: Random) -> None:
    for row in assumed("there-and-back"):
        tier, by_way_of = CODE[row["tier"]], CODE[row["by_way_of"]]
        for number in some(draw, those.steady(tier), those.scale.of(row["count"], 1)):
            out = office_hours(draw, on(2008, 2), on(2008, 5, 28))
            back = office_hours(draw, on(2008, 8), on(2008, 11, 28))
            those.changes[number] = [(out, by_way_of), (back, tier)]


def _mark_important(those: Customers, draw: Random) -> None:
    those.important[examples.IMPORTANT] = on(2006, 5, 18, 15)
    for tier, count in assumed("important-customers").items():
        known = 1 if tier == "none" else 0
        pool = [n for n in those.steady(CODE[tier]) if n < those.joined_before_q4]
        for number in some(draw, pool, those.scale.of(count) - known):
            earliest = max(those.joined[number] + DAY, on(2006))
            those.important[number] = office_hours(draw, earliest, on(2008, 5, 30))
