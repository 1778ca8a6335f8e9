"""A world: streams in memory, on which commands are decided one after the other.

Each decision sees what those before it changed. Imports and live commands are carried out by the
same `carry_out`, on streams that have versions and lanes besides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from domain.kernel.command import Change, Command, Receipt
from domain.kernel.event import Event
from domain.kernel.parts import State, fresh

NOTHING: Mapping[str, State] = MappingProxyType({})


def carry_out(
    command: Command, at: datetime, states: Sequence[State]
) -> tuple[list[Change], dict[str, Any]]:
    """Decide a command on the states of its streams, and change them as it says. Returns the
    changes, and the parts that it took, changed. A refusal comes out and changes nothing."""
    parts = command.parts(states)
    changes = command.changes(at, parts)
    for number, event, part in changes:
        if part:
            event.apply(states[number][part])
        else:
            event.apply()
    return changes, parts


class Outcome(NamedTuple):
    """What came of a command: its events, each with its stream, and its parts after them."""

    events: list[tuple[str, Event]]
    command: Command
    parts: dict[str, Any]

    def receipt(self) -> Receipt:
        """What the asker is told."""
        return self.command.receipt([event for _, event in self.events], **self.parts)


@dataclass
class World:
    """The states of streams, by name."""

    states: dict[str, State] = field(default_factory=dict, kw_only=True)

    def state(self, stream: str) -> State:
        """The state of a stream, fresh if nothing has happened to it."""
        state = self.states.get(stream)
        if state is None:
            state = self.states[stream] = fresh(stream.partition(":")[0])
        return state

    def decide(
        self,
        command: Command,
        at: datetime | None = None,
        instead: Mapping[str, State] = NOTHING,
    ) -> list[tuple[str, Event]]:
        """The events that would come of a command, at its own time unless another is said, if some
        streams were in these states instead. Nothing changes; raises what it is refused for."""
        names = command.streams()
        states = [instead.get(name) or self.state(name) for name in names]
        found = command.changes(_at(command, at), command.parts(states))
        return [(names[number], event) for number, event, _ in found]

    def execute(self, command: Command, at: datetime | None = None) -> Outcome:
        """Carry a command out. A refusal comes out and changes nothing."""
        names = command.streams()
        changes, parts = carry_out(command, _at(command, at), list(map(self.state, names)))
        events = [(names[number], event) for number, event, _ in changes]
        for stream, event in events:
            self.happened(stream, event)
        return Outcome(events, command, parts)

    def fold(self, stream: str, event: Event) -> None:
        """An event happens to a stream, whoever decided it."""
        event.fold(self.state(stream))
        self.happened(stream, event)

    def happened(self, stream: str, event: Event) -> None:
        """Override it to take note of each event, as a log or a tally does."""


def _at(command: Command, at: datetime | None) -> datetime:
    at = at or command.at
    assert at is not None, "nobody says when"
    return at
