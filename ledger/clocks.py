"""The recorded clock may not run away: what the database refuses to stamp, as refusals.

Recorded times never go back, so one append under a wrong clock would date everything after it. The
database compares (`migrations/0005_clocks.sql`): every append with its own clock, which on a demo
goes at the demo's offset, and every batch before it is decided.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import msgspec
import psycopg
from psycopg import Connection

from domain.kernel.refusal import Refusal
from ledger.database import set_meta

ALLOWED_S = 60
"""So far a clock may be ahead of the database's, and the log ahead of every clock: as a clock that
is set a little back leaves it. Recorded times then stand still until they are caught up."""


@dataclass
class ClockAhead(Refusal):
    """The clock here is ahead of the database's. Set the clocks right and send it again."""

    code = "clock_ahead"
    now: datetime
    database_now: datetime
    allowed_s: int = ALLOWED_S


@dataclass
class LogAhead(Refusal):
    """The log's last recorded time is ahead of every clock. Set them right, or see `clock`."""

    code = "log_ahead"
    recorded_at: datetime
    database_now: datetime
    allowed_s: int = ALLOWED_S


_REFUSALS: dict[str, type[ClockAhead | LogAhead]] = {"CL003": ClockAhead, "CL004": LogAhead}

STATES = tuple(_REFUSALS)
"""The SQLSTATEs of these refusals."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """What the database's clock shows, and when the log was last written."""

    database_now: datetime
    recorded_at: datetime | None  # null: never
    stands_still_until: datetime | None  # as `stand_still` was told


def refusal_of(failure: BaseException) -> Refusal | None:
    """The refusal that the database means, if it compared clocks. Nothing was written then."""
    if not isinstance(failure, psycopg.Error) or failure.sqlstate not in _REFUSALS:
        return None
    kind = _REFUSALS[failure.sqlstate]
    said: Any = msgspec.json.decode(failure.diag.message_detail or "", type=dict[str, datetime])
    return kind(**said)


def check(connection: Connection[Any], now: datetime) -> None:
    """Refuse to write while the clock here, or the log, is ahead."""
    _check(connection, now, "%(now)s")


def check_wall(connection: Connection[Any], wall: datetime) -> None:
    """The same of the clock on the wall, which goes here at the database's offset: both are read at
    once, since a demo that is being loaded sets the offset."""
    _check(
        connection,
        wall,
        "%(now)s + make_interval(secs => coalesce("
        "(SELECT value::int FROM ledger_meta WHERE name = 'clock_offset_s'), 0))",
    )


def _check(connection: Connection[Any], now: datetime, here: LiteralString) -> None:
    try:
        connection.execute(
            "SELECT check_clock(here.now), check_recorded(log.recorded_at, here.now)"
            f" FROM (SELECT {here} AS now) here,"
            " (SELECT max(recorded_at) AS recorded_at FROM log_end) log",
            {"now": now},
        )
    except psycopg.Error as failure:
        refusal = refusal_of(failure)
        if refusal is None:
            raise
        raise refusal from failure


def read(connection: Connection[Any]) -> Clocks:
    """The clocks to compare with one's own."""
    row = connection.execute(
        "SELECT ledger_clock(), (SELECT nullif(max(recorded_at), 'epoch') FROM log_end),"
        " (SELECT value::timestamptz FROM ledger_meta WHERE name = 'recorded_ahead_until')"
    ).fetchone()
    assert row is not None
    return Clocks(*row)


def stand_still(connection: Connection[Any]) -> None:
    """Let what is written be recorded at the log's last recorded time until the clocks reach it.

    It is for an operator who knows that the clocks are right and the log is ahead of them.
    """
    last = read(connection).recorded_at
    if last is not None:
        set_meta(connection, recorded_ahead_until=last.isoformat())
