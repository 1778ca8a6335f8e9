"""Cohorts: customers of a day, and how many of them were kept."""

from domain.cohorts import CohortFrozen, CohortIncluded, CohortOpened, Purpose, UnknownCohort
from projections.engine.event_tables import counted
from projections.engine.measure import Events, Need, Rows, measure
from projections.engine.names import closed, named
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Stored, folded
from projections.engine.views import view
from projections.members import AWAY

LOW_SPEND_FEN = 5_000
"""Monthly spend below 50 yuan is low."""
LOW_MONTHS_LOST = 3
"""A customer with so many months of low spend in the year counts as lost."""


_YEAR_BEFORE = "(SELECT to_char(to_date(%({}_month)s, 'YYYY-MM') - interval '1 year', 'YYYY-MM'))"
"""A month a year earlier, written once and not for each bill."""
_OF_THE_MONTHS = "month BETWEEN %(first_month)s AND %(last_month)s"
_A_YEAR_BEFORE = f"month BETWEEN {_YEAR_BEFORE.format('first')} AND {_YEAR_BEFORE.format('last')}"
"""Of more than twelve months some are both."""


class Cohorts(Projection):
    """A row a cohort, and a row a customer in it."""

    tables = (
        """
        CREATE TABLE cohort (
            bucket smallint NOT NULL,
            cohort_id text NOT NULL,
            title text NOT NULL,
            purpose text NOT NULL,
            criterion text NOT NULL,
            taken_on date NOT NULL,
            opened_at timestamptz NOT NULL,
            frozen_at timestamptz,
            size bigint,
            PRIMARY KEY (cohort_id, bucket)
        )
        """,
        """
        CREATE TABLE cohort_member (
            bucket smallint NOT NULL,
            cohort_id text NOT NULL,
            member_id text NOT NULL,
            tier text,
            unit_id text NOT NULL,
            PRIMARY KEY (cohort_id, member_id, bucket)
        )
        """,
    )
    fold = (
        """
        INSERT INTO cohort (bucket, cohort_id, title, purpose, criterion, taken_on, opened_at)
        SELECT bucket, cohort_id, title, purpose, criterion, taken_on, occurred_at
        FROM {cohort_opened} e
        """,
        """
        UPDATE cohort c SET frozen_at = f.occurred_at, size = f.size FROM {cohort_frozen} f
        WHERE c.cohort_id = f.cohort_id AND c.bucket = f.bucket
        """,
        """
        DELETE FROM cohort_member m USING {cohort_included} e
        WHERE e.sign < 0 AND m.cohort_id = e.cohort_id AND m.member_id = e.member_id
            AND m.bucket = e.bucket
        """,
        """
        INSERT INTO cohort_member (bucket, cohort_id, member_id, tier, unit_id)
        SELECT bucket, cohort_id, member_id, tier, unit_id FROM {cohort_included} e WHERE sign > 0
        """,
    )


named("cohort_id", UnknownCohort)


# ----------------------------------------------------------------------------------- measures
KEPT = Rows(
    f"""
    SELECT c.bucket, c.member_id, c.tier, c.unit_id, away.left_at, coalesce(b.low_months, 0)
            AS low_months, coalesce(b.spent_fen, 0) AS spent_fen,
        coalesce(b.spent_before_fen, 0) AS spent_before_fen,
        1 AS base, left_by.then::int AS left,
        (NOT left_by.then AND coalesce(b.low_months, 0) >= %(low_months)s::bigint)::int AS low,
        coalesce(b.spent_fen, 0) AS revenue_fen,
        coalesce(b.spent_before_fen, 0) AS revenue_before_fen
    FROM cohort_member c
    {AWAY.format("c", "%(end)s")}
    CROSS JOIN LATERAL (SELECT away.left_at IS NOT NULL) left_by("then")
    LEFT JOIN (
        SELECT bucket, member_id,
            count(*) FILTER (WHERE amount_fen < %(low_fen)s::bigint AND {_OF_THE_MONTHS})
                AS low_months,
            (sum(amount_fen) FILTER (WHERE {_OF_THE_MONTHS}))::bigint AS spent_fen,
            (sum(amount_fen) FILTER (WHERE {_A_YEAR_BEFORE}))::bigint AS spent_before_fen
        FROM {counted("bill.issued")} b
        WHERE {_OF_THE_MONTHS} OR {_A_YEAR_BEFORE}
        GROUP BY 1, 2
    ) b ON b.member_id = c.member_id AND b.bucket = c.bucket
    WHERE c.cohort_id = %(cohort_id)s
    """,
    key=("member_id",),
    dims=("tier", "unit_id"),
    decided=("left_at", "low_months", "spent_fen", "spent_before_fen"),
    sums=("base", "left", "low", "revenue_fen", "revenue_before_fen"),
    events=(
        Events("cohort.included", where="cohort_id = %(cohort_id)s"),
        Events("member.left", where="occurred_at < %(end)s"),
        Events(
            "bill.issued",
            where=f"{_OF_THE_MONTHS} AND amount_fen < %(low_fen)s",
        ),
    ),
    needs=(Need("cohort_id", in_overview="purpose = 'retention'"),),
    may={"low_fen": LOW_SPEND_FEN, "low_months": LOW_MONTHS_LOST},
    days=("low", "revenue_fen", "revenue_before_fen"),
    what="The customers of a cohort, with the tier and unit of its day: who left the network "
    "by the end of `on`, and who of the others spent less than `low_fen` in `low_months` or "
    "more of the months that lie whole between `first` and `on`. Revenue is that of the same "
    "months, and of the same a year before.",
)

