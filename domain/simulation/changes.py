"""The kinds of change: rules that are otherwise from a day on.

Each kind of change is one class. It names the events whose commands it touches and the events that
may come out otherwise, and overrides the one rule that it changes: what a credit gives, what a
service costs, on which terms a campaign is run, which tier a bill earns.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, Literal, LiteralString, Self, TypeAlias

from msgspec.structs import replace
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from domain.campaigns import Campaign, Months
from domain.clubs import Price
from domain.kernel.timeline import NothingChanges
from domain.kernel.values import (
    PROGRAMME,
    WHOLE,
    BasisPoints,
    CampaignId,
    ClubId,
    Day,
    Fen,
    KnownTier,
    PointsOrNone,
    ServiceId,
    Text,
    Tier,
    add_months,
    local_date,
    start_of,
)
from domain.members import BILL_WINDOW_MONTHS
from domain.points.movements import CreditPoints

Factor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,4}(/[1-9][0-9]{0,3})?$")]
"""A rational number, `1/2` or `3`. What it scales is rounded down to whole points."""
TIMES = "so many times as much, a whole number or a fraction"
MAX_POINTS = 1_000_000_000
"""No credit and no price is more, whatever the factor."""

POINTS = (
    "points.credited",
    "points.debited",
    "points.debit_reversed",
    "points.credit_reversed",
    "points.expired",
    "points.expiry_reversed",
)
MOST_AFTER = {"month_end": 600, "year_end": 50, "never": 0}
"""After how many months or years points may expire at most."""
VISITS = ("visit.recorded", "visit.undone")
CAMPAIGNS = (
    "campaign.offered",
    "campaign.enrolled",
    "campaign.place_taken",
    "campaign.place_freed",
    "fact.corrected",
)
BINDINGS = ("binding.started", "binding.ended")
TIERED = ("tier.changed", "member.left", "cohort.included", "activity.attended")
"""Events that say a tier, beside those above."""

_GIVEN, _LEFT_OUT = {"type": ["integer", "string"]}, {"type": "null"}


def one_of_these(*forms: Mapping[str, bool]) -> ConfigDict:
    """Tells a schema what a validator holds: which fields go together. Each form says of some
    fields whether they are given (true) or left out."""
    said: list[Any] = [
        {
            "required": [name for name, given in form.items() if given],
            "properties": {n: _GIVEN if given else _LEFT_OUT for n, given in form.items()},
        }
        for form in forms
    ]
    return ConfigDict(json_schema_extra={"anyOf": said})


def _wrong(code: str, said: LiteralString, **numbers: int) -> PydanticCustomError:
    """Why a change makes no sense, under a code of its own."""
    return PydanticCustomError(code, said, numbers)


Touched: TypeAlias = tuple[str, dict[str, str]]
"""A topic, and the values of the fields that an event of it must have."""


def scaled(points: int, factor: str) -> int:
    """So many points times the factor, rounded down."""
    times, _, over = factor.partition("/")
    return min(points * int(times) // int(over or 1), MAX_POINTS)


class Change(BaseModel):
    """A changed rule. It holds for what occurred on the day `since` or later; always, if null."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    alters: ClassVar[tuple[str, ...]]
    """The topics of the events that may come out otherwise."""

    since: Day | None = Field(None, description="from this day on; null: always")

    def holds(self, at: datetime) -> bool:
        """Whether this rule is in force at an instant."""
        return self.since is None or local_date(at) >= self.since

    def touches(self) -> tuple[Touched, ...]:
        """The recorded events whose commands it touches; members without any stay as they are."""
        raise TypeError(f"{type(self).__name__} says nothing of what it touches")

    def credit(self, command: CreditPoints, at: datetime) -> CreditPoints:
        """What a credit would have given."""
        return command

    def price(self, price: Price, club: str, service: str, at: datetime) -> Price:
        """What a service would have cost."""
        return price

    def terms(self, campaign: Campaign, campaign_id: str, at: datetime) -> Campaign:
        """On which terms, and for whom, a campaign would have run."""
        return campaign


