"""Clubs, prices, use."""

from datetime import date

from pydantic import Field

from api.models.base import Dated, Mean, View


class Price(View):
    """A service and what it costs, in points; a tier may have its own price."""

    service_id: str
    title: str
    price_version: int
    points: int
    tier_points: dict[str, int]
    companion_points: int
    free_visits: dict[str, int]


class Club(View):
    """A club, its days, hours and tiers."""

    club_id: str
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

    service_id: str | None
    month: date | str | None
    tier: str | None
    unit_id: str | None
    visits: int
    companions: int
    points: int
    free_visits: int


class ClubUse(Dated):
    """Use of a club on the days from `first` to `last`; the rows add up to the sums."""

    club_id: str
    first: date
    last: date
    visits: int
    companions: int
    points: int
    free_visits: int
    distinct_members: int
    months_open: int = Field(description="months begun by today with a day on which it was open")
    monthly_visits: Mean = Field(description="visits a month over the months the club was open")
    rows: list[Use]
