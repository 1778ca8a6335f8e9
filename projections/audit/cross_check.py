"""The answers beside a fold of the same events in plain Python, member by member.

Members are taken some hundreds at a time, so that memory stays what it is however long the log.
What is not about one member (use of the clubs, campaigns) needs all events, and is compared at
the end if all were folded.
"""

from collections.abc import Sequence

from psycopg.rows import dict_row

from domain.kernel.event import Event
from ledger.reading import Stored as InLog
from projections.audit.comparing import Comparing, shape
from projections.engine.catalogue import PROJECTIONS
from projections.engine.connection import Conn
from projections.engine.reference import ReferenceFold, Stored
from projections.engine.schemas import LIVE, positions

MEMBER = "member_id"


class SecondOpinion:
    """Takes the events of streams one after the other, and holds what comes of them against SQL."""

    def __init__(self, conn: Conn, into: Comparing) -> None:
        self._conn, self._into, self._plain = conn, into, ReferenceFold()
        self._upto = positions(conn)
        names = [name for kind in PROJECTIONS.values() for name in kind.table_names()]
        self._shapes = {name: shape(conn, f"{LIVE.answers}.{name}") for name in names}
        self._of_members = [
            name for name in names if MEMBER in [column for column, _ in self._shapes[name].columns]
        ]

    def take(self, stored: InLog, event: Event) -> None:
        """Fold an event, if the answers hold it already."""
        if stored.position <= self._upto.get(stored.bucket, 0):
            place = Stored(stored.bucket, stored.position, stored.stream, event)
            self._plain.fold([place])

    def members(self, streams: Sequence[str]) -> None:
        """Compare what is about these members, whose events were all taken, and forget it."""
        ids = [name for kind, _, name in (s.partition(":") for s in streams) if kind == "member"]
        for table in self._of_members:
            self._compare(table, f"WHERE {MEMBER} = ANY (%s)", (ids,))

    def programme(self) -> None:
        """Compare the rest, now that all events were taken; and rows of members without events."""
        for table in self._shapes:
            if table not in self._of_members:
                self._compare(table)
                continue
            self._compare(
                table,
                "t WHERE NOT EXISTS (SELECT FROM ledger.stored_events e"
                f" WHERE e.originator_id = 'member:' || t.{MEMBER})",
            )

    def _compare(self, table: str, condition: str = "", given: tuple[object, ...] = ()) -> None:
        cursor = self._conn.cursor(row_factory=dict_row)
        name = f"{LIVE.answers}.{table}"
        live = cursor.execute(f"SELECT * FROM {name} {condition}", given).fetchall()
        self._into.rows(name, self._shapes[table].key, live, self._plain.take(table))
