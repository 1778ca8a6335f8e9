"""Corrections: what was taken back, reversed or told late, by whom and why; what counted before,
and what was told in its place.

A query over typed events and no fold: who asks for a few of them reads no more than their tables.
"""

from collections.abc import Iterator
from typing import NamedTuple

from domain.catalogue import CATALOGUE
from domain.kernel.correction import TakesBack
from domain.points.movements import (
    CreditReversed,
    DebitReversed,
    ExpiryReversed,
    PointsCarriedOver,
    PointsCredited,
    PointsDebited,
    PointsExpired,
)
from domain.visits import VisitRecorded, VisitUndone
from projections.engine.event_tables import TypedTable, typed_table, typed_tables
from projections.engine.names import closed
from projections.engine.views import view

CORRECTED, REVERSED, LATE = KINDS = ("corrected", "reversed", "late")
LATE_BY = "1 day"
"""A fact that is told so long after it happened, or longer, is told late."""


class Reversal(NamedTuple):
    """What takes back another event of its stream on a day of its own: by which number."""

    by: TypedTable
    fact: TypedTable
    number: str
    """The column that says it; of the fact the expression, in which it is `e`."""
    of_fact: str


_OPENED = "(e.postings->0->>0)::bigint"
_REVERSALS = tuple(
    Reversal(typed_table(by), typed_table(fact), number, of_fact)
    for by, fact, number, of_fact in (
        (VisitUndone, VisitRecorded, "visit", "e.visit"),
        (DebitReversed, PointsDebited, "debit", "e.debit"),
        (CreditReversed, PointsCredited, "lot", _OPENED),
        (CreditReversed, PointsCarriedOver, "lot", _OPENED),
    )
)
_NEVER_LATE = {
    *(VisitUndone.topic, DebitReversed.topic, CreditReversed.topic),
    *(PointsExpired.topic, ExpiryReversed.topic),
}
"""What is in the list as a reversal, and what writes down what had lapsed."""


def _said(kind: str, topic: str, by: TypedTable, which: str, reason: str) -> str:
    """The columns of what was told, in which it is `c`."""
    member = f"c.{by.id_column}" if by.stream == "member" else "NULL"
    return (
        f"c.recorded_at, c.occurred_at, c.bucket, c.position, '{kind}' AS kind, '{topic}' AS topic,"
        f" {which}::text AS which, '{by.stream}:' || c.{by.id_column} AS stream,"
        f" {member}::text AS member_id, c.actor, {reason}::text AS reason"
    )


def _corrected() -> Iterator[str]:
    for topic, fact in typed_tables().items():
        if fact.named_by is None:
            continue
        by = fact.corrections
        yield f"""
            SELECT {_said(CORRECTED, topic, by, "c.which", "c.reason")},
                max(e.position) FILTER (WHERE e.position < c.position) AS fact_position,
                min(e.position) FILTER (WHERE e.position > c.position) AS anew_position
            FROM {by.name} c LEFT JOIN {fact.name} e ON e.bucket = c.bucket
                AND e.{fact.id_column} = c.{by.id_column} AND {fact.naming("e")} = c.which
            WHERE c.fact = '{topic}' GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
        """


def _reversed() -> Iterator[str]:
    for by, fact, number, of_fact in _REVERSALS:
        yield f"""
            SELECT {_said(REVERSED, fact.topic, by, f"c.{number}", "c.reason")},
                e.position, NULL::bigint
            FROM {by.name} c JOIN {fact.name} e ON e.bucket = c.bucket
                AND e.{fact.id_column} = c.{by.id_column} AND {of_fact} = c.{number}
        """


def _late() -> Iterator[str]:
    for topic, table in typed_tables().items():
        if issubclass(CATALOGUE[topic], TakesBack) or topic in _NEVER_LATE:
            continue
        yield f"""
            SELECT {_said(LATE, topic, table, "NULL", "NULL")}, NULL::bigint, NULL::bigint
            FROM {table.name} c WHERE c.recorded_at - c.occurred_at >= interval '{LATE_BY}'
        """


closed("corrections.kind", KINDS)
view(
    "corrections",
    "What was taken back, reversed, or told a day or more after it happened.",
    " UNION ALL ".join([*_corrected(), *_reversed(), *_late()]),
    """
    recorded_at timestamptz: when the ledger learnt it
    occurred_at timestamptz: when it happened; of a correction, when it was said
    bucket smallint
    position bigint
    kind text: corrected, reversed or late
    topic text: of the fact that was taken back, or was told late
    which text?: the name of that fact in its stream: a month, a campaign, a number; null: late
    stream text: whom or what it is about
    member_id text?: whose; null: it is about no member
    actor text
    reason text?: why; null: told late
    fact_position bigint?: where the lane holds the fact that counted before; null: told late
    anew_position bigint?: where the lane holds what was told in its place; null: nothing was
    """,
    key=("recorded_at", "bucket", "position"),
    same=("kind", "topic", "member_id", "actor"),
    day="recorded_at",
)
