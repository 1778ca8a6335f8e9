"""What the doors tell, as models: the command line's --json and HTTP say the same."""

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from domain.campaigns import Kind
from domain.values import Tier


def plain_number(value: Decimal) -> int | float:
    """A decimal as a JSON number: whole if it is whole, else as short as it was written."""
    return int(value) if value == value.to_integral_value() else float(value)


def _number_or_same(value: Any) -> Any:
    return plain_number(value) if isinstance(value, Decimal) else value


Number = Annotated[
    Decimal,
    PlainSerializer(plain_number, return_type=int | float, when_used="json"),
    Field(json_schema_extra={"type": "number"}),
]


class View(BaseModel):
    """An answer, read off what a query returns."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Moment(View):
    """What an answer is as of: what was known by then, of what had happened by then."""

    known_at: datetime | None = Field(
        description="what was asked for, else when the last of these events was recorded;"
        " null before the first"
    )
    effective_at: datetime | None = Field(description="null: whenever it happened")
    positions: str = Field(
        description="the last event of each bucket, as `known_at` takes them",
        examples=["0:1234567"],
    )


class Dated(View):
    """An answer that can be asked as of a moment."""

    moment: Moment | None = Field(None, description="null: the answer is that of now")


class Rate(View):
    """A ratio of two whole numbers; `percent` is rounded half up to four digits."""

    part: int
    whole: int
    percent: Number | None = Field(description="null if the whole is 0")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, ratio: Any) -> Any:
        if hasattr(ratio, "whole"):
            return {"part": ratio.part, "whole": ratio.whole, "percent": ratio.percent(4)}
        return ratio


# ------------------------------------------------------------------------------------ members
class Account(View):
    """Sums of all that ever happened to a member's points."""

    credited: int
    debited: int
    returned: int
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
    campaign: str | None
    starts_on: date
    ends_on: date
    ended_on: date | None
    cause: str | None


class Member(Dated):
    """A member's card. The phone number is shown with its middle hidden."""

    member_id: str
    name: str | None
    phone: str | None = Field(examples=["138****1234"])
    unit: str
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
    at: datetime
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


# ----------------------------------------------------------------------------------- receipts
class Receipt(View):
    """Where the log holds what was written: ask `?wait_for=<bucket>:<position>` to read it."""

    bucket: int
    position: int = Field(description="of the command's last event; 0 if it wrote none")


class VisitReceipt(Receipt):
    """A visit, what paid for it and what is left."""

    visit: int
    payment: Literal["points", "free_visit", "free"]
    points: int = Field(description="debited")
    price_version: int
    spendable_points: int


class UndoReceipt(Receipt):
    """A visit taken back, and the points there are now."""

    visit: int
    spendable_points: int


class EnrolmentReceipt(Receipt):
    """A place in a campaign."""

    campaign: str
    place: int
    terms_version: int
    gift_fen: int
    bound_until: date | None = Field(description="the first day that is free again")


# -------------------------------------------------------------------------------------- clubs
class Price(View):
    """A service and what it costs, in points; a tier may have its own price."""

    service: str
    title: str
    version: int
    points: int
    tier_points: dict[str, int]
    companion_points: int
    free_visits: dict[str, int]


class Club(View):
    """A club, its days, hours and tiers."""

    club: str
    title: str
    opens_on: date
    opens_minute: int
    closes_minute: int
    tiers: list[str]
    important: bool
    capacity: int | None
    in_emergency: bool


class ClubCard(Club):
    """A club with its services and the prices in force."""

    services: list[Price]


class Clubs(View):
    """Every club."""

    clubs: list[Club]


class Use(View):
    """How much a club was used; a dimension that was not asked for is null."""

    service: str | None
    month: date | str | None
    tier: str | None
    unit: str | None
    visits: int
    companions: int
    points: int
    free_visits: int


class ClubUse(Dated):
    """Use of a club over the months that hold `first` to `last`."""

    club: str
    first: date
    last: date
    visits: int
    companions: int
    points: int
    free_visits: int
    distinct_members: int
    months_open: int
    monthly_visits: Rate = Field(description="visits a month over the months the club was open")
    rows: list[Use]


# ---------------------------------------------------------------------------------- campaigns
class Campaign(View):
    """A campaign, its terms in force and what it came to. Money in fen."""

    campaign: str
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
    heads: int
    prepaid_fen: int = Field(description="a liability, never income")
    gift_fen: int
    other_costs_fen: int
    offered: int
    control: int


class Arm(View):
    """One side of the draw."""

    heads: int
    margin_fen: int
    retained: int


class Return(View):
    """What a campaign brought, by intention to treat; or why that cannot be computed."""

    value: Number | None = Field(description="(incremental margin - cost) / cost")
    low: Number | None = None
    high: Number | None = None
    first_month: date | None = Field(None, description="margins are counted from this month")
    last_month: date | None = None
    incremental_fen: Number | None = None
    cost_fen: int | None = None
    cost_per_retained_fen: Number | None = Field(
        None, description="null if no more were retained than without the campaign"
    )
    offered: Arm | None = None
    control: Arm | None = None
    reason: str | None = Field(None, description="why it is not computable")


class CampaignFigures(Campaign, Dated):
    """A campaign with the figures derived from its events."""

    mean_prepaid_fen: Rate
    cost_fen: int
    cost_per_head_fen: Rate
    take_up: Rate
    campaign_return: Return


