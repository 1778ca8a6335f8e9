"""What the commands of members were decided by beside their own state: clubs and campaigns."""

from array import array
from dataclasses import dataclass, field

from msgspec.structs import replace

from domain.campaigns import CampaignEnrolled, CampaignLaunched, TermsChanged, UnknownCampaign
from domain.clubs import ClubOpened, ServicePriced, UnknownClub
from domain.event import Event
from domain.state import Campaign, Club, Places, Price, Terms
from domain.visits import UnknownService, VisitRecorded
from domain.whatif.scenario import Scenario


@dataclass
class Known:
    """Prices and terms in every version, and what the changed gifts would have spent."""

    clubs: dict[str, Club] = field(default_factory=dict)
    prices: dict[tuple[str, str, int], Price] = field(default_factory=dict)
    campaigns: dict[str, Campaign] = field(default_factory=dict)
    terms: dict[tuple[str, int], Terms] = field(default_factory=dict)
    spent_fen: dict[str, "array[int]"] = field(default_factory=dict)  # campaign -> by place

    def learn(self, stream_id: str, event: Event) -> None:
        """Take in an event of a club or a campaign; others say nothing here."""
        match event:
            case ClubOpened():
                # Hours and days do not change in a scenario: who was let in would be let in.
                event.apply(club := self.clubs.setdefault(stream_id, Club()))
                club.opens_minute, club.closes_minute = 0, 1440
            case ServicePriced():
                event.apply(club := self.clubs[stream_id])
                version = event.price_version
                self.prices[stream_id, event.service, version] = club.services[event.service]
            case CampaignLaunched() | TermsChanged():
                event.apply(campaign := self.campaigns.setdefault(stream_id, Campaign()))
                assert campaign.terms is not None
                self.terms[stream_id, campaign.terms.version] = campaign.terms

    def refuse_unknown(self, scenario: Scenario) -> None:
        """Refuses a scenario about a club, a service or a campaign that there is not."""
        for club, service in scenario.services:
            if club not in self.clubs:
                raise UnknownClub(club)
            if service is not None and service not in self.clubs[club].services:
                raise UnknownService(club, service)
        for campaign in scenario.campaigns - self.campaigns.keys():
            raise UnknownCampaign(campaign)

    def price(self, visit: VisitRecorded) -> Price:
        """The price by which a visit was recorded."""
        return self.prices[visit.club, visit.service, visit.price_version]

    def club(self, visit: VisitRecorded, price: Price) -> Club:
        """The club as it was for this visit, at a price."""
        return replace(self.clubs[visit.club], services={visit.service: price})

    def campaign(self, enrolled: CampaignEnrolled) -> Campaign:
        """The campaign as it was for this enrolment."""
        terms = self.terms[enrolled.campaign, enrolled.terms_version]
        return replace(self.campaigns[enrolled.campaign], terms=terms)

    def places(self, enrolled: CampaignEnrolled) -> Places:
        """What was counted before this enrolment. What was spent on gifts counts where gifts are
        changed; elsewhere its own gift fitted into the budget, and would again."""
        spent, before = self.spent_fen.get(enrolled.campaign), enrolled.place - 1
        return Places(before, 0 if spent is None else spent[before])
