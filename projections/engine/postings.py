"""Postings in SQL: those of all events that have some, whatever they are called.

This is the one place that knows how a posting is stored. Folds, statements, checks and measures
read what is made here from the catalogue: an event that is defined tomorrow with a field `postings`
is folded, listed and counted like the others.
"""

from collections.abc import Collection

import msgspec

from domain.kernel.postings import ACCOUNTS, OWNED
from projections.engine.event_tables import TypedTable, Window, typed_tables

NAME = "postings"
"""The field of an event, and the source of a fold."""

EACH = (
    f"json_array_elements(e.{NAME}) p, LATERAL (SELECT (p->>0)::bigint AS lot, p->>1 AS source,"
    " p->>2 AS target, (p->>3)::bigint AS points) posting"
)
"""The postings of an event as rows (lot, source, target, points), to be joined to its table `e`."""

_OWNED = ", ".join(f"'{account}'" for account in OWNED)
CHANGE = f"points * ((target IN ({_OWNED}))::int - (source IN ({_OWNED}))::int)"
"""What a posting does to the member's balance."""

BALANCE = f"({' + '.join(OWNED)})"
"""The balance of a row that has a column an account: the formula of `domain/kernel/postings.py`."""

SUMS = {
    "credited": "-outside",
    "debited": "spent",
    "expired": "expired",
    "reversed": "reversed",
    "balance": BALANCE,
}
"""What the answers call the accounts."""


def movers() -> dict[str, TypedTable]:
    """The events that have postings, by topic."""
    return {
        topic: table
        for topic, table in typed_tables().items()
        if any(column.name == NAME for column in table.own)
    }


MOVED = {
    account: f"posting.points * ((posting.target = '{account}')::int"
    f" - (posting.source = '{account}')::int)"
    for account in ACCOUNTS
}
"""What a posting brings to each account."""
NETS = ", ".join(f"sum({moved})::bigint AS {account}" for account, moved in MOVED.items())
"""A column an account: the sum over postings."""


def rows(window: Window | None = None, topics: Collection[str] | None = None) -> str:
    """A row a posting, of a window or of the whole log, as a subselect."""
    condition = "" if window is None else f" WHERE {window.condition()}"
    parts = [
        "SELECT e.bucket, e.position, e.member_id, e.stream_version, e.occurred_at, e.actor,"
        f" '{topic}' AS topic, posting.*"
        f" FROM (SELECT * FROM {table.name}{condition}) e, {EACH}"
        for topic, table in movers().items()
        if topics is None or topic in topics
    ]
    return f"({' UNION ALL '.join(parts)})"


def moved() -> str:
    """A row an event with postings, of the whole log, with a column for what it brought to each
    account, as a subselect."""
    parts = [
        f"SELECT e.bucket, e.position, e.member_id, e.occurred_at, '{topic}' AS topic, nets.*"
        f" FROM {table.name} e, LATERAL (SELECT {NETS} FROM {EACH}) nets"
        for topic, table in movers().items()
    ]
    return f"({' UNION ALL '.join(parts)})"


def each_posting() -> str:
    """A row a posting of the whole log with its number in its event, as a query."""
    parts = [
        f"SELECT e.bucket, e.position, n.number, e.member_id, e.occurred_at, '{topic}' AS topic,"
        " (n.value->>0)::bigint AS lot, n.value->>1 AS from_account, n.value->>2 AS to_account,"
        " (n.value->>3)::bigint AS points, e.actor"
        f" FROM {table.name} e, json_array_elements(e.{NAME}) WITH ORDINALITY n(value, number)"
        for topic, table in movers().items()
    ]
    return " UNION ALL ".join(parts)


def entries() -> str:
    """A row an event with postings, of the whole log, as a subselect.

    (member_id, stream_version, bucket, position, occurred_at, actor, topic, postings, text, lot,
    debit, visit): `text` is the reason, else the source, else which lot. What names no debit is
    about one credit, and `lot` is its number.
    """
    return f"({' UNION ALL '.join(map(_entry, movers().values()))})"


def _entry(table: TypedTable) -> str:
    own = {column.name for column in table.own}
    first = f"(e.{NAME}->0->>0)::bigint"
    lot = "e.lot" if "lot" in own else "NULL::bigint" if "debit" in own else first
    texts = [f"e.{name}" for name in ("reason", "source") if name in own]
    text = texts[0] if texts else f"'lot ' || {first}"
    debit, visit = (f"e.{n}" if n in own else "NULL::bigint" for n in ("debit", "visit"))
    return (
        "SELECT e.member_id, e.stream_version, e.bucket, e.position, e.occurred_at, e.actor,"
        f" '{table.topic}' AS topic, e.{NAME},"
        f" {text} AS text,"
        f" {lot} AS lot, {debit} AS debit, {visit} AS visit"
        f" FROM {table.name} e"
    )


def change(wanted: str = CHANGE) -> str:
    """What an event's postings add up to: one row, zero if there are none."""
    return f"SELECT coalesce(sum({wanted}), 0)::bigint AS change FROM {EACH}"


TOGETHER = f"string_agg(e.{NAME}::text, ',')"
"""The postings of many events as one text, to be added up here: a third of what SQL takes."""
_LISTS = msgspec.json.Decoder(list[list[tuple[int, str, str, int]]])


def change_of(together: str | None) -> int:
    """What the postings of this text do to the member's balance."""
    return sum(
        points * ((target in OWNED) - (source in OWNED))
        for postings in _LISTS.decode(f"[{together or ''}]")
        for _, source, target, points in postings
    )
