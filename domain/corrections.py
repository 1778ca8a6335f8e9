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
from domain.members import BillIssued, MemberCommand, billed, joined
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

    def corrected(self, at: datetime, which: str, fact: type[Event] | None = None) -> Event:
        """What says that a fact of this command's kind, or of another, was wrong."""
        topic = (fact or self.fact).topic
        return self.event(FactCorrected, at, fact=topic, which=which, reason=self.reason)

    def receipt(self, events: list[Event], **states: Any) -> dict[str, Any]:
        return {"corrected": [each.fact for each in events if isinstance(each, FactCorrected)]}


class CorrectBill(Correction):
    """Take back the bill of a month, which can then be billed again."""

    command: Literal["bill.correct"] = "bill.correct"
    fact = BillIssued
    month: Month

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        if not billed(member, self.month):
            raise UnknownFact(self.fact.topic)
        return [self.corrected(at, self.month)]


class CorrectEnrolment(Correction):
    """Take back an enrolment and the binding it brought; its place and its gift's part of the
    budget are free again."""

    command: Literal["campaign.correct_enrolment"] = "campaign.correct_enrolment"
    writes: ClassVar[dict[str, str]] = {"member": "member_id", "places": "campaign_id"}
    fact = CampaignEnrolled
    campaign_id: CampaignId

    def decide(self, at: datetime, member: Member, places: Places) -> list[Event]:
        joined(member, self.member_id, at)
        enrolment = member.enrolled.get(self.campaign_id)
        if enrolment is None:
            raise UnknownFact(self.fact.topic)
        events = [
            self.event(
                PlaceFreed,
                at,
                place=enrolment.place,
                member=self.member_id,
                gift_fen=enrolment.gift_fen,
            ),
            self.corrected(at, self.campaign_id),
        ]
        if enrolment.binding is not None:
            events.append(self.corrected(at, str(enrolment.binding), BindingStarted))
        return events


class CorrectOffer(Correction):
    """Take back that a member was drawn for a campaign, into either arm."""

    command: Literal["campaign.correct_offer"] = "campaign.correct_offer"
    fact = CampaignOffered
    campaign_id: CampaignId

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        if self.campaign_id not in member.offered:
            raise UnknownFact(self.fact.topic)
        return [self.corrected(at, self.campaign_id)]


class CorrectAttendance(Correction):
    """Take back that a member took part in an activity."""

    command: Literal["activity.correct_attendance"] = "activity.correct_attendance"
    fact = ActivityAttended
    club_id: ClubId
    activity_id: ActivityId

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        which = f"{self.club_id}/{self.activity_id}"
        if which not in member.attended:
            raise UnknownFact(self.fact.topic)
        return [self.corrected(at, which)]


class CorrectBinding(Correction):
    """Take back a binding outside any campaign, as if it had never begun."""

    command: Literal["binding.correct"] = "binding.correct"
    fact = BindingStarted
    binding: Ordinal

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        if binding_of(member, self).campaign is not None:
            raise PartOfEnrolment(self.binding)
        return [self.corrected(at, str(self.binding))]


class CorrectBindingEnd(Correction):
    """Take back that a binding ended early: it binds to its own end again."""

    command: Literal["binding.correct_end"] = "binding.correct_end"
    fact = BindingEnded
    binding: Ordinal

    def decide(self, at: datetime, member: Member) -> list[Event]:
        joined(member, self.member_id, at)
        bound = binding_of(member, self)
        if bound.ended_on is None:
            raise UnknownFact(self.fact.topic)
        if bound.policy in policies_within(member, bound.ended_on, bound.ends_on):
            raise AlreadyBound(bound.policy)
        return [self.corrected(at, str(self.binding))]


def binding_of(member: Member, command: CorrectBinding | CorrectBindingEnd) -> Binding:
    """The binding that a correction names."""
    for bound in member.bindings:
        if bound.id == command.binding:
            return bound
    raise UnknownFact(command.fact.topic)


class CorrectInclusion(Correction):
    """Take a customer out of a snapshot that is still taken; a frozen one is never touched."""

    command: Literal["cohort.correct_inclusion"] = "cohort.correct_inclusion"
    reads: ClassVar[dict[str, str]] = {"cohort": "cohort_id"}
    fact = CohortIncluded
    cohort_id: CohortId

    def decide(self, at: datetime, member: Member, cohort: Cohort) -> list[Event]:
        joined(member, self.member_id, at)
        being_taken(cohort, self.cohort_id)
        if self.cohort_id not in member.cohorts:
            raise UnknownFact(self.fact.topic)
        return [self.corrected(at, self.cohort_id)]
