"""A scenario: which rules are changed. It says what they are, not what comes of them."""

from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from typing import Annotated, Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from domain.campaigns import Campaign
from domain.clubs import Price
from domain.corrections import CorrectBill
from domain.kernel.command import COMMANDS
from domain.kernel.event import CATALOGUE
from domain.kernel.values import WHOLE, Fen
from domain.members import BillIssued, RecordBill
from domain.points.movements import CreditPoints
from domain.simulation.changes import (
    CampaignTerms,
    Change,
    EarningRate,
    ExpiryPolicy,
    ServicePrice,
    TierRule,
)

AnyChange = Annotated[
    EarningRate | ExpiryPolicy | ServicePrice | CampaignTerms | TierRule,
    Field(discriminator="change"),
]
CHANGES: dict[str, type[Change]] = {
    get_args(kind.model_fields["change"].annotation)[0]: kind
    for kind in get_args(get_args(AnyChange)[0])
}
"""Every kind of change, by its name."""
MOST_CHANGES = 20


class Scenario(BaseModel):
    """Changed rules, applied one after the other. None at all is the history as it was. With
    `fen_per_1000_points` the liability is told in money, too."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {"changes": [{"change": "service_price", "club_id": "tennis", "factor": "1/2"}]}
            ]
        },
    )

    changes: Annotated[tuple[AnyChange, ...], Field(strict=False, max_length=MOST_CHANGES)] = ()
    fen_per_1000_points: Annotated[Fen, WHOLE] | None = Field(
        None, description="what a thousand points outstanding are worth"
    )

    @model_validator(mode="after")
    def _one_tier_rule(self) -> Self:
        if sum(isinstance(change, TierRule) for change in self.changes) > 1:
            raise PydanticCustomError("one_tier_rule", "one rule says who is in which tier")
        return self

    def credit(self, command: CreditPoints, at: datetime) -> CreditPoints:
        """What a credit would have given."""
        return reduce(lambda credit, change: change.credit(credit, at), self.changes, command)

    def price(self, price: Price, club: str, service: str, at: datetime) -> Price:
        """What a service would have cost."""
        return reduce(lambda p, change: change.price(p, club, service, at), self.changes, price)

    def terms(self, campaign: Campaign, campaign_id: str, at: datetime) -> Campaign:
        """On which terms, and for whom, a campaign would have run."""
        return reduce(lambda c, change: change.terms(c, campaign_id, at), self.changes, campaign)

    @property
    def tier_rule(self) -> TierRule | None:
        """The rule for tiers, if it is changed."""
        return next(self._of(TierRule), None)

    @property
    def campaigns(self) -> set[str]:
        """The campaigns whose terms are changed."""
        return {change.campaign_id for change in self._of(CampaignTerms)}

    @property
    def services(self) -> set[tuple[str, str | None]]:
        """The clubs whose prices are changed, each with the service or, for all of them, null."""
        return {(change.club_id, change.service_id) for change in self._of(ServicePrice)}

    @property
    def alters(self) -> set[str]:
        """The topics of the events that may come out otherwise."""
        return {topic for change in self.changes for topic in change.alters}

    @property
    def reads(self) -> set[str]:
        """The topics of a member's stream that a replay needs: bills for a rule of tiers alone."""
        found = {topic for topic, event in CATALOGUE.items() if event.stream == "member"}
        return found if self.tier_rule else found - {BillIssued.topic}

    @property
    def asks(self) -> set[str]:
        """The names of the commands that are decided again."""
        found = {name for name, command in COMMANDS.items() if "member" in command.writes}
        return found if self.tier_rule else found - {RecordBill.called, CorrectBill.called}

    def _of(self, kind: type[Any]) -> Iterator[Any]:
        return (change for change in self.changes if isinstance(change, kind))
