"""Facts of a later time that the ledger holds already: what they left decides an earlier one that
is told now."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from psycopg import Connection

from domain.catalogue import CATALOGUE, PARTS
from domain.kernel.command import Command
from ledger.log.working import WorkingSet

_COUNTED = [
    topic
    for topic, event in CATALOGUE.items()
    if event.changes in PARTS and PARTS[event.changes].counts
]
_OCCURRED = '"occurred_at":"([0-9T:-]{19})'
"""To the second, in whatever shape an event is stored; its free text comes after it."""


class LaterFacts:
    """By stream and counted part, the time of the latest fact that was there before this import."""

    def __init__(self) -> None:
        self._latest: dict[str, dict[str, datetime]] = {}

    def read(self, reader: Connection[Any], working: WorkingSet, names: Iterable[str]) -> None:
        """Look at the events of streams that were just loaded."""
        streams = [working.streams[name] for name in names if name in working.streams]
        there = [stream.name for stream in streams if stream.stored]
        if not there:
            return
        rows = reader.execute(
            "SELECT originator_id, topic, max(substring(convert_from(state, 'UTF8') FROM %s))"
            " FROM stored_events WHERE originator_id = ANY (%s) AND topic = ANY (%s)"
            " GROUP BY originator_id, topic",
            (_OCCURRED, there, _COUNTED),
        )
        for name, topic, written in rows:
            parts = self._latest.setdefault(name, {})
            part, at = CATALOGUE[topic].changes, datetime.fromisoformat(f"{written}Z")
            parts[part] = max(at, parts.get(part, at))

    def than(
        self, command: Command, names: list[str], at: datetime
    ) -> tuple[str, datetime, datetime] | None:
        """(stream, its time, that of the latest there), if what it is judged by is of a later time
        than the command."""
        for _, number, part in command.takes:
            parts = self._latest.get(names[number])
            if parts is not None and part in parts and parts[part] > at:
                return names[number], at, parts[part]
        return None
