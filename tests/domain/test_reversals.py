"""Reversals of credits and debits end alike in any order: what was forgiven is remembered."""

from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.kernel.command import Command
from domain.kernel.postings import Posting
from domain.points.lots import MAX_CLAIMS, Points
from domain.points.movements import (
    CreditPoints,
    CreditReversed,
    DebitReversed,
    PointsExpired,
    ReverseCredit,
    ReverseDebit,
)
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import MEMBER, credit, debit

LATER = "2008-07-20 12:00"
DAYS = ["2008-07-16 12:00", "2008-07-17 12:00"]


def refund(points: int, lot: int = 1, at: str = LATER, **said: Any) -> ReverseCredit:
    return do(ReverseCredit, at, lot=lot, points=points, **said)


def gift_back(number: int = 1, at: str = LATER) -> ReverseDebit:
    return do(ReverseDebit, at, debit=number)


@pytest.mark.parametrize("order", [(refund, gift_back), (gift_back, refund)])
def test_a_refund_and_a_gift_that_comes_back_end_alike(order: Any) -> None:
    """refund.jsonl and refund2.jsonl."""
    commands = [refund(100, at=day) if what is refund else gift_back(at=day)
                for what, day in zip(order, DAYS, strict=True)]  # fmt: skip
    member = given(MEMBER, credit(100), debit(60), commands).member
    assert sum(lot.points for lot in member.points.lots.values()) == 0


def test_what_was_forgiven_is_taken_when_it_returns() -> None:
    given(MEMBER, credit(100), debit(60), refund(70)).when(gift_back()).then(
        fact(DebitReversed, change=30, postings=(
            Posting(1, "spent", "spendable", 60), Posting(1, "spendable", "reversed", 30),
        ))
    )  # fmt: skip


def test_what_returns_to_a_lot_goes_back_to_those_that_gave_for_it() -> None:
    others = refund(100, policy="other_lots")
    scenario = given(MEMBER, credit(100), debit(100), credit(40, "2008-07-16 12:00"), others)
    assert [lot.points for lot in scenario.member.points.lots.values()] == [0, 0]
    scenario.when(gift_back()).then(
        fact(DebitReversed, change=40, postings=(
            Posting(1, "spent", "spendable", 100),
            Posting(1, "spendable", "reversed", 100),
            Posting(2, "reversed", "spendable", 40),
        ))
    )  # fmt: skip


def test_what_goes_back_to_a_lot_that_has_lapsed_expires_at_once() -> None:
    gives = credit(40, "2008-07-16 12:00", expires="2008-08-01 00:00")
    others = refund(100, policy="other_lots")
    after = "2008-08-02 12:00"
    given(MEMBER, credit(100), debit(100), gives, others).when(gift_back(at=after)).then(
        fact(DebitReversed), fact(PointsExpired, postings=(Posting(2, "spendable", "expired", 40),))
    )


def test_a_later_credit_does_not_pay_for_what_was_forgiven() -> None:
    scenario = given(MEMBER, credit(100), debit(100), refund(100, policy="other_lots"))
    scenario.and_given(credit(30, "2008-07-21 12:00"), debit(10, "2008-07-21 12:00"))
    scenario.when(gift_back(2, "2008-07-22 12:00")).then(fact(DebitReversed, change=10))


def test_a_reversal_takes_no_more_than_it_asks_whatever_was_forgiven_before() -> None:
    first, forgiven, last = (
        refund(1, policy="other_lots"), refund(1), refund(1, policy="other_lots")
    )  # fmt: skip
    later = credit(2, "2008-07-20 12:00")
    scenario = given(MEMBER, credit(3), debit(2), first, later, forgiven)
    scenario.when(last).then(fact(CreditReversed, change=-1))
    # Nor later: the second lot was not there when the first point was asked back.
    scenario.and_given(credit(5, "2008-07-20 12:00"), debit(6, "2008-07-20 12:00"))
    scenario.when(gift_back(2)).then(fact(DebitReversed, change=6))


def test_nor_does_it_take_what_could_not_be_spent_when_it_was_asked_back() -> None:
    open_at = local("2008-07-25 12:00")
    pending = do(CreditPoints, "2008-07-16 12:00", points=5, available_from=open_at)
    both = [refund(1, policy="other_lots"), refund(1, at="2008-07-26 12:00", policy="other_lots")]
    scenario = given(MEMBER, credit(2), debit(2), pending, both[0])
    scenario.when(both[1]).then(fact(CreditReversed, change=-1))
    scenario.when(gift_back(at="2008-07-27 12:00")).then(
        fact(DebitReversed, change=1)  # Both credits' points, of their own lot; the fifth is back.
    )


def test_more_reversals_of_a_credit_than_are_told_apart_take_no_more_for_it() -> None:
    scenario = given(MEMBER, credit(100), debit(100))
    for _ in range(2 * MAX_CLAIMS):
        scenario = scenario.and_given(credit(1, "2008-07-20 12:00"), refund(2, policy="other_lots"))
    points = scenario.member.points
    assert len(points.reversals[1].claims) == MAX_CLAIMS
    assert sum(lot.points for lot in points.lots.values()) == 0
    assert points.reversals[1].asked == 4 * MAX_CLAIMS


def test_a_lot_that_gave_all_for_another_can_still_be_reversed() -> None:
    """reverse-credit-drained.jsonl."""
    drained = (MEMBER, credit(10), debit(10), credit(5, "2008-07-16 12:00"))
    others, own = refund(10, policy="other_lots"), refund(5, lot=2)
    for commands in ([others, own], [own, others]):
        points = given(drained, commands).member.points
        assert [(lot.points, points.reversals[lot.id].asked) for lot in points.lots.values()] == [
            (0, 10), (0, 5)
        ]  # fmt: skip
    given(drained, others).when(own).then(fact(CreditReversed, asked_points=5, postings=()))


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Command], list[Command], list[Command]]:
    """(credits and debits, reversals of them, the same in another order)."""
    sizes = draw(st.lists(st.integers(1, 30), min_size=1, max_size=4))
    made: list[Command] = [credit(size, f"2008-07-0{n + 1} 12:00") for n, size in enumerate(sizes)]
    left, debits = sum(sizes), 0
    for points in draw(st.lists(st.integers(1, 30), max_size=4)):
        if points <= left:
            made.append(debit(points, "2008-07-10 12:00"))
            left, debits = left - points, debits + 1
    back: list[Command] = [gift_back(n) for n in range(1, debits + 1) if draw(st.booleans())]
    for lot, size in enumerate(sizes, 1):
        rest = size
        for part in draw(st.lists(st.integers(1, 15), max_size=3)):
            if part <= rest:
                rest -= part
                policy = draw(st.sampled_from(["forgive", "other_lots"]))
                back.append(refund(part, lot, policy=policy))
    return made, back, draw(st.permutations(back))


@drawn(lives())
def test_reversals_in_any_order_end_alike(
    life: tuple[list[Command], list[Command], list[Command]],
) -> None:
    made, one, other = life

    def ended(order: list[Command]) -> Points:
        return given(MEMBER, made, order).member.points

    assert (ended(one).lots, ended(one).reversals) == (ended(other).lots, ended(other).reversals)
