"""The sentences themselves can fail: each of their alarms has been seen to ring."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

import pytest

from domain.catalogue import CATALOGUE, COMMANDS
from domain.cohorts import Inclusions
from domain.kernel.event import Event
from domain.members import MemberCommand
from domain.points.lots import NotEnoughPoints, Points
from domain.points.movements import PointsCredited, PointsDebited
from tests.domain.scenario import World, do, fact, given, local
from tests.domain.words import MEMBER, NOON, credit, debit

RICH = (MEMBER, credit(100))


@pytest.mark.parametrize(
    "expected",
    [
        (),
        (fact(PointsDebited, points=31),),
        (fact(PointsCredited),),
        (fact(PointsDebited), fact(PointsDebited)),
    ],
)
def test_other_events_are_not_taken_for_those_expected(expected: Any) -> None:
    with pytest.raises(AssertionError, match="it was"):
        given(RICH).when(debit(30)).then(*expected)


def test_a_refusal_is_neither_an_answer_nor_another_refusal() -> None:
    refused = given(RICH).when(debit(101))
    with pytest.raises(AssertionError, match="refused: not_enough_points"):
        refused.then()
    with pytest.raises(AssertionError, match="not_enough_points"):
        refused.then_told()
    with pytest.raises(AssertionError):
        refused.then_refused(NotEnoughPoints(101, 99))
    with pytest.raises(AssertionError):
        given(RICH).when(debit(1)).then_refused(NotEnoughPoints(101, 100))


def test_a_fact_is_asked_for_fields_that_it_has() -> None:
    with pytest.raises(AssertionError, match=r"points\.debited has no"):
        fact(PointsDebited, pionts=30)


@pytest.fixture
def registries() -> Iterator[None]:
    """What a test defines does not stay defined."""
    events, commands = dict(CATALOGUE), dict(COMMANDS)
    yield
    for registry, before in ((CATALOGUE, events), (COMMANDS, commands)):
        for name in registry.keys() - before.keys():
            del registry[name]


@pytest.mark.usefixtures("registries")
def test_a_decision_that_changes_a_state_is_found_out() -> None:
    class Impure(MemberCommand):
        command: Literal["test.impure"] = "test.impure"

        def decide(self, at: datetime, points: Points) -> list[Event]:
            points.lots.clear()
            return []

    with pytest.raises(AssertionError, match="to decide changes nothing"):
        given(RICH).when(do(Impure, NOON))


@pytest.mark.usefixtures("registries")
def test_an_event_that_shares_its_insides_with_a_state_is_found_out() -> None:
    class Shared(Event, name="test.shared", stream="member"):
        names: list[str]

        def apply(self, inclusions: Inclusions) -> None:
            if inclusions.cohorts:
                inclusions.cohorts.append(self.names[0])
            else:
                inclusions.cohorts = self.names

    world = World()
    for name in ("vips", "base"):
        said: dict[str, Any] = {"occurred_at": local(NOON), "actor": "clerk:li", "key": "k1"}
        world.fold("member:m1", Shared(names=[name], **said))
    with pytest.raises(AssertionError, match="shares its insides"):
        world.check()
