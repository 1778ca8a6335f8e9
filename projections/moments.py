"""Moments: what was known by a time or position, of what had happened by a time.

Known is when the log learnt of an event (`recorded_at`, its position), effective is when it
happened (`occurred_at`). "31 December as known then" names both by that day; "as known now" only
the effective one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar

from pydantic import Field, PlainSerializer

from domain.catalogue import CATALOGUE
from ledger import reading
from ledger.working import DatedInFuture
from projections.answer import Answer
from projections.connection import Conn
from projections.typed import Window

D = TypeVar("D", bound="Dated")
Known = datetime | Mapping[int, int]
"""By an instant, or by position: bucket -> position."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was known by `known` (null: by now) of what had happened by `effective_at`."""

    known: Known | None
    effective_at: datetime | None = None

    @property
    def at(self) -> datetime | None:
        """The time for which answers are asked; null if only positions are named."""
        return self.effective_at or (self.known if isinstance(self.known, datetime) else None)


def _cursor(positions: tuple[tuple[int, int], ...]) -> str:
    return ",".join(f"{bucket}:{position}" for bucket, position in positions)


class Moment(Answer):
    """What an answer is as of: what was known by then, of what had happened by then."""

    known_at: datetime | None = Field(
        description="what was asked for, else when the last of these events was recorded;"
        " null before the first"
    )
    effective_at: datetime | None = Field(description="null: whenever it happened")
    positions: Annotated[
        tuple[tuple[int, int], ...], PlainSerializer(_cursor, return_type=str, when_used="json")
    ] = Field(
        description="the last event of each bucket, as `known_at` takes them",
        examples=["0:1234567"],
    )

    @property
    def lanes(self) -> list[Window]:
        """The windows of the log that it holds."""
        return [Window(bucket, 0, upto) for bucket, upto in self.positions if upto]

    @property
    def condition(self) -> str:
        """The same for a typed table, in SQL with literal bounds."""
        if self.effective_at is None:
            return self.known()
        return f"{self.known()} AND occurred_at <= '{self.effective_at.isoformat()}'::timestamptz"

    def known(self, alias: str = "") -> str:
        """Of that, what was known, whenever it had occurred. So a correction counts: what is known
        to be wrong was wrong all the time."""
        lanes = " OR ".join(lane.condition(alias=alias) for lane in self.lanes)
        return f"({lanes or 'false'})"

    def condition_of(self, topic: str) -> str:
        """The condition for the events of a topic."""
        return self.known() if CATALOGUE[topic].corrects else self.condition

    @property
    def cursor(self) -> str:
        """The positions as one word, with which the same moment can be asked for again."""
        return _cursor(self.positions)

    @property
    def at(self) -> datetime | None:
        """The time for which its answers are asked; null before the first event."""
        return self.effective_at or self.known_at


class Dated(Answer):
    """An answer that can be asked as of a moment."""

    moment: Moment | None = Field(None, description="null: the answer is that of now")


def dated(found: D, moment: Moment | None) -> D:
    """The answer with the moment that it is as of."""
    return found if moment is None else found.model_copy(update={"moment": moment})


def moment(conn: Conn, asked: Asked, now: datetime) -> Moment:
    """The moment that is meant.

    Of lanes that `known` leaves out, what was recorded by the latest of the positions it names.
    Raises DatedInFuture and reading.UnknownPosition.
    """
    known, effective_at = asked.known, asked.effective_at
    for at in (known, effective_at):
        if isinstance(at, datetime) and at > now:
            raise DatedInFuture(at, now)
    if isinstance(known, datetime):
        held = tuple(reading.positions_at(conn, known).items())
        return Moment(known_at=known, effective_at=effective_at, positions=held)
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
    held = tuple(sorted({**others, **positions}.items()))
    return Moment(known_at=known_at, effective_at=effective_at, positions=held)
