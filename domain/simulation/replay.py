"""The replay: what one member's recorded commands would have come to under a scenario.

Two states of the member are kept side by side: *recorded*, folded from the events as they are,
which numbers what later commands name; and *changed*, on which the commands are decided again as
they were asked, by the same rules. What was refused is not in the record and is not asked again.
"""

from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

from msgspec.structs import replace

from domain.bindings import Bindings, BindingStarted
from domain.corrections import CorrectBill
from domain.enrolments import (
    CampaignEnrolled,
    Enrol,
    OfferCampaign,
    Participation,
    Places,
    PlaceTaken,
)
from domain.kernel.command import Command, excused
from domain.kernel.event import Event, Excusable
from domain.kernel.parts import State, fresh
from domain.kernel.refusal import Refusal
from domain.kernel.timeline import NothingChanges
from domain.kernel.values import PROGRAMME, Tier, month_number
from domain.members import BILL_WINDOW_MONTHS, ChangeTier, Membership, RecordBill, tier_at
from domain.points.lots import Points
from domain.points.movements import CreditPoints, ExpiryReversed, PointsExpired, ReverseCredit
from domain.simulation.reference import ReferenceData
from domain.simulation.scenario import Scenario
from domain.visits import (
    ActivityAttended,
    AttendActivity,
    PriceChanged,
    RecordVisit,
    VisitRecorded,
    price_of,
)

E = TypeVar("E", bound=Event)
P = TypeVar("P")
"""Where an event stands in the log. The replay hands it through."""

EXPIRIES = (PointsExpired, ExpiryReversed)
NEW_NUMBERS = 1_000_000_000
"""A visit that was free and would have been paid has a debit that the record does not number, and
so has an enrolment that would have bound. It is numbered down from here by the visit, or by the
enrolments so far, so that all others keep the number of the record."""


@dataclass(frozen=True, slots=True)
class Happened(Generic[P]):
    """An event that would have happened, where the record has the one in whose place it stands.

    What the record has not stands with the first event of its command: two may share a place.
    """

    place: P
    event: Event


@dataclass(frozen=True, slots=True)
class Refused(Generic[P]):
    """A recorded command that would have been refused: where its first event stands that is no
    expiry, its name, the tier that the member would have had, and the reason with its numbers."""

    place: P
    command: str
    tier: Tier | None
    refusal: Refusal


def replay(
    scenario: Scenario,
    known: ReferenceData,
    member_id: str,
    history: Iterable[tuple[P, Event]],
    asked: Callable[[str], Command | None],
) -> Iterator[Happened[P] | Refused[P]]:
    """A member's events as they would have been, and the commands that would have been refused.

    `history` has (place, event) in the order of the stream, bills only if a tier rule asks for
    them; `asked` tells the command of a key, with the time for which it was decided, or None where
    nobody asked. Under a scenario that changes nothing, what comes out is what went in.
    """
    member = _Replayed(scenario, known, member_id)
    for key, told in groupby(history, key=lambda placed: placed[1].key):
        yield from member.hear(list(told), asked(key))


