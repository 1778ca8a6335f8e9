"""The return on a campaign, against a control group drawn at random, or why there is none.

incremental margin = (mean margin per customer offered - that of control) x customers offered,
by intention to treat: a customer counts in the arm he was drawn into, whether he took part or not.
return = (incremental margin - cost) / cost, with a 95% interval by the normal approximation.
The cost is that of the customers offered: the gifts of those of them who enrolled, and of the other
costs their share by customers, of those offered and those who enrolled without an offer.
"""

from datetime import date
from decimal import Decimal, localcontext
from fractions import Fraction

from pydantic import Field

from projections.campaigns import Campaign, campaign
from projections.engine.answer import Answer, Dated, Number
from projections.engine.connection import Conn
from projections.engine.days import end_of, whole_months
from projections.engine.event_tables import counted
from projections.engine.ratio import rounded
from projections.members import AWAY

Z_95 = Decimal("1.959963984540054")
"""The 97.5% quantile of the standard normal distribution."""
DIGITS = 4


class Arm(Answer):
    """One side of the draw."""

    customers: int
    margin_fen: int
    retained: int
    squares: int = Field(exclude=True)  # the sum of the squares of the customers' margins
    bills: int = Field(exclude=True)  # with a margin

    @property
    def mean_fen(self) -> Fraction:
        return Fraction(self.margin_fen, self.customers)

    @property
    def variance_of_mean(self) -> Fraction:
        """Sample variance / customers, exactly; two customers at least."""
        deviation = Fraction(self.squares * self.customers - self.margin_fen**2, self.customers)
        return deviation / (self.customers - 1) / self.customers


class Return(Answer):
    """What a campaign brought, by intention to treat; or why that cannot be computed."""

    value: Number | None = Field(description="(incremental margin - cost) / cost")
    low: Number | None = None
    high: Number | None = None
    first_month: date | None = Field(None, description="margins are counted from this month")
    last_month: date | None = None
    incremental_fen: Number | None = None
    cost_fen: int | None = Field(
        None,
        description="of those offered: their gifts, and by their number a share of the other costs",
    )
    cost_per_retained_fen: Number | None = Field(
        None, description="null if no more were retained than without the campaign"
    )
    offered: Arm | None = None
    control: Arm | None = None
    reason: str | None = Field(None, description="why it is not computable")


class CampaignFigures(Campaign, Dated):
    """A campaign with the figures derived from its events."""

    campaign_return: Return


def campaign_figures(conn: Conn, campaign_id: str, until: date) -> CampaignFigures | None:
    """One campaign by the end of a day, and its return; null if it had not been launched."""
    known = campaign(conn, campaign_id, until)
    if known is None:
        return None
    return CampaignFigures(**dict(known), campaign_return=campaign_return(conn, known, until))


def campaign_return(conn: Conn, known: Campaign, until: date) -> Return:
    """The return by the margins of the whole months from the opening to `until`.

    A customer without a bill counts with a margin of zero; a bill without a margin is not counted.
    """
    months = whole_months(known.opens_on, until)
    if months is None:
        return Return(value=None, reason="no whole month since the opening")
    if known.control < 2 or known.offered < 2:
        return Return(value=None, reason="no control group")
    if not known.offered_cost_fen:
        return Return(value=None, reason="no costs")
    arms = _arms(conn, known.campaign_id, months, until)
    offered, control = arms["offered"], arms["control"]
    if not (offered.bills and control.bills):
        return Return(value=None, reason="no bills with a margin")
    return _return(months, offered, control, known.offered_cost_fen)


def _return(months: tuple[date, date], offered: Arm, control: Arm, cost_fen: int) -> Return:
    incremental = (offered.mean_fen - control.mean_fen) * offered.customers
    variance = offered.variance_of_mean + control.variance_of_mean
    with localcontext() as context:
        context.prec = 50
        deviation = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
        margin = Fraction(Z_95 * deviation) * offered.customers
    kept = Fraction(offered.retained, offered.customers) - Fraction(
        control.retained, control.customers
    )
    return Return(
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
            count(*) FILTER (WHERE away.member_id IS NULL),
            coalesce(sum(b.margin::numeric * b.margin), 0), coalesce(sum(b.bills), 0)::bigint
        FROM {counted("campaign.offered")} o
        {AWAY.format("o", "%(end)s")}
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
        arm: Arm(customers=customers, margin_fen=margin, retained=kept, squares=sq, bills=n)
        for arm, customers, margin, kept, sq, n in found
    }
