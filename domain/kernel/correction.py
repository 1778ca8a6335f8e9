"""The form of a correction: an event that takes back another fact of its stream, whatever it is."""

from typing import Annotated, Any

from pydantic import StringConstraints

from domain.kernel.event import CATALOGUE, Event
from domain.kernel.values import Text

Topic = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,32}\.[a-z_]{1,32}$")]
Named = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,129}$")]

CORRECTED: dict[str, type["TakesBack"]] = {}
"""By the kind of stream, the event that takes a fact of it back."""


class TakesBack(Event):
    """A fact of the same stream was wrong: the latest of this topic and name. It counts no more,
    for whatever time it was told; what was known before shows it still."""

    fact: Topic
    which: Named
    reason: Text
    corrects = True

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        CORRECTED[cls.stream] = cls

    @property
    def part(self) -> str:
        return CATALOGUE[self.fact].changes

    def apply(self, any_part: Any) -> None:
        CATALOGUE[self.fact].take_back(any_part, self.which)
