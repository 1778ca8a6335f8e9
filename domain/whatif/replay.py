"""The replay: what one member's recorded commands would have come to under a scenario.

Two states of the member are kept side by side: *recorded*, folded from the events as they are,
which tells what was asked for; and *changed*, on which the same commands are decided again by the
same rules. What was refused is not in the record and is not asked again.
"""

from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Generic, TypeVar

from domain.campaigns import CampaignEnrolled, CampaignOffered, Enrol, OfferCampaign, PlaceTaken
from domain.command import Command
from domain.event import Event
from domain.members import BILL_WINDOW_MONTHS, BillIssued, ChangeTier, NothingChanges, TierChanged
from domain.points import CreditPoints, ReverseCredit
from domain.refusal import Refusal
from domain.state import Member, Places
from domain.values import TIERS, Tier, month_number
from domain.visits import RecordVisit, VisitRecorded
from domain.whatif.asked import ASKED, Asked, enrol
from domain.whatif.known import Known
from domain.whatif.scenario import Scenario

P = TypeVar("P")
"""Where an event stands in the log. The replay hands it through."""

_ORDER = {kind: order for order, kind in enumerate(ASKED)}
NEW_DEBITS = 1_000_000_000
"""A visit that was free and would have been paid has a debit that the record does not number: it is
numbered down from here by the visit, so that all others keep the number of the record."""


@dataclass(frozen=True, slots=True)
class Happened(Generic[P]):
    """An event that would have happened, where the record has the one in whose place it stands.

    What the record has not stands with the event that tells of its command: two may share a place.
    """

    place: P
    event: Event


@dataclass(frozen=True, slots=True)
class Refused(Generic[P]):
    """A recorded command that would have been refused: where the event stands that tells of it, its
    topic, the tier that the member would have had, and the reason with its numbers."""

    place: P
    topic: str
    tier: Tier | None
    refusal: Refusal


def replay(
    scenario: Scenario, known: Known, member_id: str, history: Iterable[tuple[P, Event]]
) -> Iterator[Happened[P] | Refused[P]]:
    """A member's events as they would have been, and the commands that would have been refused.

    `history` has (place, event) in the order of the stream, bills only if a tier rule asks for
    them. Under a scenario that changes nothing, what comes out is what went in.
    """
    member = _Replayed(scenario, known, member_id)
    for _, told in groupby(history, key=lambda placed: placed[1].key):
        yield from member.hear(list(told))


