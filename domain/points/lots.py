"""Lots of points: which are spendable, in what order, what a debit takes from each; and the part of
a member's state that holds them."""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from operator import attrgetter
from typing import Annotated

from msgspec import Raw, Struct, field

from domain.kernel.bounds import AtMost
from domain.kernel.latest import Latest
from domain.kernel.parts import REMEMBERED, part_of
from domain.kernel.postings import Posting, Postings
from domain.kernel.refusal import Refusal

NEVER = datetime.max.replace(tzinfo=UTC)
MAX_LOTS = 5_000
"""Open lots of a member, and spent ones that a reversal may still ask for."""
MAX_CLAIMS = 8
REVERSIBLE_DAYS = 31
REVERSIBLE = timedelta(days=REVERSIBLE_DAYS)
"""A debit can be reversed for 31 days while it is among the member's latest 32. So can a credit
whose lot is empty: for 31 days after the last such debit, or reversal, that took from the lot."""


class Lot(Struct, array_like=True, gc=False):
    """Points of one credit. Spendable at t iff available_from <= t < expires_at."""

    id: int
    points: int  # what is left
    credited: int
    available_from: datetime
    expires_at: datetime | None
    expired: int = 0  # what was written off, and a fact told late may still use
    earned: datetime | None = None  # when, if that was before they became available

    @property
    def earned_at(self) -> datetime:
        """When the credit was given."""
        return self.earned or self.available_from

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


class Debit(Struct, array_like=True, gc=False):
    """A debit young enough to be reversed."""

    id: int
    at: datetime
    lots: Annotated[dict[int, int], AtMost(MAX_LOTS)]  # lot -> points
    visit: int | None = None  # the visit it paid for: undone with it, never alone


class Reversal(Struct, array_like=True, gc=False):
    """What reversals ask of a credit, and what they hold of its lot."""

    at: datetime  # when one last named the credit or took from the lot
    asked: int = 0  # of the credit, in all
    settled: int = 0  # of that: given for good by lots that are forgotten
    # of what was asked: last lot that was open then -> so much may come out of others up to it
    claims: Annotated[dict[int, int], AtMost(MAX_CLAIMS)] = field(default_factory=dict)
    taken: int = 0  # what reversals hold of this lot: its own, or those of other credits


DEBITS = Latest(Debit, REMEMBERED, REVERSIBLE)


@part_of("member", counts=True)
class Points(Struct, array_like=True, gc=False):
    """A member's points: his lots, and the debits and reversals that may still be asked for."""

    # by number, soonest expiring first
    lots: Annotated[dict[int, Lot], AtMost(MAX_LOTS)] = field(default_factory=dict)
    lots_opened: int = 0
    debits: Annotated[list[Raw], AtMost(REMEMBERED), Debit] = field(default_factory=list)
    debits_made: int = 0
    # by lot: those that a reversal named or took from
    reversals: Annotated[dict[int, Reversal], AtMost(300)] = field(default_factory=dict)


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
