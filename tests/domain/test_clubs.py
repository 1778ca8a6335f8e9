"""Clubs: opening, prices, emergencies, activities and who took part in them."""

from datetime import date
from typing import Any

from domain.admissions import AdmitInEmergency, EmergencyAdmitted
from domain.clubs import (
    ActivityExists,
    ActivityHeld,
    ClubExists,
    ClubOpened,
    DeclareEmergency,
    EmergencyAlready,
    EmergencyDeclared,
    EmergencyEnded,
    EndEmergency,
    HoldActivity,
    HoursReversed,
    NoEmergency,
    NotOpenYet,
    OpenClub,
    ServicePriced,
    UnknownClub,
)
from domain.members import BeforeJoining, LeaveNetwork, LeftTheNetwork, UnknownMember
from domain.visits import ActivityAttended, AlreadyAttended, AttendActivity, UnknownActivity
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import CLUB, HEALTH, MEMBER, NOON, WEST, price

DECLARED = do(DeclareEmergency, NOON, reason="暴雪")
ENDED = do(EndEmergency, "2008-07-16 12:00")
HELD = do(HoldActivity, NOON, cost_fen=500_000, fee_fen=5_000, commission_fen=10_000)


def admit(at: str = NOON, **said: Any) -> AdmitInEmergency:
    return do(AdmitInEmergency, at, **{"category": "elderly", **said})


def attend(at: str = NOON) -> AttendActivity:
    return do(AttendActivity, at)


def test_a_club_is_opened_once() -> None:
    given().when(HEALTH).then(fact(ClubOpened, opens_on=date(2008, 6, 30), tiers=HEALTH.tiers))
    given(HEALTH).when(HEALTH).then_refused(ClubExists("health"))


def test_a_club_opens_before_it_closes() -> None:
    def hours(opens: int, closes: int) -> OpenClub:
        return HEALTH.model_copy(update={"opens_minute": opens, "closes_minute": closes})

    given().when(hours(600, 600)).then_refused(HoursReversed(600, 600))
    given().when(hours(601, 600)).then_refused(HoursReversed(601, 600))
    given().when(hours(599, 600)).then(fact(ClubOpened))


def test_each_price_of_a_service_has_the_next_version() -> None:
    given(HEALTH).when(price()).then(fact(ServicePriced, service_id="room", price_version=1))
    given(CLUB).when(price(points=80)).then(fact(ServicePriced, price_version=2, points=80))
    given(CLUB).when(price(service_id="tea")).then(fact(ServicePriced, price_version=1))
    given().when(price()).then_refused(UnknownClub("health"))


def test_an_emergency_is_declared_and_ended_once() -> None:
    given(CLUB).when(DECLARED).then(fact(EmergencyDeclared, reason="暴雪"))
    given(CLUB, DECLARED).when(ENDED).then(fact(EmergencyEnded))
    given(CLUB, DECLARED).when(DECLARED).then_refused(EmergencyAlready(local(NOON)))
    given(CLUB).when(ENDED).then_refused(NoEmergency("health"))
    given(CLUB, DECLARED, ENDED).when(ENDED).then_refused(NoEmergency("health"))
    given(CLUB, DECLARED, ENDED).when(DECLARED).then_refused(EmergencyAlready(local(NOON)))
    again = do(DeclareEmergency, "2008-07-16 12:00")
    given(CLUB, DECLARED, ENDED).when(again).then(fact(EmergencyDeclared))


def test_an_emergency_does_not_end_before_it_was_declared() -> None:
    early = do(EndEmergency, "2008-07-15 11:59")
    given(CLUB, DECLARED).when(early).then_refused(NoEmergency("health"))


def test_in_an_emergency_people_without_a_name_are_admitted_and_counted_apart() -> None:
    given(CLUB, DECLARED).when(admit(people=3)).then(
        fact(EmergencyAdmitted, category="elderly", people=3)
    )
    given(CLUB, DECLARED).when(admit("2008-07-15 11:59")).then_refused(NoEmergency("health"))
    given(CLUB).when(admit()).then_refused(NoEmergency("health"))
    after = admit("2008-07-16 12:00")
    given(CLUB, DECLARED, ENDED).when(after).then_refused(NoEmergency("health"))


