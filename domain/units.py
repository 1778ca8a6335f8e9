"""Units: the county branches and city district offices that customers belong to."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from msgspec import Struct, field

from domain.kernel import timeline
from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, saying
from domain.kernel.event import Event
from domain.kernel.parts import MAX_CHANGES, part_of
from domain.kernel.timeline import NothingChanges, Timeline
from domain.kernel.values import Text, UnitId


@part_of("unit")
class Unit(Struct, array_like=True, gc=False):
    """A county branch or city district office, by the names that it had."""

    titles: Annotated[Timeline[str], AtMost(MAX_CHANGES)] = field(default_factory=list)


class UnitOpened(Event, name="unit.opened", stream="unit"):
    """A unit began to serve customers, or was given another name."""

    title: Text

    def apply(self, unit: Unit) -> None:
        unit.titles = timeline.put(unit.titles, self.occurred_at, self.title)


class OpenUnit(Command):
    """Enter a unit, so that customers can belong to it; or give it another title from `at` on."""

    command: Literal["unit.open"] = "unit.open"
    writes: ClassVar[dict[str, str]] = {"unit": "unit_id"}
    refuses = (NothingChanges, TooMany)
    example = saying(unit_id="north", title="North branch")
    unit_id: UnitId
    title: Text

    def decide(self, at: datetime, unit: Unit) -> list[Event]:
        if timeline.repeats(unit.titles, at, self.title, ""):
            raise NothingChanges("title")
        require_room(unit, "titles", len(timeline.forget(unit.titles, at)))
        return [self.event(UnitOpened, at, title=self.title)]
