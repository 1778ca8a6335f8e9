"""Lots of points: which are spendable, in what order, and what a debit takes from each."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from domain.refusal import Refusal
from domain.values import Ordinal, Points

NEVER = datetime.max.replace(tzinfo=UTC)


class LotUse(BaseModel):
    """So many points of the lot with this number."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    lot: Ordinal
    points: Points


class Lot(Struct, array_like=True, gc=False):
    """Points of one credit. Spendable at t iff available_from <= t < expires_at."""

    id: int
    points: int  # what is left
    credited: int
    reversed: int
    earned_at: datetime
    available_from: datetime
    expires_at: datetime | None

    def spendable_at(self, at: datetime) -> bool:
        """Whether its points can be spent at this instant."""
        return self.available_from <= at and (self.expires_at is None or at < self.expires_at)

    def expired_at(self, at: datetime) -> bool:
        """Whether its points have lapsed by this instant."""
        return self.expires_at is not None and self.expires_at <= at


@dataclass
class NotEnoughPoints(Refusal):
    """The spendable points do not cover the debit; nothing was taken."""

    code = "not_enough_points"
    needed_points: int
    spendable_points: int


def spendable_points(lots: Iterable[Lot], at: datetime) -> int:
    """The sum of the lots that are spendable at this instant."""
    return sum([lot.points for lot in lots if lot.spendable_at(at)])


def soonest_expiring_first(lot: Lot) -> tuple[datetime, datetime, int]:
    """The order in which lots are spent: expiry (never is last), then earned, then number."""
    return (lot.expires_at or NEVER, lot.earned_at, lot.id)


def allocate(lots: Iterable[Lot], points: int, at: datetime) -> tuple[LotUse, ...]:
    """What a debit takes from each lot, soonest expiring first; all of it or a refusal."""
    uses = []
    needed = points
    spendable = [lot for lot in lots if lot.points and lot.spendable_at(at)]
    for lot in sorted(spendable, key=soonest_expiring_first):
        taken = min(lot.points, needed)
        uses.append(LotUse(lot=lot.id, points=taken))
        needed -= taken
        if not needed:
            return tuple(uses)
    raise NotEnoughPoints(needed_points=points, spendable_points=points - needed)
