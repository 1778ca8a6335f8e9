"""The log as the eventsourcing library sees it: its recorder, its mapper, an application.

An ordinary application of the library can read the log as it is. This recorder also appends
through the lane's row, so that positions stay gapless and commit-ordered without locking a table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import psycopg
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Mapper,
    ProgrammingError,
    StoredEvent,
    Subscription,
)
from eventsourcing.postgres import (
    PostgresApplicationRecorder,
    PostgresDatastore,
    PostgresFactory,
    PostgresSubscription,
)
from psycopg.conninfo import conninfo_to_dict

from domain.kernel.event import Event
from ledger import clocks
from ledger.database import CHANNEL, SCHEMA, bucket_of, lanes_of
from ledger.log.append import CONFLICTS, Batch, NewEvent, Snapshot
from ledger.log.snapshots import bytes_of, event_of


@dataclass(frozen=True)
class Recorded:
    """An event with its place in a stream: what the library calls a domain event."""

    originator_id: str
    originator_version: int
    event: Event


class EventMapper(Mapper[str]):
    """Topics are the events' own names and states their own JSON, validated both ways."""

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """The stored form of a recorded event."""
        if not isinstance(domain_event, Recorded):
            raise TypeError(f"not an event of this ledger: {type(domain_event).__name__}")
        return StoredEvent(
            originator_id=domain_event.originator_id,
            originator_version=domain_event.originator_version,
            topic=domain_event.event.topic,
            state=bytes_of(domain_event.event),
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Recorded:
        """The event in its stored form, brought up to its present shape."""
        return Recorded(
            originator_id=str(stored_event.originator_id),
            originator_version=stored_event.originator_version,
            event=event_of(stored_event.topic, stored_event.state),
        )


class LaneRecorder(PostgresApplicationRecorder):
    """Appends to one lane and reads it."""

    bucket: ClassVar[int] = 0

    def __init__(self, datastore: PostgresDatastore, **_: Any) -> None:
        super().__init__(datastore, events_table_name=f"lane_{self.bucket}_events")
        self.channel_name = CHANNEL

    def create_table(self) -> None:
        """Nothing to do: migrations made it."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **_: Any) -> Sequence[int] | None:
        """Append events in one transaction; returns their positions."""
        if not stored_events:
            return []
        batch = self._batch(stored_events)
        with self.datastore.get_connection() as connection:
            try:
                rows = connection.execute(
                    "SELECT base FROM ledger.append_batch(%b::ledger.batch) WHERE bucket = %s",
                    (batch.encoded(), self.bucket),
                ).fetchall()
            except psycopg.Error as failure:
                if failure.sqlstate in CONFLICTS:
                    raise IntegrityError(failure) from failure
                raise clocks.refusal_of(failure) or failure from None
        first = rows[0]["base"] + 1
        return list(range(first, first + len(stored_events)))

    def _batch(self, stored_events: Sequence[StoredEvent]) -> Batch:
        """The events, and snapshots that name no fold: a rule that meets one folds it from events.

        Refuses streams of another lane, for a stream lives in one, and versions that do not follow
        one another. One of the library's own streams may begin at 0: no snapshot tells of it.
        """
        buckets = self._buckets()
        versions: dict[str, list[int]] = {}
        for event in stored_events:
            versions.setdefault(str(event.originator_id), []).append(event.originator_version)
        for stream, given in versions.items():
            lane = bucket_of(stream, buckets)
            if lane != self.bucket:
                raise ProgrammingError(f"a stream of lane {lane} in lane {self.bucket}")
            if given != list(range(given[0], given[0] + len(given))):
                raise IntegrityError(f"versions that do not follow one another: {given}")
        written = [
            Snapshot(stream, lane, max(given[0] - 1, 0), given[-1], "", b"")
            for stream, given in versions.items()
            if given[-1] > 0
            for lane in lanes_of(stream, buckets)
        ]
        return Batch(
            None,
            lanes={snapshot.lane: 0 for snapshot in written} | {self.bucket: len(stored_events)},
            snapshots=written,
            events=[
                NewEvent(
                    str(event.originator_id),
                    self.bucket,
                    event.originator_version,
                    offset,
                    event.topic,
                    event.state,
                )
                for offset, event in enumerate(stored_events, start=1)
            ],
        )

    def _buckets(self) -> int:
        with self.datastore.get_connection() as connection:
            row = connection.execute(
                "SELECT value FROM ledger.ledger_meta WHERE name = 'buckets'"
            ).fetchone()
        assert row is not None
        return int(row["value"])

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> Subscription[ApplicationRecorder]:
        """Notifications as they are committed."""
        return PostgresSubscription(recorder=self, gt=gt, topics=topics)


class StreamRecorder(LaneRecorder):
    """The same for streams alone: it tells no positions, as the library's contract wants."""

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Append events in one transaction."""
        super().insert_events(stored_events, **kwargs)
        return None


class Factory(PostgresFactory):
    """What the library asks for its parts when `PERSISTENCE_MODULE` names this class."""

    application_recorder_class = LaneRecorder

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Streams are read and written through the lane."""
        return StreamRecorder(self.datastore)

    def mapper(self, *_: Any, **__: Any) -> EventMapper:  # type: ignore[override]
        """Our names and our JSON."""
        return EventMapper(self.transcoder())


def datastore(dsn: str) -> PostgresDatastore:
    """The library's connection pool on a ledger's database."""
    known = conninfo_to_dict(dsn)
    return PostgresDatastore(
        dbname=str(known.get("dbname", "")),
        host=str(known.get("host", "")),
        port=str(known.get("port", "5432")),
        user=str(known.get("user", "")),
        password=str(known.get("password", "")),
        schema=SCHEMA,
        originator_id_type="text",
        pool_size=4,
    )


def environment(dsn: str) -> dict[str, str]:
    """The settings with which an application of the library opens a ledger's log."""
    known = conninfo_to_dict(dsn)
    return {
        "PERSISTENCE_MODULE": "ledger.library:Factory",
        "POSTGRES_DBNAME": str(known.get("dbname", "")),
        "POSTGRES_HOST": str(known.get("host", "")),
        "POSTGRES_PORT": str(known.get("port", "5432")),
        "POSTGRES_USER": str(known.get("user", "")),
        "POSTGRES_PASSWORD": str(known.get("password", "")),
        "POSTGRES_SCHEMA": SCHEMA,
        "ORIGINATOR_ID_TYPE": "text",
        "CREATE_TABLE": "n",
    }
