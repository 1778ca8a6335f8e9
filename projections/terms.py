"""Terms: on which a campaign enrols, version by version, and whom it is for."""

from datetime import date, datetime

from psycopg.rows import class_row, dict_row
from pydantic import Field

from domain.bindings import Policy
from domain.campaigns import CostItem
from domain.kernel.values import Tier
from projections.engine.answer import Answer
from projections.engine.connection import Conn
from projections.engine.days import end_of


class TermsVersion(Answer):
    """Terms of a campaign in one version. Money in fen."""

    terms_version: int
    prepaid_min_fen: int
    gift_bp: int
    months_bound: int
    min_monthly_fen: int
    since: datetime


class Conditions(Answer):
    """Whom a campaign is for, beside which policies it does not stand, and on which terms."""

    tiers: list[Tier]
    untiered: bool
    excludes: list[Policy]
    control_seed: str
    costs: list[CostItem]
    versions: list[TermsVersion] = Field(description="latest first")


def conditions(conn: Conn, campaign_id: str, until: date) -> Conditions | None:
    """Those of a campaign by the end of a day; null if it had not been launched."""
    asked = {"campaign_id": campaign_id, "end": end_of(until)}
    launched = conn.cursor(row_factory=dict_row).execute(
        """
        SELECT tiers, untiered, excludes, control_seed, costs FROM campaign_launched
        WHERE campaign_id = %(campaign_id)s AND occurred_at < %(end)s
        """,
        asked,
    )
    found = launched.fetchone()
    if found is None:
        return None
    versions = conn.cursor(row_factory=class_row(TermsVersion)).execute(
        """
        SELECT terms_version, prepaid_min_fen, gift_bp, months_bound, min_monthly_fen, since
        FROM campaign_terms WHERE campaign_id = %(campaign_id)s AND since < %(end)s
        ORDER BY since DESC, terms_version DESC
        """,
        asked,
    )
    return Conditions(**found, versions=versions.fetchall())
