"""A ledger in memory: every line of the demo decided by the real rules, and counted.

It proves that the demo is accepted and gives the reported figures, without a database.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from demo.tally import Tally
from domain.catalogue import COMMANDS
from domain.kernel.event import Event
from domain.kernel.refusal import Refusal
from domain.kernel.world import World


@dataclass
class NotAccepted(Exception):
    """A line that the rules refuse, or that is dated before the one in front of it."""

    line: bytes
    why: str

    def __str__(self) -> str:
        return f"{self.why}: {self.line.decode()}"


@dataclass
class Replay(World):
    """A world, and the tally of what was written."""

    tally: Tally = field(default_factory=Tally)
    latest: datetime | None = None

    def run(self, lines: Iterable[bytes]) -> int:
        """Decide line after line; returns how many there were."""
        count = 0
        for line in lines:
            self.one(line)
            count += 1
        return count

    def one(self, line: bytes) -> None:
        """Decide one line and apply its events."""
        name = line[12 : line.index(b'"', 12)].decode()
        command = COMMANDS[name].model_validate_json(line)
        at = command.at
        if at is None or (self.latest is not None and at < self.latest):
            raise NotAccepted(line, "not in the order of time")
        self.latest = at
        try:
            self.execute(command)
        except Refusal as refusal:
            raise NotAccepted(line, str(refusal)) from refusal

    def happened(self, stream: str, event: Event) -> None:
        self.tally.take(stream, event)
