"""Units and members: joining, the important mark, tiers, bills, leaving."""

from datetime import datetime

import pytest

from domain.corrections import CorrectLeaving, CorrectReturn, FactCorrected, UnknownFact
from domain.kernel.command import Command
from domain.kernel.personal import Sealed
from domain.kernel.timeline import NothingChanges
from domain.members import (
    AlreadyBilled,
    AlreadyJoined,
    BackBeforeLeaving,
    BeforeJoining,
    BillIssued,
    BillTooLate,
    ChangeTier,
    JoinNetwork,
    LeaveNetwork,
    LeftTheNetwork,
    MarkImportant,
    MemberJoined,
    MemberLeft,
    MemberMarkedImportant,
    MemberMoved,
    MemberReturned,
    MoveToUnit,
    OnTheNetwork,
    RecordBill,
    ReturnToNetwork,
    TierChanged,
    UnknownMember,
    UnknownUnit,
    is_important,
    tier_at,
    unit_at,
)
from domain.points.movements import PointsCredited, PointsDebited
from domain.units import OpenUnit, UnitOpened
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import EAST, GOLD, JOINED, MEMBER, NOON, WEST, credit, debit

JOINED_AT = local("2005-03-01 10:00")
LEFT = do(LeaveNetwork, NOON)


def bill(month: str, at: str = NOON, amount_fen: int = 8_800) -> RecordBill:
    return do(RecordBill, at, month=month, amount_fen=amount_fen)


def test_a_unit_opens_and_may_be_renamed() -> None:
    given().when(WEST).then(fact(UnitOpened, title="城西分局"))
    given(WEST).when(do(OpenUnit, NOON, title="西城")).then(fact(UnitOpened, title="西城"))
    given(WEST).when(WEST).then_refused(NothingChanges("title"))


def test_a_customer_joins_a_unit_that_exists() -> None:
    given(WEST).when(JOINED).then(fact(MemberJoined, unit_id="west", occurred_at=JOINED_AT))
    given().when(JOINED).then_refused(UnknownUnit("west"))


def test_a_customer_joins_once_even_when_he_has_left() -> None:
    given(WEST, JOINED).when(JOINED).then_refused(AlreadyJoined("m1", JOINED_AT))
    given(MEMBER, LEFT).when(JOINED).then_refused(AlreadyJoined("m1", JOINED_AT))


def test_name_and_phone_are_kept_apart_from_the_events() -> None:
    told = do(JoinNetwork, NOON, name="王小明", phone="+8613800000000")
    assert told.sealed() == {"name": Sealed("王小明"), "phone": Sealed("+8613800000000")}
    assert do(JoinNetwork, NOON, phone="13800000000").sealed().keys() == {"phone"}
    assert not JOINED.sealed()
    assert not GOLD.sealed()
    scenario = given(WEST, told)
    assert all("王" not in event.model_dump_json() for _, event in scenario.world.log[1:])


def test_a_customer_is_marked_as_important_and_unmarked() -> None:
    mark, unmark = (do(MarkImportant, NOON, important=important) for important in (True, False))
    given(MEMBER).when(mark).then(fact(MemberMarkedImportant, important=True))
    given(MEMBER, mark).when(unmark).then(fact(MemberMarkedImportant, important=False))
    given(MEMBER, mark).when(mark).then_refused(NothingChanges("true"))
    given(MEMBER).when(unmark).then_refused(NothingChanges("false"))


def test_a_tier_is_given_changed_and_taken_away() -> None:
    none = do(ChangeTier, NOON, tier=None)
    given(WEST, JOINED).when(GOLD).then(
        fact(TierChanged, from_tier=None, tier="gold", unit_id="west")
    )
    given(MEMBER).when(none).then(fact(TierChanged, from_tier="gold", tier=None))
    given(MEMBER).when(do(ChangeTier, NOON, tier="gold")).then_refused(NothingChanges("gold"))
    given(WEST, JOINED).when(none).then_refused(NothingChanges("none"))


