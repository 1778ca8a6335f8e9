"""A member's statement as of a moment: the live answers' texts, asked of what the moment holds.

Lines are made of typed events, which say when each happened and where it lies; so no answers have
to be folded for it, and it is as quick for any moment as for now. A test holds it against the
answers that are folded as of the same moment.
"""

from ledger import reading
from ledger.log.snapshots import event_of
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.event_tables import typed_tables
from projections.engine.postings import movers


def sources(moment: Moment | None) -> str:
    """What stands in the place of the tables that a statement reads; of now, nothing.

    The live answers have to hold the positions of the moment.
    """
    if moment is None:
        return ""
    held = {typed_tables()[topic].name: moment.condition_of(topic) for topic in movers()}
    held["visit"] = moment.condition
    # The credit of a lot is known wherever what moves its points is; it may have happened later.
    held["lot"] = "true"
    if moment.effective_at is not None:
        held["lot"] = f"earned_at <= '{moment.effective_at.isoformat()}'::timestamptz"
    parts = (
        f"{name} AS NOT MATERIALIZED (SELECT * FROM {name} WHERE {condition})"
        for name, condition in held.items()
    )
    return f"WITH {', '.join(parts)}"


def had_joined(conn: Conn, member_id: str, moment: Moment | None) -> bool:
    """Whether there was such a member, by the log, with which the answers may have to catch up."""
    found = reading.history(conn, f"member:{member_id}", after=0, limit=1)
    if not found or moment is None:
        return bool(found)
    (joined,) = found
    if joined.position > dict(moment.positions)[joined.bucket]:
        return False
    until = moment.effective_at
    return until is None or event_of(joined.topic, joined.state).occurred_at <= until
