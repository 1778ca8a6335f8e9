"""Corrections: a fact that was wrong is named by another, and from then on it counts no more.

One event takes any fact back: it says the topic, and the name by which that fact is known in its
stream (the month of a bill, the campaign of an enrolment, the number of a binding). The event's
class says how the state is unfolded (`take_back`); the folds leave out what a later correction of
the log names. What is right is then told as any other fact.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import StringConstraints

from domain.bindings import (
    AlreadyBound,
    BindingEnded,
    BindingStarted,
    policies_within,
)
from domain.campaigns import CampaignEnrolled, CampaignOffered, PlaceFreed
from domain.cohorts import CohortIncluded, being_taken
from domain.event import CATALOGUE, Event
from domain.members import BillIssued, MemberCommand, joined
from domain.refusal import Refusal
from domain.state import Binding, Cohort, Member, Places
from domain.values import ActivityId, CampaignId, ClubId, CohortId, Month, Ordinal, Text
from domain.visits import ActivityAttended

Topic = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,32}\.[a-z_]{1,32}$")]
Named = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._/-]{1,129}$")]


# ------------------------------------------------------------------------------------- events
class FactCorrected(Event, name="fact.corrected", stream="member"):
    """A fact was wrong: the latest of this topic and name in the stream. It counts no more, for
    whatever time it was told; what was known before shows it still."""

    fact: Topic
    which: Named
    reason: Text
    corrects = True

    def apply(self, state: Member) -> None:
        CATALOGUE[self.fact].take_back(state, self.which)


# ----------------------------------------------------------------------------------- refusals
@dataclass
class UnknownFact(Refusal):
    """There is no such fact to correct: never told, corrected already, or too long ago."""

    code = "unknown_fact"
    fact: str


@dataclass
class PartOfEnrolment(Refusal):
    """An enrolment brought this binding: the enrolment is corrected, and the binding with it."""

    code = "part_of_enrolment"
    binding: int


# ----------------------------------------------------------------------------------- commands
class Correction(MemberCommand):
    """Takes back a fact about a member. Whoever told it wrongly, a reason is given."""

    fact: ClassVar[type[Event]]
    reason: Text

    @classmethod
    def naming(cls) -> list[str]:
        """Its fields that name the fact, in the order of the fact's `named_by`."""
        return [n for n in cls.model_fields if n not in Correction.model_fields and n != "command"]

    @property
    def which(self) -> str:
        """The name of the fact, as the fact itself has it."""
        return "/".join(str(getattr(self, field)) for field in self.naming())

    def corrected(self, at: datetime, member: Member) -> list[Event]:
        """What says that the fact of this name was wrong; refuses it where none stands."""
        joined(member, self.member_id, at)
        if not self.fact.stands(member, self.which):
            raise UnknownFact(self.fact.topic)
        return [self.wrong(at, self.fact, self.which)]

    def wrong(self, at: datetime, fact: type[Event], which: str) -> Event:
        """The event."""
        return self.event(FactCorrected, at, fact=fact.topic, which=which, reason=self.reason)

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        return {"corrected": [each.fact for each in events if isinstance(each, FactCorrected)]}


class CorrectBill(Correction):
    """Take back the bill of a month, which can then be billed again."""

    command: Literal["bill.correct"] = "bill.correct"
    fact = BillIssued
    month: Month

    def decide(self, at: datetime, member: Member) -> list[Event]:
        return self.corrected(at, member)


class CorrectEnrolment(Correction):
    """Take back an enrolment and the binding it brought; its place and its gift's part of the
    budget are free again."""

    command: Literal["campaign.correct_enrolment"] = "campaign.correct_enrolment"
    writes: ClassVar[dict[str, str]] = {"member": "member_id", "places": "campaign_id"}
    fact = CampaignEnrolled
    campaign_id: CampaignId

    def decide(self, at: datetime, member: Member, places: Places) -> list[Event]:
        corrected = self.corrected(at, member)
        taken = member.enrolled[self.campaign_id]
        said = {"place": taken.place, "member_id": self.member_id, "gift_fen": taken.gift_fen}
        if taken.binding is not None:
            corrected.append(self.wrong(at, BindingStarted, str(taken.binding)))
        return [self.event(PlaceFreed, at, **said), *corrected]


class CorrectOffer(Correction):
    """Take back that a member was drawn for a campaign, into either arm."""

    command: Literal["campaign.correct_offer"] = "campaign.correct_offer"
    fact = CampaignOffered
    campaign_id: CampaignId

    def decide(self, at: datetime, member: Member) -> list[Event]:
        return self.corrected(at, member)


class CorrectAttendance(Correction):
    """Take back that a member took part in an activity."""

    command: Literal["activity.correct_attendance"] = "activity.correct_attendance"
    fact = ActivityAttended
    club_id: ClubId
    activity_id: ActivityId

    def decide(self, at: datetime, member: Member) -> list[Event]:
        return self.corrected(at, member)


class CorrectBinding(Correction):
    """Take back a binding outside any campaign, as if it had never begun."""

    command: Literal["binding.correct"] = "binding.correct"
    fact = BindingStarted
    binding: Ordinal

    def decide(self, at: datetime, member: Member) -> list[Event]:
        corrected = self.corrected(at, member)
        if binding_of(member, self.binding).campaign_id is not None:
            raise PartOfEnrolment(self.binding)
        return corrected


class CorrectBindingEnd(Correction):
    """Take back that a binding ended early: it binds to its own end again."""

    command: Literal["binding.correct_end"] = "binding.correct_end"
    fact = BindingEnded
    binding: Ordinal

    def decide(self, at: datetime, member: Member) -> list[Event]:
        corrected = self.corrected(at, member)
        bound = binding_of(member, self.binding)
        assert bound.ended_on is not None
        if bound.policy in policies_within(member, bound.ended_on, bound.ends_on):
            raise AlreadyBound(bound.policy)
        return corrected


def binding_of(member: Member, number: int) -> Binding:
    """The binding of this number, which is there."""
    return next(bound for bound in member.bindings if bound.id == number)


class CorrectInclusion(Correction):
    """Take a customer out of a cohort that is still taken; a frozen one is never touched."""

    command: Literal["cohort.correct_inclusion"] = "cohort.correct_inclusion"
    reads: ClassVar[dict[str, str]] = {"cohort": "cohort_id"}
    fact = CohortIncluded
    cohort_id: CohortId

    def decide(self, at: datetime, member: Member, cohort: Cohort) -> list[Event]:
        joined(member, self.member_id, at)
        being_taken(cohort, self.cohort_id)
        return self.corrected(at, member)
