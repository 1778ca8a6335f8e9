"""Bindings: who is bound by which policy from when to when, and the binding rate at a date."""

from datetime import date
from typing import get_args

from psycopg.rows import class_row

from domain.bindings import BindingEnded, BindingStarted, Cause, Policy
from projections.engine.answer import Answer
from projections.engine.connection import Conn
from projections.engine.measure import Events, Need, Rows, measure
from projections.engine.names import closed
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Stored, folded
from projections.engine.views import view

_BROKEN_OFF_BY = """
    FROM absence a WHERE a.member_id = b.member_id AND a.bucket = b.bucket
        AND (a.returned_at IS NULL OR a.returned_at::date > b.starts_on)
"""
ENDED_BY_LEAVING = f"EXISTS (SELECT {_BROKEN_OFF_BY} AND a.left_at < %(end)s)"
"""Whether leaving had ended the binding `b` by an instant, or kept it from beginning: nor does it
bind the member when he comes back."""


class Bindings(Projection):
    """A row a binding as it was told: on [starts_on, until), to its end or to where it was ended.

    Nobody is bound off the network; queries ask for that beside it.
    """

    tables = (
        """
        CREATE TABLE binding (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            binding bigint NOT NULL,
            policy text NOT NULL,
            campaign_id text,
            unit_id text NOT NULL,
            starts_on date NOT NULL,
            ends_on date NOT NULL,
            ended_on date,
            cause text,
            until date NOT NULL GENERATED ALWAYS AS (coalesce(ended_on, ends_on)) STORED,
            PRIMARY KEY (member_id, binding, bucket)
        ) WITH (fillfactor = 90)
        """,
    )
    fold = (
        """
        INSERT INTO binding (bucket, member_id, binding, policy, campaign_id, unit_id, starts_on,
            ends_on)
        SELECT bucket, member_id, binding, policy, campaign_id, unit_id, starts_on, ends_on
        FROM {binding_started} e WHERE sign > 0
        """,
        """
        DELETE FROM binding b USING {binding_started} e
        WHERE e.sign < 0 AND b.member_id = e.member_id AND b.binding = e.binding
            AND b.bucket = e.bucket
        """,
        """
        UPDATE binding b SET ended_on = NULL, cause = NULL FROM {binding_ended} e
        WHERE e.sign < 0 AND b.member_id = e.member_id AND b.binding = e.binding
            AND b.bucket = e.bucket
        """,
        """
        UPDATE binding b SET ended_on = e.ended_on, cause = e.cause FROM {binding_ended} e
        WHERE e.sign > 0 AND b.member_id = e.member_id AND b.binding = e.binding
            AND b.bucket = e.bucket
        """,
    )


class Binding(Answer):
    """A policy that binds the member on the days [starts_on, ends_on)."""

    binding: int
    policy: str
    campaign_id: str | None
    starts_on: date
    ends_on: date
    ended_on: date | None
    cause: str | None


def bindings(conn: Conn, member_id: str) -> list[Binding]:
    """A member's bindings, earliest first. Leaving the network ends what still binds, with the
    cause `left`."""
    cursor = conn.cursor(row_factory=class_row(Binding))
    return cursor.execute(
        f"""
        SELECT binding, policy, campaign_id, starts_on, ends_on,
            CASE WHEN left_on < until THEN left_on ELSE ended_on END AS ended_on,
            CASE WHEN left_on < until THEN 'left' ELSE cause END AS cause
        FROM binding b
        CROSS JOIN LATERAL (
            SELECT min(a.left_at)::date AS left_on {_BROKEN_OFF_BY}
        ) a
        WHERE member_id = %s ORDER BY binding
        """,
        (member_id,),
    ).fetchall()


# ----------------------------------------------------------------------------------- measures
BASE = Rows(
    f"""
    SELECT c.bucket, c.member_id, c.tier, c.unit_id, m.left_at, b.policies, 1 AS base,
        (b.policies IS NOT NULL)::int AS bound
    FROM cohort_member c
    JOIN member m ON m.member_id = c.member_id AND m.bucket = c.bucket
    LEFT JOIN (
        SELECT bucket, member_id, string_agg(policy, ', ' ORDER BY binding) AS policies
        FROM binding b WHERE starts_on <= %(on)s AND until > %(on)s AND NOT {ENDED_BY_LEAVING}
        GROUP BY 1, 2
    ) b ON b.member_id = c.member_id AND b.bucket = c.bucket
    WHERE c.cohort_id = %(cohort_id)s
    """,
    key=("member_id",),
    dims=("tier", "unit_id"),
    decided=("left_at", "policies"),
    sums=("base", "bound"),
    events=(
        Events("cohort.included", where="cohort_id = %(cohort_id)s"),
        Events("binding.started", where="starts_on <= %(on)s AND ends_on > %(on)s"),
        Events("binding.ended", where="ended_on <= %(on)s"),
        Events("member.left", where="occurred_at < %(end)s"),
        Events("member.returned", where="occurred_at < %(end)s"),
    ),
    needs=(Need("cohort_id", in_overview="purpose = 'binding'"),),
    what="The customers of a cohort: each counts once, however many policies bind him on the "
    "day, and not if he is off the network by the end of it.",
)