class Campaigns(View):
    """Every campaign."""

    campaigns: list[Campaign]


# ------------------------------------------------------------------------------------ figures
class Figure(View):
    """A figure of the report beside the one derived from the events."""

    id: str
    section: str
    title: str
    zh: str
    unit: str | None
    reported: Number | None
    derived: Number | None
    difference: Number | None
    verdict: str = Field(
        description="agrees; DIFFERS; DISAGREES: the document contradicts itself; not derivable;"
        " not reported; not computable; scaled: it differs, since the demo is scaled down"
    )
    assumed: list[str] = Field(description="the assumptions it rests on")
    events: int = Field(description="how many events it is derived from")
    formula: str | None
    note: str | None


class Demo(View):
    """The demo that is loaded."""

    scale: str
    seed: int
    complete: bool


class Figures(Dated):
    """All figures of the report."""

    demo: Demo | None
    clock: datetime
    figures: list[Figure]


class Input(View):
    """A value that went into a figure."""

    name: str
    value: Annotated[Any, BeforeValidator(_number_or_same)]


class EventRef(View):
    """Where the log holds an event."""

    bucket: int
    position: int
    stream: str
    topic: str
    occurred_at: datetime
    rule: str | None = Field(
        description="what decided it: a version of a price or of terms, or a policy",
        examples=["terms golden_autumn 1"],
    )


class Explanation(Dated):
    """A figure, its formula and inputs, and a page of the events behind it."""

    figure: Figure
    inputs: list[Input]
    events: list[EventRef]
    next: tuple[int, int] | None = Field(
        description="send it as `after=<bucket>:<position>` for the next page"
    )


class FigureChange(View):
    """A figure that is another one at the later moment; null where it has no value."""

    id: str
    before: Number | None
    after: Number | None
    difference: Number | None


class Cause(View):
    """The events of a topic that only one of the moments holds, and what they add to a sum."""

    topic: str
    events: int
    amount: int


class SumChange(View):
    """A sum over events at the two moments, and the events between that make the difference."""

    name: str = Field(examples=["points.balance", "clubs.health.visits"])
    before: int
    after: int
    difference: int
    causes: list[Cause]
    foots: bool = Field(description="whether the causes add up to the difference; they must")


class Between(View):
    """How many events of a topic only the later, and only the earlier moment holds."""

    topic: str
    added: int
    dropped: int


class Changes(View):
    """What changed from one moment to another."""

    before: Moment
    after: Moment
    figures: list[FigureChange]
    sums: list[SumChange]
    events: list[Between]
    foots: bool = Field(description="whether every sum changed by what its events add up to")


# ------------------------------------------------------------------------------------ what if
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

    id: str
    title: str
    unit: str | None
    recorded: Number | None
    supposed: Number | None


class Refusals(View):
    """How many recorded commands would have been refused: by event, reason and tier."""

    topic: str
    code: str
    tier: str | None
    count: int


class Refusal(View):
    """A recorded command that would have been refused; where the event stands that it made."""

    bucket: int
    position: int
    member_id: str
    topic: str
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

    at: datetime = Field(description="points, bindings and tiers are those of this time")
    positions: dict[int, int] = Field(description="by bucket")
    replayed_members: int = Field(description="whom a change touches")
    sums: list[Difference]
    figures: list[FigureDifference] = Field(description="those that would come out otherwise")
    refusals: list[Refusals]
    refused: list[Refusal] = Field(description="a page of them, oldest first")
    affected_members: int
    affected: list[Affected] = Field(description="a page of them, most affected first")


# ---------------------------------------------------------------------------------------- log
class Event(View):
    """An event as the log holds it; `state` has what is its own."""

    bucket: int
    position: int
    stream: str
    version: int
    topic: str
    occurred_at: datetime
    recorded_at: datetime
    actor: str
    key: str
    state: dict[str, Any]


class LogPage(View):
    """Events of one bucket in the order of their commits."""

    events: list[Event]
    bucket: int
    head: int = Field(description="the last position of the bucket")
    next: int = Field(description="send it as `after` for the next page; it also serves to poll")


class History(View):
    """A member's events, oldest first."""

    events: list[Event]
    next: int | None = Field(description="send it as `after` for the next page; null at the end")


# ------------------------------------------------------------------------------------- status
class Lane(View):
    """A bucket of the log: how long it is and how much of it the answers hold."""

    bucket: int
    head: int
    position: int
    lag: int = Field(description="events that the answers do not hold yet")
    lag_s: float = Field(description="age of the oldest of them, in seconds; 0 if there is none")


class Standstill(View):
    """An event that the answers cannot take: they wait before it, and it is tried again."""

    bucket: int
    position: int
    topic: str


class Status(View):
    """What this installation is and how far its answers are."""

    version: str
    database: str | None = Field(description="where it is; not told over HTTP")
    server: str = Field(description="the version of PostgreSQL")
    clock: datetime
    demo_clock: bool = Field(description="whether the clock shows another time than the real one")
    demo: Demo | None
    buckets: int
    events: int
    behind: int = Field(description="events that the answers do not hold yet")
    behind_s: float = Field(description="age of the oldest of them, in seconds")
    standstills: list[Standstill] = Field(description="where the answers stand still; none: well")
    lanes: list[Lane]