def test_a_change_of_tier_told_late_takes_its_place() -> None:
    early = do(ChangeTier, "2006-12-31 23:59", tier="silver")
    told = given(MEMBER).when(early).then(fact(TierChanged, from_tier=None, tier="silver"))
    assert [tier for _, tier in told.member.membership.tiers] == ["silver", "gold"]
    told.when(do(ChangeTier, "2006-12-31 23:59", tier="silver")).then_refused(
        NothingChanges("silver")
    )
    told.when(do(ChangeTier, NOON, tier="gold")).then_refused(NothingChanges("gold"))
    left = given(MEMBER, early, LEFT).when(do(LeaveNetwork, "2006-12-31 23:59"))
    left.then_refused(LeftTheNetwork("m1", local(NOON)))
    told.when(do(LeaveNetwork, "2006-12-31 23:59")).then(fact(MemberLeft, tier="silver"))
    same = given(MEMBER).when(do(ChangeTier, "2007-01-01 00:00", tier="silver"))
    assert same.then(fact(TierChanged, from_tier="gold")).member.membership.tiers == [
        (local("2007-01-01"), "silver")
    ]


def test_a_mark_taken_away_is_not_brought_back_by_one_of_before() -> None:
    mark, unmark = (
        do(MarkImportant, at, important=at < "2008-03-10")
        for at in ("2008-03-01 09:00", "2008-03-10 09:00")
    )
    slip = do(MarkImportant, "2008-03-05 09:00", important=True)
    late = given(MEMBER, mark, unmark).when(slip).then(fact(MemberMarkedImportant))
    assert not is_important(late.member.membership, local("2008-03-12"))
    late.when(slip).then_refused(NothingChanges("true"))
    given(MEMBER, mark).when(slip).then_refused(NothingChanges("true"))
    earlier = do(MarkImportant, "2008-02-01 09:00", important=True)
    told = given(MEMBER, mark, unmark).when(earlier).then(fact(MemberMarkedImportant))
    assert not is_important(told.member.membership, local("2008-03-12"))
    assert is_important(told.member.membership, local("2008-03-09"))
    assert not is_important(told.member.membership, local("2008-01-31"))


def test_a_customer_leaves_once_and_keeps_his_tier() -> None:
    scenario = given(MEMBER).when(LEFT).then(fact(MemberLeft, unit_id="west", tier="gold"))
    assert tier_at(scenario.member.membership, local(NOON)) == "gold"
    gone = LeftTheNetwork("m1", local(NOON))
    given(MEMBER, LEFT).when(do(LeaveNetwork, "2008-08-01 09:00")).then_refused(gone)
    given(MEMBER, LEFT).when(do(LeaveNetwork, "2008-06-01 09:00")).then_refused(gone)


@pytest.mark.parametrize(
    "command",
    [
        do(MarkImportant, "2005-03-01 09:59", important=True),
        do(ChangeTier, "2005-03-01 09:59", tier="gold"),
        do(LeaveNetwork, "2005-03-01 09:59"),
        bill("2005-02", "2005-03-01 09:59"),
    ],
)
def test_nothing_happens_to_a_customer_before_he_joins(command: Command) -> None:
    at = command.at
    assert isinstance(at, datetime)
    given(WEST).when(command).then_refused(UnknownMember("m1"))
    given(WEST, JOINED).when(command).then_refused(BeforeJoining(at, JOINED_AT))


def test_what_comes_to_light_later_of_a_customer_who_left_is_still_recorded() -> None:
    mark = do(MarkImportant, "2008-07-01 09:00", important=True)
    given(MEMBER, LEFT).when(mark).then(fact(MemberMarkedImportant))
    given(MEMBER, LEFT).when(do(MarkImportant, NOON, important=True)).then_refused(
        LeftTheNetwork("m1", local(NOON))
    )
    given(MEMBER, LEFT).when(bill("2008-07", "2008-08-01 09:00")).then(fact(BillIssued))


def test_a_bill_may_be_a_credit_note() -> None:
    note = bill("2008-06", amount_fen=-2_000)
    given(MEMBER).when(note).then(fact(BillIssued, month="2008-06", amount_fen=-2_000))
    given(MEMBER, note).when(bill("2008-06")).then_refused(AlreadyBilled("2008-06"))


