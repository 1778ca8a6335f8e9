"""Credits open lots, debits spend them, lots lapse, and either can be reversed."""

from datetime import timedelta
from typing import Any

import pytest

from domain.kernel.parts import REMEMBERED
from domain.kernel.postings import PointsAccount, Posting, Postings
from domain.members import BeforeJoining, LeaveNetwork, LeftTheNetwork, UnknownMember
from domain.points.lots import DEBITS, NotEnoughPoints, allocate
from domain.points.movements import (
    CarryPointsOver,
    CreditPoints,
    CreditReversed,
    DebitReversed,
    ExpirePoints,
    ExpiresBeforeAvailable,
    MoreThanCredited,
    PointsCarriedOver,
    PointsCredited,
    PointsDebited,
    PointsExpired,
    ReverseCredit,
    ReverseDebit,
    UnknownDebit,
    UnknownLot,
)
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import CLUB, JOINED, MEMBER, NOON, WEST, credit, debit, price, visit

LATER = "2008-07-20 12:00"
AUGUST = credit(100, "2008-01-01 09:00", expires="2008-08-01 00:00")
SEPTEMBER = credit(100, "2008-01-02 09:00", expires="2008-09-01 00:00")
LASTING = credit(100, "2008-01-03 09:00")


def moved(source: PointsAccount, target: PointsAccount, **points: int) -> Postings:
    """moved("spendable", "spent", lot2=50, lot1=20)"""
    return tuple(Posting(int(lot[3:]), source, target, n) for lot, n in points.items())


def paid(**points: int) -> Postings:
    """paid(lot2=50, lot1=20)"""
    return moved("spendable", "spent", **points)


def back(**points: int) -> Postings:
    """Returned to the lots."""
    return moved("spent", "spendable", **points)


def taken(**points: int) -> Postings:
    """Taken back of the lots."""
    return moved("spendable", "reversed", **points)


def lapsed(**points: int) -> Postings:
    """Expired."""
    return moved("spendable", "expired", **points)


def reverse_credit(points: int, at: str = LATER, lot: int = 1, **said: Any) -> ReverseCredit:
    return do(ReverseCredit, at, lot=lot, points=points, **said)


def reverse_debit(number: int = 1, at: str = LATER) -> ReverseDebit:
    return do(ReverseDebit, at, debit=number)


def test_a_credit_opens_a_lot() -> None:
    given(MEMBER).when(AUGUST).then(
        PointsCredited(
            occurred_at=local("2008-01-01 09:00"),
            actor="clerk:li",
            key="k1",
            postings=moved("outside", "spendable", lot1=100),
            expires_at=local("2008-08-01 00:00"),
            source="bill 2008-06",
            rule="v1",
        )
    ).then_told(lot=1, spendable_points=100)


def test_a_lot_cannot_lapse_before_it_can_be_spent() -> None:
    new_year, june = local("2008-01-01 09:00"), local("2008-06-01 00:00")
    given(MEMBER).when(
        do(CreditPoints, new_year, points=1, available_from=june, expires_at=june)
    ).then_refused(ExpiresBeforeAvailable(june, june))
    given(MEMBER).when(
        do(CreditPoints, june, points=1, available_from=new_year, expires_at=june)
    ).then_refused(ExpiresBeforeAvailable(new_year, june))


def test_a_debit_spends_the_points_that_expire_soonest() -> None:
    given(MEMBER, LASTING, SEPTEMBER, AUGUST).when(debit(220)).then(
        fact(PointsDebited, debit=1, postings=paid(lot3=100, lot2=100, lot1=20))
    )


def test_of_lots_that_expire_together_the_one_earned_first_is_spent_first() -> None:
    june, may = (credit(10, at, expires="2008-08-01 00:00") for at in ("2008-06-01", "2008-05-01"))
    given(MEMBER, june, may).when(debit(15)).then(
        fact(PointsDebited, postings=paid(lot2=10, lot1=5))
    )
    given(MEMBER, may, may).when(debit(15)).then(
        fact(PointsDebited, postings=paid(lot1=10, lot2=5))
    )


