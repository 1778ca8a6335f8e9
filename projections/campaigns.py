"""Campaigns: what was offered on which terms, who took part, and what it cost."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from psycopg.rows import dict_row
from pydantic import Field

from domain.campaigns import (
    Arms,
    CampaignClosed,
    CampaignLaunched,
    Kind,
    TermsChanged,
    UnknownCampaign,
)
from domain.enrolments import PlaceFreed, PlaceTaken
from domain.kernel.formula import Formula
from projections.engine.answer import Answer, Dated
from projections.engine.connection import Conn
from projections.engine.days import end_of
from projections.engine.event_tables import counted
from projections.engine.measure import Events, Measured, Need, Rows, measure, measured
from projections.engine.names import closed, named
from projections.engine.projection import Projection
from projections.engine.ratio import Mean, Rate
from projections.engine.reference import ReferenceFold, Stored, folded
from projections.engine.views import view
from projections.members import AWAY


class Campaigns(Projection):
    """A row a campaign and a version of its terms."""

    tables = (
        """
        CREATE TABLE campaign (
            bucket smallint NOT NULL,
            campaign_id text NOT NULL,
            title text NOT NULL,
            kind text NOT NULL,
            opens_on date NOT NULL,
            closes_on date NOT NULL,
            tiers text[] NOT NULL,
            untiered boolean NOT NULL,
            cap bigint,
            budget_fen bigint,
            control_bp bigint NOT NULL,
            arms text NOT NULL,
            other_costs_fen bigint NOT NULL,
            launched_at timestamptz NOT NULL,
            closed_at timestamptz,
            places bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (campaign_id, bucket)
        )
        """,
        """
        CREATE TABLE campaign_terms (
            bucket smallint NOT NULL,
            campaign_id text NOT NULL,
            terms_version bigint NOT NULL,
            prepaid_min_fen bigint NOT NULL,
            gift_bp bigint NOT NULL,
            months_bound bigint NOT NULL,
            min_monthly_fen bigint NOT NULL,
            since timestamptz NOT NULL,
            PRIMARY KEY (campaign_id, terms_version, bucket)
        )
        """,
    )
    fold = (
        """
        INSERT INTO campaign (bucket, campaign_id, title, kind, opens_on, closes_on, tiers,
            untiered, cap, budget_fen, control_bp, arms, other_costs_fen, launched_at)
        SELECT bucket, campaign_id, title, kind, opens_on, closes_on,
            ARRAY(SELECT json_array_elements_text(tiers)), untiered, cap, budget_fen, control_bp,
            coalesce(arms, 'drawn'),
            (SELECT coalesce(sum(cost_fen), 0) FROM json_to_recordset(costs) c(cost_fen bigint)),
            occurred_at
        FROM {campaign_launched} e
        """,
        """
        INSERT INTO campaign_terms (bucket, campaign_id, terms_version, prepaid_min_fen, gift_bp,
            months_bound, min_monthly_fen, since)
        SELECT bucket, campaign_id, 1, prepaid_min_fen, gift_bp, months_bound, min_monthly_fen,
            occurred_at
        FROM {campaign_launched} e
        UNION ALL
        SELECT bucket, campaign_id, terms_version, prepaid_min_fen, gift_bp, months_bound,
            min_monthly_fen, occurred_at
        FROM {campaign_terms_changed} e
        """,
        """
        UPDATE campaign c SET closed_at = e.closed_at
        FROM (
            SELECT bucket, campaign_id, max(occurred_at) FILTER (WHERE sign > 0) AS closed_at
            FROM {campaign_closed} e GROUP BY 1, 2
        ) e
        WHERE c.campaign_id = e.campaign_id AND c.bucket = e.bucket
        """,
        """
        UPDATE campaign c SET places = c.places + p.places
        FROM (
            SELECT bucket, campaign_id, sum(places) AS places
            FROM (
                SELECT bucket, campaign_id, 1 AS places FROM {campaign_place_taken} e
                UNION ALL
                SELECT bucket, campaign_id, -1 FROM {campaign_place_freed} e
                WHERE EXISTS (  -- by the end of a day before that, it was not taken
                    SELECT FROM campaign_place_taken t
                    WHERE t.campaign_id = e.campaign_id AND t.bucket = e.bucket
                        AND t.place = e.place
                )
            ) moved
            GROUP BY 1, 2
        ) p
        WHERE c.campaign_id = p.campaign_id AND c.bucket = p.bucket
        """,
    )


class Campaign(Answer):
    """A campaign, its terms in force and what it came to. Money in fen.

    Walk-ins enrolled without an offer; the participants, prepaid sum and gifts of all hold
    theirs.
    """

    campaign_id: str
    title: str
    kind: Kind
    opens_on: date
    closes_on: date
    closed_at: datetime | None
    cap: int | None
    budget_fen: int | None
    control_bp: int
    arms: Arms
    terms_version: int
    prepaid_min_fen: int
    gift_bp: int
    months_bound: int
    min_monthly_fen: int
    participants: int
    prepaid_fen: int = Field(description="a liability, never income")
    gift_fen: int
    walk_in_participants: int
    walk_in_prepaid_fen: int
    walk_in_gift_fen: int
    other_costs_fen: int
    offered: int
    control: int
    mean_prepaid_fen: Mean
    cost_fen: int
    cost_per_participant_fen: Mean
    take_up: Rate = Field(description="of those offered, who enrolled")


_CAMPAIGNS = f"""
    SELECT c.campaign_id, c.title, c.kind, c.opens_on, c.closes_on,
        CASE WHEN c.closed_at < %(end)s THEN c.closed_at END AS closed_at, c.cap, c.budget_fen,
        c.control_bp, c.arms, t.terms_version, t.prepaid_min_fen, t.gift_bp, t.months_bound,
        t.min_monthly_fen, coalesce(u.participants, 0) AS participants,
        coalesce(u.prepaid_fen, 0) AS prepaid_fen, coalesce(u.gift_fen, 0) AS gift_fen,
        coalesce(u.walk_in_participants, 0) AS walk_in_participants,
        coalesce(u.walk_in_prepaid_fen, 0) AS walk_in_prepaid_fen,
        coalesce(u.walk_in_gift_fen, 0) AS walk_in_gift_fen, c.other_costs_fen,
        coalesce(a.offered, 0) AS offered, coalesce(a.control, 0) AS control
    FROM campaign c
    CROSS JOIN LATERAL (
        SELECT * FROM campaign_terms t WHERE t.campaign_id = c.campaign_id AND t.since < %(end)s
        ORDER BY since DESC, terms_version DESC LIMIT 1
    ) t
    LEFT JOIN (
        SELECT campaign_id, count(*) AS participants, sum(prepaid_fen)::bigint AS prepaid_fen,
            sum(gift_fen)::bigint AS gift_fen,
            count(*) FILTER (WHERE walk_in) AS walk_in_participants,
            (sum(prepaid_fen) FILTER (WHERE walk_in))::bigint AS walk_in_prepaid_fen,
            (sum(gift_fen) FILTER (WHERE walk_in))::bigint AS walk_in_gift_fen
        FROM (
            SELECT e.campaign_id, e.prepaid_fen, e.gift_fen, o.member_id IS NULL AS walk_in
            FROM {counted("campaign.enrolled")} e
            LEFT JOIN {counted("campaign.offered")} o
            ON o.member_id = e.member_id AND o.bucket = e.bucket AND o.campaign_id = e.campaign_id
                AND o.arm = 'offered' AND o.occurred_at < %(end)s
            WHERE e.occurred_at < %(end)s
        ) enrolments
        GROUP BY 1
    ) u ON u.campaign_id = c.campaign_id
    LEFT JOIN (
        SELECT campaign_id, count(*) FILTER (WHERE arm = 'offered') AS offered,
            count(*) FILTER (WHERE arm = 'control') AS control
        FROM {counted("campaign.offered")} o WHERE occurred_at < %(end)s
        GROUP BY 1
    ) a ON a.campaign_id = c.campaign_id
