"""The clock: the only place that asks what time it is. Everything else is told.

A demo's history ends in the past, so its installation goes on from there: real time plus an offset
that is kept with the data. Real installations have no offset.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from domain.kernel.values import PROGRAMME

OFFSET = "clock_offset_s"
"""The name under which the offset is kept in the installation's facts."""


@dataclass
class Clock:
    """Real time plus an offset in seconds, 0 unless the installation is a demo."""

    offset_s: int = 0

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> "Clock":
        """The clock of an installation, from the facts kept with it."""
        return cls(int(meta.get(OFFSET, "0")))

    def now(self) -> datetime:
        """This instant, in UTC."""
        real = datetime.now(UTC)
        return real + timedelta(seconds=self.offset_s) if self.offset_s else real

    @property
    def is_demo(self) -> bool:
        """Whether it shows another time than the clock on the wall."""
        return self.offset_s != 0

    def shown(self) -> str:
        """This minute for a reader, with the name of the zone."""
        local = self.now().astimezone(PROGRAMME.zone)
        return f"{local:%Y-%m-%d %H:%M} {PROGRAMME.zone.key}"

    def stamp(self) -> str:
        """This second for a program, with the programme's offset."""
        return self.now().astimezone(PROGRAMME.zone).isoformat(timespec="seconds")


def offset_to(start: datetime) -> int:
    """The offset with which a clock now shows `start`, in whole seconds."""
    return round((start - datetime.now(UTC)).total_seconds())