BINDINGS = Rows(
    f"""
    SELECT b.bucket, b.member_id, b.binding, b.policy, b.campaign_id, b.unit_id, m.tier,
        b.starts_on, b.ends_on, b.ended_on, b.cause, m.left_at,
        (b.starts_on <= %(on)s AND b.until > %(on)s AND gone.binding IS NULL)::int AS active,
        (b.starts_on BETWEEN %(first)s AND %(on)s)::int AS started,
        coalesce(b.ended_on BETWEEN %(first)s AND %(on)s, false)::int AS ended_early
    FROM binding b
    JOIN member m ON m.member_id = b.member_id AND m.bucket = b.bucket
    LEFT JOIN (
        SELECT bucket, member_id, binding FROM binding b WHERE {ENDED_BY_LEAVING}
    ) gone ON gone.member_id = b.member_id AND gone.bucket = b.bucket
        AND gone.binding = b.binding
    """,
    key=("member_id", "binding"),
    dims=("policy", "campaign_id", "unit_id", "tier", "cause"),
    decided=("starts_on", "ends_on", "ended_on", "left_at"),
    sums=("active", "started", "ended_early"),
    events=(
        Events("binding.started", by=("member_id", "binding")),
        Events("binding.ended", by=("member_id", "binding")),
        Events("member.left", where="occurred_at < %(end)s"),
    ),
    days=("started", "ended_early"),
    what="Bindings, each as often as a policy binds somebody, with the tier that he has now. "
    "The cause is that of its early end, on whichever day.",
)

measure("bindings.base", "Customers to be bound", "需捆绑客户数", "customers", BASE, "base")
measure("bindings.bound", "Customers effectively bound", "有效捆绑客户数", "customers", BASE,
        "bound")  # fmt: skip
measure("bindings.rate", "Binding rate", "捆绑到位率", "%", BASE, "100 * bound / base", digits=2)
measure("bindings.active", "Bindings in force", "有效捆绑数", "bindings", BINDINGS, "active")
measure("bindings.started", "Bindings begun", "新增捆绑数", "bindings", BINDINGS, "started")
measure("bindings.ended_early", "Bindings ended early", "提前解除捆绑数", "bindings", BINDINGS,
        "ended_early",
        note="by breach or cancelled; leaving the network is neither")  # fmt: skip


closed("policy", Policy)
closed("cause", (*get_args(Cause), "left"))
view(
    "bindings",
    "Every binding to a policy, on the days from starts_on to before until.",
    """
    SELECT b.member_id, b.binding, b.policy, b.campaign_id, b.unit_id, b.starts_on, b.ends_on,
        least(b.until, a.left_on) AS until,
        CASE WHEN a.left_on < b.until THEN 'left' ELSE b.cause END AS cause
    FROM binding b
    CROSS JOIN LATERAL (
        SELECT {day of min(a.left_at)} AS left_on
        FROM absence a WHERE a.member_id = b.member_id AND a.bucket = b.bucket
            AND (a.returned_at IS NULL
                OR {day of a.returned_at} > b.starts_on)
    ) a
    """,
    """
    member_id text
    binding bigint: its number among his
    policy text: to what
    campaign_id text?: which brought it
    unit_id text
    starts_on date: its first day
    ends_on date: the day that was agreed to be behind its last
    until date: the day behind its last, however it ended
    cause text?: why it ended early: breach, cancelled, or left the network
    """,
    key=("member_id", "binding"),
    same=("member_id", "policy", "campaign_id", "unit_id", "cause"),
    day="starts_on",
    within={
        "cohort_id": "v.member_id IN (SELECT member_id FROM cohort_member"
        " WHERE cohort_id = ANY (%(cohort_id)s))",
    },
)


# ----------------------------------------------------------------------- the same in plain Python
@folded(BindingStarted)
def _binding_started(fold: ReferenceFold, at: Stored, event: BindingStarted, sign: int = 1) -> None:
    if sign < 0:
        del fold.tables["binding"][at.id, event.binding]
        return
    fold.add("binding", (at.id, event.binding), bucket=at.bucket, member_id=at.id,
             binding=event.binding, policy=event.policy, campaign_id=event.campaign_id,
             unit_id=event.unit_id, starts_on=event.starts_on, ends_on=event.ends_on,
             ended_on=None, cause=None, until=event.ends_on)  # fmt: skip


@folded(BindingEnded)
def _binding_ended(fold: ReferenceFold, at: Stored, event: BindingEnded, sign: int = 1) -> None:
    row = fold.row("binding", at.id, event.binding)
    ended_on, cause = (event.ended_on, event.cause) if sign > 0 else (None, None)
    row.update(ended_on=ended_on, cause=cause, until=ended_on or row["ends_on"])
