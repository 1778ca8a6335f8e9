"""The latest of many things, of which a rule hardly ever asks for one.

Nearly every command puts one in. So they are carried along as they lie in the snapshot, a piece of
JSON each, earliest first, and opened where a rule wants to see them: to read and to write all of
them again costs more than to decide. A part says of such a list what is in it beside its bound.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

import msgspec
from msgspec import Raw


class Dated(Protocol):
    """What has a number of its own, and a time."""

    id: int
    at: datetime


D = TypeVar("D", bound=Dated)
_encode = msgspec.json.Encoder().encode


class Latest(Generic[D]):
    """The latest `most` things of a kind, for so long."""

    def __init__(self, kind: type[D], most: int, kept_for: timedelta) -> None:
        self._open: Callable[[Raw], D] = msgspec.json.Decoder(kind).decode
        self._most, self._kept_for = most, kept_for

    def opened(self, latest: list[Raw]) -> list[D]:
        """All of them."""
        return [self._open(each) for each in latest]

    def put(self, latest: list[Raw], one: D) -> tuple[list[Raw], list[D]]:
        """(them with one more, those that this drops). What is too much is the earliest, but not
        the one that was just told."""
        place = len(latest)
        while place and self._open(latest[place - 1]).at > one.at:
            place -= 1
        latest = latest.copy()
        latest.insert(place, Raw(_encode(one)))
        gone = []
        if len(latest) > self._most:
            gone.append(self._open(latest.pop(0 if place else 1)))
        latest, too_old = self.since(latest, one.at)
        return latest, gone + too_old

    def since(self, latest: list[Raw], now: datetime) -> tuple[list[Raw], list[D]]:
        """(those that are not too old now, those that are)."""
        oldest = now - self._kept_for
        gone: list[D] = []
        for each in latest:
            one = self._open(each)
            if one.at >= oldest:
                break
            gone.append(one)
        return latest[len(gone) :] if gone else latest, gone

    def without(self, latest: list[Raw], number: int) -> list[Raw]:
        """Them without the one of this number."""
        return [each for each in latest if self._open(each).id != number]