def test_a_debit_is_refused_whole_when_the_points_do_not_cover_it() -> None:
    given(MEMBER, AUGUST).when(debit(101)).then_refused(NotEnoughPoints(101, 100))
    given(MEMBER).when(debit(1)).then_refused(NotEnoughPoints(1, 0))


def test_points_not_yet_available_cannot_be_spent() -> None:
    pending = do(
        CreditPoints, "2008-07-01 09:00", points=5, available_from=local("2008-07-15 12:00")
    )
    given(MEMBER, pending).when(debit(5, "2008-07-15 11:59")).then_refused(NotEnoughPoints(5, 0))
    given(MEMBER, pending).when(debit(5, "2008-07-15 12:00")).then(
        fact(PointsDebited, postings=paid(lot1=5))
    )


def test_expiry_is_judged_at_the_instant_and_written_down_beside() -> None:
    given(MEMBER, AUGUST, LASTING).when(debit(100, "2008-08-01 00:00")).then(
        fact(PointsExpired, postings=lapsed(lot1=100), occurred_at=local("2008-08-01 00:00")),
        fact(PointsDebited, postings=paid(lot2=100)),
    )
    given(MEMBER, AUGUST).when(debit(1, "2008-08-01 00:00")).then_refused(NotEnoughPoints(1, 0))
    given(MEMBER, AUGUST).when(debit(1, "2008-07-31 23:59")).then(
        fact(PointsDebited, postings=paid(lot1=1))
    )


def test_a_credit_writes_down_what_lapsed_before_it() -> None:
    given(MEMBER, AUGUST).when(credit(5, "2008-09-01 00:00")).then(
        fact(PointsExpired, postings=lapsed(lot1=100)),
        fact(PointsCredited, postings=moved("outside", "spendable", lot2=5)),
    )


def test_the_sweep_dates_each_expiry_at_the_lots_own_instant() -> None:
    sweep = do(ExpirePoints, "2008-09-01 00:00")
    scenario = given(MEMBER, AUGUST, SEPTEMBER, LASTING, debit(30)).when(sweep)
    scenario.then_told(expired_points=170).then(
        fact(PointsExpired, postings=lapsed(lot1=70), occurred_at=local("2008-08-01 00:00")),
        fact(PointsExpired, postings=lapsed(lot2=100), occurred_at=local("2008-09-01 00:00")),
    )
    scenario.when(sweep).then().then_told(expired_points=0)


def test_a_reversed_debit_returns_to_the_very_lots_it_came_from() -> None:
    scenario = given(MEMBER, AUGUST, LASTING, debit(130))
    scenario.when(reverse_debit()).then(
        fact(DebitReversed, debit=1, postings=back(lot1=100, lot2=30))
    )
    assert [(lot.id, lot.points) for lot in scenario.member.points.lots.values()] == [
        (1, 100),
        (2, 100),
    ]


def test_what_returns_to_a_lot_that_has_lapsed_since_expires_at_once() -> None:
    after = "2008-08-02 09:00"
    scenario = given(MEMBER, AUGUST, LASTING, debit(130))
    scenario.when(reverse_debit(at=after)).then(
        fact(DebitReversed, postings=back(lot1=100, lot2=30)),
        fact(PointsExpired, postings=lapsed(lot1=100), occurred_at=local(after)),
    )
    scenario.when(debit(100, after)).then(fact(PointsDebited, postings=paid(lot2=100)))
    scenario.when(debit(1, after)).then_refused(NotEnoughPoints(1, 0))


def test_what_returns_expires_at_once_whether_or_not_the_rest_was_swept() -> None:
    spent, after = (MEMBER, AUGUST, debit(30)), "2008-08-02 09:00"
    sweep = do(ExpirePoints, after)
    given(spent).when(reverse_debit(at=after)).then(
        fact(DebitReversed, postings=back(lot1=30)), fact(PointsExpired, postings=lapsed(lot1=30))
    ).when(sweep).then(fact(PointsExpired, postings=lapsed(lot1=70)))
    given(spent, sweep).when(reverse_debit(at=after)).then(
        fact(DebitReversed, postings=back(lot1=30)), fact(PointsExpired, postings=lapsed(lot1=30))
    )


