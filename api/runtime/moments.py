"""Moments as they are written: an instant with its offset, a day, or positions of the log."""

import re
from dataclasses import dataclass
from datetime import date

from pydantic import TypeAdapter, ValidationError

from domain.kernel.values import DAY_PATTERN, INSTANT_PATTERN, Day, Instant
from projections.engine.moments import Asked, Known

_POSITION = "[0-9]{1,2}:[0-9]{1,18}"
POSITIONS = re.compile(f"{_POSITION}(,{_POSITION})*")
FORMS = "a day (2008-12-31), an instant with its offset (2008-12-31T18:00:00+08:00)"
TIME_PATTERN = f"{DAY_PATTERN}|{INSTANT_PATTERN}"
MOMENT_PATTERN = f"{TIME_PATTERN}|^{POSITIONS.pattern}$"
"""Positions name their bucket, because digits alone might be meant as a day."""
_BLANK_OFFSET = re.compile(r"(T\S+) (\d\d:?\d\d)$")
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
    """An instant, or bucket -> position."""
    if POSITIONS.fullmatch(text) is None:
        return _instant(name, text, ", or positions (0:1234567, separated by commas)")
    parts = [part.rpartition(":") for part in text.split(",")]
    positions = {int(bucket): int(position) for bucket, _, position in parts}
    if len(positions) < len(parts):
        raise Unreadable(name, "a bucket is named twice")
    return positions


def _instant(name: str, text: str, or_else: str = "") -> date:
    """An instant, or a day, which means its end."""
    # In an address a plus means a blank: whoever forgot to write it as %2B is understood.
    written = _BLANK_OFFSET.sub(r"\1+\2", text)
    try:
        if "T" in written:
            return _INSTANT.validate_python(written)
        return _DAY.validate_python(written)
    except ValidationError:
        raise Unreadable(name, f"it must be {FORMS}{or_else}") from None
