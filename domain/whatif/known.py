"""What the commands of members were decided by beside their own state: reference data."""

from array import array
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from domain.campaigns import Campaign, CampaignLaunched, Terms, TermsChanged, UnknownCampaign
from domain.clubs import ActivityHeld, Club, ClubOpened, Price, Service, ServicePriced, UnknownClub
from domain.cohorts import Cohort, CohortOpened
from domain.command import Command
from domain.enrolments import CampaignEnrolled, Places
from domain.event import Event
from domain.parts import State
from domain.units import Unit, UnitOpened
from domain.visits import UnknownService, VisitRecorded
from domain.whatif.scenario import Scenario


@dataclass
class Known:
    """Units, cohorts, clubs and campaigns, open as they were for whoever was let in; prices and
    terms in every version; and what the changed gifts would have spent."""

    units: dict[str, Unit] = field(default_factory=dict)
    cohorts: dict[str, Cohort] = field(default_factory=dict)
    clubs: dict[str, Club] = field(default_factory=dict)
    prices: dict[tuple[str, str, int], Price] = field(default_factory=dict)
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    terms: dict[tuple[str, int], Terms] = field(default_factory=dict)
    spent_fen: dict[str, "array[int]"] = field(default_factory=dict)  # campaign -> by place

    def learn(self, stream_id: str, event: Event) -> None:
        """Take in an event of reference data; others say nothing here, nor do those that close."""
        match event:
            case UnitOpened():
                event.apply(self.units.setdefault(stream_id, Unit()))
            case CohortOpened():
                event.apply(self.cohorts.setdefault(stream_id, Cohort()))
            case ClubOpened():
                # Hours and days do not change in a scenario: who was let in would be let in.
                event.apply(club := self.clubs.setdefault(stream_id, Club()))
                club.opens_minute, club.closes_minute = 0, 1440
            case ServicePriced():
                event.apply(self.clubs[stream_id])
                self.prices[stream_id, event.service_id, event.price_version] = event.price
            case ActivityHeld():
                event.apply(self.clubs[stream_id])
            case CampaignLaunched():
                event.apply(self.campaigns.setdefault(stream_id, Campaign()))
                self.terms[stream_id, 1] = event.first_terms
            case TermsChanged():
                event.apply(self.campaigns[stream_id])
                self.terms[stream_id, event.terms_version] = event.terms

    def refuse_unknown(self, scenario: Scenario) -> None:
        """Refuses a scenario about a club, a service or a campaign that there is not."""
        for club, service in scenario.services:
            if club not in self.clubs:
                raise UnknownClub(club)
            if service is not None and service not in self.clubs[club].services:
                raise UnknownService(club, service)
        for campaign in scenario.campaigns - self.campaigns.keys():
            raise UnknownCampaign(campaign)

    def states(self, command: Command) -> dict[str, State]:
        """What a command reads beside what it writes, by role."""
        kept: dict[str, dict[str, Any]] = {
            "unit": self.units,
            "cohort": self.cohorts,
            "club": self.clubs,
            "campaign": self.campaigns,
        }
        return {
            role.name: {role.kind: kept[role.kind][getattr(command, role.field)]}
            for role in command.roles[len(command.writes) :]
        }

    def price(self, visit: VisitRecorded) -> Price:
        """The price by which a visit was recorded."""
        return self.prices[visit.club_id, visit.service_id, visit.price_version]

    def club(self, visit: VisitRecorded, price: Price) -> Club:
        """The club as it was for this visit, at a price."""
        service = Service(price.version, [(visit.occurred_at, price)])
        return replace(self.clubs[visit.club_id], services={visit.service_id: service})

    def campaign(self, enrolled: CampaignEnrolled) -> Campaign:
        """The campaign as it was for this enrolment."""
        terms = self.terms[enrolled.campaign_id, enrolled.terms_version]
        return replace(self.campaigns[enrolled.campaign_id], terms=[(enrolled.occurred_at, terms)])

    def places(self, enrolled: CampaignEnrolled) -> Places:
        """What was counted before this enrolment. What was spent on gifts counts where gifts are
        changed; elsewhere its own gift fitted into the budget, and would again."""
        spent, before = self.spent_fen.get(enrolled.campaign_id), enrolled.place - 1
        spent_fen = 0 if spent is None else spent[before]
        return Places(before, spent_fen, freed=before)  # there was a place for it: no cap changes
