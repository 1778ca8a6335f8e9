"""Corrections: a fact that was wrong is named by another, and from then on it counts no more.

One form of event, one for each kind of stream, takes any fact back: it says the topic, and the name
by which that fact is known in its stream (the month of a bill, the campaign of an enrolment, the
number of a binding). The event's class says how the part that it changed is unfolded
(`take_back`); the folds leave out what a later correction of the log names. What is right is then
told as any other fact.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from domain.admissions import Admissions, EmergencyAdmitted
from domain.bindings import (
    AlreadyBound,
    Binding,
    BindingEnded,
    Bindings,
    BindingStarted,
    policies_within,
)
from domain.campaigns import (
    Campaign,
    CampaignClosed,
    CampaignCommand,
    UnknownCampaign,
    require_launched,
)
from domain.clubs import ActivityHeld, Club, ClubCommand, UnknownClub, require_opened
from domain.cohorts import BEING_TAKEN, Cohort, CohortIncluded, Inclusions, require_being_taken
from domain.enrolments import CampaignEnrolled, CampaignOffered, Participation, PlaceFreed, Places
from domain.kernel.command import Command, Receipt, saying
from domain.kernel.correction import CORRECTED, TakesBack
from domain.kernel.event import ONLY, Event, Excusable
from domain.kernel.refusal import DeskRule, Refusal
from domain.kernel.values import (
    ActivityId,
    CampaignId,
    ClubId,
    CohortId,
    Desk,
    Month,
    Ordinal,
    Text,
)
from domain.members import (
    JOINED,
    BillIssued,
    Bills,
    MemberCommand,
    MemberLeft,
    MemberReturned,
    Membership,
    period_name,
    require_joined,
)
from domain.visits import (
    UNDO_AT_DESK,
    UNDO_MINUTES,
    ActivityAttended,
    Attendance,
    UndoNeedsSupervisor,
    UndoVisit,
)

E = TypeVar("E", bound=Event)


# ------------------------------------------------------------------------------------- events
class FactCorrected(TakesBack, Excusable, name="fact.corrected", stream="member"):
    """A fact about a member was wrong: the latest of this topic and name in the stream. It counts
    no more, for whatever time it was told; what was known before shows it still."""


class ClubFactCorrected(TakesBack, name="club.fact_corrected", stream="club"):
    """The same of a fact about a club."""


class CampaignFactCorrected(TakesBack, name="campaign.fact_corrected", stream="campaign"):
    """The same of a fact about a campaign."""


class AdmissionCorrected(
    TakesBack, Excusable, name="visit.emergency_corrected", stream="admissions"
):
    """The same of an admission in an emergency."""


# ----------------------------------------------------------------------------------- refusals
@dataclass
class UnknownFact(Refusal):
    """There is no such fact to correct: never told, corrected already, or too long ago."""

    code = "unknown_fact"
    fact: str


@dataclass
class ToldAlready(Refusal):
    """It stands already under this id: say why that was wrong, and this counts in its place."""

    code = "told_already"
    fact: str


@dataclass
class PartOfEnrolment(Refusal):
    """An enrolment brought this binding: the enrolment is corrected, and the binding with it."""

    code = "part_of_enrolment"
    binding: int


@dataclass
class EnrolledMeanwhile(DeskRule):
    """A campaign that excludes this policy has enrolled the member since: correct that first."""

    code = "enrolled_meanwhile"
    campaign_id: str
    policy: str


# ----------------------------------------------------------------------------------- commands
class CorrectionReceipt(Receipt):
    """What counts no more: the topics of the facts that were taken back."""

    corrected: list[str]


class Retraction(Command):
    """Takes back a fact. Whoever told it wrongly, a reason is given."""

    fact: ClassVar[type[Event]]
    reason: Text

    @property
    def which(self) -> str:
        """The name of the fact, as the fact itself has it."""
        return "/".join(str(getattr(self, field)) for field in self.fact.named_by or ()) or ONLY

    def taken_back(self, at: datetime, part: Any, which: str | None = None) -> list[Event]:
        """What says that the fact of this name was wrong; refuses it where none stands in the part
        that it changed."""
        which = which or self.which
        if not self.fact.stands(part, which):
            raise UnknownFact(self.fact.topic)
        return [self.wrong(at, self.fact, which)]

    def wrong(self, at: datetime, fact: type[Event], which: str) -> Event:
        """The event."""
        said = {"fact": fact.topic, "which": which, "reason": self.reason}
        return self.event(CORRECTED[fact.stream], at, **said)

    def receipt(self, events: list[Event], **parts: Any) -> CorrectionReceipt:
        return {"corrected": [each.fact for each in events if isinstance(each, TakesBack)]}


class Correction(Retraction):
    """The one of its kind of fact that asks for no desk and no hour."""


class Retellable(Command):
    """Tells a fact under an id; or corrects it in one go with what is right."""

    correcting: Text | None = Field(
        None, description="why what stands under this id was wrong: this counts in its place"
    )

    def telling(self, at: datetime, kind: type[E], **said: Any) -> E:
        """The event, of what the command says under the same names but for what is said here."""
        names = kind.model_fields.keys() & type(self).model_fields.keys() - {"key", "actor"}
        return self.event(kind, at, **{n: getattr(self, n) for n in names - said.keys()}, **said)

    def in_place(self, at: datetime, fact: type[Event], part: Any, which: str) -> list[Event]:
        """What takes back the fact that stands under this name, where that is asked for."""
        stands = fact.stands(part, which)
        if stands and self.correcting is None:
            raise ToldAlready(fact.topic)
        if self.correcting is None:
            return []
        if not stands:
            raise UnknownFact(fact.topic)
        said = {"fact": fact.topic, "which": which, "reason": self.correcting}
        return [self.event(CORRECTED[fact.stream], at, **said)]


class MemberCorrection(Correction, MemberCommand):
    """Takes back a fact about a member."""

    refuses: ClassVar[tuple[type[Refusal], ...]] = (*JOINED, UnknownFact)

    def corrected(
        self, at: datetime, membership: Membership, part: Any, which: str | None = None
    ) -> list[Event]:
        """What says so of somebody who had joined by then."""
        require_joined(membership, self.member_id, at)
        return self.taken_back(at, part, which)

    def without_end(self, at: datetime, bindings: Bindings, number: int) -> list[Event]:
        """What takes back, with a binding, that it ended early."""
        if not BindingEnded.stands(bindings, str(number)):
            return []
        return [self.wrong(at, BindingEnded, str(number))]


Period = Annotated[
    Ordinal | None, Field(description="the n-th time that he was on the network; else the last")
]


class CorrectLeaving(MemberCorrection):
    """Take back that a member left the network, the last time: he was on it all the time since.
    If he has come back meanwhile, that is taken back first."""

    command: Literal["member.correct_leaving"] = "member.correct_leaving"
    fact = MemberLeft
    example = saying(member_id="m3", reason="wrong number")
    period: Period = None

    def decide(self, at: datetime, membership: Membership) -> list[Event]:
        return self.corrected(at, membership, membership, period_name(membership, self.period))


class CorrectReturn(MemberCorrection):
    """Take back that a member came back to the network, the last time: he has been away since."""

    command: Literal["member.correct_return"] = "member.correct_return"
    fact = MemberReturned
    example = saying(member_id="m6", reason="somebody else")
    period: Period = None

    def decide(self, at: datetime, membership: Membership) -> list[Event]:
        return self.corrected(at, membership, membership, period_name(membership, self.period))


class CorrectBill(MemberCorrection):
    """Take back the bill of a month, which can then be billed again."""

    command: Literal["bill.correct"] = "bill.correct"
    fact = BillIssued
    example = saying(member_id="m3", month="2008-06", reason="typed in wrongly")
    month: Month

    def decide(self, at: datetime, membership: Membership, bills: Bills) -> list[Event]:
        return self.corrected(at, membership, bills)


class CorrectEnrolment(MemberCorrection):
    """Take back an enrolment and the binding it brought; its place and its gift's part of the
    budget are free again."""

    command: Literal["campaign.correct_enrolment"] = "campaign.correct_enrolment"
    writes: ClassVar[dict[str, str]] = {"member": "member_id", "places": "campaign_id"}
    fact = CampaignEnrolled
    example = saying(member_id="m3", campaign_id="spring", reason="wrong member")
    campaign_id: CampaignId

    def decide(
        self,
        at: datetime,
        membership: Membership,
        participation: Participation,
        bindings: Bindings,  # a binding that the enrolment brought goes with it
        places: Places,
    ) -> list[Event]:
        corrected = self.corrected(at, membership, participation)
        taken = participation.enrolled[self.campaign_id]
        said = {"place": taken.place, "member_id": self.member_id, "gift_fen": taken.gift_fen}
        if taken.binding is not None:
            corrected += self.without_end(at, bindings, taken.binding)
            corrected.append(self.wrong(at, BindingStarted, str(taken.binding)))
        return [self.event(PlaceFreed, at, **said), *corrected]


class CorrectOffer(MemberCorrection):
    """Take back that a member was drawn for a campaign, into either arm."""

    command: Literal["campaign.correct_offer"] = "campaign.correct_offer"
    fact = CampaignOffered
    example = saying(member_id="m3", campaign_id="winter", reason="drawn from an old list")
    campaign_id: CampaignId

    def decide(
        self, at: datetime, membership: Membership, participation: Participation
    ) -> list[Event]:
        return self.corrected(at, membership, participation)


class CorrectAttendance(MemberCorrection):
    """Take back that a member took part in an activity."""

    command: Literal["activity.correct_attendance"] = "activity.correct_attendance"
    fact = ActivityAttended
    example = saying(member_id="m3", club_id="tennis", activity_id="cup", reason="stayed at home")
    club_id: ClubId
    activity_id: ActivityId

    def decide(self, at: datetime, membership: Membership, attendance: Attendance) -> list[Event]:
        return self.corrected(at, membership, attendance)


class CorrectBinding(MemberCorrection):
    """Take back a binding outside any campaign, as if it had never begun."""

    command: Literal["binding.correct"] = "binding.correct"
    fact = BindingStarted
    refuses = (*MemberCorrection.refuses, PartOfEnrolment)
    example = saying(member_id="m3", binding=2, reason="typed in wrongly")
    binding: Ordinal

    def decide(self, at: datetime, membership: Membership, bindings: Bindings) -> list[Event]:
        corrected = self.corrected(at, membership, bindings)
        if binding_of(bindings, self.binding).campaign_id is not None:
            raise PartOfEnrolment(self.binding)
        return [*self.without_end(at, bindings, self.binding), *corrected]


class CorrectBindingEnd(MemberCorrection):
    """Take back that a binding ended early: it binds to its own end again."""

    command: Literal["binding.correct_end"] = "binding.correct_end"
    fact = BindingEnded
    refuses = (*MemberCorrection.refuses, AlreadyBound, EnrolledMeanwhile)
    example = saying(member_id="m3", binding=2, reason="typed in wrongly")
    binding: Ordinal

    def decide(
        self,
        at: datetime,
        membership: Membership,
        participation: Participation,
        bindings: Bindings,
    ) -> list[Event]:
        corrected = self.corrected(at, membership, bindings)
        bound = binding_of(bindings, self.binding)
        assert bound.ended_on is not None
        if bound.policy in policies_within(bindings, membership, bound.ended_on, bound.ends_on):
            self.unless_despite(AlreadyBound(bound.policy))
        for campaign_id, enrolment in participation.enrolled.items():
            if bound.policy in enrolment.excludes and enrolment.enrolled_on is not None:
                until = enrolment.enrolled_on + timedelta(days=1)
                if enrolment.binding is not None:
                    until = max(until, binding_of(bindings, enrolment.binding).ends_on)
                if bound.ended_on < until and enrolment.enrolled_on < bound.ends_on:
                    self.unless_despite(EnrolledMeanwhile(campaign_id, bound.policy))
        return corrected


def binding_of(bindings: Bindings, number: int) -> Binding:
    """The binding of this number, which is there."""
    return next(bound for bound in bindings.bindings if bound.id == number)


class CorrectInclusion(MemberCorrection):
    """Take a customer out of a cohort that is still taken; a frozen one is never touched."""

    command: Literal["cohort.correct_inclusion"] = "cohort.correct_inclusion"
    reads: ClassVar[dict[str, str]] = {"cohort": "cohort_id"}
    fact = CohortIncluded
    refuses = (*JOINED, *BEING_TAKEN, UnknownFact)
    example = saying(member_id="m3", cohort_id="vips", reason="wrong member")
    cohort_id: CohortId

    def decide(
        self, at: datetime, membership: Membership, inclusions: Inclusions, cohort: Cohort
    ) -> list[Event]:
        require_joined(membership, self.member_id, at)
        require_being_taken(cohort, self.cohort_id)
        return self.corrected(at, membership, inclusions)


class CorrectActivity(Correction, ClubCommand):
    """Take back that a club held an activity; who was entered as having attended is in doubt."""

    command: Literal["activity.correct"] = "activity.correct"
    fact = ActivityHeld
    refuses = (UnknownClub, UnknownFact)
    example = saying(club_id="library", activity_id="reading", reason="rained off")
    activity_id: ActivityId

    def decide(self, at: datetime, club: Club) -> list[Event]:
        require_opened(club, self.club_id)
        return self.taken_back(at, club)


class CorrectAdmission(Correction):
    """Take back an admission in an emergency, by its number."""

    command: Literal["visit.correct_emergency"] = "visit.correct_emergency"
    writes: ClassVar[dict[str, str]] = {"admissions": "club_id"}
    reads: ClassVar[dict[str, str]] = {"club": "club_id"}
    fact = EmergencyAdmitted
    refuses = (UnknownClub, UnknownFact)
    example = saying(club_id="library", admission=1, reason="told twice")
    club_id: ClubId
    admission: Ordinal

    def decide(self, at: datetime, admissions: Admissions, club: Club) -> list[Event]:
        require_opened(club, self.club_id)
        return self.taken_back(at, admissions)


class UndoAdmission(Retraction):
    """Take back an admission in an emergency at the desk that made it. It may for a quarter of an
    hour, a supervisor later and from another."""

    command: Literal["visit.undo_emergency"] = "visit.undo_emergency"
    writes: ClassVar[dict[str, str]] = {"admissions": "club_id"}
    reads: ClassVar[dict[str, str]] = {"club": "club_id"}
    stronger = UndoVisit.stronger
    fact = EmergencyAdmitted
    refuses = (UnknownClub, UnknownFact, UndoNeedsSupervisor)
    example = saying(
        club_id="library",
        admission=2,
        desk="d2",
        reason="counted twice",
        at="2008-01-25T09:20:00+08:00",
    )
    club_id: ClubId
    admission: Ordinal
    desk: Desk

    def until(self, admitted_at: datetime) -> datetime | None:
        """Until when who asks may take back an admission of this time; None: as long as it is
        among those that can be corrected."""
        return None if self.role == self.stronger else admitted_at + UNDO_AT_DESK

    def decide(self, at: datetime, admissions: Admissions, club: Club) -> list[Event]:
        require_opened(club, self.club_id)
        taken_back = self.taken_back(at, admissions)
        made = admissions.latest[self.which]
        until = self.until(made.at)
        if until is not None and not (made.at <= at <= until and self.desk == made.desk):
            self.unless_despite(UndoNeedsSupervisor(made.at, UNDO_MINUTES))
        return taken_back


class CorrectClosing(Correction, CampaignCommand):
    """Take back that a campaign was closed: it takes enrolments until its last day again."""

    command: Literal["campaign.correct_closing"] = "campaign.correct_closing"
    fact = CampaignClosed
    refuses = (UnknownCampaign, UnknownFact)
    example = saying(campaign_id="winter", reason="meant for another campaign")

    def decide(self, at: datetime, campaign: Campaign) -> list[Event]:
        require_launched(campaign, self.campaign_id)
        return self.taken_back(at, campaign)
