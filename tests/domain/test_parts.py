"""A state in parts: a rule is given what it names, an event changes one part, and a part is the
fold of its own events."""

from collections.abc import Iterator
from datetime import datetime
from inspect import get_annotations, signature
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given as drawn
from msgspec import Struct

from domain.bindings import Bindings, BindingStarted
from domain.catalogue import CATALOGUE, COMMANDS, KINDS, PARTS
from domain.clubs import Club
from domain.kernel import parts
from domain.kernel.command import Command, To
from domain.kernel.event import ANY_PART, Event
from domain.kernel.parts import part_of, parts_of
from domain.kernel.values import Day, MemberId
from domain.members import MemberCommand, Membership
from domain.points.lots import Points
from domain.points.movements import PointsCredited
from ledger import digests
from ledger.log import snapshots
from tests.domain.scenario import do, given, local
from tests.domain.words import CLUB, MEMBER, NOON, credit, visit
from tests.projections.histories import STEPS, history


@pytest.fixture
def registries() -> Iterator[None]:
    """What a test defines does not stay defined."""
    kept = [(known, dict(known)) for known in (CATALOGUE, COMMANDS, PARTS)]
    yield
    for known, before in kept:
        for name in known.keys() - before.keys():
            del known[name]
    parts.parts_of.cache_clear()


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_a_decider_takes_are_the_parts_that_its_parameters_name(
    command: type[Command],
) -> None:
    """And no others: they are read off its signature."""
    hints = get_annotations(command.decide)
    assert [taken.parameter for taken in command.takes] == [*signature(command.decide).parameters][
        2:
    ]
    for parameter, number, part in command.takes:
        assert hints[parameter] is PARTS[part].type
        assert PARTS[part].kind == command.roles[number].kind


@pytest.mark.parametrize("event", CATALOGUE.values(), ids=CATALOGUE)
def test_what_an_event_changes_is_the_part_that_its_parameter_names(event: type[Event]) -> None:
    named = [*signature(event.apply).parameters][1:]
    assert named == ([event.changes] if event.changes else [])
    if event.changes not in ("", ANY_PART):
        assert get_annotations(event.apply)[event.changes] is PARTS[event.changes].type
        assert PARTS[event.changes].kind == event.stream


def test_each_part_is_changed_by_some_event_and_taken_by_some_command() -> None:
    assert {event.changes for event in CATALOGUE.values()} == {*PARTS, ANY_PART, ""}
    assert {taken.part for command in COMMANDS.values() for taken in command.takes} == {*PARTS}
    assert {part for kind in KINDS for part in parts_of(kind)} == {*PARTS}


@pytest.mark.usefixtures("registries")
def test_a_command_that_takes_what_none_of_its_streams_has_cannot_be_defined() -> None:
    with pytest.raises(TypeError, match=r"test\.lost takes club, which is a part of none"):

        class Lost(MemberCommand):
            command: Literal["test.lost"] = "test.lost"

            def decide(self, at: datetime, points: Points, club: Club) -> list[Event]:
                return []


@pytest.mark.usefixtures("registries")
def test_an_event_that_changes_another_streams_part_or_several_cannot_be_defined() -> None:
    with pytest.raises(TypeError, match=r"would change club, no part of a member"):

        class Elsewhere(Event, name="test.elsewhere", stream="member"):
            def apply(self, club: Club) -> None:
                club.title = ""

    with pytest.raises(TypeError, match=r"would change several parts"):

        class Both(Event, name="test.both", stream="member"):
            def apply(self, points: Points, bindings: Bindings) -> None:
                points.lots_opened = bindings.made

    with pytest.raises(TypeError, match="two parts are called points"):
        part_of("member")(type("Points", (Struct,), {}))


@pytest.mark.usefixtures("registries")
def test_an_event_changes_nothing_that_its_command_did_not_take() -> None:
    """Though another command may have loaded it."""

    class Sly(MemberCommand):
        command: Literal["test.sly"] = "test.sly"
        on: Day

        def decide(self, at: datetime, membership: Membership) -> list[Event]:
            days = {"starts_on": self.on, "ends_on": self.on, "unit_id": membership.unit_id}
            return [self.event(BindingStarted, at, binding=1, policy="handset", **days)]

    asked = do(Sly, NOON, on="2009-01-01")
    with pytest.raises(TypeError, match=r"binding\.started changes bindings of member, which"):
        given(MEMBER).when(asked)


@pytest.mark.usefixtures("registries")
def test_of_several_streams_of_a_kind_each_has_a_role() -> None:
    class Give(MemberCommand):
        command: Literal["test.give"] = "test.give"
        writes: ClassVar[dict[str, Any]] = {
            "member": "member_id",
            "receiver": ("member", "receiver_id"),
        }
        receiver_id: MemberId

        def decide(self, at: datetime, points: Points, receiver_points: Points) -> list[Event | To]:
            given = {"postings": (), "source": "x", "rule": "x"}
            event = self.event(PointsCredited, at, **given)
            return [event, To("receiver", event)]

    asked = do(Give, NOON, receiver_id="m2")
    assert asked.streams() == ["member:m1", "member:m2"]
    assert [tuple(taken) for taken in Give.takes] == [
        ("points", 0, "points"), ("receiver_points", 1, "points")
    ]  # fmt: skip
    changes = asked.changes(local(NOON), {"points": Points(), "receiver_points": Points()})
    assert [(number, part) for number, _, part in changes] == [(0, "points"), (1, "points")]


def test_a_visit_needs_three_parts_of_a_member() -> None:
    world = given(MEMBER, CLUB, credit(100)).world
    member = world.state("member:m1")
    world.states["member:m1"] = {name: member[name] for name in ("membership", "points", "visits")}
    world.execute(visit())


# --------------------------------------------------------------------------- the law of parts
@drawn(STEPS)
def test_parts_put_together_are_the_state_that_the_events_come_to(steps: Any) -> None:
    """Each folded alone, and all at once."""
    world = history(steps, 1)
    events: dict[str, list[tuple[str, bytes]]] = {}
    for stored in world.log:
        kept = (stored.event.topic, snapshots.bytes_of(stored.event))
        events.setdefault(stored.stream, []).append(kept)
    for stream, told in events.items():
        whole = snapshots.refold(stream, told)
        assert whole == world.states[stream]
        alone = [snapshots.refold(stream, told, [part]) for part in whole]
        assert whole == {name: part for folded in alone for name, part in folded.items()}
        assert snapshots.decode(stream, snapshots.row(stream, whole)[1]).items() <= whole.items()


def test_a_part_hangs_on_no_rule_of_another() -> None:
    """What folds points is not folded anew for a changed term of campaigns."""
    of_points = [PARTS["points"].type, *snapshots._changes("points")]
    read = {text.split()[0] for text in digests._texts(tuple(of_points), "domain")}
    assert "domain.points.movements" in read
    assert not read & {"domain.campaigns", "domain.bindings", "domain.visits", "domain.cohorts"}
