"""Campaigns: what was offered on which terms, who took part, and what it cost."""

from collections.abc import Mapping
from datetime import date, datetime
from fractions import Fraction
from typing import Any

from psycopg.rows import class_row, dict_row
from pydantic import Field

from domain.campaigns import CampaignClosed, CampaignLaunched, Kind, TermsChanged
from domain.enrolments import CampaignEnrolled, PlaceFreed, PlaceTaken
from projections.engine.answer import Answer
from projections.engine.connection import Conn
from projections.engine.days import end_of
from projections.engine.event_tables import counted
from projections.engine.projection import Projection
from projections.engine.ratio import Mean, Rate, rounded
from projections.engine.reference import ReferenceFold, Stored, folded


class Campaigns(Projection):
    """A row a campaign and a version of its terms; its enrolments in sums."""

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
        """
        CREATE TABLE campaign_use (
            bucket smallint NOT NULL,
            campaign_id text NOT NULL,
            tier text,
            unit_id text NOT NULL,
            participants bigint NOT NULL,
            prepaid_fen bigint NOT NULL,
            gift_fen bigint NOT NULL,
            UNIQUE NULLS NOT DISTINCT (campaign_id, tier, unit_id, bucket)
        ) WITH (fillfactor = 50)
        """,
    )
    fold = (
        """
        INSERT INTO campaign (bucket, campaign_id, title, kind, opens_on, closes_on, tiers,
            untiered, cap, budget_fen, control_bp, other_costs_fen, launched_at)
        SELECT bucket, campaign_id, title, kind, opens_on, closes_on,
            ARRAY(SELECT json_array_elements_text(tiers)), untiered, cap, budget_fen, control_bp,
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
        """
        INSERT INTO campaign_use (bucket, campaign_id, tier, unit_id, participants, prepaid_fen,
            gift_fen)
        SELECT bucket, campaign_id, tier, unit_id, sum(sign), sum(sign * prepaid_fen),
            sum(sign * gift_fen)
        FROM {campaign_enrolled} e
        GROUP BY 1, 2, 3, 4
        ON CONFLICT (campaign_id, tier, unit_id, bucket) DO UPDATE
        SET participants = campaign_use.participants + excluded.participants,
            prepaid_fen = campaign_use.prepaid_fen + excluded.prepaid_fen,
            gift_fen = campaign_use.gift_fen + excluded.gift_fen
        """,
        "DELETE FROM campaign_use WHERE participants = 0"
        " AND EXISTS (SELECT FROM {campaign_enrolled} e WHERE sign < 0)",
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

    @property
    def offered_cost_fen(self) -> int:
        """What those who were offered cost: their gifts, and of the other costs their share by
        participants (those offered / those offered and walk-ins), rounded half up to a fen."""
        reached = self.offered + self.walk_in_participants
        share = Fraction(self.other_costs_fen * self.offered, reached) if reached else 0
        return self.gift_fen - self.walk_in_gift_fen + int(rounded(share, 0))


class CampaignUse(Answer):
    """Enrolments of a campaign by tier (null: none) and unit."""

    tier: str | None
    unit_id: str
    participants: int
    prepaid_fen: int
    gift_fen: int


_CAMPAIGNS = f"""
    SELECT c.campaign_id, c.title, c.kind, c.opens_on, c.closes_on,
        CASE WHEN c.closed_at < %(end)s THEN c.closed_at END AS closed_at, c.cap, c.budget_fen,
        c.control_bp, t.terms_version, t.prepaid_min_fen, t.gift_bp, t.months_bound,
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


def campaign_use(conn: Conn, campaign_id: str, until: date) -> list[CampaignUse]:
    """Who took part by the end of a day, by tier and unit."""
    cursor = conn.cursor(row_factory=class_row(CampaignUse))
    return cursor.execute(
        f"""
        SELECT tier, unit_id, count(*) AS participants, sum(prepaid_fen)::bigint AS prepaid_fen,
            sum(gift_fen)::bigint AS gift_fen
        FROM {counted("campaign.enrolled")} e WHERE campaign_id = %s AND occurred_at < %s
        GROUP BY 1, 2 ORDER BY 1, 2
        """,
        (campaign_id, end_of(until)),
    ).fetchall()


# ----------------------------------------------------------------------- the same in plain Python
@folded(CampaignLaunched)
def _campaign_launched(fold: ReferenceFold, at: Stored, event: CampaignLaunched) -> None:
    fold.add("campaign", (at.id,), bucket=at.bucket, campaign_id=at.id, title=event.title,
             kind=event.kind, opens_on=event.opens_on, closes_on=event.closes_on,
             tiers=list(event.tiers), untiered=event.untiered, cap=event.cap,
             budget_fen=event.budget_fen, control_bp=event.control_bp,
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


@folded(CampaignEnrolled)
def _campaign_enrolled(
    fold: ReferenceFold, at: Stored, event: CampaignEnrolled, sign: int = 1
) -> None:
    key = {"bucket": at.bucket, "campaign_id": event.campaign_id, "tier": event.tier,
           "unit_id": event.unit_id}  # fmt: skip
    fold.sum("campaign_use", key, participants=sign, prepaid_fen=sign * event.prepaid_fen,
             gift_fen=sign * event.gift_fen)  # fmt: skip
    fold.drop_zero("campaign_use", "participants", key)
