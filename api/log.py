"""Pages of the log and of the commands that were taken, straight from the ledger.

A page has a thousand events, so it is written without models: they say what it looks like.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection
from pydantic import Field

from ledger import commands as taken
from ledger import reading
from projections.engine.answer import Answer


class Event(Answer):
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

    def model_post_init(self, _: Any) -> None:
        """Instants are told as the log has them, in UTC."""


class LogPage(Answer):
    """Events of one bucket in the order of their commits."""

    events: list[Event]
    bucket: int
    log_end: int = Field(description="the last position of the bucket")
    next: int = Field(description="send it as `after` for the next page; it also serves to poll")


class History(Answer):
    """A member's events, oldest first."""

    events: list[Event]
    next: int | None = Field(description="send it as `after` for the next page; null at the end")


class Command(Answer):
    """A command that was taken, and what came of it."""

    key: str
    asked: dict[str, Any] = Field(description="as it was asked, without what identifies a person")
    decided_at: datetime = Field(description="the time for which it was decided")
    answered: dict[str, Any] | None = Field(description="null for a line of a file")
    events: list[Event]


class Commands(Answer):
    """What was taken under one key: a command, or with several lanes one in each of them."""

    commands: list[Command]


class Followed(NamedTuple):
    """An event, and how it is sent to who follows the log: an `Event` in JSON."""

    bucket: int
    position: int
    topic: str
    said: bytes


_Event = msgspec.defstruct("_Event", list(Event.model_fields), gc=False)
_LogPage = msgspec.defstruct("_LogPage", list(LogPage.model_fields))
_History = msgspec.defstruct("_History", list(History.model_fields))
"""The same, where a page has a thousand of them."""


def log_page(conn: Connection[Any], bucket: int, after: int, limit: int) -> bytes | None:
    """A page of the log, a `LogPage` in JSON; None if there is no such bucket."""
    end = reading.log_end(conn, bucket)
    if end is None:
        return None
    found = reading.log(conn, bucket, after, limit)
    last = found[-1].position if found else after
    if found:  # They may have come after the end was read.
        end = max(end, last)
    return msgspec.json.encode(_LogPage(_events(found), bucket, end, last))


def log_behind(conn: Connection[Any], places: Mapping[int, int], limit: int) -> list[Followed]:
    """Up to `limit` events of each of these buckets behind its place."""
    return [
        Followed(each.bucket, each.position, each.topic, msgspec.json.encode(_event(each)))
        for bucket, after in places.items()
        for each in reading.log(conn, bucket, after, limit)
    ]


def events_at(
    conn: Connection[Any], places: Collection[tuple[int, int]]
) -> dict[tuple[int, int], Event]:
    """The events at these places, by bucket and position."""
    found = (Event.model_validate(said(each)) for each in reading.at(conn, places))
    return {(each.bucket, each.position): each for each in found}


def said(stored: reading.Stored) -> dict[str, Any]:
    """An event as an `Event` in JSON says it."""
    found: dict[str, Any] = msgspec.to_builtins(_event(stored))
    return found


def history(
    conn: Connection[Any],
    stream: str,
    after: int,
    limit: int,
    named: Callable[[int | None], Any] = lambda place: place,
) -> bytes | None:
    """A page of the events of one stream, oldest first, a `History` in JSON; None if there is no
    such stream. `named` says how the place behind which the next begins is told."""
    found = reading.history(conn, stream, after, limit + 1)
    if not found and not after:
        return None
    more = found[limit - 1].version if len(found) > limit else None
    return msgspec.json.encode(_History(_events(found[:limit]), named(more)))


def of_stream(conn: Connection[Any], stream: str, limit: int) -> list[Event]:
    """The events of one stream, oldest first."""
    found = _events(reading.history(conn, stream, 0, limit))
    return [Event(**msgspec.structs.asdict(each)) for each in found]


def commands(conn: Connection[Any], key: str) -> Commands:
    """What was asked under a key, what was answered, and the events that came of it."""
    return Commands(commands=[_command(each) for each in taken.of_key(conn, key)])


def _command(found: taken.Answered) -> Command:
    response = found.response
    return Command(
        key=found.kept.key,
        asked=msgspec.json.decode(found.kept.asked),
        decided_at=found.kept.at,
        answered=None if response is None else msgspec.json.decode(response),
        events=[Event(**msgspec.structs.asdict(each)) for each in _events(found.events)],
    )


def _events(found: Iterable[reading.Stored]) -> list[msgspec.Struct]:
    return [_event(stored) for stored in found]


def _event(stored: reading.Stored) -> msgspec.Struct:
    state: dict[str, Any] = msgspec.json.decode(stored.state)
    occurred_at, actor, key = state.pop("occurred_at"), state.pop("actor"), state.pop("key")
    return _Event(
        *(stored.bucket, stored.position, stored.stream, stored.version, stored.topic),
        *(occurred_at, stored.recorded_at.astimezone(UTC), actor, key, state),
    )
