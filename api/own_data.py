"""All that is known of a member, for himself: who he is, his points and whatever else the card
shows, and every event."""

from datetime import datetime
from typing import Any

from psycopg import Connection
from pydantic import Field

from api import log
from domain.members import UnknownMember
from ledger.log import persons
from projections import members
from projections.engine.answer import Answer
from projections.members import Member

MOST_EVENTS = 100_000
WHAT_FOR = "access to one's own data"


class ToldDetail(Answer):
    """What was told of who he is; null took it away."""

    field: str = Field(examples=["phone"])
    value: str | None
    holds_from: datetime


class OwnData(Answer):
    """All that is known of a member."""

    member_id: str
    told: list[ToldDetail] = Field(
        description="of who he is, in full and in the order in which it held; empty once that was"
        " erased, and where the answer to this key was given before"
    )
    card: Member
    events: list[log.Event] = Field(description="whatever happened, oldest first")


def own_data(
    connection: Connection[Any], member_id: str, at: datetime, *, in_full: bool
) -> OwnData:
    """All of it as of now; `in_full` with who he is."""
    card = members.member(connection, member_id, at)
    if card is None:
        raise UnknownMember(member_id)
    told = persons.tellings(connection, member_id) if in_full and card.erased_at is None else []
    return OwnData(
        member_id=member_id,
        told=[ToldDetail(field=name, value=value, holds_from=at) for name, value, at in told],
        card=card,
        events=log.of_stream(connection, f"member:{member_id}", MOST_EVENTS),
    )
