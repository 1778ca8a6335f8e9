"""Corrections: a wrong fact is named by another one, and is as if it had never been told."""

from datetime import date
from typing import Any

import pytest

from domain.admissions import MAX_ADMISSIONS, AdmitInEmergency, EmergencyAdmitted
from domain.bindings import AlreadyBound, BindingEnded, BindingStarted, EndBinding, StartBinding
from domain.campaigns import CampaignClosed, CampaignOver, CloseCampaign
from domain.catalogue import CATALOGUE, COMMANDS, PARTS
from domain.clubs import ActivityHeld, DeclareEmergency, HoldActivity, UnknownClub
from domain.cohorts import CohortIncluded, CohortIsFrozen, FreezeCohort, IncludeInCohort, OpenCohort
from domain.corrections import (
    AdmissionCorrected,
    CampaignFactCorrected,
    ClubFactCorrected,
    CorrectActivity,
    CorrectAdmission,
    CorrectAttendance,
    CorrectBill,
    CorrectBinding,
    CorrectBindingEnd,
    CorrectClosing,
    CorrectEnrolment,
    CorrectInclusion,
    Correction,
    CorrectLeaving,
    CorrectOffer,
    EnrolledMeanwhile,
    FactCorrected,
    PartOfEnrolment,
    UndoAdmission,
    UnknownFact,
)
from domain.enrolments import (
    BudgetUsedUp,
    CampaignEnrolled,
    CampaignOffered,
    CapReached,
    OfferCampaign,
    PlaceFreed,
    PlaceTaken,
)
from domain.kernel.correction import CORRECTED
from domain.kernel.periods import NotComeYet, TooLongAgo
from domain.kernel.timeline import NothingChanges
from domain.members import (
    AlreadyBilled,
    BillIssued,
    LeaveNetwork,
    LeftTheNetwork,
    MemberLeft,
    RecordBill,
    UnknownMember,
)
from domain.points.lots import Points
from domain.points.movements import PointsDebited
from domain.visits import (
    ActivityAttended,
    AttendActivity,
    UndoNeedsSupervisor,
    UnknownActivity,
    VisitRecorded,
)
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import CLUB, JOINED, MEMBER, NOON, campaign, credit, enrol, visit

LATER = "2008-07-16 12:00"
SMALL = campaign(cap=1, budget_fen=1_000)
OTHER = (
    JOINED.model_copy(update={"member_id": "m2"}),
    do(type(MEMBER[2]), "2007-01-01", member_id="m2", tier="gold"),
)


def bill(month: str, at: str = NOON) -> RecordBill:
    return do(RecordBill, at, month=month, amount_fen=9_900)


def wrong_bill(month: str, at: str = LATER) -> CorrectBill:
    return do(CorrectBill, at, month=month)


# ------------------------------------------------------------------------------------- periods
def test_what_is_told_of_a_day_or_month_that_has_not_come_is_refused() -> None:
    today = date(2008, 7, 15)
    given(MEMBER).when(bill("2080-07")).then_refused(NotComeYet("2080-07", today))
    given(MEMBER).when(bill("2008-08")).then_refused(NotComeYet("2008-08", today))
    given(MEMBER).when(bill("2008-07")).then(fact(BillIssued))
    given(MEMBER).when(bill("2008-08", "2008-07-31 23:59")).then_refused(
        NotComeYet("2008-08", date(2008, 7, 31))
    )
    given(MEMBER).when(bill("2008-08", "2008-08-01 00:00")).then(fact(BillIssued))
    cohort: dict[str, Any] = {"purpose": "retention", "criterion": "all"}
    given().when(do(OpenCohort, NOON, taken_on=date(2008, 7, 16), **cohort)).then_refused(
        NotComeYet("2008-07-16", today)
    )
    given(MEMBER, bound()).when(ends(date(2008, 7, 17), "breach")).then_refused(
        NotComeYet("2008-07-16", today)
    )
    given(MEMBER, bound()).when(ends(date(2008, 7, 16), "breach")).then(fact(BindingEnded))
    given(MEMBER, bound()).when(ends(date(2008, 12, 1))).then(fact(BindingEnded))  # agreed ahead