"""
"""What an enrolment or an offer of a later day adds does not count yet; who was launched later is
not there."""


def campaigns(conn: Conn, until: date) -> list[Campaign]:
    """All campaigns by the end of a day, earliest first."""
    cursor = conn.cursor(row_factory=dict_row)
    said = f"{_CAMPAIGNS} ORDER BY c.opens_on, c.campaign_id"
    return [_campaign(row) for row in cursor.execute(said, {"end": end_of(until)})]


def campaign(conn: Conn, campaign_id: str, until: date) -> Campaign | None:
    """One campaign by the end of a day; null if it had not been launched."""
    cursor = conn.cursor(row_factory=dict_row)
    said = f"{_CAMPAIGNS} WHERE c.campaign_id = %(campaign_id)s"
    asked = {"campaign_id": campaign_id, "end": end_of(until)}
    row = cursor.execute(said, asked).fetchone()
    return None if row is None else _campaign(row)


def _campaign(row: Mapping[str, Any]) -> Campaign:
    participants, cost_fen = row["participants"], row["gift_fen"] + row["other_costs_fen"]
    return Campaign(
        **row,
        mean_prepaid_fen=Mean.of(row["prepaid_fen"], participants),
        cost_fen=cost_fen,
        cost_per_participant_fen=Mean.of(cost_fen, participants),
        take_up=Rate.of(participants - row["walk_in_participants"], row["offered"]),
    )


named("campaign_id", UnknownCampaign)


# ----------------------------------------------------------------------------------- measures
_OFFERS = f"{counted('campaign.offered')} o"
_ENROLMENTS = f"{counted('campaign.enrolled')} e"
_DRAWN = Events("campaign.offered", by=("member_id", "campaign_id"))
_ENROLLED = Events("campaign.enrolled", by=("member_id", "campaign_id"))

ENROLMENTS = Rows(
    f"""
    SELECT e.bucket, e.member_id, e.campaign_id, e.tier, e.unit_id, e.occurred_at, e.terms_version,
        1 AS participants, e.prepaid_fen, e.gift_fen, (o.member_id IS NULL)::int AS walk_ins
    FROM {_ENROLMENTS}
    LEFT JOIN {_OFFERS} ON o.member_id = e.member_id AND o.bucket = e.bucket
        AND o.campaign_id = e.campaign_id AND o.arm = 'offered' AND o.occurred_at < %(end)s
    WHERE e.occurred_at < %(end)s
    """,
    key=("campaign_id", "member_id"),
    dims=("campaign_id", "tier", "unit_id"),
    decided=("occurred_at", "terms_version"),
    sums=("participants", "prepaid_fen", "gift_fen", "walk_ins"),
    events=(_ENROLLED,),
    what="Enrolments by the end of `on`.",
)

COSTS = Rows(
    f"""
    SELECT bucket, campaign_id, member_id, occurred_at, 1 AS participants, gift_fen,
        0 AS other_costs_fen
    FROM {_ENROLMENTS} WHERE occurred_at < %(end)s
    UNION ALL
    SELECT bucket, campaign_id, '', launched_at, 0, 0, other_costs_fen
    FROM campaign WHERE launched_at < %(end)s
    """,
    key=("campaign_id", "member_id"),
    dims=("campaign_id",),
    decided=("occurred_at",),
    sums=("participants", "gift_fen", "other_costs_fen"),
    events=(_ENROLLED, Events("campaign.launched", by=("campaign_id",))),
    what="The gifts of enrolments, and what each campaign cost beside them.",
)

OFFERS = Rows(
    f"""
    SELECT o.bucket, o.member_id, o.campaign_id, o.arm, o.tier, u.unit_id, o.occurred_at,
        e.occurred_at AS enrolled_at, (o.arm = 'offered')::int AS offered,
        (o.arm = 'control')::int AS control,
        (o.arm = 'offered' AND e.member_id IS NOT NULL)::int AS enrolled
    FROM {_OFFERS}
    JOIN unit_span u ON u.member_id = o.member_id AND u.bucket = o.bucket
        AND u.since <= o.occurred_at AND (u.until IS NULL OR u.until > o.occurred_at)
    LEFT JOIN {_ENROLMENTS} ON e.member_id = o.member_id AND e.bucket = o.bucket
        AND e.campaign_id = o.campaign_id AND e.occurred_at < %(end)s
    WHERE o.occurred_at < %(end)s
    """,
    key=("campaign_id", "member_id"),
    dims=("campaign_id", "tier", "unit_id"),
    decided=("arm", "occurred_at", "enrolled_at"),
    sums=("offered", "control", "enrolled"),
    events=(_DRAWN, _ENROLLED),
    what="Who was drawn by the end of `on`, with the tier and unit of then, and who of those "
    "offered enrolled.",
)

measure("campaigns.participants", "Participants", "参与客户数", "customers", ENROLMENTS,
        "participants")  # fmt: skip
measure("campaigns.prepaid", "Prepaid sum", "预存金额", "yuan", ENROLMENTS, "prepaid_fen / 100",
        note="a liability, never income")  # fmt: skip
measure("campaigns.mean_prepaid", "Mean prepaid sum", "户均预存", "yuan", ENROLMENTS,
        "prepaid_fen / 100 / participants", digits=2)  # fmt: skip
measure("campaigns.gifts", "Gift credit", "赠送话费", "yuan", ENROLMENTS, "gift_fen / 100",
        digits=2)  # fmt: skip
measure("campaigns.walk_ins", "Participants without an offer", "未受邀参与客户数", "customers",
        ENROLMENTS, "walk_ins")  # fmt: skip
measure("campaigns.cost", "Cost", "活动成本", "yuan", COSTS,
        "(gift_fen + other_costs_fen) / 100", digits=2)  # fmt: skip
measure("campaigns.cost_per_participant", "Cost per participant", "户均成本", "yuan", COSTS,
        "(gift_fen + other_costs_fen) / 100 / participants", digits=2)  # fmt: skip
measure("campaigns.offered", "Customers offered", "受邀客户数", "customers", OFFERS, "offered")
measure("campaigns.control", "Customers in the control group", "对照组客户数", "customers", OFFERS,
        "control")  # fmt: skip
_WHOLE_MONTHS = """
    SELECT to_char(opens_on + interval '1 month' - interval '1 day', 'YYYY-MM') AS first_month,
        to_char(date_trunc('month', %(on)s::date + 1) - interval '1 month', 'YYYY-MM') AS last_month
    FROM campaign WHERE campaign_id = %(campaign_id)s
