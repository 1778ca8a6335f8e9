"""Moments as they are written: an instant with its offset, a day, or positions of the log."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from domain.values import Day, Instant
from projections.days import end_of
from projections.moments import Known

POSITIONS = re.compile(r"([0-9]{1,2}:)?[0-9]{1,18}(,[0-9]{1,2}:[0-9]{1,18})*")
FORMS = "a day, an instant with its offset (2008-12-31T18:00:00+08:00)"
KNOWN_FORMS = f"{FORMS}, or positions (bucket:position, separated by commas)"
_BLANK_OFFSET = re.compile(r"(T\S+) (\d\d:\d\d)$")
_DAY, _INSTANT = TypeAdapter(Day), TypeAdapter(Instant)


class Unreadable(ValueError):
    """It is no moment; the message says what would be, and never what was written."""


def known_at(text: str) -> Known:
    """An instant, or bucket -> position; a position alone is one of bucket 0."""
    if POSITIONS.fullmatch(text) is None:
        return _instant(text, KNOWN_FORMS)
    parts = [part.rpartition(":") for part in text.split(",")]
    positions: Mapping[int, int] = {int(bucket or 0): int(at) for bucket, _, at in parts}
    if len(positions) < len(parts):
        raise Unreadable("a bucket is named twice")
    return positions


def effective_at(text: str) -> datetime:
    """An instant; a day means its end in the programme's zone."""
    return _instant(text, FORMS)


def _instant(text: str, forms: str) -> datetime:
    # In an address a plus means a blank: whoever forgot to write it as %2B is understood.
    written = _BLANK_OFFSET.sub(r"\1+\2", text)
    try:
        if "T" in written:
            return _INSTANT.validate_python(datetime.fromisoformat(written)).astimezone(UTC)
        day: date = _DAY.validate_python(date.fromisoformat(written))
    except (ValueError, ValidationError):
        raise Unreadable(f"it must be {forms}") from None
    return end_of(day) - timedelta(microseconds=1)
