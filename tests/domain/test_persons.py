"""Persons: what is told of who a member is, shown in full, and erased for good."""

from domain.kernel.timeline import NothingChanges
from domain.members import AlreadyJoined, BeforeJoining, JoinNetwork, LeaveNetwork, UnknownMember
from domain.persons import (
    ChangeDetails,
    Erased,
    EraseMember,
    MemberDetailsChanged,
    MemberErased,
    MemberUnmasked,
    UnmaskMember,
)
from domain.points.movements import PointsDebited
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import MEMBER, NOON, WEST, credit, debit

JOINED_AT = local("2005-03-01 10:00")
LEFT = do(LeaveNetwork, NOON)
ERASED = do(EraseMember, NOON, reason="asked for")


def test_a_name_or_a_number_may_become_another_one() -> None:
    both = do(ChangeDetails, NOON, name="王晓明", phone="138 0000 0000")
    given(MEMBER).when(both).then(fact(MemberDetailsChanged, changed=("name", "phone")))
    away = do(ChangeDetails, NOON, phone=None)
    given(MEMBER, LEFT).when(away).then(fact(MemberDetailsChanged, changed=("phone",)))
    given(MEMBER).when(do(ChangeDetails, NOON)).then_refused(NothingChanges("details"))
    given(WEST).when(both).then_refused(UnknownMember("m1"))
    early = do(ChangeDetails, "2005-02-28 10:00", name="王晓明")
    given(MEMBER).when(early).then_refused(BeforeJoining(local("2005-02-28 10:00"), JOINED_AT))


def test_who_is_shown_in_full_and_what_for_is_a_fact() -> None:
    asked = do(UnmaskMember, NOON, purpose="called back")
    shown = given(MEMBER).when(asked)
    shown.then(fact(MemberUnmasked, purpose="called back")).then_told(name=None, phone=None)
    given(WEST).when(asked).then_refused(UnknownMember("m1"))


def test_an_erased_member_is_told_of_and_shown_no_more() -> None:
    given(MEMBER).when(ERASED).then(fact(MemberErased, reason="asked for"))
    erased = Erased("m1", local(NOON))
    later = (
        do(ChangeDetails, NOON, name="王晓明"),
        do(ChangeDetails, NOON, phone=None),
        do(ChangeDetails, "2008-06-01 10:00", name="王晓明"),  # of before, told after
        do(UnmaskMember, NOON, purpose="called back"),
    )
    for each in later:
        given(MEMBER, ERASED).when(each).then_refused(erased)
    given(MEMBER, ERASED).when(do(JoinNetwork, NOON)).then_refused(AlreadyJoined("m1", JOINED_AT))
    given(MEMBER, ERASED).when(ERASED).then()


def test_what_an_erased_member_has_stays() -> None:
    given(MEMBER, credit(40), ERASED).when(debit(40)).then(fact(PointsDebited, points=40))