# --------------------------------------------------------------------------------------- bills
def test_a_wrong_bill_is_taken_back_and_its_month_billed_again() -> None:
    known = given(MEMBER, bill("2008-06"))
    known.when(wrong_bill("2008-06")).then(
        fact(FactCorrected, fact="bill.issued", which="2008-06", reason="as asked")
    ).then_told(corrected=["bill.issued"])
    known.when(wrong_bill("2008-06")).then_refused(UnknownFact("bill.issued"))
    known.when(bill("2008-06", LATER)).then(fact(BillIssued, month="2008-06"))
    known.when(bill("2008-06", LATER)).then_refused(AlreadyBilled("2008-06"))
    given(MEMBER).when(wrong_bill("2008-06")).then_refused(UnknownFact("bill.issued"))
    given().when(wrong_bill("2008-06")).then_refused(UnknownMember("m1"))


@pytest.mark.parametrize("before", [["2008-05"], ["2008-05", "2008-03"], ["2005-09"], []])
def test_a_bill_taken_back_leaves_the_months_as_they_were(before: list[str]) -> None:
    bills = [bill(month) for month in before]
    told = given(MEMBER, bills, bill("2008-07"), wrong_bill("2008-07"))
    never = given(MEMBER, bills)
    assert told.member == never.member


def test_what_a_wrong_bill_had_pushed_out_of_sight_is_not_billed_twice() -> None:
    old = [bill("2005-03", "2005-04-01 09:00"), bill("2005-04", "2005-05-01 09:00")]
    near = given(MEMBER, old, bill("2008-07"), wrong_bill("2008-07"))
    near.when(bill("2005-03")).then_refused(AlreadyBilled("2005-03"))
    near.when(bill("2005-02")).then(fact(BillIssued))
    told = given(MEMBER, old, bill("2012-12", "2013-01-02 09:00"))
    told.and_given(wrong_bill("2012-12", "2013-01-02 09:00"))
    told.when(bill("2005-03", "2013-01-02 09:00")).then_refused(AlreadyBilled("2005-03"))
    told.when(wrong_bill("2004-12", "2013-01-02 09:00")).then_refused(UnknownFact("bill.issued"))
    told.when(bill("2004-12", "2013-01-02 09:00")).then(fact(BillIssued))
    gone = given(MEMBER, old, bill("2013-04", "2013-05-02 09:00"))
    gone.and_given(wrong_bill("2013-04", "2013-05-02 09:00"))
    for month in ("2005-04", "2005-03", "2003-01"):
        gone.when(bill(month, "2013-05-02 09:00")).then_refused(TooLongAgo(month, "2005-04"))
        gone.when(wrong_bill(month, "2013-05-02 09:00")).then_refused(UnknownFact("bill.issued"))
    gone.when(bill("2005-05", "2013-05-02 09:00")).then(fact(BillIssued))


# ---------------------------------------------------------------------------------- enrolments
def test_a_corrected_enrolment_frees_its_place_its_gift_and_its_member() -> None:
    told = given(MEMBER, OTHER, SMALL, enrol())
    told.when(enrol(LATER, member_id="m2")).then_refused(CapReached(1, 1))
    told.when(do(CorrectEnrolment, LATER)).then(
        fact(PlaceFreed, place=1, member_id="m1", gift_fen=1_000),
        fact(FactCorrected, fact="campaign.enrolled", which="spring"),
        fact(FactCorrected, fact="binding.started", which="1"),
    ).then_told(corrected=["campaign.enrolled", "binding.started"])
    assert not told.member.participation.enrolled
    assert not told.member.bindings.bindings
    told.when(do(CorrectEnrolment, LATER)).then_refused(UnknownFact("campaign.enrolled"))
    told.when(enrol(LATER)).then(
        fact(PlaceTaken, place=2), fact(CampaignEnrolled), fact(BindingStarted, binding=2)
    )
    told.when(enrol(LATER, member_id="m2")).then_refused(CapReached(1, 1))


