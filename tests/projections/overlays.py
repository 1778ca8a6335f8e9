"""A history as it would have been, told in plain Python: what the database must agree with."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from domain.enrolments import CampaignEnrolled, PlaceFreed, PlaceTaken
from domain.kernel.event import Event
from domain.simulation.reference import ReferenceData
from domain.simulation.replay import Refused, replay, spending
from domain.simulation.scenario import Scenario
from projections.engine.reference import Stored
from tests.projections.doubting import counted
from tests.projections.histories import World


@dataclass
class Supposed:
    """The log that would have been, lane by lane, and what would have been refused."""

    log: list[Stored] = field(default_factory=list)
    refused: dict[str, list[Refused[Any]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def refusals(self) -> int:
        return sum(map(len, self.refused.values()))


def known_of(log: list[Stored], scenario: Scenario) -> ReferenceData:
    """Prices and terms, and what the changed gifts would have spent."""
    known = ReferenceData()
    for stored in log:
        known.learn(stored.stream, stored.event)
    for campaign in scenario.campaigns & {one for one, _ in known.terms}:
        counts = {id(s) for s in counted(log)}
        enrolled = [
            (s.id, s.event, id(s) in counts)
            for s in log
            if isinstance(s.event, CampaignEnrolled) and s.event.campaign_id == campaign
        ]
        by_place = sorted(enrolled, key=lambda one: one[1].place)
        known.spent_fen[campaign] = spending(scenario, known, campaign, by_place)
    return known


def suppose(world: World, scenario: Scenario) -> Supposed:
    """Every member's stream replayed; the streams of others as they are but for lost places."""
    log = world.log
    found, known = Supposed(), known_of(log, scenario)
    streams: dict[str, list[Stored]] = defaultdict(list)
    for stored in log:
        streams[stored.stream].append(stored)
    told: list[Stored] = []
    for stream, history in streams.items():
        kind, _, name = stream.partition(":")
        if kind != "member":
            told += history
            continue
        placed = [(stored, stored.event) for stored in history]
        for outcome in replay(scenario, known, name, placed, world.asked.get):
            if isinstance(outcome, Refused):
                found.refused[name].append(outcome)
            else:
                at = outcome.place
                told.append(Stored(at.bucket, at.position, at.stream, outcome.event))
    places = {(e.campaign_id, e.place): e.gift_fen for e in enrolments(told)}
    for stored in told:
        event: Event = stored.event
        if isinstance(event, PlaceTaken | PlaceFreed):
            if (stored.id, event.place) not in places:
                continue
            event = event.model_copy(update={"gift_fen": places[stored.id, event.place]})
        found.log.append(Stored(stored.bucket, stored.position, stored.stream, event))
    found.log.sort(key=lambda stored: (stored.bucket, stored.position))
    return found


def enrolments(log: list[Stored]) -> list[CampaignEnrolled]:
    return [stored.event for stored in log if isinstance(stored.event, CampaignEnrolled)]


def scenario(*changes: dict[str, Any], **said: Any) -> Scenario:
    """A scenario as a file would say it."""
    return Scenario.model_validate({"changes": changes, **said})