_SPENT_LITTLE = ("low_fen", "low_months")
measure("retention.base", "Customers of the cohort", "拍照客户数", "customers", KEPT, "base")
measure("retention.left", "Of them, who left the network", "其中离网", "customers", KEPT, "left")
measure("retention.low", "Of the others, who spent too little", "其中低消", "customers", KEPT,
        "low", given=_SPENT_LITTLE)  # fmt: skip
measure("retention.lost", "Customers lost", "流失客户数", "customers", KEPT, "left + low",
        given=_SPENT_LITTLE)  # fmt: skip
measure("retention.rate", "Retention rate", "中高端客户保有率", "%", KEPT,
        "100 * (base - left - low) / base", digits=2, given=_SPENT_LITTLE)  # fmt: skip
measure("retention.revenue_rate", "Revenue retention", "收入保持率", "%", KEPT,
        "100 * revenue_fen / revenue_before_fen", digits=2,
        note="of those who left, the months after count as zero")  # fmt: skip

BILLS = Rows(
    f"""
    SELECT b.bucket, b.member_id, b.month, b.position, t.tier, u.unit_id,
        b.amount_fen AS billed_fen
    FROM {counted("bill.issued")} b
    JOIN (
        SELECT to_char(begins, 'YYYY-MM') AS of, (begins + interval '1 month')::timestamptz AS at
        FROM generate_series(to_date(%(first_month)s, 'YYYY-MM')::timestamp,
            to_date(%(last_month)s, 'YYYY-MM')::timestamp, '1 month') begins
    ) over_ ON over_.of = b.month
    LEFT JOIN unit_span u ON u.member_id = b.member_id AND u.bucket = b.bucket
        AND u.since < over_.at AND (u.until IS NULL OR u.until >= over_.at)
    LEFT JOIN tier_span t ON t.member_id = b.member_id AND t.bucket = b.bucket
        AND t.since < over_.at AND (t.until IS NULL OR t.until >= over_.at)
    WHERE {_OF_THE_MONTHS} AND (%(cohort_id)s::text IS NULL OR EXISTS (
        SELECT FROM cohort_member c WHERE c.cohort_id = %(cohort_id)s::text
            AND c.member_id = b.member_id AND c.bucket = b.bucket
    ))
    """,
    key=("member_id", "month"),
    dims=("tier", "unit_id", "month"),
    sums=("billed_fen",),
    events=(Events("bill.issued", by=("member_id", "position")),),
    may={"cohort_id": None},
    days=True,
    what="Bills of the months that lie whole between `first` and `on`, those of a credit below "
    "zero, with the tier and unit at the end of the month; of all, or of a cohort's customers.",
)
measure("bills.amount", "Billed", "账单金额", "yuan", BILLS, "billed_fen / 100", digits=2)


closed("purpose", Purpose)
view(
    "cohorts",
    "Every cohort: customers of a day.",
    """
    SELECT cohort_id, title, purpose, criterion, taken_on, opened_at, frozen_at, size,
        (SELECT count(*) FROM cohort_member m WHERE m.cohort_id = c.cohort_id) AS members
    FROM cohort c
    """,
    """
    cohort_id text
    title text
    purpose text: what it is for
    criterion text: who is in it
    taken_on date: of which day
    opened_at timestamptz: when it was begun
    frozen_at timestamptz?: since when nobody comes in
    size bigint?: how many it was frozen with
    members bigint: how many it holds
    """,
    key=("cohort_id",),
    same=("cohort_id", "purpose"),
    day="taken_on",
)
view(
    "cohort_members",
    "Who is in a cohort, as he was on its day.",
    "SELECT cohort_id, member_id, tier, unit_id FROM cohort_member",
    """
    cohort_id text
    member_id text
    tier text?: his tier on that day
    unit_id text: his unit on that day
    """,
    key=("cohort_id", "member_id"),
    same=("cohort_id", "member_id", "tier", "unit_id"),
)
view(
    "bills",
    "Every customer's bill of a month that counts.",
    f"""
    SELECT bucket, position, member_id, month, amount_fen, margin_fen, occurred_at
    FROM {counted("bill.issued")} e
    """,
    """
    bucket smallint
    position bigint
    member_id text
    month text: as 2008-01
    amount_fen bigint: what he spent
    margin_fen bigint?: what of it is margin, where it is known
    occurred_at timestamptz
    """,
    key=("bucket", "position"),
    same=("member_id", "month"),
    least=("amount_fen",),
    day="occurred_at",
)


# ----------------------------------------------------------------------- the same in plain Python
@folded(CohortOpened)
def _cohort_opened(fold: ReferenceFold, at: Stored, event: CohortOpened) -> None:
    fold.add("cohort", (at.id,), bucket=at.bucket, cohort_id=at.id, title=event.title,
             purpose=event.purpose, criterion=event.criterion, taken_on=event.taken_on,
             opened_at=event.occurred_at, frozen_at=None, size=None)  # fmt: skip


@folded(CohortFrozen)
def _cohort_frozen(fold: ReferenceFold, at: Stored, event: CohortFrozen) -> None:
    fold.row("cohort", at.id).update(frozen_at=event.occurred_at, size=event.size)


@folded(CohortIncluded)
def _cohort_included(fold: ReferenceFold, at: Stored, event: CohortIncluded, sign: int = 1) -> None:
    if sign < 0:
        del fold.tables["cohort_member"][event.cohort_id, at.id]
        return
    fold.add("cohort_member", (event.cohort_id, at.id), bucket=at.bucket,
             cohort_id=event.cohort_id, member_id=at.id, tier=event.tier,
             unit_id=event.unit_id)  # fmt: skip
