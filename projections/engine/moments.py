"""Moments: what was known by a time or position, of what had happened by a time.

Known is when the log learnt of an event (`recorded_at`, its position), effective is when it
happened (`occurred_at`). "31 December as known then" names both by that day; "as known now" only
the effective one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from domain.kernel.refusal import Refusal
from domain.kernel.values import local_date
from ledger import reading
from ledger.log.working import DatedInFuture
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.days import end_of
from projections.engine.schemas import held

Known = date | Mapping[int, int]
"""By an instant, by the end of a day, or by position: bucket -> position."""


@dataclass
class NothingKnown(Refusal):
    """Nothing was known by then: ask as of a later time, or by `effective_at` alone.

    The ledger first learnt of anything at `first_known_at`; what had happened by then is known now.
    """

    code = "unknown_by_then"
    known_at: datetime
    first_known_at: datetime


@dataclass(frozen=True, slots=True)
class Asked:
    """What was known by `known` (null: by now) of what had happened by `effective_at`.

    A day stays one until it is asked with: which instant ends it, the ledger's zone says, and who
    reads a command line knows that only when the ledger is open.
    """

    known: Known | None
    effective_at: date | None = None

    @property
    def at(self) -> datetime | None:
        """The time for which answers are asked; null if only positions are named."""
        known = self.known if isinstance(self.known, date) else None
        return instant_of(self.effective_at or known)

    def is_now(self, now: datetime) -> bool:
        """Whether nothing is left out of what is known now: it is as of today, or of no time."""
        said = [each for each in (self.known, self.effective_at) if each is not None]
        return all(is_today(each, now) for each in said)


def instant_of(at: date | None) -> datetime | None:
    """An instant as it is; the last one of a day in the programme's zone."""
    if at is None or isinstance(at, datetime):
        return at
    return end_of(at) - timedelta(microseconds=1)


def is_today(asked: object, now: datetime) -> bool:
    """Whether it is the day that is not over yet."""
    is_day = isinstance(asked, date) and not isinstance(asked, datetime)
    return is_day and asked == local_date(now)


def moment(conn: Conn, asked: Asked, now: datetime) -> Moment:
    """The moment that is meant. Today is not over, and means up to now.

    Of lanes that `known` leaves out, what was recorded by the latest of the positions it names.
    Raises DatedInFuture, NothingKnown and reading.UnknownPosition.
    """
    known = None if is_today(asked.known, now) else asked.known
    known = instant_of(known) if isinstance(known, date) else known
    effective_at = now if is_today(asked.effective_at, now) else instant_of(asked.effective_at)
    for at in (known, effective_at):
        if isinstance(at, datetime) and at > now:
            raise DatedInFuture(at, now)
    if isinstance(known, datetime):
        at_that = tuple(reading.positions_at(conn, known).items())
        nothing = not any(position for _, position in at_that)
        if nothing and (first := reading.first_recorded_at(conn)) is not None:
            raise NothingKnown(known.astimezone(first.tzinfo), first)
        return Moment(known_at=known, effective_at=effective_at, positions=at_that)
    lanes = reading.lanes(conn, known or {})
    ends = {bucket: end for bucket, end, _ in lanes}
    positions = ends if known is None else known
    for bucket, position in positions.items():
        if position > ends.get(bucket, -1):
            raise reading.UnknownPosition(bucket, ends.get(bucket))
    recorded = [at for bucket, _, at in lanes if at is not None and bucket in positions]
    known_at = max(recorded, default=None)
    others = dict.fromkeys(ends, 0)
    if known_at is not None and positions.keys() != ends.keys():
        others = reading.positions_at(conn, known_at)
    if known_at is not None:
        known_at = min(known_at, now)  # a log that is ahead of the clocks tells no future
    if is_today(asked.known, now):
        known_at = now
    of_lanes = tuple(sorted({**others, **positions}.items()))
    return Moment(known_at=known_at, effective_at=effective_at, positions=of_lanes)


def of_live(conn: Conn, asked: Asked, clock: Callable[[], datetime]) -> Moment:
    """The moment of the live answers that this transaction reads, for who asks as of now.

    The clock is looked at behind them: whoever waited for them holds what came meanwhile, too.
    """
    positions = held(conn)
    now = clock()
    found = moment(conn, Asked(positions), now)
    return Moment(
        known_at=found.known_at if asked.known is None else now,
        effective_at=None if asked.effective_at is None else now,
        positions=found.positions,
    )
