"""Bindings outside campaigns: half-open intervals that may end early."""

from datetime import date
from typing import Any

from domain.bindings import (
    AlreadyBound,
    BindingEnded,
    BindingReversed,
    BindingStarted,
    BindingTooFarAhead,
    BindingTooLong,
    BoundBeforeJoining,
    EndBinding,
    NotWithinBinding,
    StartBinding,
    UnknownBinding,
    policies_within,
)
from domain.kernel.periods import TooLongAgo
from domain.members import LeaveNetwork, LeftTheNetwork, Membership, ReturnToNetwork, UnknownMember
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import MEMBER, NOON, WEST

JULY, AUGUST, OCTOBER = date(2008, 7, 1), date(2008, 8, 1), date(2008, 10, 1)


def bind(
    starts_on: date = AUGUST, ends_on: date = OCTOBER, policy: str = "prepay", at: str = NOON
) -> StartBinding:
    return do(StartBinding, at, policy=policy, starts_on=starts_on, ends_on=ends_on)


def end(ended_on: date, at: str = NOON, **said: Any) -> EndBinding:
    return do(EndBinding, at, ended_on=ended_on, **{"binding": 1, "cause": "cancelled", **said})


def test_a_binding_runs_from_a_day_to_the_day_it_no_longer_binds() -> None:
    scenario = given(MEMBER).when(bind()).then_told(binding=1)
    scenario.then(
        fact(BindingStarted, binding=1, starts_on=AUGUST, ends_on=OCTOBER, campaign_id=None)
    )
    days = {date(2008, 7, 31): False, AUGUST: True, date(2008, 9, 30): True, OCTOBER: False}
    for day, bound in days.items():
        after = date.fromordinal(day.toordinal() + 1)
        assert bool(policies_within(scenario.member.bindings, Membership(), day, after)) is bound


def test_a_binding_starts_before_it_ends() -> None:
    given(MEMBER).when(bind(AUGUST, AUGUST)).then_refused(BindingReversed(AUGUST, AUGUST))
    given(MEMBER).when(bind(OCTOBER, AUGUST)).then_refused(BindingReversed(OCTOBER, AUGUST))


def test_no_policy_binds_a_member_twice_on_one_day() -> None:
    for starts_on, ends_on in (
        (JULY, date(2008, 8, 2)),
        (date(2008, 9, 30), date(2009, 1, 1)),
        (JULY, date(2009, 1, 1)),
        (date(2008, 9, 1), date(2008, 9, 2)),
    ):
        given(MEMBER, bind()).when(bind(starts_on, ends_on)).then_refused(AlreadyBound("prepay"))
        given(MEMBER, bind()).when(bind(starts_on, ends_on, "handset")).then(fact(BindingStarted))
    given(MEMBER, bind()).when(bind(JULY, AUGUST)).then(fact(BindingStarted, binding=2))
    given(MEMBER, bind()).when(bind(OCTOBER, date(2009, 1, 1))).then(fact(BindingStarted))


def test_a_binding_told_late_does_not_overlap_one_that_is_over() -> None:
    over = bind(JULY, AUGUST, at="2008-07-01 09:00")
    other = bind(OCTOBER, date(2008, 11, 1), at="2008-10-01 09:00")
    given(MEMBER, over, other).when(bind(JULY, AUGUST, at="2008-10-02 09:00")).then_refused(
        AlreadyBound("prepay")
    )


def test_bindings_long_over_leave_the_state() -> None:
    over, new = bind(JULY, AUGUST), bind(date(2010, 1, 1), date(2010, 2, 1), at="2010-01-01 09:00")
    scenario = given(MEMBER, over, new)
    assert [bound.id for bound in scenario.member.bindings.bindings] == [2]
    scenario.when(end(JULY)).then_refused(UnknownBinding(1, 2))


def test_a_binding_is_not_told_twice_though_the_state_has_forgotten_it() -> None:
    over, new = bind(JULY, AUGUST), bind(date(2010, 1, 1), date(2010, 2, 1), at="2010-01-01 09:00")
    forgotten = TooLongAgo("2008-07-01", "2008-08-01")
    for at in (NOON, "2010-01-02 09:00"):
        given(MEMBER, over, new).when(bind(JULY, AUGUST, at=at)).then_refused(forgotten)
        for policy, starts_on in (("prepay", AUGUST), ("handset", JULY)):
            other = bind(starts_on, OCTOBER, policy, at=at)
            given(MEMBER, over, new).when(other).then(fact(BindingStarted, binding=3))


