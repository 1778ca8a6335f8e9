"""Admissions: people who are not members are let into a club in an emergency, counted."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct, field
from pydantic import Field

from domain.clubs import IN_EMERGENCY, Club, require_emergency
from domain.kernel.bounds import AtMost
from domain.kernel.command import Command, Receipt, saying
from domain.kernel.event import Event, Excusable
from domain.kernel.parts import part_of
from domain.kernel.values import ClubId, Desk, Ordinal

MAX_ADMISSIONS = 500
"""The latest admissions in emergencies: they can be corrected."""

Category = Literal["elderly", "child", "other"]
"""Of people who are not members."""


# -------------------------------------------------------------------------------------- parts
class Admission(Struct, array_like=True, gc=False):
    """People who were let in, when and where."""

    at: datetime
    desk: str


@part_of("admissions")
class Admissions(Struct, array_like=True, gc=False):
    """The admissions to a club in emergencies, by number."""

    made: int = 0
    # those that can be corrected, by number
    latest: Annotated[dict[str, Admission], AtMost(MAX_ADMISSIONS)] = field(default_factory=dict)


# ------------------------------------------------------------------------------------- events
class EmergencyAdmitted(Excusable, name="visit.emergency_admitted", stream="admissions"):
    """People who are not members were let in during an emergency, without a name or points."""

    admission: Ordinal
    category: Category
    people: Annotated[int, Field(ge=1, le=500)]
    desk: Desk
    named_by = ("admission",)
    kept_in = "latest"

    def apply(self, admissions: Admissions) -> None:
        admissions.made = self.admission
        latest = {str(self.admission): Admission(self.occurred_at, self.desk)}
        admissions.latest = dict([*admissions.latest.items()][1 - MAX_ADMISSIONS :]) | latest


# ----------------------------------------------------------------------------------- commands
class AdmissionReceipt(Receipt):
    """The number of an admission, by which it can be taken back."""

    admission: int


class AdmitInEmergency(Command):
    """Let people in who are not members, while the club is in emergency mode."""

    command: Literal["visit.admit_in_emergency"] = "visit.admit_in_emergency"
    writes: ClassVar[dict[str, str]] = {"admissions": "club_id"}
    reads: ClassVar[dict[str, str]] = {"club": "club_id"}
    refuses = IN_EMERGENCY
    example = saying(club_id="library", category="elderly", people=3, desk="d1")
    club_id: ClubId
    category: Category
    people: Annotated[int, Field(ge=1, le=500)] = 1
    desk: Desk

    def decide(self, at: datetime, admissions: Admissions, club: Club) -> list[Event]:
        require_emergency(self, club, self.club_id, at)
        event = self.event(
            EmergencyAdmitted,
            at,
            admission=admissions.made + 1,
            category=self.category,
            people=self.people,
            desk=self.desk,
        )
        return [event]

    def receipt(self, events: list[Event], **parts: Any) -> AdmissionReceipt:
        return {"admission": parts["admissions"].made}
