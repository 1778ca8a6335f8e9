"""Given, when, then: rules told as sentences, on the real states and without a mock.

    given(MEMBER, CLUB, credit(100)).when(visit()).then(fact(PointsDebited, points=70))

Whatever a sentence is about, the laws of `World` are checked with it: to decide changes nothing, a
refusal is one that the command declares and changes nothing, a receipt is what the command says,
every event survives its own bytes, a state is what its events fold to.
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, Self, TypeVar

from pydantic import TypeAdapter
from pydantic_core import to_json

from domain.bindings import Bindings
from domain.cohorts import Inclusions
from domain.enrolments import Participation
from domain.kernel import world
from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.refusal import Refusal
from domain.kernel.values import PROGRAMME
from domain.members import Bills, Membership
from domain.points.lots import Points
from domain.visits import Attendance, Visits

C = TypeVar("C", bound=Command)

USUAL: dict[str, Any] = {
    "key": "k1",
    "actor": "clerk:li",
    "member_id": "m1",
    "unit_id": "west",
    "club_id": "health",
    "service_id": "room",
    "activity_id": "drive",
    "campaign_id": "spring",
    "cohort_id": "vips",
    "report_id": "vip-2008",
    "webhook_id": "billing",
    "url": "https://billing.example/hook",
    "role_id": "clerk",
    "api_key_id": "desk-1",
    "user_id": "li",
    "desk": "d1",
    "title": "健康俱乐部",
    "reason": "as asked",
    "purpose": "as asked",
    "source": "bill 2008-06",
    "rule": "v1",
}
"""What a command says where a sentence does not care."""
HOME = {
    "member": "m1",
    "unit": "west",
    "club": "health",
    "admissions": "health",
    "campaign": "spring",
    "places": "spring",
    "cohort": "vips",
    "report": "vip-2008",
    "webhook": "billing",
    "role": "clerk",
    "apikey": "desk-1",
    "user": "li",
}


def local(text: str) -> datetime:
    """The instant at which clocks of the programme's zone show this."""
    return datetime.fromisoformat(text).replace(tzinfo=PROGRAMME.zone).astimezone(UTC)


def do(kind: type[C], at: str | datetime, /, **said: Any) -> C:
    """A command, with the usual words for what is not said."""
    usual = {name: value for name, value in USUAL.items() if name in kind.model_fields}
    return kind(**{**usual, **said, "at": local(at) if isinstance(at, str) else at})


@dataclass
class Fact:
    """An event of which a sentence says only what it is about."""

    kind: type[Event]
    said: dict[str, Any]

    def told_by(self, event: Event) -> bool:
        return type(event) is self.kind and all(
            getattr(event, name) == value for name, value in self.said.items()
        )


def fact(kind: type[Event], /, **said: Any) -> Fact:
    """An event of this kind with these fields, whatever its others are."""
    told = {name for name in dir(kind) if isinstance(getattr(kind, name, None), property)}
    unknown = said.keys() - kind.model_fields.keys() - told
    assert not unknown, f"{kind.topic} has no {unknown}"
    return Fact(kind, said)


class Member(SimpleNamespace):
    """The state of a member: all his parts, by name."""

    membership: Membership
    bills: Bills
    points: Points
    visits: Visits
    attendance: Attendance
    participation: Participation
    bindings: Bindings
    inclusions: Inclusions


@dataclass
class World(world.World):
    """All streams in memory, and every event that happened, in order."""

    log: list[tuple[str, Event]] = field(default_factory=list)
    receipt: Any = None  # of the last command

    @property
    def member(self) -> Member:
        return Member(**self.state("member:m1"))

    def happened(self, stream: str, event: Event) -> None:
        self.log.append((stream, event))

    def execute(self, command: Command, at: datetime | None = None) -> world.Outcome:
        """Carry a command out; a refusal comes out and leaves all as it was."""
        names = command.streams()
        before = deepcopy([self.state(name) for name in names])
        try:
            decided = self.decide(command, at)
        except Refusal as refusal:
            require_declared(command, refusal)
            raise
        finally:
            assert [self.state(name) for name in names] == before, "to decide changes nothing"
        assert not decided or names[0] in dict(decided), "its lane gets an event"
        outcome = super().execute(command, at)
        assert outcome.events == decided, "what is decided twice comes out the same"
        self.receipt = outcome.receipt()
        assert is_receipt(command.answers, self.receipt)
        assert isinstance(to_json(self.receipt), bytes)
        return outcome

    def check(self) -> None:
        """What is true of every world."""
        folded = World()
        for name, event in self.log:
            stored = event.model_dump_json(exclude_none=True).encode()
            loaded = type(event).model_validate_json(stored)
            assert loaded == event, "an event is what its bytes say"
            folded.fold(name, loaded)
        for name, event in folded.log:
            assert self.state(name) == folded.state(name), f"{event.topic} shares its insides"


class Scenario:
    """A world to which things were given, and what came of the last command."""

    def __init__(self, facts: Iterable[Any]) -> None:
        self.world = World()
        self.outcome: list[Event] | Refusal | None = None
        self.and_given(*facts)

    def and_given(self, *facts: Any) -> Self:
        """More happens: events, commands that are carried out, or tuples of these."""
        for known in facts:
            if isinstance(known, Command):
                self.world.execute(known)
            elif isinstance(known, Event):
                self.world.fold(f"{known.stream}:{HOME[known.stream]}", known)
            else:
                self.and_given(*known)
        return self

    def when(self, command: Command) -> Self:
        """The command in question."""
        try:
            self.outcome = [event for _, event in self.world.execute(command).events]
        except Refusal as refusal:
            self.outcome = refusal
        return self

    def then(self, *expected: Event | Fact) -> Self:
        """Exactly these events came of it."""
        self.world.check()
        if isinstance(self.outcome, Refusal):
            raise AssertionError(f"refused: {self.outcome}") from self.outcome
        told = self.outcome or []
        same = [
            wanted.told_by(event) if isinstance(wanted, Fact) else wanted == event
            for wanted, event in zip(expected, told, strict=False)
        ]
        if len(expected) != len(told) or not all(same):
            raise AssertionError(f"it was {told}, not {expected}")
        return self

    def then_told(self, **receipt: Any) -> Self:
        """It was carried out, and this is what the asker was told."""
        self.world.check()
        assert not isinstance(self.outcome, Refusal), self.outcome
        assert self.world.receipt == receipt
        return self

    def then_refused(self, refusal: Refusal) -> Self:
        """It was refused, for this reason and with these numbers."""
        self.world.check()
        assert self.outcome == refusal
        assert refusal.code in str(refusal)
        assert isinstance(to_json(refusal.numbers()), bytes)
        return self

    @property
    def member(self) -> Member:
        return self.world.member


def require_declared(command: Command, refusal: Refusal) -> None:
    """No command is refused but as it says."""
    assert type(refusal) in command.refuses, f"{command.called} declares no {refusal.code}"


_receipts: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def is_receipt(kind: type[Any], body: Any) -> bool:
    """Whether this is what a receipt of this class holds, and nothing else."""
    return bool(_receipts(kind).validate_python(body, strict=True) == body)


def given(*facts: Any) -> Scenario:
    """What happened before: events, commands that are carried out, or tuples of these."""
    return Scenario(facts)
