"""A member's statement as of a moment: the live answers' texts, asked of what the moment holds.

Lines are made of typed events, which say when each happened and where it lies; so no answers have
to be folded for it, and it is as quick for any moment as for now. A test holds it against the
answers that are folded as of the same moment.
"""

from dataclasses import dataclass
from datetime import datetime

from domain.kernel.refusal import Refusal
from domain.kernel.values import MemberId
from domain.members import UnknownMember
from ledger import reading
from ledger.log.snapshots import event_of
from projections import points
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.event_tables import typed_tables
from projections.engine.postings import movers
from projections.points import Statement


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


def page(
    conn: Conn, member_id: str, moment: Moment | None, limit: int = 50, before: int | None = None
) -> Statement:
    """A page of a member's statement, of now or as of a moment, whose positions the live answers
    hold. What was known by then is the beginning of all that is known of him."""
    in_order = moment is None or moment.effective_at is None
    known = None if moment is None else dict(moment.positions)
    return points.statement(
        conn, member_id, limit, before, sources(moment), in_order=in_order, known=known
    )


@dataclass
class NotKnownThen(Refusal):
    """Of this member nothing was known by then: ask as of a later time, or by `effective_at` alone.

    The ledger learnt of him at `first_known_at`, that he joined at `joined_at`."""

    code = "unknown_member_then"
    member_id: MemberId
    first_known_at: datetime
    joined_at: datetime


def require_joined(conn: Conn, member_id: str, moment: Moment | None) -> None:
    """Refuses a member whom the log does not know, or not as of the moment. The answers may have to
    catch up with it."""
    found = reading.history(conn, f"member:{member_id}", after=0, limit=1)
    if not found:
        raise UnknownMember(member_id)
    if moment is None:
        return
    (first,) = found
    joined_at = event_of(first.topic, first.state).occurred_at
    late = first.position > dict(moment.positions)[first.bucket]
    if late or (moment.effective_at is not None and joined_at > moment.effective_at):
        raise NotKnownThen(member_id, first.recorded_at, joined_at)
