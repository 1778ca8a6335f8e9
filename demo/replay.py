"""A ledger in a dictionary: every line of the demo decided by the real rules, and counted.

It proves that the demo is accepted and gives the reported figures, without a database.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from demo.tally import Tally
from domain.catalogue import COMMANDS
from domain.event import Event
from domain.parts import State, fresh
from domain.refusal import Refusal


@dataclass
class NotAccepted(Exception):
    """A line that the rules refuse, or that is dated before the one in front of it."""

    line: bytes
    why: str

    def __str__(self) -> str:
        return f"{self.why}: {self.line.decode()}"


class Replay:
    """States of all streams by name, and the tally of what was written."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.tally = Tally()
        self.latest: datetime | None = None

    def run(self, lines: Iterable[bytes]) -> int:
        """Decide line after line; returns how many there were."""
        count = 0
        for line in lines:
            self.one(line)
            count += 1
        return count

    def one(self, line: bytes) -> list[Event]:
        """Decide one line and apply its events."""
        name = line[12 : line.index(b'"', 12)].decode()
        command = COMMANDS[name].model_validate_json(line)
        at = command.at
        if at is None or (self.latest is not None and at < self.latest):
            raise NotAccepted(line, "not in the order of time")
        self.latest = at
        streams = command.streams()
        states = [self._state(stream) for stream in streams]
        try:
            told = command.told(at, command.parts(states))
        except Refusal as refusal:
            raise NotAccepted(line, str(refusal)) from refusal
        for number, event in told:
            event.fold(states[number])
            self.tally.take(streams[number], event)
        return [event for _, event in told]

    def _state(self, stream: str) -> State:
        state = self.states.get(stream)
        if state is None:
            state = self.states[stream] = fresh(stream.partition(":")[0])
        return state
