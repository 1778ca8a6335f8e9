"""What an installation is and how far its answers are."""

from datetime import datetime

from pydantic import Field

from api.models.base import View
from api.models.figures import Demo


class Lane(View):
    """A bucket of the log: how long it is and how much of it the answers hold."""

    bucket: int
    log_end: int
    position: int
    lag: int = Field(description="events that the answers do not hold yet")
    lag_s: float = Field(description="age of the oldest of them, in seconds; 0 if there is none")


class Standstill(View):
    """An event that the answers cannot take: they wait before it, and it is tried again."""

    bucket: int
    position: int
    topic: str


class Status(View):
    """What this installation is and how far its answers are."""

    version: str
    database: str | None = Field(description="where it is; not told over HTTP")
    server: str = Field(description="the version of PostgreSQL")
    clock: datetime
    demo_clock: bool = Field(description="whether the clock shows another time than the real one")
    demo: Demo | None
    buckets: int
    events: int
    behind: int = Field(description="events that the answers do not hold yet")
    behind_s: float = Field(description="age of the oldest of them, in seconds")
    standstills: list[Standstill] = Field(description="where the answers stand still; none: well")
    lanes: list[Lane]