def test_the_budget_of_a_corrected_enrolment_is_free_again() -> None:
    told = given(MEMBER, OTHER, campaign(budget_fen=1_000), enrol())
    told.when(enrol(LATER, member_id="m2")).then_refused(BudgetUsedUp(1_000, 1_000, 1_000))
    told.and_given(do(CorrectEnrolment, LATER))
    told.when(enrol(LATER, prepaid_fen=10_010)).then_refused(BudgetUsedUp(1_000, 0, 1_001))
    told.when(enrol(LATER)).then(fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted))


def test_an_enrolment_whose_binding_was_cancelled_is_corrected_with_it() -> None:
    told = given(MEMBER, SMALL, enrol(), ends(date(2008, 7, 15)))
    told.when(do(CorrectEnrolment, LATER)).then(
        fact(PlaceFreed),
        fact(FactCorrected, fact="campaign.enrolled"),
        fact(FactCorrected, fact="binding.ended", which="1"),
        fact(FactCorrected, fact="binding.started", which="1"),
    )
    assert not told.member.bindings.bindings


def test_a_wrong_draw_is_taken_back() -> None:
    drawn = campaign(control_bp=5_000, control_seed="s")
    told = given(MEMBER, drawn, do(OfferCampaign, NOON))
    told.when(do(CorrectOffer, LATER)).then(fact(FactCorrected, fact="campaign.offered"))
    told.when(do(CorrectOffer, LATER)).then_refused(UnknownFact("campaign.offered"))
    told.when(do(OfferCampaign, LATER)).then(fact(CampaignOffered))


# ------------------------------------------------------------------------------------ bindings
def bound(starts_on: date = date(2008, 7, 1), policy: str = "handset") -> StartBinding:
    said: dict[str, Any] = {"policy": policy, "starts_on": starts_on, "ends_on": date(2009, 7, 1)}
    return do(StartBinding, NOON, **said)


def ends(ended_on: date, cause: str = "cancelled", binding: int = 1) -> EndBinding:
    said: dict[str, Any] = {"ended_on": ended_on, "cause": cause, "binding": binding}
    return do(EndBinding, NOON, **said)


def test_a_wrong_binding_and_a_wrong_end_are_taken_back() -> None:
    told = given(MEMBER, bound())
    told.when(do(CorrectBindingEnd, LATER, binding=1)).then_refused(UnknownFact("binding.ended"))
    before = list(told.member.bindings.bindings)
    told.and_given(ends(date(2008, 7, 15)))
    told.when(do(CorrectBindingEnd, LATER, binding=1)).then(
        fact(FactCorrected, fact="binding.ended", which="1")
    )
    assert told.member.bindings.bindings == before
    told.when(bound()).then_refused(AlreadyBound("handset"))
    told.when(do(CorrectBinding, LATER, binding=1)).then(
        fact(FactCorrected, fact="binding.started", which="1")
    )
    told.when(do(CorrectBinding, LATER, binding=1)).then_refused(UnknownFact("binding.started"))
    told.when(bound()).then(fact(BindingStarted, binding=2))


def test_an_end_is_not_taken_back_into_a_binding_of_the_same_policy() -> None:
    told = given(MEMBER, bound(), ends(date(2008, 7, 15)), bound(date(2008, 8, 1)))
    told.when(do(CorrectBindingEnd, LATER, binding=1)).then_refused(AlreadyBound("handset"))


def test_a_binding_that_ended_on_its_first_day_binds_nobody() -> None:
    given(MEMBER, bound(), ends(date(2008, 7, 1))).when(bound(date(2008, 6, 1))).then(
        fact(BindingStarted, binding=2)
    )