def test_each_month_is_billed_once() -> None:
    given(MEMBER).when(bill("2008-06")).then(fact(BillIssued, month="2008-06", amount_fen=8_800))
    given(MEMBER, bill("2008-06")).when(bill("2008-06")).then_refused(AlreadyBilled("2008-06"))
    months = [bill(f"2008-{month:02}") for month in (3, 1, 6, 2)]
    for month in (1, 2, 3, 6):
        given(MEMBER, months).when(bill(f"2008-{month:02}")).then_refused(
            AlreadyBilled(f"2008-{month:02}")
        )
    for month in (4, 5, 7):
        given(MEMBER, months).when(bill(f"2008-{month:02}")).then(fact(BillIssued))
    given(MEMBER, months).when(bill("2007-12")).then(fact(BillIssued))


def test_a_bill_may_come_35_months_late() -> None:
    given(MEMBER, bill("2008-06")).when(bill("2005-07")).then(fact(BillIssued))
    given(MEMBER, bill("2008-06")).when(bill("2005-06")).then_refused(
        BillTooLate("2005-06", 36, 35)
    )
    given(MEMBER, bill("2005-07"), bill("2008-06")).when(bill("2005-07")).then_refused(
        AlreadyBilled("2005-07")
    )
    later = "2017-07-01 09:00"
    known = given(MEMBER, bill("2005-07"), bill("2017-06", later))
    known.when(bill("2017-05", later)).then(fact(BillIssued))


# ------------------------------------------------------------------------------ moving, coming back
def move(unit_id: str, at: str = NOON) -> MoveToUnit:
    return do(MoveToUnit, at, unit_id=unit_id)


def back(at: str, unit_id: str = "west") -> ReturnToNetwork:
    return do(ReturnToNetwork, at, unit_id=unit_id)


def test_a_member_moves_to_another_unit_and_facts_know_the_unit_of_their_time() -> None:
    moved = given(MEMBER, EAST).when(move("east"))
    moved.then(fact(MemberMoved, from_unit_id="west", unit_id="east"))
    silver = do(ChangeTier, "2008-07-15 11:59", tier="silver")
    moved.when(silver).then(fact(TierChanged, unit_id="west"))
    moved.when(do(ChangeTier, "2008-07-15 12:00", tier="gold")).then(
        fact(TierChanged, unit_id="east")
    )
    moved.when(do(LeaveNetwork, "2008-08-01 12:00")).then(fact(MemberLeft, unit_id="east"))


def test_a_move_told_late_takes_its_place_among_the_others() -> None:
    north = do(OpenUnit, "2000-01-01 09:00", unit_id="north")
    known = given(MEMBER, EAST, north, move("east"))
    known.when(move("north", "2008-07-01 12:00")).then(
        fact(MemberMoved, from_unit_id="west", unit_id="north")
    )
    membership = known.member.membership
    units = {"2008-06-30": "west", "2008-07-02": "north", "2008-07-16": "east"}
    assert {day: unit_at(membership, local(f"{day} 12:00")) for day in units} == units


def test_a_member_moves_where_there_is_a_unit_and_he_is_not_already() -> None:
    given(MEMBER).when(move("east")).then_refused(UnknownUnit("east"))
    given(MEMBER).when(move("west")).then_refused(NothingChanges("west"))
    left = LeftTheNetwork("m1", local("2008-07-01 12:00"))
    given(MEMBER, EAST, do(LeaveNetwork, "2008-07-01 12:00")).when(move("east")).then_refused(left)


GONE = do(LeaveNetwork, "2008-07-01 12:00")


def test_a_member_comes_back_as_who_he_was() -> None:
    home = given(MEMBER, credit(50), GONE).when(back("2008-07-10 12:00"))
    home.then(fact(MemberReturned, period=2, unit_id="west", left_at=local("2008-07-01 12:00")))
    home.when(debit(50)).then(fact(PointsDebited, points=50))  # his points
    home.when(do(ChangeTier, NOON, tier="gold")).then_refused(NothingChanges("gold"))  # his tier


def test_he_comes_back_into_another_unit() -> None:
    home = given(MEMBER, EAST, GONE).when(back("2008-07-10 12:00", "east"))
    home.then(fact(MemberReturned, unit_id="east"))
    assert unit_at(home.member.membership, local("2008-07-10 12:00")) == "east"
    home.when(do(CorrectReturn, "2008-07-11 12:00")).then(fact(FactCorrected))
    assert unit_at(home.member.membership, local("2008-07-12 12:00")) == "west"
    given(MEMBER, GONE).when(back("2008-07-10 12:00", "east")).then_refused(UnknownUnit("east"))


