"""Cohorts: customers at a date, frozen by events and never touched again."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, ClassVar, Literal

from msgspec import Struct, field

from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, saying
from domain.kernel.event import Event
from domain.kernel.parts import part_of
from domain.kernel.periods import NotComeYet, require_come
from domain.kernel.refusal import Refusal
from domain.kernel.values import CohortId, Count, Day, MemberId, Text, Tier, UnitId, start_of
from domain.members import (
    JOINED,
    LeftTheNetwork,
    Membership,
    require_joined,
    require_on_network,
    tier_at,
    unit_at,
)

Purpose = Literal["retention", "binding"]


# -------------------------------------------------------------------------------------- parts
@part_of("cohort")
class Cohort(Struct, array_like=True, gc=False):
    """Customers of a day: open while it is taken, frozen ever after."""

    title: str = ""
    purpose: str = ""
    taken_on: date | None = None
    size: int | None = None


@part_of("member")
class Inclusions(Struct, array_like=True, gc=False):
    """The cohorts that a customer is in."""

    cohorts: Annotated[list[str], AtMost(500)] = field(default_factory=list)


# ------------------------------------------------------------------------------------- events
class CohortOpened(Event, name="cohort.opened", stream="cohort"):
    """A cohort of a day began to be taken, by this criterion, for this figure."""

    title: Text
    purpose: Purpose
    criterion: Text
    taken_on: Day

    def apply(self, cohort: Cohort) -> None:
        cohort.title, cohort.purpose, cohort.taken_on = self.title, self.purpose, self.taken_on


class CohortFrozen(Event, name="cohort.frozen", stream="cohort"):
    """The cohort is complete: nobody comes in or goes out any more."""

    size: Count

    def apply(self, cohort: Cohort) -> None:
        cohort.size = self.size


class CohortIncluded(Event, name="cohort.included", stream="member"):
    """A customer met the criterion of a cohort on its day."""

    cohort_id: CohortId
    tier: Tier | None = None
    unit_id: UnitId
    named_by = ("cohort_id",)
    kept_in = "cohorts"

    def apply(self, inclusions: Inclusions) -> None:
        inclusions.cohorts.append(self.cohort_id)


# ----------------------------------------------------------------------------------- refusals
@dataclass
class UnknownCohort(Refusal):
    """There is no such cohort."""

    code = "unknown_cohort"
    cohort_id: str


@dataclass
class CohortExists(Refusal):
    """The cohort is already there."""

    code = "cohort_exists"
    cohort_id: str


@dataclass
class CohortIsFrozen(Refusal):
    """The cohort is frozen."""

    code = "cohort_is_frozen"
    cohort_id: str
    size: int


@dataclass
class AlreadyIncluded(Refusal):
    """The member is already in the cohort."""

    code = "already_included"
    cohort_id: str


BEING_TAKEN = (UnknownCohort, CohortIsFrozen)


def require_being_taken(cohort: Cohort, cohort_id: str) -> date:
    """The day of the cohort; refuses a cohort that does not exist or is frozen."""
    if cohort.taken_on is None:
        raise UnknownCohort(cohort_id)
    if cohort.size is not None:
        raise CohortIsFrozen(cohort_id, cohort.size)
    return cohort.taken_on


# ----------------------------------------------------------------------------------- commands
class OpenCohort(Command):
    """Begin a cohort."""

    command: Literal["cohort.open"] = "cohort.open"
    writes: ClassVar[dict[str, str]] = {"cohort": "cohort_id"}
    refuses = (CohortExists, NotComeYet)
    example = saying(
        cohort_id="kept",
        title="Kept",
        purpose="retention",
        criterion="gold",
        taken_on="2008-06-30",
    )
    cohort_id: CohortId
    title: Text
    purpose: Purpose
    criterion: Text
    taken_on: Day

    def decide(self, at: datetime, cohort: Cohort) -> list[Event]:
        if cohort.taken_on is not None:
            raise CohortExists(self.cohort_id)
        require_come(self.taken_on, at)
        event = self.event(
            CohortOpened,
            at,
            title=self.title,
            purpose=self.purpose,
            criterion=self.criterion,
            taken_on=self.taken_on,
        )
        return [event]


class IncludeInCohort(Command):
    """Put a customer who was on the network at the end of its day into a cohort that is taken."""

    command: Literal["cohort.include"] = "cohort.include"
    writes: ClassVar[dict[str, str]] = {"member": "member_id"}
    reads: ClassVar[dict[str, str]] = {"cohort": "cohort_id"}
    refuses = (*JOINED, *BEING_TAKEN, LeftTheNetwork, AlreadyIncluded, TooMany)
    example = saying(member_id="m1", cohort_id="vips")
    member_id: MemberId
    cohort_id: CohortId

    def decide(
        self, at: datetime, membership: Membership, inclusions: Inclusions, cohort: Cohort
    ) -> list[Event]:
        require_joined(membership, self.member_id, at)
        day = require_being_taken(cohort, self.cohort_id)
        # Of the day itself, however much later the cohort is taken: its last instant.
        last = start_of(day + timedelta(days=1)) - timedelta.resolution
        then = min(at, last)
        require_on_network(membership, self.member_id, then)
        if self.cohort_id in inclusions.cohorts:
            raise AlreadyIncluded(self.cohort_id)
        require_room(inclusions, "cohorts")
        tier = tier_at(membership, then)
        event = self.event(
            CohortIncluded,
            at,
            cohort_id=self.cohort_id,
            tier=tier,
            unit_id=unit_at(membership, then),
        )
        return [event]


class FreezeCohort(Command):
    """Declare a cohort complete, with its size."""

    command: Literal["cohort.freeze"] = "cohort.freeze"
    writes: ClassVar[dict[str, str]] = {"cohort": "cohort_id"}
    refuses = BEING_TAKEN
    example = saying(cohort_id="vips", size=1)
    cohort_id: CohortId
    size: Count

    def decide(self, at: datetime, cohort: Cohort) -> list[Event]:
        require_being_taken(cohort, self.cohort_id)
        return [self.event(CohortFrozen, at, size=self.size)]
