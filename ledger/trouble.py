"""Trouble: what befalls a part of the service, told once a cause, and counted until it is over."""

import logging
from collections import Counter
from time import monotonic

log = logging.getLogger("clubledger")

AGAIN_S = 600.0
"""How long a cause that goes on is not told again."""


def cause_of(failure: BaseException) -> str:
    """The class of a failure and the server's code; never its words, which may hold values."""
    sqlstate = getattr(failure, "sqlstate", None)
    name = type(failure).__name__
    return f"{name} {sqlstate}" if sqlstate else name


class Once:
    """Whether a cause is to be told: not again within some minutes, unless another came between."""

    def __init__(self) -> None:
        self._told: tuple[str, float] | None = None

    def __call__(self, cause: str) -> bool:
        """Takes note that it is told, if it is."""
        now = monotonic()
        told = self._told is not None and self._told[0] == cause and now < self._told[1] + AGAIN_S
        if not told:
            self._told = cause, now
        return not told


class Observer:
    """Is told what the ledger does and what befalls it. This one keeps nothing of it."""

    def wrote(self, commands: int) -> None:
        """A batch of so many commands is in."""

    def met(self, cause: str) -> None:
        """Something stands in the way, for the first time or again."""

    def gave_up(self, cause: str) -> None:
        """The tries are used up."""

    def well(self) -> None:
        """Something was done."""


class Trouble:
    """What befalls a part: `met` says that it is tried again, `gave_up` that it was not done."""

    def __init__(self, part: str, observer: Observer) -> None:
        self.part = part
        self._observer = observer
        self.failing = False
        """Whether the last that was to be done was given up."""
        self.since: Counter[str] = Counter()
        """What was met since it last went well."""
        self.last = ""
        """The last cause that was met."""
        self._known_at: float | None = None

    def met(self, failure: BaseException) -> None:
        """Something stands in the way, for the first time or again."""
        self.last = cause = cause_of(failure)
        self._observer.met(cause)
        if not self.since[cause]:
            log.warning("%s: %s stands in the way. It is tried again.", self.part, cause)
        self.since[cause] += 1

    def gave_up(self) -> None:
        """The tries are used up."""
        self._observer.gave_up(self.last)
        if not self.failing:
            log.error("%s fail: %s.", self.part, self.last)
        self.failing = True
        self._known_at = monotonic()

    def well(self) -> None:
        """Something was done."""
        self._known_at = monotonic()
        self._observer.well()
        if self.since:
            told = ", ".join(f"{cause} ({times} times)" for cause, times in self.since.items())
            log.warning("%s go on, after %s.", self.part, told)
            self.since.clear()
            self.failing = False

    @property
    def known_s(self) -> float | None:
        """How long ago it last showed whether it goes well."""
        return None if self._known_at is None else monotonic() - self._known_at