class _Replayed:
    """One member: as recorded and as changed."""

    def __init__(self, scenario: Scenario, known: Known, member_id: str) -> None:
        self.scenario, self.known, self.member_id = scenario, known, member_id
        self.recorded, self.changed = Member(), Member()
        self.bills: dict[int, int] = {}  # month number -> fen, of the months that may count

    def hear(self, told: list[tuple[P, Event]]) -> Iterator[Happened[P] | Refused[P]]:
        """What the events of one command come to."""
        events = [event for _, event in told]
        main = min(events, key=lambda event: _ORDER.get(type(event), len(_ORDER)))
        place = told[events.index(main)][0]
        try:
            decided = self._decided(main, events)
        except Refusal as refusal:
            yield Refused(place, main.topic, self.changed.tier, refusal)
            decided = []
        for event in events:
            event.apply(self.recorded)
        places: dict[type[Event], deque[P]] = {}
        for standing, event in told:
            places.setdefault(type(event), deque()).append(standing)
        for event in decided:
            event.apply(self.changed)
            same = places.get(type(event))
            yield Happened(same.popleft() if same else place, event)

    def _decided(self, main: Event, events: list[Event]) -> list[Event]:
        """The command of these events, decided on the changed state under the changed rules."""
        if type(main) not in ASKED:
            return [each for event in events for each in self._passed_on(event)]
        self._number(main)
        asked = Asked(self.member_id, events, self.recorded, self.known)
        # Expiries are dated at their lots' own instants: by the last of them all were due.
        at = max(event.occurred_at for event in events if type(event) is type(main))
        decided = self._decide(ASKED[type(main)](main, asked), main, at)
        return [event for event in decided if event.stream == "member"]

    def _number(self, main: Event) -> None:
        """Go on counting where the record does."""
        changed, recorded = self.changed, self.recorded
        changed.lots_opened, changed.debits_made = recorded.lots_opened, recorded.debits_made
        changed.visits_made, changed.bindings_made = recorded.visits_made, recorded.bindings_made
        if isinstance(main, VisitRecorded) and main.debit is None:
            changed.debits_made = NEW_DEBITS - main.visit - 1

    def _decide(self, command: Command, main: Event, at: datetime) -> list[Event]:
        scenario, known, member = self.scenario, self.known, self.changed
        match command, main:
            case CreditPoints(), _:
                return scenario.credit(command, at).decide(at, member)
            case ReverseCredit(), _:
                return self._same_share(command).decide(at, member)
            case RecordVisit(), VisitRecorded():
                price = scenario.price(known.price(main), main.club, main.service, at)
                return command.decide(at, member, known.club(main, price))
            case Enrol(), CampaignEnrolled():
                campaign = known.campaign(main)
                changed = scenario.terms(campaign, main.campaign, at)
                return command.decide(at, member, known.places(main), changed)
            case OfferCampaign(), CampaignOffered():
                campaign = known.campaigns[main.campaign]
                return command.decide(at, member, scenario.terms(campaign, main.campaign, at))
        return command.decide(at, member)

    def _same_share(self, command: ReverseCredit) -> ReverseCredit:
        """Of a credit that gave more or less, the same share is taken back, rounded down."""
        recorded, lot = self.recorded.lots[command.lot], self.changed.lots.get(command.lot)
        if lot is None:
            return command
        points = command.points * lot.credited // recorded.credited
        if not points:
            raise NothingChanges("0 points")
        return command.model_copy(update={"points": points})

    def _passed_on(self, event: Event) -> Iterator[Event]:
        """What no command of points, visits, campaigns or bindings made: only tiers may differ."""
        rule = self.scenario.tier_rule
        if isinstance(event, TierChanged):
            if rule is None or not rule.holds(event.occurred_at):
                yield event
        elif "tier" in type(event).model_fields:
            yield event.model_copy(update={"tier": self.changed.tier})
        else:
            yield event
        if isinstance(event, BillIssued) and rule is not None:
            number = month_number(event.month)
            self.bills[number] = event.amount_fen
            oldest = max(self.bills) - BILL_WINDOW_MONTHS
            self.bills = {month: fen for month, fen in self.bills.items() if month > oldest}
            if rule.holds(event.occurred_at):
                yield from self._assessed(event, *rule.earned(self.bills))

    def _assessed(self, bill: BillIssued, tier: Tier | None, whole: bool) -> list[Event]:
        """The change of tier that a bill brings: up at once, down after a whole window."""
        rank = [*TIERS, None].index
        if rank(tier) > rank(self.changed.tier) and not whole:
            return []
        command = ChangeTier(
            key=bill.key,
            actor=bill.actor,
            member_id=self.member_id,
            tier=tier,
            reason="spend of bills",
        )
        try:
            return command.decide(bill.occurred_at, self.changed)
        except Refusal:  # it is his tier already, he has left, or the bill is an older one
            return []


def spending(
    scenario: Scenario,
    known: Known,
    campaign_id: str,
    enrolments: Iterable[tuple[str, CampaignEnrolled]],
) -> "array[int]":
    """What would have been spent on gifts before each place, in fen, in the order of places.

    `enrolments` has (member, enrolment) in that order. Eight bytes an enrolment. One counts
    that its own terms, the segment and the budget admit; whether a binding contradicts it is known
    to its member's stream alone, so it counts as well.
    """
    before, spent_fen = array("q"), 0
    for member_id, enrolled in enrolments:
        before.append(spent_fen)
        at = enrolled.occurred_at
        member = Member(joined_at=at, tier=enrolled.tier, unit=enrolled.unit)
        campaign = scenario.terms(known.campaign(enrolled), campaign_id, at)
        places = Places(enrolled.place - 1, spent_fen)
        command = enrol(enrolled, Asked(member_id, [enrolled], member, known))
        try:
            taken, *_ = command.decide(at, member, places, campaign)
        except Refusal:
            continue
        assert isinstance(taken, PlaceTaken)
        spent_fen += taken.gift_fen
    return before
