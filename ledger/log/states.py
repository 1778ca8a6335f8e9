"""States of streams as they stand, for who asks and decides nothing: what lies in the row of their
snapshots. They lag behind nothing, and hang on no answer being folded.
"""

from collections.abc import Sequence
from typing import Any

from psycopg import Connection

from domain.kernel.parts import State
from ledger.log import snapshots


def states(connection: Connection[Any], streams: Sequence[str]) -> dict[str, State]:
    """The parts in the row of each of these streams; one without events is as it was before."""
    found = {stream: snapshots.fresh(stream) for stream in streams}
    rows = connection.execute(
        "SELECT originator_id, fold, state FROM ledger.snapshots WHERE originator_id = ANY (%s)"
        " ORDER BY originator_id, version",  # of reference data there is one in each lane
        (list(streams),),
        binary=True,
    ).fetchall()
    for stream, fold, state in rows:
        row = snapshots.in_the_row(snapshots.kind_of(stream))
        if any(part in row for part in snapshots.unknown(stream, fold)):
            found[stream] = snapshots.refold(stream, _events(connection, stream), row)
        else:
            found[stream] = snapshots.decode(stream, state)
    return found


def streams_of(connection: Connection[Any], kind: str) -> list[str]:
    """The streams of a kind that is rare, by name."""
    rows = connection.execute(
        "SELECT DISTINCT originator_id FROM ledger.snapshots"
        " WHERE originator_id LIKE %s ORDER BY 1",  # whatever order the database's texts have
        (kind.replace("_", r"\_") + ":%",),
    )
    return [stream for (stream,) in rows]


def _events(connection: Connection[Any], stream: str) -> list[tuple[str, bytes]]:
    return connection.execute(
        "SELECT topic, state FROM ledger.stored_events WHERE originator_id = %s"
        " ORDER BY originator_version",
        (stream,),
        binary=True,
    ).fetchall()
