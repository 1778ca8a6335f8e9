"""Members: cards, points, statements."""

from datetime import date, datetime

from pydantic import Field

from api.models.base import Dated, View
from domain.values import Tier


class Account(View):
    """Sums of all that ever happened to a member's points."""

    credited: int
    debited: int = Field(description="what a reversed debit took is not counted")
    expired: int
    reversed: int
    balance: int
    spendable: int = Field(description="at this moment")
    pending: int = Field(description="not yet available")
    lapsed: int = Field(description="past its expiry, not yet written off")


class Lot(View):
    """What is left of one credit."""

    lot: int
    credited: int
    remaining: int
    earned_at: datetime
    available_from: datetime
    expires_at: datetime | None
    source: str
    rule: str


class Binding(View):
    """A policy that binds the member on the days [starts_on, ends_on)."""

    binding: int
    policy: str
    campaign_id: str | None
    starts_on: date
    ends_on: date
    ended_on: date | None
    cause: str | None


class Member(Dated):
    """A member's card. The phone number is shown with its middle hidden."""

    member_id: str
    name: str | None
    phone: str | None = Field(examples=["138****1234"])
    number_of: list[str] = Field(
        description="other members whose phone number looks like this member's id; mostly none"
    )
    unit_id: str
    unit_title: str | None
    tier: Tier | None
    tier_since: datetime | None
    important: bool
    joined_at: datetime
    left_at: datetime | None
    visits: int
    last_visit_at: datetime | None
    spendable_points: int
    points: Account
    lots: list[Lot] = Field(description="those with points left")
    bindings: list[Binding]


class Members(View):
    """The members with one phone number; mostly one, perhaps none."""

    members: list[Member]


class LotUse(View):
    """So many points of a lot."""

    lot: int
    points: int

    def __str__(self) -> str:
        return f"lot {self.lot}: {self.points}"


class Entry(View):
    """A line of a statement: signed points, and the balance after them."""

    stream_version: int
    bucket: int
    position: int
    occurred_at: datetime
    topic: str
    points: int
    balance: int
    rule: str | None = Field(
        description="what decided it: the rule of the credit, or the version of the price",
        examples=["price health/waiting 1"],
    )
    lots: list[LotUse] = Field(description="which lots, and how many points of each")
    text: str
    actor: str


class Statement(View):
    """A member's points, newest first."""

    member_id: str
    entries: list[Entry]
    next: int | None = Field(description="send it as `before` for the next page; null at the end")
