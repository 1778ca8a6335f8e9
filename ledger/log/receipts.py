"""What is told of a command: what it wrote, or what would come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ledger.log.append import NewEvent


@dataclass(slots=True)
class Receipt:
    """What was written, and where: in the lane of the command's first stream the position of its
    last event there (0: none). `body` is its answer."""

    bucket: int
    position: int
    replayed: bool
    body: Mapping[str, Any]


@dataclass(slots=True)
class Trial:
    """What would come of a command that was only tried; of one whose key was answered before, that
    answer (`first`). `outlook` is what its kind tells of the states after all that was tried."""

    body: Mapping[str, Any]
    events: list[NewEvent] = field(default_factory=list)
    outlook: Mapping[str, Any] = field(default_factory=dict)
    first: Receipt | None = None