class _Replayed:
    """One member: as recorded and as changed."""

    def __init__(self, scenario: Scenario, known: ReferenceData, member_id: str) -> None:
        self.scenario, self.known, self.member_id = scenario, known, member_id
        self.stream = f"member:{member_id}"
        self.recorded, self.changed = fresh("member"), fresh("member")
        self.unbound = 0  # enrolments that bind nobody by the record
        self.bills: dict[int, int] = {}  # month number -> fen, of the months that may count

    @property
    def _membership(self) -> Membership:
        """As changed."""
        membership: Membership = self.changed["membership"]
        return membership

    def hear(
        self, told: list[tuple[P, Event]], asked: Command | None
    ) -> Iterator[Happened[P] | Refused[P]]:
        """What a command and its events come to; events that nobody asked for stay as they are."""
        events = [event for _, event in told]
        place = next((at for at, event in told if not isinstance(event, EXPIRIES)), told[0][0])
        decided = events
        if asked is not None:
            assert asked.at is not None
            try:
                decided = self._decided(asked, events)
            except Refusal as refusal:
                yield Refused(place, asked.called, tier_at(self._membership, asked.at), refusal)
                decided = []
        for event in events:
            event.fold(self.recorded)
        places: dict[type[Event], deque[P]] = {}
        for standing, event in told:
            places.setdefault(type(event), deque()).append(standing)
        for event in decided:
            event.fold(self.changed)
            same = places.get(type(event))
            yield Happened(same.popleft() if same else place, event)
        if isinstance(asked, CorrectBill) and decided:
            self.bills.pop(month_number(asked.month), None)
        if isinstance(asked, RecordBill) and decided:
            for event in self._assessed(asked):
                event.fold(self.changed)
                yield Happened(place, event)

    def _decided(self, command: Command, events: list[Event]) -> list[Event]:
        """A command, decided on the changed state under the changed rules."""
        at = command.at
        assert at is not None
        rule = self.scenario.tier_rule
        if isinstance(command, ChangeTier) and rule is not None and rule.holds(at):
            return []
        despite = _despite(events)
        if command.despite:  # What was allowed and not needed did not happen.
            command = command.model_copy(update={"despite": despite})
        self._number(events)
        instead: dict[str, State] = {self.stream: self.changed}
        match command:
            case CreditPoints():
                command = self.scenario.credit(command, at)
            case ReverseCredit():
                command = self._same_share(command)
            case RecordVisit():
                visit = _the(VisitRecorded, events)
                recorded = self.known.price(visit)
                price = self.scenario.price(recorded, command.club_id, command.service_id, at)
                costs = [price_of(each, visit.tier, visit.companions) for each in (recorded, price)]
                if costs[0] != costs[1] or PriceChanged.code not in despite:
                    command = command.model_copy(update={"shown_points": None})
                club = self.known.club(visit, price)
                instead[f"club:{command.club_id}"] = {"club": club}
            case Enrol():
                command = command.model_copy(update={"shown_terms_version": None})
                enrolled = _the(CampaignEnrolled, events)
                if not any(isinstance(event, BindingStarted) for event in events):
                    self.unbound += 1
                    self.changed["bindings"].made = NEW_NUMBERS - self.unbound - 1
                of = command.campaign_id
                campaign = self.scenario.terms(self.known.campaign(enrolled), of, at)
                instead[f"campaign:{of}"] = {"campaign": campaign}
                instead[f"places:{of}"] = {"places": self.known.places(enrolled)}
            case AttendActivity():  # held then, whether or not that was corrected since
                attended = _the(ActivityAttended, events)
                held = {attended.activity_id: attended.held_at}
                stream = f"club:{command.club_id}"
                club = replace(self.known.state(stream)["club"], activities=held)
                instead[stream] = {"club": club}
            case OfferCampaign():
                stream = f"campaign:{command.campaign_id}"
                campaign = self.known.state(stream)["campaign"]
                changed = self.scenario.terms(campaign, command.campaign_id, at)
                instead[stream] = {"campaign": changed}
        decided = self.known.decide(command, at, instead)
        mine = [event for stream, event in decided if stream == self.stream]
        return excused(mine, despite) if despite else mine

    def _number(self, events: list[Event]) -> None:
        """Go on counting where the record does."""
        changed, recorded = self.changed, self.recorded
        points: Points = changed["points"]
        points.lots_opened = recorded["points"].lots_opened
        points.debits_made = recorded["points"].debits_made
        changed["visits"].made = recorded["visits"].made
        changed["bindings"].made = recorded["bindings"].made
        for event in events:
            if isinstance(event, VisitRecorded) and event.debit is None:
                points.debits_made = NEW_NUMBERS - event.visit - 1

    def _same_share(self, command: ReverseCredit) -> ReverseCredit:
        """Of a credit that gave more or less, the same share is taken back, rounded down."""
        points: Points = self.changed["points"]
        recorded, lot = self.recorded["points"].lots[command.lot], points.lots.get(command.lot)
        if lot is None:
            return command
        share = command.points * lot.credited // recorded.credited
        if not share:
            raise NothingChanges("0 points")
        return command.model_copy(update={"points": share})

    def _assessed(self, bill: RecordBill) -> list[Event]:
        """The change of tier that a bill brings under a rule: up at once, down after a window."""
        rule, at, tiers = self.scenario.tier_rule, bill.at, self._membership.tiers
        if rule is None or at is None:
            return []
        self.bills[month_number(bill.month)] = bill.amount_fen
        oldest = max(self.bills) - BILL_WINDOW_MONTHS
        self.bills = {month: fen for month, fen in self.bills.items() if month > oldest}
        if not rule.holds(at) or (tiers and at < tiers[-1][0]):
            return []  # an older bill says nothing of what came after it
        tier, whole = rule.earned(self.bills)
        rank = [*PROGRAMME.tiers, None].index
        if rank(tier) > rank(tier_at(self._membership, at)) and not whole:
            return []
        command = ChangeTier(
            key=bill.key,
            actor=bill.actor,
            member_id=self.member_id,
            tier=tier,
            reason="spend of bills",
        )
        try:
            return command.decide(at, self._membership)
        except Refusal:  # it is his tier already, or he has left
            return []


def _despite(events: Iterable[Event]) -> tuple[str, ...]:
    """The rules despite which a command's events happened; not all of them are asked again."""
    return next((e.despite for e in events if isinstance(e, Excusable) and e.despite), ())


def _the(kind: type[E], events: Iterable[Event]) -> E:
    """The event of this kind that a command made."""
    return next(event for event in events if isinstance(event, kind))


def spending(
    scenario: Scenario,
    known: ReferenceData,
    campaign_id: str,
    enrolments: Iterable[tuple[str, CampaignEnrolled, bool]],
) -> "array[int]":
    """What would have been spent on gifts before each place, in fen, in the order of places.

    `enrolments` has (member, enrolment, whether it still counts) in that order: what is free again
    is free for all, since the places do not say when it became so. Eight bytes an enrolment. One
    counts that its own terms, the segment and the budget admit; whether a binding contradicts it is
    known to its member's stream alone, so it counts as well.
    """
    before, spent_fen = array("q"), 0
    for member_id, enrolled, counts in enrolments:
        before.append(spent_fen)
        if not counts:
            continue
        at = enrolled.occurred_at
        membership = Membership(joined_at=at, tiers=[(at, enrolled.tier)], unit_id=enrolled.unit_id)
        campaign = scenario.terms(known.campaign(enrolled), campaign_id, at)
        places = Places(enrolled.place - 1, spent_fen, freed=enrolled.place - 1)
        command = Enrol(
            key=enrolled.key,
            actor=enrolled.actor,
            member_id=member_id,
            campaign_id=campaign_id,
            prepaid_fen=enrolled.prepaid_fen,
            despite=enrolled.despite or (),
        )
        try:
            taken, *_ = command.decided(
                at,
                membership=membership,
                participation=Participation(),
                bindings=Bindings(),
                places=places,
                campaign=campaign,
            )
        except Refusal:
            continue
        assert isinstance(taken, PlaceTaken)
        spent_fen += taken.gift_fen
    return before
