"""What was written off meanwhile changes no answer: a fact told late uses the lots of its time."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from domain.kernel.bounds import bounds_of
from domain.kernel.command import Command
from domain.kernel.postings import MovesPoints, Posting, balances
from domain.kernel.refusal import Refusal
from domain.points.lots import NotEnoughPoints, Points
from domain.points.movements import (
    CreditReversed,
    DebitReversed,
    ExpirePoints,
    ExpiryReversed,
    PointsDebited,
    PointsExpired,
    ReverseCredit,
    ReverseDebit,
    UnknownLot,
)
from tests.domain.scenario import World, do, fact, given, local
from tests.domain.words import CLUB, MEMBER, NOON, credit, debit, visit

LAPSES = "2008-08-01 00:00"
SWEPT = do(ExpirePoints, "2008-08-02 12:00")


def test_a_debit_told_late_takes_what_was_written_off_since() -> None:
    given(MEMBER, credit(100, expires=LAPSES), SWEPT).when(debit(30)).then(
        fact(ExpiryReversed, occurred_at=local(LAPSES),
             postings=(Posting(1, "expired", "spendable", 30),)),
        fact(PointsDebited, postings=(Posting(1, "spendable", "spent", 30),)),
    )  # fmt: skip


def test_it_takes_no_more_than_there_was() -> None:
    swept = given(MEMBER, credit(100, expires=LAPSES), debit(80), SWEPT)
    swept.when(debit(21)).then_refused(NotEnoughPoints(21, 20))
    swept.and_given(debit(20))
    swept.when(debit(1)).then_refused(NotEnoughPoints(1, 0))


def test_what_had_lapsed_at_its_own_time_stays_written_off() -> None:
    swept = given(MEMBER, credit(100, expires=LAPSES), SWEPT)
    swept.when(debit(1, "2008-08-01 00:00")).then_refused(NotEnoughPoints(1, 0))


def test_a_visit_told_late_is_paid_the_same_way() -> None:
    swept = given(MEMBER, CLUB, credit(100, expires=LAPSES), SWEPT)
    before, paid, _ = swept.when(visit()).outcome or ()  # type: ignore[misc]
    assert (before.topic, paid.topic) == ("points.expiry_reversed", "points.debited")
    assert swept.world.receipt["spendable_points"] == 30


def test_a_credit_reversed_late_takes_what_was_written_off_since() -> None:
    back = do(ReverseCredit, NOON, lot=1, points=60)
    given(MEMBER, credit(100, expires=LAPSES), SWEPT).when(back).then(
        fact(ExpiryReversed, postings=(Posting(1, "expired", "spendable", 60),)),
        fact(CreditReversed, postings=(Posting(1, "spendable", "reversed", 60),)),
    )


def test_what_a_debit_told_late_took_expires_again_when_it_is_reversed() -> None:
    swept = given(MEMBER, credit(100, expires=LAPSES), SWEPT, debit(30))
    swept.when(do(ReverseDebit, "2008-08-03 12:00", debit=1)).then(
        fact(DebitReversed),
        fact(PointsExpired, postings=(Posting(1, "spendable", "expired", 30),)),
    )


def test_what_lapsed_is_kept_for_400_days_and_no_longer() -> None:
    swept = given(MEMBER, credit(100, expires=LAPSES), SWEPT, credit(5, NOON))
    swept.and_given(debit(1, "2009-09-04 12:00"))
    assert list(swept.member.points.lots) == [1, 2]
    swept.and_given(debit(1, "2009-09-06 12:00"))
    assert list(swept.member.points.lots) == [2]


def test_what_is_kept_for_late_facts_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bounds_of(Points), "lots", 2)
    full = given(MEMBER, credit(1, expires=LAPSES), credit(1), SWEPT)
    full.and_given(credit(1, "2008-08-03 12:00"))
    assert list(full.member.points.lots) == [2, 3]


@pytest.mark.parametrize("swept", [False, True])
def test_a_lot_emptied_long_ago_is_unknown_whatever_was_tidied(swept: bool) -> None:
    """accepted-after-a-month.jsonl."""
    tidied = [debit(1, "2008-08-20 12:00")] if swept else []
    given(MEMBER, credit(10), debit(10), credit(5, "2008-07-16 12:00"), tidied).when(
        do(ReverseCredit, "2008-08-24 12:00", lot=1, points=1)
    ).then_refused(UnknownLot(1, 2))


@pytest.mark.parametrize("swept", [False, True])
def test_a_debit_is_taken_back_late_whatever_was_written_off_since(swept: bool) -> None:
    """An expiry dated more than 31 days after the debit once made it forgotten."""
    sweep = [do(ExpirePoints, "2008-08-21 12:00")] if swept else []
    lapsing = given(MEMBER, credit(100, expires="2008-08-20 00:00"), debit(30), sweep)
    lapsing.when(do(ReverseDebit, "2008-07-20 12:00", debit=1))
    assert lapsing.world.receipt == {"spendable_points": 100}


START = local("2008-01-01 00:00")
DAYS = st.integers(0, 60)


@st.composite
def commands(draw: st.DrawFn) -> Command:
    """One about points, at any of some days."""
    at = START + timedelta(days=draw(DAYS), hours=draw(st.sampled_from([9, 12])))
    match draw(st.sampled_from(["credit", "credit", "debit", "debit", "debit_back", "back"])):
        case "credit":
            made = credit(draw(st.integers(1, 30)))
            lasts = draw(st.sampled_from([None, 5, 20, 20]))
            expires_at = None if lasts is None else at + timedelta(days=lasts)
            return made.model_copy(update={"at": at, "expires_at": expires_at})
        case "debit":
            return debit(draw(st.integers(1, 20)), at)
        case "debit_back":
            return do(ReverseDebit, at, debit=draw(st.integers(1, 3)))
        case _:
            policy = draw(st.sampled_from(["forgive", "other_lots"]))
            said: dict[str, Any] = {"lot": draw(st.integers(1, 4)), "policy": policy}
            return do(ReverseCredit, at, points=draw(st.integers(1, 20)), **said)


def ended(told: list[Command], swept_after: set[int]) -> tuple[Any, ...]:
    """What becomes of these, each taken or refused, with sweeps between; and a sweep at the end."""
    world: World = given(MEMBER).world
    taken: list[Any] = []
    sweep = do(ExpirePoints, START + timedelta(days=200))
    for n, command in enumerate([*told, sweep]):
        try:
            world.execute(command)
            taken.append(command is sweep or world.receipt)
        except Refusal as refusal:
            taken.append((refusal.code, vars(refusal)))
        if n in swept_after:
            at = max(each.at for each in told[: n + 1] if each.at is not None)
            world.execute(do(ExpirePoints, at))
    moved = [p for _, e in world.log if isinstance(e, MovesPoints) for p in e.postings]
    sums = {lot: {k: v for k, v in each.items() if v} for lot, each in balances(moved).items()}
    return taken, sums


@drawn(st.lists(commands(), min_size=2, max_size=12), st.sets(st.integers(0, 11), min_size=1))
def test_whatever_was_swept_meanwhile_every_answer_is_the_same(
    told: list[Command], swept_after: set[int]
) -> None:
    assert ended(told, swept_after) == ended(told, set())