def test_who_came_in_an_emergency_is_told_when_it_is_over() -> None:
    given(CLUB, DECLARED, ENDED).when(admit()).then(fact(EmergencyAdmitted))
    earlier = (do(kind, f"2008-07-1{day} 12:00")
               for day, kind in ((2, DeclareEmergency), (3, EndEmergency)))  # fmt: skip
    told = given(CLUB, DECLARED, ENDED, *earlier)
    for day, refused in ((12, False), (14, True), (15, False), (17, True)):
        told.when(admit(f"2008-07-{day} 12:30"))
        assert (told.outcome == NoEmergency("health")) is refused


def test_nothing_happens_in_a_club_that_is_unknown_or_not_open_yet() -> None:
    for kind in (DeclareEmergency, EndEmergency, HoldActivity, AdmitInEmergency):
        said = {"category": "child"} if kind is AdmitInEmergency else {}
        early = do(kind, "2008-06-29 23:59", **said)
        given().when(early).then_refused(UnknownClub("health"))
        given(CLUB).when(early).then_refused(
            NotOpenYet("health", date(2008, 6, 29), date(2008, 6, 30))
        )


def test_an_activity_is_held_once() -> None:
    given(CLUB).when(HELD).then(fact(ActivityHeld, activity_id="drive", cost_fen=500_000))
    given(CLUB, HELD).when(HELD).then_refused(ActivityExists("drive"))


def test_a_member_takes_part_in_an_activity_once() -> None:
    given(MEMBER, CLUB, HELD).when(attend()).then(
        fact(ActivityAttended, activity_id="drive", held_at=local(NOON), tier="gold")
    )
    again = given(MEMBER, CLUB, HELD, attend())
    again.when(attend("2008-07-16 09:00")).then_refused(AlreadyAttended("drive"))


def test_an_attendance_may_be_entered_within_92_days() -> None:
    known = (MEMBER, CLUB, HELD)
    given(known).when(attend("2008-10-15 11:59")).then(fact(ActivityAttended))
    for at in ("2008-10-15 12:00", "2008-07-15 11:59"):
        given(known).when(attend(at)).then_refused(UnknownActivity("health", "drive"))
    given(MEMBER, CLUB).when(attend()).then_refused(UnknownActivity("health", "drive"))
    given(MEMBER).when(attend()).then_refused(UnknownClub("health"))


def test_an_attendance_is_not_forgotten_while_it_could_be_entered_again() -> None:
    hike = do(HoldActivity, "2008-11-01 12:00", activity_id="hike")
    hiked = do(AttendActivity, "2008-11-01 12:00", activity_id="hike")
    scenario = given(MEMBER, CLUB, HELD, hike, attend(), hiked)
    scenario.when(attend("2008-09-01 12:00")).then_refused(AlreadyAttended("drive"))
    third = do(HoldActivity, "2010-01-01 12:00", activity_id="walk")
    scenario.and_given(third, do(AttendActivity, "2010-01-01 12:00", activity_id="walk"))
    assert list(scenario.member.attendance.attended) == ["health/walk"]


def test_who_takes_part_was_on_the_network_when_it_was_held() -> None:
    left = do(LeaveNetwork, "2008-07-15 12:01")
    given(MEMBER, CLUB, HELD, left).when(attend("2008-07-20 12:00")).then(fact(ActivityAttended))
    left = do(LeaveNetwork, NOON)
    given(MEMBER, CLUB, HELD, left).when(attend()).then_refused(LeftTheNetwork("m1", local(NOON)))
    late = do(type(MEMBER[1]), "2008-07-15 13:00")
    given(WEST, late, CLUB, HELD).when(attend("2008-07-16 12:00")).then_refused(
        BeforeJoining(local(NOON), local("2008-07-15 13:00"))
    )
    given(WEST, CLUB, HELD).when(attend()).then_refused(UnknownMember("m1"))