class CreditChange(Change):
    """A change for the credits of a rule, of a source, or of all."""

    alters = (*POINTS, *VISITS)

    rule: Text | None = Field(None, description="credits of this rule alone; null: of every rule")
    source: Text | None = Field(None, description="credits from there alone; null: from anywhere")

    def touches(self) -> tuple[Touched, ...]:
        said = {"rule": self.rule, "source": self.source}
        return (("points.credited", {name: value for name, value in said.items() if value}),)

    def chooses(self, command: CreditPoints, at: datetime) -> bool:
        """Whether this credit is meant."""
        return (
            self.holds(at)
            and self.rule in (None, command.rule)
            and self.source in (None, command.source)
        )


class EarningRate(CreditChange):
    """Credits give more or fewer points; one that would give none is not made."""

    change: Literal["earning_rate"]
    factor: Factor = Field(description=TIMES)

    def credit(self, command: CreditPoints, at: datetime) -> CreditPoints:
        if not self.chooses(command, at):
            return command
        points = scaled(command.points, self.factor)
        if not points:
            raise NothingChanges("0 points")
        return command.model_copy(update={"points": points})


class ExpiryPolicy(CreditChange):
    """New lots expire at the end of the n-th month or year after that of earning, or never."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"expires": {"const": name}, "after": {"maximum": most}}}
                for name, most in MOST_AFTER.items()
            ]
        }
    )

    change: Literal["expiry_policy"]
    expires: Literal["month_end", "year_end", "never"]
    after: Annotated[int, Field(ge=0), WHOLE] = Field(
        0, description="at the end of the n-th month or year after that of earning"
    )

    @model_validator(mode="after")
    def _number_fits(self) -> Self:
        most = MOST_AFTER[self.expires]
        if self.after > most:
            raise _wrong("after_too_far", "after is at most {most} here", most=most)
        return self

    def credit(self, command: CreditPoints, at: datetime) -> CreditPoints:
        if not self.chooses(command, at):
            return command
        return command.model_copy(update={"expires_at": self.expires_at(local_date(at))})

    def expires_at(self, earned_on: date) -> datetime | None:
        """The first instant at which a lot earned on this day has lapsed."""
        if self.expires == "never":
            return None
        if self.expires == "year_end":
            return start_of(date(earned_on.year + self.after + 1, 1, 1))
        return start_of(add_months(earned_on.replace(day=1), self.after + 1))


class ServicePrice(Change):
    """Services of a club cost so many points, or so many times what they cost; all, or one.

    With a tier it is the price of that tier alone; without one it is that of all tiers, and a
    factor is that of companions, too.
    """

    alters = (*POINTS, *VISITS)

    model_config = one_of_these(
        {"factor": True, "points": False, "companion_points": False},
        {"factor": False, "points": True, "companion_points": False},
        {"factor": False, "companion_points": True, "tier": False},
    )

    change: Literal["service_price"]
    club_id: ClubId
    service_id: ServiceId | None = Field(None, description="null: every service of the club")
    tier: KnownTier | None = Field(None, description="the price of this tier alone; null: of all")
    points: Annotated[PointsOrNone, WHOLE] | None = None
    companion_points: Annotated[PointsOrNone, WHOLE] | None = None
    factor: Factor | None = Field(None, description=TIMES)

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        fixed = self.points is not None or self.companion_points is not None
        if fixed == (self.factor is not None):
            raise _wrong("price_or_factor", "a price is given either in points or by a factor")
        if self.tier is not None and self.companion_points is not None:
            raise _wrong("companions_pay_alike", "companions pay the same whatever the tier")
        return self

    def touches(self) -> tuple[Touched, ...]:
        service = {"service_id": self.service_id} if self.service_id is not None else {}
        return (("visit.recorded", {"club_id": self.club_id, **service}),)

    def price(self, price: Price, club: str, service: str, at: datetime) -> Price:
        if not (self.holds(at) and club == self.club_id and self.service_id in (None, service)):
            return price
        if self.tier is not None:
            own = price.tier_points.get(self.tier, price.points)
            return replace(price, tier_points={**price.tier_points, self.tier: self._new(own)})
        tiers = {} if self.points is not None else price.tier_points
        companion = price.companion_points
        if self.companion_points is not None:
            companion = self.companion_points
        elif self.factor is not None:
            companion = scaled(companion, self.factor)
        return replace(
            price,
            points=self._new(price.points),
            tier_points={tier: self._new(points) for tier, points in tiers.items()},
            companion_points=companion,
        )

    def _new(self, points: int) -> int:
        if self.factor is not None:
            return scaled(points, self.factor)
        return points if self.points is None else self.points


class CampaignTerms(Change):
    """A campaign runs on other terms, or only for a tier and those above it."""

    alters = (*CAMPAIGNS, *BINDINGS)

    model_config = one_of_these(
        *(
            {name: True}
            for name in (
                "prepaid_min_fen",
                "gift_bp",
                "months_bound",
                "min_monthly_fen",
                "min_tier",
            )
        )
    )

    change: Literal["campaign_terms"]
    campaign_id: CampaignId
    prepaid_min_fen: Annotated[Fen, WHOLE] | None = None
    gift_bp: Annotated[BasisPoints, WHOLE] | None = None
    months_bound: Annotated[Months, WHOLE] | None = None
    min_monthly_fen: Annotated[Fen, WHOLE] | None = None
    min_tier: KnownTier | None = Field(None, description="the lowest tier that it is for")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.min_tier is None and not self._said():
            raise _wrong("no_term_changed", "no term is changed")
        return self

    def _said(self) -> dict[str, Any]:
        names = ("prepaid_min_fen", "gift_bp", "months_bound", "min_monthly_fen")
        said = {name: getattr(self, name) for name in names}
        return {name: value for name, value in said.items() if value is not None}

    def touches(self) -> tuple[Touched, ...]:
        mine = {"campaign_id": self.campaign_id}
        return (("campaign.enrolled", mine), ("campaign.offered", mine))

    def terms(self, campaign: Campaign, campaign_id: str, at: datetime) -> Campaign:
        if campaign_id != self.campaign_id or not self.holds(at):
            return campaign
        said = self._said()
        terms = [(since, replace(terms, **said)) for since, terms in campaign.terms]
        changed = replace(campaign, terms=terms)
        if self.min_tier is not None:
            below = PROGRAMME.tiers[PROGRAMME.tiers.index(self.min_tier) + 1 :]
            tiers = [tier for tier in campaign.tiers if tier not in below]
            changed = replace(changed, tiers=tiers, untiered=False)
        return changed


class TierRule(Change):
    """Tiers follow the spend of bills alone: recorded changes of tier from then on do not count.

    A customer has the highest tier whose threshold his bills of the window reach. He rises with the
    bill that takes him there, and falls when a whole window is billed: with the bill of December
    for a calendar year, with every bill once the months of a rolling window have gone by.
    """

    alters = (*POINTS, *VISITS, *CAMPAIGNS, *BINDINGS, *TIERED)

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"window": {"const": "calendar_year"}, "months": {"const": 12}}},
                {"properties": {"window": {"const": "rolling"}}},
            ]
        }
    )

    change: Literal["tier_rule"]
    thresholds_fen: Annotated[dict[KnownTier, Annotated[Fen, WHOLE]], Field(min_length=1)] = Field(
        description="by tier, the spend of a window that earns it"
    )
    window: Literal["calendar_year", "rolling"]
    months: Annotated[int, Field(ge=1, le=BILL_WINDOW_MONTHS), WHOLE] = 12

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.window == "calendar_year" and self.months != 12:
            raise _wrong("year_of_12_months", "a calendar year has 12 months")
        asked = [
            self.thresholds_fen[tier] for tier in PROGRAMME.tiers if tier in self.thresholds_fen
        ]
        if asked != sorted(asked, reverse=True):
            raise _wrong("thresholds_reversed", "a higher tier must not ask for less")
        return self

    def touches(self) -> tuple[Touched, ...]:
        return (("bill.issued", {}), ("tier.changed", {}))

    def earned(self, bills: Mapping[int, int]) -> tuple[Tier | None, bool]:
        """(the tier that bills by month number earn, whether a whole window of them is billed)."""
        last = max(bills)
        length = last % 12 + 1 if self.window == "calendar_year" else self.months
        spent_fen = sum(fen for month, fen in bills.items() if month > last - length)
        whole = length == 12 if self.window == "calendar_year" else min(bills) <= last - length + 1
        for tier in PROGRAMME.tiers:
            if tier in self.thresholds_fen and spent_fen >= self.thresholds_fen[tier]:
                return tier, whole
        return None, whole
