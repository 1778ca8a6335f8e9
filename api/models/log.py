"""Events as the log holds them."""

from datetime import datetime
from typing import Any

from pydantic import Field, field_validator

from api.models.base import Dated, View


class Event(View):
    """An event as the log holds it; `state` has what is its own."""

    bucket: int
    position: int
    stream: str
    stream_version: int
    topic: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    key: str
    state: dict[str, Any]

    @field_validator("*")
    @classmethod
    def in_the_zone(cls, value: Any) -> Any:
        """As the log has them, in UTC."""
        return value


class LogPage(View):
    """Events of one bucket in the order of their commits."""

    events: list[Event]
    bucket: int
    log_end: int = Field(description="the last position of the bucket")
    next: int = Field(description="send it as `after` for the next page; it also serves to poll")


class History(View):
    """A member's events, oldest first."""

    events: list[Event]
    next: int | None = Field(description="send it as `after` for the next page; null at the end")


class Command(View):
    """A command that was taken, and what came of it."""

    key: str
    asked: dict[str, Any] = Field(description="as it was asked, without what identifies a person")
    decided_at: datetime = Field(description="the time for which it was decided")
    answered: dict[str, Any] | None = Field(description="null for a line of a file")
    events: list[Event]


class Commands(View):
    """What was taken under one key: a command, or with several lanes one in each of them."""

    commands: list[Command]


class Judged(View):
    """A value by which a fact was judged, and the one that by now is known for its time."""

    about: str = Field(
        description="tier, tier_before, important, price, terms, emergency; left: the member had"
        " left the network; closed: so was the campaign; held: so was the activity, then",
        examples=["tier"],
    )
    judged_by: str | None = Field(description="null: none, or nothing was known of it")
    holds: str | None = Field(description="versions of prices and terms are told by number")


class Doubt(View):
    """A fact that was judged by other values than those that are now known for its time."""

    bucket: int
    position: int
    stream: str
    topic: str
    occurred_at: datetime
    differences: list[Judged]


class Doubts(Dated):
    """A page of the facts in doubt, in the order of the log."""

    doubts: list[Doubt]
    next: tuple[int, int] | None = Field(
        description="send it as `after=<bucket>:<position>` for the next page; null at the end"
    )
