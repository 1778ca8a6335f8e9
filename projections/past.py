"""One member as of a moment, from his stream alone: as quick for any moment, and always there.

The plain Python fold does it; a test holds it against the answers as of the same moment.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from ledger import heads, reading
from projections.bindings import Binding
from projections.connection import Conn
from projections.members import MemberCard
from projections.moments import Moment
from projections.plain import Plain, Row, Stored
from projections.points import Account, Lot


@dataclass(frozen=True, slots=True)
class Past:
    """A member's card, points, lots that were left in the order of spending, and bindings."""

    card: MemberCard
    account: Account
    lots: list[Lot]
    bindings: list[Binding]


def member(conn: Conn, member_id: str, moment: Moment, at: datetime) -> Past | None:
    """A member as of a moment, spendable points at an instant; null if he had not joined."""
    plain = _folded(conn, f"member:{member_id}", moment)
    joined = plain.rows("member")
    if not joined:
        return None
    units = _folded(conn, f"unit:{joined[0]['unit']}", moment).rows("unit")
    account = _account(plain, member_id, at)
    left = [row for row in plain.rows("lot") if row["remaining"] > 0]
    bound = sorted(plain.rows("binding"), key=lambda row: int(row["binding"]))
    return Past(
        _card(plain, joined[0], units[0]["title"] if units else None, account),
        account,
        [_read(Lot, row) for row in sorted(left, key=_in_order_of_spending)],
        [_read(Binding, row) for row in bound],
    )


def _folded(conn: Conn, stream: str, moment: Moment) -> Plain:
    """The stream's events up to the moment, folded."""
    effective_at = moment.effective_at
    found = (
        Stored(bucket, position, stream, heads.written(topic, state))
        for bucket, position, topic, state in reading.life(conn, stream, dict(moment.positions))
    )
    known = (at for at in found if effective_at is None or at.event.occurred_at <= effective_at)
    return Plain(gaps=effective_at is not None).fold(known)


def _card(plain: Plain, row: Row, unit_title: str | None, account: Account) -> MemberCard:
    visits = plain.rows("visit")
    kept = [visit for visit in visits if visit["undone_at"] is None]
    return MemberCard(
        member_id=row["member_id"],
        unit=row["unit"],
        unit_title=unit_title,
        tier=row["tier"],
        tier_since=row["tier_since"],
        important=row["important"],
        joined_at=row["joined_at"],
        left_at=row["left_at"],
        visits=len(kept),
        undone_visits=len(visits) - len(kept),
        companions=sum(visit["companions"] for visit in kept),
        last_visit_at=max((visit["at"] for visit in kept), default=None),
        attendances=sum(each["attendances"] for each in plain.rows("activity_use")),
        balance_points=sum(lot["remaining"] for lot in plain.rows("lot")),
        spendable_points=account.spendable,
    )


def _account(plain: Plain, member_id: str, at: datetime) -> Account:
    totals = next(iter(plain.rows("account")), {})
    parts = {"spendable": 0, "pending": 0, "lapsed": 0}
    for lot in plain.rows("lot"):
        if lot["available_from"] > at:
            part = "pending"
        else:
            part = "lapsed" if lot["expires_at"] and lot["expires_at"] <= at else "spendable"
        parts[part] += lot["remaining"]
    sums = ("credited", "debited", "returned", "expired", "reversed", "balance")
    return Account(member_id, *(totals.get(name, 0) for name in sums), **parts)


def _in_order_of_spending(lot: Row) -> tuple[bool, datetime | None, datetime, int]:
    never = lot["expires_at"] is None
    return never, lot["earned_at"] if never else lot["expires_at"], lot["earned_at"], lot["lot"]


def _read(kind: Any, row: Row) -> Any:
    """A row as the queries return it."""
    return kind(**{field.name: row[field.name] for field in fields(kind)})
