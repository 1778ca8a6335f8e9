"""Bills: one a month from the first full month to the month of leaving, in whole fen.

A bill is the customer's own level times the season times a spread that is new each month. Months
planned as low come out below 50 yuan, and other months of the cohort's customers never do.
"""

from array import array
from collections.abc import Iterator
from random import Random
from statistics import NormalDist

from demo import examples
from demo.assumptions import assumed
from demo.customers import TIERS, Customers
from demo.facts import Block, Source
from demo.instants import iso, month_of, on

LOW_FEN = 5_000
"""Monthly ARPU below this is low."""
COHORT_FEN = 12_600
"""A customer of the cohort spent 120 yuan in each month of the quarter, so his level is above."""
NO_BILL = -1
MONTHS = [f"2008-{month:02d}" for month in range(1, 13)]
ISSUED = [on(2008, month + 1) - 4 * 3600 for month in range(1, 12)] + [on(2009) - 4 * 3600]
"""Bills are issued at 20:00 on the last day of their month."""


class Bills:
    """Everybody's bills of the year, by month and customer."""

    def __init__(self, those: Customers) -> None:
        draw = those.scale.random("bills")
        self.those = those
        self.before, self.after = _levels(those, draw)
        self.months = [array("i", self._month(month, draw)) for month in range(12)]

    def _month(self, month: int, draw: Random) -> Iterator[int]:
        """The bills of a month in fen, by customer."""
        those = self.those
        season: int = assumed("season")[month]
        factors = [season * spread for spread in _spreads()]
        changed_from = {
            number: min(month_of(changes[0][0]), 11)
            for number, changes in those.changes.items()
            if those.tier_2007[number] != those.tier_2008[number]
        }
        uplift_percent: int = 100 + assumed("golden-autumn-draw")["uplift_percent"]
        drawn = draw.randbytes(len(those))
        first = {
            number: month_of(those.joined[number]) + 1
            for number in range(those.joined_before_2008, len(those))
        }
        last = {number: month_of(at) for number, at in those.left.items()}
        low, cohort = those.low, those.retention
        for number, byte in enumerate(drawn):
            if first.get(number, 0) > month or last.get(number, 11) < month:
                yield NO_BILL
                continue
            level = self.before[number]
            if changed_from.get(number, 12) <= month:
                level = self.after[number]
            fen = level * factors[byte] // 1_000_000
            if number in low and low[number] >> month & 1:
                fen = 1_300 + byte * 14 + number % 13
            elif fen < LOW_FEN and number in cohort:
                fen = LOW_FEN + byte
            if those.uplift.get(number, 12) <= month:
                fen = fen * uplift_percent // 100
            yield fen

    def sums(self, first: int, until: int) -> list[int]:
        """What everybody was billed in these months, in fen."""
        chosen = self.months[first:until]
        return [sum(fen for fen in bills if fen > 0) for bills in zip(*chosen, strict=True)]

    def facts(self) -> list[Source]:
        """A block of bills at the end of each month."""
        return [
            Block(ISSUED[month], sum(fen >= 0 for fen in bills), self._lines(month))
            for month, bills in enumerate(self.months)
        ]

    def _lines(self, month: int) -> "_Lines":
        shares: dict[str, int] = assumed("margin-share")
        return _Lines(self, month, [shares[tier] for tier in TIERS])


class _Lines:
    """The lines of one month's bills; two thirds of the history, so written by hand."""

    def __init__(self, bills: Bills, month: int, margin_bp: list[int]) -> None:
        self.bills, self.month, self.margin_bp = bills, month, margin_bp

    def __call__(self) -> Iterator[bytes]:
        those, margin_bp = self.bills.those, self.margin_bp
        head = f'{{"command":"bill.record","at":"{iso(ISSUED[self.month])}",'
        head += '"actor":"system:billing","member_id":"'
        middle = f'","month":"{MONTHS[self.month]}","amount_fen":'
        amounts = self.bills.months[self.month]
        for member, fen, tier in zip(those.ids, amounts, those.tier_2008, strict=True):
            if fen >= 0:
                margin = fen * margin_bp[tier] // 10_000
                yield f'{head}{member}{middle}{fen},"margin_fen":{margin}}}\n'.encode()


def _spreads() -> list[int]:
    """256 equally likely factors in thousandths, like a normal spread without its far ends."""
    normal = NormalDist(1000, assumed("monthly-spread"))
    return [round(normal.inv_cdf((byte + 0.5) / 256)) for byte in range(256)]


def _levels(those: Customers, draw: Random) -> "tuple[array[int], array[int]]":
    """(monthly level before, after a change of tier) of everybody, in fen."""
    bands: list[list[int]] = [assumed("spend-by-tier")[tier] for tier in TIERS]

    def level(tier: int, skew: float) -> int:
        low, high = bands[tier]
        return int(100 * (low + (high - low) * skew**2.2))

    before, after = array("i"), array("i")
    for number in range(len(those)):
        if number < len(examples.PLANNED):
            now = then = examples.PLANNED[number].level_fen
        else:
            skew = draw.random()
            # Whoever joins in 2008 spends from the start as his tier at year end asks for.
            came = number >= those.joined_before_2008
            then = level(those.tier_2008[number] if came else those.tier_2007[number], skew)
            now = level(those.tier_2008[number], skew)
        if number in those.retention:
            then = max(then, COHORT_FEN + int(skew_of(number) * 6_000))
            if those.tier_2007[number] == those.tier_2008[number]:
                now = then
        before.append(then)
        after.append(now)
    return before, after


def skew_of(number: int) -> float:
    """A spread that needs no draw: a customer's own place between 0 and 1."""
    return number * 7_919 % 1_000 / 1_000
