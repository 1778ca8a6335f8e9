"""What if."""

from datetime import datetime
from typing import Any

from pydantic import Field

from api.models.base import Number, View


class Difference(View):
    """A sum as it is and as it would be."""

    subject: str = Field(
        description="points (by tier), liability (by tier), visits_by_club, visits_by_tier,"
        " campaigns, bindings (by policy), members (by tier)"
    )
    key: str | None = Field(description="which club, tier, campaign or policy; null is the total")
    measure: str
    recorded: int
    supposed: int
    difference: int


class FigureDifference(View):
    """A figure of the report that would come out otherwise; null is not computable."""

    figure_id: str
    title: str
    unit: str | None
    recorded: Number | None
    supposed: Number | None


class Refusals(View):
    """How many recorded commands would have been refused: by name, reason and tier."""

    command: str
    code: str
    tier: str | None
    count: int


class Refusal(View):
    """A recorded command that would have been refused; where its first event stands that is no
    expiry."""

    bucket: int
    position: int
    member_id: str
    command: str
    code: str
    tier: str | None
    numbers: dict[str, Any]


class Affected(View):
    """A member for whom something would be otherwise. Points are those that have not lapsed."""

    member_id: str
    tier: str | None
    supposed_tier: str | None
    points: int
    supposed_points: int
    gift_fen: int
    supposed_gift_fen: int
    refusals: int


class WhatIf(View):
    """What a scenario would have changed, in the history up to these positions."""

    effective_at: datetime = Field(description="points, bindings and tiers are those of this time")
    positions: dict[int, int] = Field(description="by bucket")
    replayed_members: int = Field(description="whom a change touches")
    sums: list[Difference]
    figures: list[FigureDifference] = Field(description="those that would come out otherwise")
    refusals: list[Refusals]
    refused: list[Refusal] = Field(description="a page of them, oldest first")
    affected_members: int
    affected: list[Affected] = Field(description="a page of them, most affected first")
