"""Units: the county branches and city district offices that customers belong to."""

from datetime import datetime
from typing import ClassVar, Literal

from domain.command import Command
from domain.event import Event
from domain.members import NothingChanges
from domain.state import Unit
from domain.values import Text, UnitId


class UnitOpened(Event, name="unit.opened", stream="unit"):
    """A unit began to serve customers, or was given another name."""

    title: Text

    def apply(self, state: Unit) -> None:
        state.name = self.title


class OpenUnit(Command):
    """Enter a unit, so that customers can belong to it."""

    command: Literal["unit.open"] = "unit.open"
    writes: ClassVar[dict[str, str]] = {"unit": "unit_id"}
    unit_id: UnitId
    title: Text

    def decide(self, at: datetime, unit: Unit) -> list[Event]:
        if unit.name == self.title:
            raise NothingChanges("title")
        return [self.event(UnitOpened, at, title=self.title)]