def test_a_binding_starts_after_joining_and_not_far_ahead() -> None:
    joined, early = date(2005, 3, 1), date(2005, 2, 28)
    given(MEMBER).when(bind(early)).then_refused(BoundBeforeJoining(early, joined))
    given(MEMBER).when(bind(joined)).then(fact(BindingStarted))
    latest, later = date(2010, 7, 15), date(2010, 7, 16)
    given(MEMBER).when(bind(latest, date(2011, 1, 1))).then(fact(BindingStarted))
    given(MEMBER).when(bind(later, date(2011, 1, 1))).then_refused(
        BindingTooFarAhead(later, latest)
    )
    given(MEMBER).when(bind(date(2080, 8, 1), date(2081, 8, 1))).then_refused(
        BindingTooFarAhead(date(2080, 8, 1), latest)
    )


def test_a_binding_lasts_no_longer_than_terms_bind() -> None:
    given(MEMBER).when(bind(AUGUST, date(2018, 8, 1))).then(fact(BindingStarted))
    too_long = BindingTooLong(AUGUST, date(2018, 8, 2), 120)
    given(MEMBER).when(bind(AUGUST, date(2018, 8, 2))).then_refused(too_long)


def test_a_binding_ends_early_on_one_of_its_days() -> None:
    given(MEMBER, bind()).when(end(date(2008, 9, 1), cause="cancelled")).then(
        fact(BindingEnded, binding=1, ended_on=date(2008, 9, 1), cause="cancelled")
    )
    for day in (date(2008, 7, 31), OCTOBER):
        given(MEMBER, bind()).when(end(day)).then_refused(NotWithinBinding(day, AUGUST, OCTOBER))


def test_a_binding_binds_until_the_day_on_which_it_ends_early() -> None:
    september = date(2008, 9, 1)
    scenario = given(MEMBER, bind(), end(september))
    scenario.when(bind(date(2008, 8, 31), OCTOBER)).then_refused(AlreadyBound("prepay"))
    scenario.when(bind(september, OCTOBER)).then(fact(BindingStarted, binding=2))


def test_a_binding_that_ends_before_it_begins_never_bound() -> None:
    scenario = given(MEMBER, bind(), end(AUGUST))
    scenario.when(bind(JULY, OCTOBER)).then(fact(BindingStarted, binding=2))
    assert [bound.id for bound in scenario.member.bindings.bindings] == [1, 2]


def test_a_binding_ends_early_once() -> None:
    ended = given(MEMBER, bind(), end(date(2008, 9, 1)))
    ended.when(end(date(2008, 8, 15))).then_refused(UnknownBinding(1, 1))
    given(MEMBER).when(end(AUGUST)).then_refused(UnknownBinding(1, 0))


def test_the_other_bindings_stay_when_one_ends() -> None:
    scenario = given(MEMBER, bind(), bind(policy="handset"), end(AUGUST))
    ended, other = scenario.member.bindings.bindings
    assert (ended.until, other.until) == (AUGUST, OCTOBER)


def test_only_those_on_the_network_are_bound() -> None:
    left = do(LeaveNetwork, NOON)
    given(WEST).when(bind()).then_refused(UnknownMember("m1"))
    given(WEST).when(end(AUGUST)).then_refused(UnknownMember("m1"))
    given(MEMBER, left).when(bind()).then_refused(LeftTheNetwork("m1", local(NOON)))


def test_leaving_ends_what_binds_and_what_ended_it_before_may_be_told_after() -> None:
    left = do(LeaveNetwork, "2008-09-01 10:00")
    bound = given(MEMBER, bind(), left)
    day = date(2008, 9, 1)
    for late in (day, date(2008, 9, 30)):
        bound.when(end(late)).then_refused(NotWithinBinding(late, AUGUST, day))
    bound.when(end(date(2008, 8, 31), cause="cancelled")).then(fact(BindingEnded))


def test_leaving_ends_what_binds_for_good() -> None:
    away = (
        do(LeaveNetwork, "2008-08-20 12:00"),
        do(ReturnToNetwork, "2008-09-10 12:00"),
    )
    back = given(MEMBER, bind(), away)
    # It had bound until October; he may bind himself again from the day on which he came back.
    again = bind(date(2008, 9, 10), OCTOBER, at="2008-09-10 13:00")
    back.when(end(date(2008, 9, 20), "2008-09-11 12:00")).then_refused(
        NotWithinBinding(date(2008, 9, 20), AUGUST, date(2008, 8, 20))
    )
    back.when(again).then(fact(BindingStarted, binding=2))
    # What was agreed before he left, for a time after he came back, binds then.
    later = bind(date(2008, 11, 1), date(2008, 12, 1))
    given(MEMBER, later, away).when(
        bind(date(2008, 11, 5), date(2009, 1, 1), at="2008-09-10 13:00")
    ).then_refused(AlreadyBound("prepay"))
    # What would have begun while he was away never does.
    never = bind(date(2008, 9, 1), date(2008, 12, 1))
    given(MEMBER, never, away).when(again).then(fact(BindingStarted, binding=2))