"""
_IN_WHOLE_MONTHS = (
    f"month >= (SELECT first_month FROM ({_WHOLE_MONTHS}) months)"
    f" AND month <= (SELECT last_month FROM ({_WHOLE_MONTHS}) months)"
)
"""Of a bill; both are found once, not for each bill."""
RETURNS = Rows(
    f"""
    SELECT o.bucket, o.member_id, o.arm, o.tier, m.unit_id, away.left_at, b.margin_fen, e.gift_fen
            AS gift, arms.offered, arms.control,
        arms.offered * coalesce(b.margin_fen, 0) AS margin_offered_fen,
        arms.control * coalesce(b.margin_fen, 0) AS margin_control_fen,
        arms.offered * coalesce(b.margin_fen, 0)::numeric ^ 2 AS squares_offered,
        arms.control * coalesce(b.margin_fen, 0)::numeric ^ 2 AS squares_control,
        arms.offered * coalesce(b.bills, 0) AS bills_offered,
        arms.control * coalesce(b.bills, 0) AS bills_control,
        arms.offered * arms.kept AS kept_offered, arms.control * arms.kept AS kept_control,
        arms.offered * coalesce(e.gift_fen, 0) AS gift_fen,
        arms.control * (e.member_id IS NOT NULL)::int AS walk_ins
    FROM {_OFFERS}
    JOIN member m ON m.member_id = o.member_id AND m.bucket = o.bucket
    {AWAY.format("o", "%(end)s")}
    CROSS JOIN LATERAL (
        SELECT (o.arm = 'offered')::int AS offered, (o.arm = 'control')::int AS control,
            (away.left_at IS NULL)::int AS kept
    ) arms
    LEFT JOIN (
        SELECT bucket, member_id, sum(margin_fen)::bigint AS margin_fen, count(margin_fen) AS bills
        FROM {counted("bill.issued")} b
        WHERE {_IN_WHOLE_MONTHS} AND (bucket, member_id) IN (
            SELECT bucket, member_id FROM campaign_offered WHERE campaign_id = %(campaign_id)s
        )
        GROUP BY 1, 2
    ) b ON b.member_id = o.member_id AND b.bucket = o.bucket
    LEFT JOIN {_ENROLMENTS} ON e.member_id = o.member_id AND e.bucket = o.bucket
        AND e.campaign_id = o.campaign_id AND e.occurred_at < %(end)s
    WHERE o.campaign_id = %(campaign_id)s AND o.occurred_at < %(end)s
    UNION ALL
    SELECT e.bucket, e.member_id, NULL, e.tier, e.unit_id, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 1
    FROM {_ENROLMENTS}
    WHERE e.campaign_id = %(campaign_id)s AND e.occurred_at < %(end)s AND NOT EXISTS (
        SELECT FROM {_OFFERS} WHERE o.member_id = e.member_id AND o.bucket = e.bucket
            AND o.campaign_id = e.campaign_id AND o.occurred_at < %(end)s
    )
    """,
    key=("member_id",),
    decided=("arm", "left_at", "margin_fen", "gift"),
    sums=(
        "offered",
        "control",
        "margin_offered_fen",
        "margin_control_fen",
        "squares_offered",
        "squares_control",
        "bills_offered",
        "bills_control",
        "kept_offered",
        "kept_control",
        "gift_fen",
        "walk_ins",
    ),
    events=(
        Events("campaign.offered", where="campaign_id = %(campaign_id)s"),
        Events("campaign.enrolled", where="campaign_id = %(campaign_id)s"),
        Events(
            "bill.issued",
            where=f"margin_fen IS NOT NULL AND {_IN_WHOLE_MONTHS}",
        ),
    ),
    needs=(Need("campaign_id"),),
    once={
        "other_costs_fen": "SELECT other_costs_fen FROM campaign"
        " WHERE campaign_id = %(campaign_id)s AND launched_at < %(end)s",
        "whole_months": "SELECT greatest(0, (left(last_month, 4)::int - left(first_month, 4)::int)"
        " * 12 + right(last_month, 2)::int - right(first_month, 2)::int + 1)"
        f" FROM ({_WHOLE_MONTHS}) months",
    },
    what="Who was drawn, by intention to treat: he counts in the arm that he was drawn into, "
    "whether he took part or not, with the margins of the whole months from the opening "
    "to `on`. A customer without a bill counts with zero. And who took part without an "
    "offer, those of the control group among them, since fixed costs are shared by heads.",
)
_COST = "(gift_fen + other_costs_fen * offered / (offered + walk_ins))"
_MARGIN = "(margin_offered_fen / offered - margin_control_fen / control) * offered"
_Z_95 = Decimal("1.959963984540054")
"""The 97.5% quantile of the standard normal distribution."""


def _interval(sums: Mapping[str, int]) -> tuple[Fraction, Fraction]:
    """The 95% interval of the return, by the normal approximation."""
    variance = Fraction(0)
    for arm in ("offered", "control"):  # the sample variance / customers, exactly
        heads, margin = sums[arm], sums[f"margin_{arm}_fen"]
        deviation = Fraction(sums[f"squares_{arm}"] * heads - margin**2, heads)
        variance += deviation / (heads - 1) / heads
    with localcontext() as context:
        context.prec = 50
        root = (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()
        margin_fen = Fraction(_Z_95 * root) * sums["offered"]
    cost, incremental = Formula(_COST).value(sums), Formula(_MARGIN).value(sums)
    low, high = incremental - margin_fen, incremental + margin_fen
    return (low - cost) / cost, (high - cost) / cost


_DRAWN_FOR = (
    ("whole_months", 1, "no whole month since the opening"),
    ("control", 2, "no control group"),
    ("offered", 2, "no control group"),
    ("gift_fen + other_costs_fen", 1, "no costs"),
)
_BILLED = tuple((f"bills_{arm}", 1, "no bills with a margin") for arm in ("offered", "control"))
_SQUARES = tuple((f"squares_{arm}", 0, "") for arm in ("offered", "control"))

measure("campaigns.incremental", "Incremental margin", "增量毛利", "yuan", RETURNS,
        f"{_MARGIN} / 100", digits=2, at_least=(*_DRAWN_FOR[:3], *_BILLED))  # fmt: skip
measure("campaigns.return", "Return", "活动回报率", "of the cost", RETURNS,
        f"({_MARGIN} - {_COST}) / {_COST}", digits=4, interval=_interval,
        at_least=(*_DRAWN_FOR, *_BILLED, *_SQUARES),
        note="by intention to treat, with a 95% interval")  # fmt: skip
measure("campaigns.cost_per_retained", "Cost per customer retained", "每保有一户成本", "yuan",
        RETURNS, f"{_COST} / (kept_offered - kept_control * offered / control) / 100", digits=2,
        at_least=(*_DRAWN_FOR[1:], ("kept_offered * control - kept_control * offered", 1,
                                    "no more were retained than without the campaign")),
        )  # fmt: skip
measure("campaigns.take_up", "Take-up", "参与率", "%", OFFERS, "100 * enrolled / offered", digits=2)


closed("campaigns.kind", Kind)
view(
    "campaigns",
    "Every campaign, and who took part.",
    f"""
    SELECT c.campaign_id, c.title, c.kind, c.opens_on, c.closes_on, c.closed_at, c.tiers,
        c.untiered, c.cap, c.budget_fen, c.control_bp, c.other_costs_fen, c.launched_at,
        e.enrolments, e.prepaid_fen, e.gift_fen
    FROM campaign c
    CROSS JOIN LATERAL (
        SELECT count(*) AS enrolments, coalesce(sum(prepaid_fen), 0)::bigint AS prepaid_fen,
            coalesce(sum(gift_fen), 0)::bigint AS gift_fen
        FROM {counted("campaign.enrolled")} e WHERE e.campaign_id = c.campaign_id
    ) e
    """,
    """
    campaign_id text
    title text
    kind text: which kind of offer
    opens_on date: its first day
    closes_on date: its last day
    closed_at timestamptz?: when it was closed before that
    tiers text[]: for whom
    untiered boolean: whether also for those without a tier
    cap bigint?: how many may take part
    budget_fen bigint?: what it may give
    control_bp bigint: the share of the control group, in basis points
    other_costs_fen bigint: what it costs beside gifts
    launched_at timestamptz: when it was launched
    enrolments bigint: how many took part
    prepaid_fen bigint: what they prepaid
    gift_fen bigint: what they were given
    """,
    key=("campaign_id",),
    same=("campaign_id", "kind"),
    day="opens_on",
)


class CampaignFigures(Campaign, Dated):
    """A campaign with what it came to."""

    campaign_return: Measured = Field(description="by intention to treat, with its 95% interval")


def campaign_figures(conn: Conn, campaign_id: str, until: date) -> CampaignFigures | None:
    """One campaign by the end of a day, and its return; null if it had not been launched."""
    known = campaign(conn, campaign_id, until)
    if known is None:
        return None
    back = measured(conn, "campaigns.return", {"campaign_id": campaign_id}, until)
    return CampaignFigures(**dict(known), campaign_return=back)


# ----------------------------------------------------------------------- the same in plain Python
@folded(CampaignLaunched)
def _campaign_launched(fold: ReferenceFold, at: Stored, event: CampaignLaunched) -> None:
    fold.add("campaign", (at.id,), bucket=at.bucket, campaign_id=at.id, title=event.title,
             kind=event.kind, opens_on=event.opens_on, closes_on=event.closes_on,
             tiers=list(event.tiers), untiered=event.untiered, cap=event.cap,
             budget_fen=event.budget_fen, control_bp=event.control_bp,
             arms=event.arms or "drawn",
             other_costs_fen=sum(cost.cost_fen for cost in event.costs),
             launched_at=event.occurred_at, closed_at=None, places=0)  # fmt: skip
    _terms(fold, at, event, 1)


@folded(TermsChanged)
def _campaign_terms_changed(fold: ReferenceFold, at: Stored, event: TermsChanged) -> None:
    _terms(fold, at, event, event.terms_version)


def _terms(
    fold: ReferenceFold, at: Stored, event: CampaignLaunched | TermsChanged, version: int
) -> None:
    fold.add("campaign_terms", (at.id, version), bucket=at.bucket, campaign_id=at.id,
             terms_version=version, prepaid_min_fen=event.prepaid_min_fen,
             gift_bp=event.gift_bp, months_bound=event.months_bound,
             min_monthly_fen=event.min_monthly_fen, since=event.occurred_at)  # fmt: skip


@folded(CampaignClosed)
def _campaign_closed(fold: ReferenceFold, at: Stored, event: CampaignClosed, sign: int = 1) -> None:
    fold.row("campaign", at.id)["closed_at"] = event.occurred_at if sign > 0 else None


@folded(PlaceTaken)
def _campaign_place_taken(fold: ReferenceFold, at: Stored, event: PlaceTaken) -> None:
    fold.row("campaign", at.id)["places"] += 1
    fold.known.add(("place", at.id, str(event.place)))


@folded(PlaceFreed)
def _campaign_place_freed(fold: ReferenceFold, at: Stored, event: PlaceFreed) -> None:
    if ("place", at.id, str(event.place)) in fold.known:
        fold.row("campaign", at.id)["places"] -= 1