def test_a_move_at_the_instant_of_a_return_stays_when_that_is_taken_back() -> None:
    came = "2008-07-10 12:00"
    home = given(MEMBER, EAST, GONE, back(came), do(MoveToUnit, came, unit_id="east"))
    home.and_given(do(CorrectReturn, "2008-07-11 12:00"))
    assert unit_at(home.member.membership, local("2008-07-12 12:00")) == "east"


def test_of_several_moves_at_the_instant_of_a_return_the_last_stays() -> None:
    came, back_again = "2008-07-10 12:00", do(CorrectReturn, "2008-07-11 12:00")
    moves = [do(MoveToUnit, came, unit_id=each) for each in ("east", "west")]
    after = given(MEMBER, EAST, GONE, back(came, "west"), *moves).and_given(back_again)
    assert unit_at(after.member.membership, local("2008-07-12 12:00")) == "west"
    before = given(MEMBER, EAST, moves[0], do(LeaveNetwork, came), back(came, "west")).and_given(
        back_again
    )
    assert unit_at(before.member.membership, local("2008-07-12 12:00")) == "east"


def test_a_move_told_late_does_not_reach_past_his_return() -> None:
    home = given(MEMBER, EAST, GONE, back("2008-07-10 12:00", "west"))
    home.and_given(do(MoveToUnit, "2008-06-30 12:00", unit_id="east"))
    days = ("2008-06-30 12:00", "2008-07-10 12:00")
    assert [unit_at(home.member.membership, local(day)) for day in days] == ["east", "west"]


def test_nothing_happens_while_he_is_away() -> None:
    home = given(MEMBER, GONE, back("2008-07-10 12:00"))
    away = LeftTheNetwork("m1", local("2008-07-01 12:00"))
    for day in ("2008-07-01 12:00", "2008-07-10 11:59"):
        home.when(credit(1, day)).then_refused(away)
    for day in ("2008-07-01 11:59", "2008-07-10 12:00"):
        home.when(credit(1, day)).then(fact(PointsCredited))


def test_nobody_comes_back_who_is_there_or_before_he_left() -> None:
    given(WEST).when(back(NOON)).then_refused(UnknownMember("m1"))
    given(MEMBER).when(back(NOON)).then_refused(OnTheNetwork("m1"))
    early = BackBeforeLeaving(local("2008-07-01 11:59"), local("2008-07-01 12:00"))
    given(MEMBER, GONE).when(back("2008-07-01 11:59")).then_refused(early)


def test_he_leaves_again_but_not_before_he_came_back() -> None:
    home = given(MEMBER, GONE, back("2008-07-10 12:00"))
    away = LeftTheNetwork("m1", local("2008-07-01 12:00"))
    home.when(do(LeaveNetwork, "2008-07-10 11:59")).then_refused(away)
    home.when(do(LeaveNetwork, "2008-06-01 12:00")).then_refused(away)
    home.when(do(LeaveNetwork, NOON)).then(fact(MemberLeft, period=2))
    home.when(back("2008-08-01 12:00")).then(fact(MemberReturned, period=3))


def test_the_last_leaving_or_coming_back_is_taken_back_first() -> None:
    home = given(MEMBER, GONE, back("2008-07-10 12:00"), do(LeaveNetwork, NOON))
    later = "2008-07-20 12:00"
    unleave, unreturn = do(CorrectLeaving, later), do(CorrectReturn, later)
    home.when(do(CorrectLeaving, later, period=1)).then_refused(UnknownFact("member.left"))
    home.when(unreturn).then_refused(UnknownFact("member.returned"))
    home.when(unleave).then(fact(FactCorrected, fact="member.left", which="2"))
    home.when(unleave).then_refused(UnknownFact("member.left"))
    home.when(unreturn).then(fact(FactCorrected, fact="member.returned", which="2"))
    home.when(credit(1, NOON)).then_refused(LeftTheNetwork("m1", local("2008-07-01 12:00")))
    home.when(unleave).then(fact(FactCorrected, fact="member.left", which="-"))
    home.when(credit(1, "2008-07-05 12:00")).then(fact(PointsCredited))
    home.when(unreturn).then_refused(UnknownFact("member.returned"))
