"""The return on a campaign, against a control group drawn at random, or why there is none.

incremental margin = (mean margin per customer offered - that of control) x customers offered,
by intention to treat: a customer counts in the arm he was drawn into, whether he took part or not.
return = (incremental margin - cost) / cost, with a 95% interval by the normal approximation.
The cost is that of the customers offered: the gifts of those of them who enrolled, and of the other
costs their share by customers, of those offered and those who enrolled without an offer.
"""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction

from projections.campaigns import campaign
from projections.connection import Conn
from projections.days import end_of, whole_months
from projections.ratio import Ratio, rounded
from projections.typed import counted

Z_95 = Decimal("1.959963984540054")
"""The 97.5% quantile of the standard normal distribution."""
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Arm:
    """The customers drawn into an arm, the sum of their margins, how many are on the network."""

    customers: int
    margin_fen: int
    retained: int
    squares: int  # the sum of the squares of the customers' margins
    bills: int  # with a margin

    @property
    def mean_fen(self) -> Ratio:
        return Ratio(self.margin_fen, self.customers)

    @property
    def variance_of_mean(self) -> Fraction:
        """Sample variance / customers, exactly; two customers at least."""
        deviation = Fraction(self.squares * self.customers - self.margin_fen**2, self.customers)
        return deviation / (self.customers - 1) / self.customers


@dataclass(frozen=True, slots=True)
class Return:
    """The return, its interval, and what it is made of. 0.25 is a gain of a quarter of the cost."""

    campaign_id: str
    until: date
    first_month: date
    last_month: date
    offered: Arm
    control: Arm
    cost_fen: int
    incremental_fen: Decimal
    value: Decimal
    low: Decimal
    high: Decimal
    cost_per_retained_fen: Decimal | None


@dataclass(frozen=True, slots=True)
class NotComputable:
    """There is no return, and no substitute figure."""

    campaign_id: str
    reason: str


def campaign_return(conn: Conn, campaign_id: str, until: date) -> Return | NotComputable:
    """The return by the margins of the whole months from the opening to `until`.

    A customer without a bill counts with a margin of zero; a bill without a margin is not counted.
    """
    known = campaign(conn, campaign_id, until)
    if known is None:
        return NotComputable(campaign_id, "unknown campaign")
    months = whole_months(known.opens_on, until)
    if months is None:
        return NotComputable(campaign_id, "no whole month since the opening")
    if known.control < 2 or known.offered < 2:
        return NotComputable(campaign_id, "no control group")
    if not known.offered_cost_fen:
        return NotComputable(campaign_id, "no costs")
    arms = _arms(conn, campaign_id, months, until)
    offered, control = arms["offered"], arms["control"]
    if not (offered.bills and control.bills):
        return NotComputable(campaign_id, "no bills with a margin")
    return _return(campaign_id, until, months, offered, control, known.offered_cost_fen)


def _return(
    campaign_id: str,
    until: date,
    months: tuple[date, date],
    offered: Arm,
    control: Arm,
    cost_fen: int,
) -> Return:
    difference = Fraction(offered.margin_fen, offered.customers) - Fraction(
        control.margin_fen, control.customers
    )
    incremental = difference * offered.customers
    variance = offered.variance_of_mean + control.variance_of_mean
    with localcontext() as context:
        context.prec = 50
        deviation = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
        margin = Fraction(Z_95 * deviation) * offered.customers
    kept = Fraction(offered.retained, offered.customers) - Fraction(
        control.retained, control.customers
    )
    return Return(
        campaign_id=campaign_id,
        until=until,
        first_month=months[0],
        last_month=months[1],
        offered=offered,
        control=control,
        cost_fen=cost_fen,
        incremental_fen=rounded(incremental, 2),
        value=rounded((incremental - cost_fen) / cost_fen, DIGITS),
        low=rounded((incremental - margin - cost_fen) / cost_fen, DIGITS),
        high=rounded((incremental + margin - cost_fen) / cost_fen, DIGITS),
        cost_per_retained_fen=rounded(cost_fen / (offered.customers * kept), 2)
        if kept > 0
        else None,
    )


def _arms(conn: Conn, campaign_id: str, months: tuple[date, date], until: date) -> dict[str, Arm]:
    found = conn.execute(
        f"""
        SELECT o.arm, count(*), coalesce(sum(b.margin), 0)::bigint,
            count(*) FILTER (WHERE m.left_at IS NULL OR m.left_at >= %(end)s),
            coalesce(sum(b.margin::numeric * b.margin), 0), coalesce(sum(b.bills), 0)::bigint
        FROM {counted("campaign.offered")} o
        JOIN member m ON m.member_id = o.member_id AND m.bucket = o.bucket
        LEFT JOIN (
            SELECT bucket, member_id, sum(margin_fen) AS margin, count(margin_fen) AS bills
            FROM {counted("bill.issued")} b WHERE month BETWEEN %(first)s AND %(last)s GROUP BY 1, 2
        ) b ON b.member_id = o.member_id AND b.bucket = o.bucket
        WHERE o.campaign_id = %(campaign_id)s AND o.occurred_at < %(end)s
        GROUP BY 1
        """,
        {
            "campaign_id": campaign_id,
            "first": f"{months[0]:%Y-%m}",
            "last": f"{months[1]:%Y-%m}",
            "end": end_of(until),
        },
    ).fetchall()
    return {
        arm: Arm(customers, margin, kept, int(sq), n)
        for arm, customers, margin, kept, sq, n in found
    }