def test_a_debit_is_reversed_once() -> None:
    given(MEMBER, AUGUST, debit(30), reverse_debit()).when(reverse_debit()).then_refused(
        UnknownDebit(1, 1, 31)
    )
    given(MEMBER, AUGUST).when(reverse_debit()).then_refused(UnknownDebit(1, 0, 31))


def test_a_debit_can_be_reversed_for_31_days_but_not_before_it_was_made() -> None:
    spent = (MEMBER, LASTING, debit(30))
    given(spent).when(reverse_debit(at="2008-08-15 12:00")).then(fact(DebitReversed))
    given(spent).when(reverse_debit(at="2008-08-15 12:01")).then_refused(UnknownDebit(1, 1, 31))
    given(spent).when(reverse_debit(at="2008-07-15 11:59")).then_refused(UnknownDebit(1, 1, 31))


def test_a_debit_can_be_reversed_while_it_is_among_the_latest_32() -> None:
    spent = [debit(1) for _ in range(REMEMBERED + 1)]
    given(MEMBER, LASTING, spent).when(reverse_debit(2)).then(fact(DebitReversed))
    given(MEMBER, LASTING, spent).when(reverse_debit(1)).then_refused(UnknownDebit(1, 33, 31))


def test_a_debit_told_late_does_not_hide_old_ones_from_being_forgotten() -> None:
    scenario = given(MEMBER, LASTING, debit(1, NOON), debit(1, "2008-06-20 12:00"))
    scenario.and_given(debit(1, "2008-07-25 12:00"))
    assert [known.id for known in DEBITS.opened(scenario.member.points.debits)] == [1, 3]


def test_a_debit_told_late_makes_room_for_itself_among_the_latest_32() -> None:
    spent, late = [debit(1)] * REMEMBERED, debit(1, "2008-07-14 12:00")
    scenario = given(MEMBER, LASTING, spent, late)
    assert [known.id for known in DEBITS.opened(scenario.member.points.debits)] == [
        33,
        *range(2, 33),
    ]
    scenario.when(reverse_debit(33)).then(fact(DebitReversed))
    given(MEMBER, LASTING, spent, late).when(reverse_debit(1)).then_refused(UnknownDebit(1, 33, 31))


def test_a_visits_debit_is_not_reversed_without_the_visit() -> None:
    visited = (MEMBER, CLUB, LASTING, visit())
    given(visited).when(reverse_debit()).then_refused(UnknownDebit(1, 1, 31))
    # Nor when younger visits that cost nothing have pushed it out of the member's latest 32.
    minutes = [local(NOON) + timedelta(minutes=11 * n) for n in range(1, 33)]
    free = [visit(at, service_id="tea") for at in minutes]
    tea = price(points=0, tier_points={}, service_id="tea")
    given(visited, tea, free).when(reverse_debit()).then_refused(UnknownDebit(1, 1, 31))


def test_a_reversed_credit_takes_its_own_unspent_points() -> None:
    given(MEMBER, AUGUST, LASTING).when(reverse_credit(40)).then(
        fact(CreditReversed, lot=1, asked_points=40, postings=taken(lot1=40))
    )


def test_a_reversed_credit_takes_points_that_are_not_available_yet() -> None:
    pending = do(CreditPoints, "2008-07-01", points=50, available_from=local("2008-08-01"))
    given(MEMBER, pending).when(reverse_credit(50)).then(
        fact(CreditReversed, postings=taken(lot1=50))
    )


def test_what_was_spent_of_a_reversed_credit_is_forgiven_or_taken_from_other_lots() -> None:
    spent = (MEMBER, AUGUST, SEPTEMBER, debit(80))
    given(spent).when(reverse_credit(100)).then(
        fact(CreditReversed, asked_points=100, postings=taken(lot1=20))
    )
    given(spent).when(reverse_credit(100, policy="other_lots")).then(
        fact(CreditReversed, asked_points=100, postings=taken(lot1=20, lot2=80))
    )


