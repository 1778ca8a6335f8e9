"""Bounds: how much one stream may pile up, so that its parts can be read and written at once.

Every collection of a part declares the most that it holds, beside its type. What would go past
that is refused with the number; what is trimmed by its own rule never comes that far.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, get_type_hints

from domain.kernel.refusal import Refusal


class AtMost(NamedTuple):
    """The most that a collection of a part holds."""

    entries: int


@dataclass
class TooMany(Refusal):
    """There are so many of them already that no more can be taken."""

    code = "too_many"
    of: str
    held: int
    most: int


@cache
def bounds_of(part: type) -> dict[str, int]:
    """The declared bounds of a part's collections, by field."""
    hints = get_type_hints(part, include_extras=True)
    return {
        name: bound.entries
        for name, hint in hints.items()
        for bound in getattr(hint, "__metadata__", ())
        if isinstance(bound, AtMost)
    }


def require_room(part: Any, field: str, held: int | None = None) -> None:
    """Refuses what would be one more than this collection of a part may hold.

    `held` is what it holds, if the event is going to drop some of it first.
    """
    kind: type = type(part)
    if held is None:
        held = len(getattr(part, field))
    most = bounds_of(kind)[field]
    if held >= most:
        raise TooMany(field, held, most)