def test_an_end_is_not_taken_back_under_an_enrolment_that_it_admitted() -> None:
    ended = given(MEMBER, campaign(excludes=("handset",)), bound(), ends(date(2008, 7, 1)))
    back = do(CorrectBindingEnd, LATER, binding=1)
    ended.and_given(enrol())
    ended.when(back).then_refused(EnrolledMeanwhile("spring", "handset"))
    ended.and_given(do(CorrectEnrolment, LATER))
    ended.when(back).then(fact(FactCorrected, fact="binding.ended"))
    before = given(MEMBER, campaign(excludes=("prepay",)), bound(), ends(date(2008, 7, 1)), enrol())
    before.when(back).then(fact(FactCorrected, fact="binding.ended"))


def test_the_binding_of_an_enrolment_is_corrected_with_that() -> None:
    given(MEMBER, SMALL, enrol()).when(do(CorrectBinding, LATER, binding=1)).then_refused(
        PartOfEnrolment(1)
    )


# ------------------------------------------------------------------------ attendance, cohorts
def test_a_wrong_attendance_is_taken_back() -> None:
    held = do(HoldActivity, "2008-07-15 09:00")
    told = given(MEMBER, CLUB, held, do(AttendActivity, NOON))
    told.when(do(CorrectAttendance, LATER)).then(
        fact(FactCorrected, fact="activity.attended", which="health/drive")
    )
    told.when(do(CorrectAttendance, LATER)).then_refused(UnknownFact("activity.attended"))
    told.when(do(AttendActivity, LATER)).then(fact(ActivityAttended))


def test_a_customer_is_taken_out_of_a_cohort_before_it_is_frozen_and_never_after() -> None:
    opened = do(OpenCohort, NOON, taken_on=date(2008, 7, 1), purpose="retention", criterion="all")
    told = given(MEMBER, opened, do(IncludeInCohort, NOON))
    told.when(do(CorrectInclusion, LATER)).then(fact(FactCorrected, fact="cohort.included"))
    told.when(do(CorrectInclusion, LATER)).then_refused(UnknownFact("cohort.included"))
    told.when(do(IncludeInCohort, LATER)).then(fact(CohortIncluded))
    told.and_given(do(FreezeCohort, LATER, size=1))
    told.when(do(CorrectInclusion, LATER)).then_refused(CohortIsFrozen("vips", 1))


# -------------------------------------------------------------- leaving, clubs, closed campaigns
def test_a_wrong_leaving_is_taken_back_and_what_ends_with_it_goes_on() -> None:
    left = do(LeaveNetwork, "2008-07-14 12:00", reason="wrong number")
    told = given(MEMBER, CLUB, credit(100), left)
    told.when(visit()).then_refused(LeftTheNetwork("m1", local("2008-07-14 12:00")))
    told.when(do(CorrectLeaving, LATER)).then(
        fact(FactCorrected, fact="member.left", which="-", reason="as asked")
    )
    told.when(do(CorrectLeaving, LATER)).then_refused(UnknownFact("member.left"))
    told.when(visit()).then(fact(PointsDebited), fact(VisitRecorded))
    told.when(do(LeaveNetwork, LATER)).then(fact(MemberLeft))


def test_a_wrong_activity_is_taken_back_and_may_be_told_again() -> None:
    held = do(HoldActivity, "2008-07-14 09:00")
    told = given(MEMBER, CLUB, held, do(AttendActivity, NOON))
    told.when(do(CorrectActivity, LATER)).then(
        fact(ClubFactCorrected, fact="activity.held", which="drive")
    )
    told.when(do(CorrectActivity, LATER)).then_refused(UnknownFact("activity.held"))
    told.when(do(AttendActivity, LATER)).then_refused(UnknownActivity("health", "drive"))
    told.when(do(HoldActivity, "2008-07-15 09:00")).then(fact(ActivityHeld))
    given().when(do(CorrectActivity, LATER)).then_refused(UnknownClub("health"))


def test_a_wrong_admission_in_an_emergency_is_taken_back_by_its_number() -> None:
    let_in = do(AdmitInEmergency, NOON, category="child", people=2)
    told = given(CLUB, do(DeclareEmergency, "2008-07-15 09:00"))
    told.when(let_in).then_told(admission=1)
    told.when(let_in).then_told(admission=2)
    told.when(do(CorrectAdmission, LATER, admission=1)).then(
        fact(AdmissionCorrected, fact="visit.emergency_admitted", which="1")
    )
    for number in (1, 3):
        unknown = UnknownFact("visit.emergency_admitted")
        told.when(do(CorrectAdmission, LATER, admission=number)).then_refused(unknown)
    told.when(let_in).then(fact(EmergencyAdmitted, admission=3))


