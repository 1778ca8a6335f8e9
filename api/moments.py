"""Moments as they are written: an instant with its offset, a day, or positions of the log."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from domain.values import Day, Instant
from projections.days import end_of
from projections.moments import Asked, Known

POSITIONS = re.compile(r"([0-9]{1,2}:)?[0-9]{1,18}(,[0-9]{1,2}:[0-9]{1,18})*")
FORMS = "a day, an instant with its offset (2008-12-31T18:00:00+08:00)"
_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]{1,15}(Z|[+-][0-9]{2}:?[0-9]{2}))?")
_BLANK_OFFSET = re.compile(r"(T\S+) (\d\d:\d\d)$")
_DAY, _INSTANT = TypeAdapter(Day), TypeAdapter(Instant)


@dataclass
class Unreadable(Exception):
    """It is no moment: which of the two, and what would be one; never what was written."""

    name: str
    detail: str


def asked(
    known_at: str | None,
    effective_at: str | None,
    names: tuple[str, str] = ("known_at", "effective_at"),
) -> Asked:
    """The moment that is asked about; without either it is now. Raises Unreadable."""
    return Asked(
        known=None if known_at is None else _known(names[0], known_at),
        effective_at=None if effective_at is None else _instant(names[1], effective_at),
    )


def _known(name: str, text: str) -> Known:
    """An instant, or bucket -> position; a position alone is one of bucket 0."""
    if POSITIONS.fullmatch(text) is None:
        return _instant(name, text, ", or positions (bucket:position, separated by commas)")
    parts = [part.rpartition(":") for part in text.split(",")]
    positions = {int(bucket or 0): int(position) for bucket, _, position in parts}
    if len(positions) < len(parts):
        raise Unreadable(name, "a bucket is named twice")
    return positions


def _instant(name: str, text: str, or_else: str = "") -> datetime:
    """An instant; a day means its end in the programme's zone."""
    # In an address a plus means a blank: whoever forgot to write it as %2B is understood.
    written = _BLANK_OFFSET.sub(r"\1+\2", text)
    try:
        if _WRITTEN.fullmatch(written) is None:
            raise ValueError("another form")
        if "T" in written:
            return _INSTANT.validate_python(datetime.fromisoformat(written)).astimezone(UTC)
        day: date = _DAY.validate_python(date.fromisoformat(written))
    except (ValueError, ValidationError):
        raise Unreadable(name, f"it must be {FORMS}{or_else}") from None
    return end_of(day) - timedelta(microseconds=1)