def test_other_lots_are_taken_down_to_zero_and_no_further() -> None:
    small = credit(5, "2008-01-02 09:00", expires="2008-09-01 00:00")
    given(MEMBER, AUGUST, debit(100), small).when(reverse_credit(100, policy="other_lots")).then(
        fact(CreditReversed, asked_points=100, postings=taken(lot2=5))
    )
    given(MEMBER, AUGUST, debit(100)).when(reverse_credit(100, policy="other_lots")).then(
        fact(CreditReversed, asked_points=100, postings=())
    )


def test_reversals_of_a_credit_add_up_to_the_credit_and_no_more() -> None:
    scenario = given(MEMBER, AUGUST, reverse_credit(60))
    scenario.when(reverse_credit(41)).then_refused(MoreThanCredited(100, 60, 41))
    scenario.when(reverse_credit(40)).then(fact(CreditReversed, postings=taken(lot1=40)))
    scenario.when(reverse_credit(1)).then_refused(MoreThanCredited(100, 100, 1))


def test_what_was_forgiven_counts_as_reversed() -> None:
    scenario = given(MEMBER, AUGUST, debit(80)).when(reverse_credit(60))
    scenario.then(fact(CreditReversed, asked_points=60, postings=taken(lot1=20)))
    scenario.when(reverse_credit(41)).then_refused(MoreThanCredited(100, 60, 41))
    scenario.when(reverse_credit(40)).then(fact(CreditReversed, asked_points=40, postings=()))


def test_a_credit_reversed_in_part_is_known_for_31_days_after_its_lot_is_empty() -> None:
    spent_long_ago = (MEMBER, LASTING, debit(60, "2008-02-01 12:00"), SEPTEMBER)
    halves = [reverse_credit(50, policy="other_lots") for _ in range(2)]
    scenario = given(spent_long_ago, debit(1, "2008-07-01 12:00"))
    scenario.when(halves[0]).then(fact(CreditReversed, postings=taken(lot1=40, lot2=10)))
    scenario.when(halves[1]).then(fact(CreditReversed, postings=taken(lot2=50)))
    scenario.and_given(credit(1, "2008-08-21 12:00"))
    assert list(scenario.member.points.lots) == [2, 1, 3], "a credit tidies nothing up"
    scenario.when(reverse_credit(1, "2008-08-21 12:00")).then_refused(UnknownLot(1, 3))
    scenario.and_given(debit(1, "2008-08-21 12:00"))
    assert list(scenario.member.points.lots) == [2, 3]


def test_a_lot_that_lapsed_is_not_reversed_whether_or_not_it_was_swept() -> None:
    after = "2008-08-02 09:00"
    for known in ((MEMBER, AUGUST), (MEMBER, AUGUST, debit(30), reverse_credit(10))):
        for swept in ((), (do(ExpirePoints, after),)):
            given(known, swept).when(reverse_credit(1, after)).then_refused(UnknownLot(1, 1))


def test_a_credit_that_the_expiries_of_its_reversal_forget_is_unknown() -> None:
    """The expiry that is written down first tidies up: what it drops cannot be reversed after."""
    spent_long_ago = (MEMBER, LASTING, debit(100, "2008-02-01 12:00"))
    lapses = credit(5, "2008-02-02 09:00", expires="2008-07-01 00:00")
    for swept in ((), (do(ExpirePoints, LATER),)):
        refused = given(spent_long_ago, lapses, swept).when(reverse_credit(1))
        refused.then_refused(UnknownLot(1, 2))


def test_a_reversal_writes_down_what_else_lapsed() -> None:
    given(MEMBER, LASTING, AUGUST).when(reverse_credit(10, "2008-08-02 09:00")).then(
        fact(PointsExpired, postings=lapsed(lot2=100)),
        fact(CreditReversed, lot=1, postings=taken(lot1=10)),
    )


def test_a_credit_cannot_be_reversed_before_it_was_given() -> None:
    given(MEMBER, AUGUST).when(reverse_credit(1, "2007-12-31 09:00")).then_refused(UnknownLot(1, 1))
    given(MEMBER).when(reverse_credit(1)).then_refused(UnknownLot(1, 0))


