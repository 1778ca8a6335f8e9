"""Lots of points: which are spendable, in what order, and what a debit takes from each."""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from operator import attrgetter

from msgspec import Struct

from domain.postings import Posting, Postings
from domain.refusal import Refusal

NEVER = datetime.max.replace(tzinfo=UTC)


class Lot(Struct, array_like=True, gc=False):
    """Points of one credit. Spendable at t iff available_from <= t < expires_at."""

    id: int
    points: int  # what is left
    credited: int
    earned_at: datetime
    available_from: datetime
    expires_at: datetime | None
    expired: int = 0  # what was written off, and a fact told late may still use

    def spendable_at(self, at: datetime) -> bool:
        """Whether its points can be spent at this instant."""
        return self.available_from <= at and (self.expires_at is None or at < self.expires_at)

    def expired_at(self, at: datetime) -> bool:
        """Whether its points have lapsed by this instant."""
        return self.expires_at is not None and self.expires_at <= at

    def left_at(self, at: datetime) -> int:
        """What is left for a fact of this instant: if the lot had not lapsed, also what was written
        off since."""
        return self.points if self.expired_at(at) else self.points + self.expired


@dataclass
class NotEnoughPoints(Refusal):
    """The spendable points do not cover the debit; nothing was taken."""

    code = "not_enough_points"
    needed_points: int
    spendable_points: int


def spendable_points(lots: Iterable[Lot], at: datetime) -> int:
    """The sum of the lots that are spendable at this instant."""
    # As `spendable_at` has it: a call for each of 5,000 lots would cost more than the command.
    return sum([
        lot.points + lot.expired
        for lot in lots
        if lot.available_from <= at and (lot.expires_at is None or at < lot.expires_at)
    ])  # fmt: skip


def soonest_expiring_first(lot: Lot) -> tuple[datetime, datetime, int]:
    """The order in which lots are spent: expiry (never is last), then earned, then number."""
    return (lot.expires_at or NEVER, lot.earned_at, lot.id)


def put_in_its_place(lots: dict[int, Lot], lot: Lot) -> None:
    """Take a lot in among others by number, which stand soonest expiring first: what lapses next
    and what is spent next is found without a look at all of them."""
    last = next(reversed(lots.values()), None)
    lots[lot.id] = lot
    if last is not None and soonest_expiring_first(lot) < soonest_expiring_first(last):
        ordered = list(lots.values())[:-1]
        insort(ordered, lot, key=soonest_expiring_first)
        lots.clear()
        lots.update(zip(map(attrgetter("id"), ordered), ordered, strict=True))


def expired_by(lots: Iterable[Lot], at: datetime) -> Iterator[Lot]:
    """Those that lapsed by this instant, of lots that stand soonest expiring first."""
    return takewhile(lambda lot: lot.expired_at(at), lots)


def allocate(lots: Iterable[Lot], points: int, at: datetime) -> Postings:
    """What a debit takes from each of these lots, which stand soonest expiring first; all of it
    or a refusal."""
    postings = []
    needed = points
    for lot in lots:
        left = lot.points + lot.expired  # as `left_at` has it of what is spendable
        if left and lot.spendable_at(at):
            taken = min(left, needed)
            postings.append(Posting(lot.id, "spendable", "spent", taken))
            needed -= taken
            if not needed:
                return tuple(postings)
    raise NotEnoughPoints(needed_points=points, spendable_points=points - needed)
