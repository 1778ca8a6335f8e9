"""Postings: points move between named accounts, lot by lot, as double entry has it.

Every event that moves points lists its postings, and whoever keeps balances reads that list and
nothing else. What one account loses another gets, so the accounts of any lot, of any member and of
the programme add up to zero at every position of the log: points are conserved by the form.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias, get_args

from domain.kernel.values import Ordinal, PointsMoved

PointsAccount: TypeAlias = Literal["outside", "spendable", "spent", "expired", "reversed"]
"""`outside` is where credits come from: it is as much below zero as was credited. Whether points
are *pending* is no account: no event tells that a lot becomes available, so no posting could."""
ACCOUNTS: tuple[PointsAccount, ...] = get_args(PointsAccount)
OWNED: tuple[PointsAccount, ...] = ("spendable",)
"""What a member has: his balance is the sum of these, and of no lot is one of them below zero."""


class Posting(NamedTuple):
    """So many points of the lot with this number go from one account to another."""

    lot: Ordinal
    source: PointsAccount
    target: PointsAccount
    points: PointsMoved


Postings: TypeAlias = tuple[Posting, ...]


def balances(postings: Iterable[Posting]) -> dict[int, Counter[PointsAccount]]:
    """Lot -> account -> points. Over all accounts of a lot the sum is zero."""
    lots: dict[int, Counter[PointsAccount]] = {}
    for lot, source, target, points in postings:
        accounts = lots.get(lot)
        if accounts is None:
            accounts = lots[lot] = Counter()
        accounts[source] -= points
        accounts[target] += points
    return lots


def owned(accounts: Counter[PointsAccount]) -> int:
    """The balance: what is left for the member of these accounts' points."""
    return sum([accounts[account] for account in OWNED])


class MovesPoints:
    """What every event with postings can be asked."""

    postings: Postings

    @property
    def change(self) -> int:
        """By how much the member's balance is another one after it."""
        return sum(map(owned, balances(self.postings).values()))

    @property
    def points(self) -> int:
        """How many points the member got or lost."""
        return abs(self.change)