def test_spent_lots_leave_the_state_when_no_debit_can_return_to_them() -> None:
    scenario = given(MEMBER, AUGUST, LASTING, debit(100))
    assert list(scenario.member.points.lots) == [1, 2]
    scenario.and_given(debit(1, "2008-08-16 12:00"))
    assert list(scenario.member.points.lots) == [2]
    assert [known.id for known in DEBITS.opened(scenario.member.points.debits)] == [2]


def test_points_are_for_those_on_the_network() -> None:
    left = do(LeaveNetwork, LATER)
    gone = LeftTheNetwork("m1", local(LATER))
    early = BeforeJoining(local("2005-01-01"), local("2005-03-01 10:00"))
    given(WEST).when(credit(1)).then_refused(UnknownMember("m1"))
    given(WEST, JOINED).when(credit(1, "2005-01-01")).then_refused(early)
    given(MEMBER, left).when(credit(1, LATER)).then_refused(gone)
    given(MEMBER, left).when(debit(1, LATER)).then_refused(gone)


def test_points_of_those_who_left_can_still_be_put_right() -> None:
    gone = given(MEMBER, LASTING, debit(1), do(LeaveNetwork, "2008-07-16 09:00"))
    gone.when(reverse_credit(1)).then_told(spendable_points=98)
    gone.when(reverse_debit()).then_told(spendable_points=99)
    gone.when(do(ExpirePoints, LATER)).then_told(expired_points=0)
    for command in (reverse_credit(1), reverse_debit(), do(ExpirePoints, LATER)):
        given(WEST).when(command).then_refused(UnknownMember("m1"))


def test_a_state_that_does_not_hold_the_points_is_an_error_and_not_a_refusal() -> None:
    scenario = given(MEMBER, AUGUST)
    by = {"actor": "system:sweep", "key": "k"}
    with pytest.raises(ValueError, match="lot 1 holds 100 points, not 101"):
        scenario.and_given(PointsExpired(occurred_at=local(NOON), postings=lapsed(lot1=101), **by))
    with pytest.raises(ValueError, match="lot 9 is not in the member's state"):
        scenario.and_given(PointsExpired(occurred_at=local(NOON), postings=lapsed(lot9=1), **by))


def test_spending_leaves_the_lots_it_was_asked_about_alone() -> None:
    lots = given(MEMBER, AUGUST).member.points.lots.values()
    allocate(lots, 100, local(NOON))
    assert [lot.points for lot in lots] == [100]


def test_the_asker_is_told_what_can_be_spent_afterwards() -> None:
    given(MEMBER, AUGUST).when(debit(30)).then_told(debit=1, spendable_points=70)


def test_a_visit_may_cost_more_than_any_one_credit() -> None:
    """Fifty companions at the highest price: refused for want of points, never a defect."""
    cost = PointsDebited(
        occurred_at=local(NOON),
        actor="clerk:li",
        key="k",
        debit=1,
        postings=paid(lot1=51_000_000_000),
        reason="lounge/room",
    )
    assert cost.points == 51_000_000_000


def carried_over(points: int, at: str = NOON, expires: str | None = None) -> CarryPointsOver:
    expires_at = None if expires is None else local(expires)
    return do(CarryPointsOver, at, points=points, expires_at=expires_at, source="boss-2007")


def test_points_are_brought_along_from_another_system() -> None:
    given(MEMBER, credit(10)).when(carried_over(300)).then(
        fact(PointsCarriedOver, lot=2, points=300, source="boss-2007", expires_at=None)
    ).then_told(lot=2, spendable_points=310)


def test_they_lapse_as_that_system_had_it_if_that_is_known() -> None:
    known = carried_over(300, expires="2008-12-31 23:00")
    brought = given(MEMBER, carried_over(5), known)
    brought.when(debit(300, "2008-12-01 12:00")).then(
        fact(PointsDebited, postings=moved("spendable", "spent", lot2=300))
    )
    over = given(MEMBER, known).when(debit(1, "2009-01-01 12:00"))
    over.then_refused(NotEnoughPoints(1, 0))
    given(MEMBER).when(carried_over(1, expires="2008-07-01 00:00")).then_refused(
        ExpiresBeforeAvailable(local(NOON), local("2008-07-01 00:00"))
    )