def test_an_admission_is_undone_by_its_desk_for_a_quarter_of_an_hour_or_by_a_supervisor() -> None:
    let_in = do(AdmitInEmergency, NOON, category="child", people=2, desk="d1")
    told = given(CLUB, do(DeclareEmergency, "2008-07-15 09:00"), let_in, let_in)
    needed = UndoNeedsSupervisor(local(NOON), 15)
    unknown = UnknownFact("visit.emergency_admitted")
    for at, desk in (
        ("2008-07-15 12:16", "d1"),
        ("2008-07-15 12:05", "d2"),
        ("2008-07-15 11:59", "d1"),
    ):
        told.when(do(UndoAdmission, at, admission=1, desk=desk)).then_refused(needed)
    told.when(do(UndoAdmission, "2008-07-15 12:15", admission=3, desk="d1")).then_refused(unknown)
    told.when(do(UndoAdmission, "2008-07-15 12:15", admission=1, desk="d1")).then(
        fact(AdmissionCorrected, fact="visit.emergency_admitted", which="1")
    )
    told.when(do(UndoAdmission, "2008-07-15 12:15", admission=1, desk="d1")).then_refused(unknown)
    supervisor = do(UndoAdmission, LATER, admission=2, desk="d2", actor="supervisor:wang")
    told.when(supervisor).then(fact(AdmissionCorrected, which="2"))


def test_the_latest_admissions_can_be_corrected() -> None:
    told = given(CLUB, do(DeclareEmergency, "2008-07-15 09:00"))
    told.and_given(do(AdmitInEmergency, NOON, category="other") for _ in range(MAX_ADMISSIONS + 1))
    told.when(do(CorrectAdmission, LATER, admission=1)).then_refused(
        UnknownFact("visit.emergency_admitted")
    )
    told.when(do(CorrectAdmission, LATER, admission=2)).then(fact(AdmissionCorrected))


def test_a_campaign_closes_once_and_opens_again_where_that_was_wrong() -> None:
    closed = do(CloseCampaign, "2008-07-10 09:00")
    told = given(MEMBER, campaign(), closed)
    for at in ("2008-07-09 09:00", "2008-07-11 09:00"):
        told.when(do(CloseCampaign, at)).then_refused(NothingChanges("closed"))
    told.when(enrol()).then_refused(CampaignOver(date(2008, 7, 15), date(2008, 7, 10)))
    told.when(do(CorrectClosing, LATER)).then(
        fact(CampaignFactCorrected, fact="campaign.closed", which="-")
    )
    told.when(do(CorrectClosing, LATER)).then_refused(UnknownFact("campaign.closed"))
    told.when(enrol()).then(fact(PlaceTaken), fact(CampaignEnrolled), fact(BindingStarted))
    told.when(do(CloseCampaign, LATER)).then(fact(CampaignClosed))


def test_each_fact_that_can_be_named_is_taken_back_by_its_own_class_and_a_command() -> None:
    named = {topic: event for topic, event in CATALOGUE.items() if event.named_by is not None}
    known = (kind for kind in COMMANDS.values() if issubclass(kind, Correction))
    commands = {kind.fact.topic: kind for kind in known}
    assert commands.keys() == named.keys()
    for topic, event in named.items():
        assert (
            event.kept_in in PARTS[event.changes].type.__struct_fields__
            or {"stands", "take_back"} <= vars(event).keys()
        )
        assert set(event.named_by or ()) <= commands[topic].model_fields.keys()
        assert CORRECTED.keys() >= {event.stream} <= commands[topic].writes.keys()
    with pytest.raises(TypeError, match="says nothing of how it is taken back"):
        PointsDebited.take_back(Points(), "1")
