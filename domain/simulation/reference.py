"""What the commands of members were decided by beside their own state: reference data."""

from array import array
from dataclasses import dataclass, field

from msgspec.structs import replace

from domain.campaigns import Campaign, CampaignLaunched, Terms, TermsChanged, UnknownCampaign
from domain.clubs import ActivityHeld, Club, ClubOpened, Price, Service, ServicePriced, UnknownClub
from domain.cohorts import CohortOpened
from domain.enrolments import CampaignEnrolled, Places
from domain.kernel.event import Event
from domain.kernel.world import World
from domain.simulation.scenario import Scenario
from domain.units import UnitOpened
from domain.visits import UnknownService, VisitRecorded

LEARNT = (
    UnitOpened,
    CohortOpened,
    ClubOpened,
    ServicePriced,
    ActivityHeld,
    CampaignLaunched,
    TermsChanged,
)
"""The events of reference data that are taken in: none that closes."""


@dataclass
class ReferenceData(World):
    """A world of units, cohorts, clubs and campaigns, open as they were for whoever was let in;
    prices and terms in every version; and what the changed gifts would have spent."""

    prices: dict[tuple[str, str, int], Price] = field(default_factory=dict)
    terms: dict[tuple[str, int], Terms] = field(default_factory=dict)
    spent_fen: dict[str, "array[int]"] = field(default_factory=dict)  # campaign -> by place

    def learn(self, stream: str, event: Event) -> None:
        """Take in an event of reference data; others say nothing here."""
        if isinstance(event, LEARNT):
            self.fold(stream, event)

    def happened(self, stream: str, event: Event) -> None:
        stream_id = stream.partition(":")[2]
        match event:
            case ClubOpened():
                # Hours and days do not change in a scenario: who was let in would be let in.
                club = self._club(stream_id)
                club.opens_minute, club.closes_minute = 0, 1440
            case ServicePriced():
                self.prices[stream_id, event.service_id, event.price_version] = event.price
            case CampaignLaunched():
                self.terms[stream_id, 1] = event.first_terms
            case TermsChanged():
                self.terms[stream_id, event.terms_version] = event.terms

    def refuse_unknown(self, scenario: Scenario) -> None:
        """Refuses a scenario about a club, a service or a campaign that there is not."""
        for club, service in scenario.services:
            if f"club:{club}" not in self.states:
                raise UnknownClub(club)
            if service is not None and service not in self._club(club).services:
                raise UnknownService(club, service)
        for campaign in scenario.campaigns:
            if f"campaign:{campaign}" not in self.states:
                raise UnknownCampaign(campaign)

    def price(self, visit: VisitRecorded) -> Price:
        """The price by which a visit was recorded."""
        return self.prices[visit.club_id, visit.service_id, visit.price_version]

    def club(self, visit: VisitRecorded, price: Price) -> Club:
        """The club as it was for this visit, at a price."""
        service = Service(price.version, [(visit.occurred_at, price)])
        return replace(self._club(visit.club_id), services={visit.service_id: service})

    def campaign(self, enrolled: CampaignEnrolled) -> Campaign:
        """The campaign as it was for this enrolment."""
        terms = self.terms[enrolled.campaign_id, enrolled.terms_version]
        campaign: Campaign = self.state(f"campaign:{enrolled.campaign_id}")["campaign"]
        return replace(campaign, terms=[(enrolled.occurred_at, terms)])

    def places(self, enrolled: CampaignEnrolled) -> Places:
        """What was counted before this enrolment. What was spent on gifts counts where gifts are
        changed; elsewhere its own gift fitted into the budget, and would again."""
        spent, before = self.spent_fen.get(enrolled.campaign_id), enrolled.place - 1
        spent_fen = 0 if spent is None else spent[before]
        return Places(before, spent_fen, freed=before)  # there was a place for it: no cap changes

    def _club(self, club_id: str) -> Club:
        club: Club = self.state(f"club:{club_id}")["club"]
        return club
