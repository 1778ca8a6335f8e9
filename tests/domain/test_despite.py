"""What happened, happened: a history may have broken a rule that protects a live desk, no other.

Every refusal of every command is sorted here. One that protects a desk is asked by `unless_despite`
wherever it is asked, and what is told despite it is decided as if nobody asked; what no history may
break stays refused, whatever is said.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, TypeVar

import pytest

from domain.bindings import BindingStarted
from domain.campaigns import CloseCampaign
from domain.catalogue import COMMANDS, REFUSALS
from domain.enrolments import (
    CampaignEnrolled,
    CapReached,
    InControlGroup,
    PlaceTaken,
)
from domain.kernel.command import Command
from domain.kernel.refusal import DeskRule, NeverExcused, Refusal, require_excusable
from domain.members import ChangeTier, JoinNetwork, LeaveNetwork
from domain.points.lots import NotEnoughPoints
from domain.points.movements import PointsDebited
from domain.visits import PriceChanged, VisitRecorded
from tests.domain import test_refusals
from tests.domain.scenario import World, do, fact, given, local
from tests.domain.test_refusals import FOUNDED, OTHERS, TAKEN, forgetful, world_of, worlds
from tests.domain.words import CLUB, MEMBER, campaign, credit, enrol, price, visit

C = TypeVar("C", bound=Command)

PROTECTS_A_DESK = {
    "already_bound", "binding_too_far_ahead", "binding_too_long", "budget_used_up",
    "campaign_not_open", "campaign_over", "cap_reached", "club_closed", "enrolled_meanwhile",
    "in_control_group", "no_emergency", "no_free_visit", "not_eligible", "not_in_segment",
    "not_open_yet", "prepaid_too_small", "price_changed", "terms_are_newer",
    "undo_needs_supervisor", "visit_repeated",
}  # fmt: skip
NO_HISTORY_MAY = {
    # It would be told twice.
    "activity_exists", "already_attended", "already_billed", "already_enrolled", "already_included",
    "already_joined", "already_offered", "campaign_exists", "club_exists", "cohort_exists",
    "emergency_already", "nothing_changes", "told_already", "webhook_exists",
    # It is about what there is not.
    "arm_is_drawn", "arm_not_given", "no_draw", "unknown_activity", "unknown_binding",
    "unknown_campaign", "unknown_club", "unknown_cohort", "unknown_debit", "unknown_fact",
    "unknown_lot", "unknown_member", "unknown_report", "unknown_service", "unknown_unit",
    "unknown_visit", "unknown_topic", "unknown_webhook", "webhook_is_removed",
    # It contradicts itself, or what is known for good.
    "arms_given_and_drawn", "back_before_leaving", "bad_formula", "before_joining",
    "binding_reversed", "bound_before_joining", "cohort_is_frozen", "expires_before_available",
    "hours_reversed", "left_the_network", "more_than_credited", "not_come_yet",
    "not_enough_points", "not_within_binding", "on_the_network", "part_of_enrolment",
    "period_reversed", "window_reversed",
    # It would tell anew who somebody is.
    "erased",
    # It would give somebody a right that he has not, or take one that nobody has.
    "api_key_exists", "api_key_is_revoked", "expires_too_soon", "role_not_held", "unknown_api_key",
    "unknown_role", "unknown_user", "user_exists", "user_is_disabled",
    # Nobody could say any more whether it was told before, or hold it.
    "bill_too_late", "too_long_ago", "too_many",
}  # fmt: skip


def test_every_refusal_of_every_command_is_sorted() -> None:
    declared = {each for kind in COMMANDS.values() for each in kind.refuses}
    desk = {each.code for each in declared if issubclass(each, DeskRule)}
    assert desk == PROTECTS_A_DESK
    assert {each.code for each in declared} - desk == NO_HISTORY_MAY


@pytest.mark.parametrize("code", sorted(NO_HISTORY_MAY))
def test_what_no_history_may_break_cannot_be_named(code: str) -> None:
    with pytest.raises(NeverExcused) as refused:
        require_excusable(["club_closed", code])
    assert refused.value == NeverExcused(code)


def test_nor_can_a_rule_that_there_is_not_and_it_is_not_repeated() -> None:
    with pytest.raises(NeverExcused) as refused:
        require_excusable(["zhang_san"])
    assert refused.value == NeverExcused(None)


def test_every_rule_that_protects_a_desk_can_be_named() -> None:
    require_excusable(sorted(PROTECTS_A_DESK))


# ------------------------------------------------------------------------- wherever it is asked
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, Command]]:
    """Every world of the tests of refusals, and what is asked there."""
    for needs, command in OTHERS:
        yield given(FOUNDED, needs).world, command
    for needs, command in TAKEN.values():
        for facts, asked in worlds(needs, command):
            yield world_of(*facts), asked
        yield forgetful(given(FOUNDED, needs).world), command
        world = given(FOUNDED, needs).world
        with monkeypatch.context() as full:
            test_refusals.without_room(full)
            yield world, command


def despite(command: C, *codes: str) -> C:
    return command.model_copy(update={"despite": codes})


def outcome(world: World, command: Command) -> Any:
    try:
        return world.execute(command).events
    except Refusal as refusal:
        return refusal


def test_what_is_told_despite_a_rule_is_refused_for_no_rule_of_that_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    excused: set[tuple[str, str]] = set()
    for world, command in refusing(monkeypatch):
        broken: tuple[str, ...] = ()
        while isinstance(found := outcome(world, despite(command, *broken)), Refusal):
            code = found.code
            assert code not in broken
            if code in NO_HISTORY_MAY:
                assert outcome(world, despite(command, *broken, code)) == found
                break
            broken = (*broken, code)
            excused.add((command.called, code))
        else:
            said = [event.despite for _, event in found if getattr(event, "despite", None)]
            assert said == ([broken] if broken else []), "one of its events says it all"
    desk = {(n, r.code) for n, k in COMMANDS.items() for r in k.refuses if issubclass(r, DeskRule)}
    assert excused == desk


def test_what_was_allowed_and_not_needed_is_not_told() -> None:
    every = tuple(sorted(PROTECTS_A_DESK))
    for needs, command in TAKEN.values():
        plain, told = given(FOUNDED, needs).world, given(FOUNDED, needs).world
        taken = plain.execute(command).events
        assert told.execute(despite(command, *every)).events == taken


# ------------------------------------------------------------------------------------ sentences
CONTROL = campaign(control_bp=10_000)


def test_who_was_drawn_into_the_control_group_and_enrolled_all_the_same() -> None:
    enrolled = given(MEMBER, CONTROL).when(despite(enrol(), "in_control_group", "cap_reached"))
    told = fact(CampaignEnrolled, despite=("in_control_group",))
    enrolled.then(fact(PlaceTaken, place=1), told, fact(BindingStarted, despite=None))


def test_naming_another_rule_helps_nobody() -> None:
    told = despite(enrol(), "cap_reached")
    given(MEMBER, CONTROL).when(told).then_refused(InControlGroup("spring"))


def test_a_cap_that_was_broken_stays_counted_and_live_ones_stay_refused() -> None:
    full = given(MEMBER, campaign(cap=0)).when(despite(enrol(), "cap_reached"))
    places = full.world.state("places:spring")["places"]
    assert places.held == 1
    another = do(JoinNetwork, "2008-01-01 09:00", member_id="m2")
    tier = do(ChangeTier, "2008-01-01 10:00", member_id="m2", tier="gold")
    full.and_given(another, tier).when(enrol(member_id="m2")).then_refused(CapReached(0, 1))


def test_a_member_paid_what_he_was_shown() -> None:
    told = despite(visit(shown_points=60), "price_changed")
    given(MEMBER, CLUB, credit(100)).when(told).then(
        fact(PointsDebited, points=60),
        fact(VisitRecorded, points=60, despite=("price_changed",)),
    )


def test_but_never_with_points_that_he_had_not() -> None:
    told = despite(visit(shown_points=101), "price_changed")
    given(MEMBER, CLUB, credit(100)).when(told).then_refused(NotEnoughPoints(101, 100))


def test_a_live_desk_still_says_the_new_price() -> None:
    given(MEMBER, CLUB, credit(100)).when(visit(shown_points=60)).then_refused(
        PriceChanged(60, 70, 1)
    )


def test_several_rules_are_told_in_the_order_in_which_they_are_asked() -> None:
    night = "2008-06-29 23:00"
    told = despite(visit(night), "not_eligible", "club_closed", "not_open_yet", "visit_repeated")
    silver = do(ChangeTier, "2008-06-20 00:00", tier="silver")
    world = given(MEMBER, silver, CLUB, credit(100)).when(told)
    world.then(
        fact(PointsDebited, points=70),
        fact(VisitRecorded, despite=("not_open_yet", "club_closed", "not_eligible")),
    )


def test_a_free_visit_that_was_given_beyond_the_grant_is_counted() -> None:
    free = price(free_visits={"gold": 1})
    told = despite(visit("2008-07-16 12:00", payment="free_visit"), "no_free_visit")
    given(MEMBER, CLUB[0], free, visit(payment="free_visit")).when(told).then(
        fact(VisitRecorded, payment="free_visit", points=0, despite=("no_free_visit",))
    ).when(visit("2008-07-17 12:00", payment="free_visit")).then_refused(
        REFUSALS["no_free_visit"](1, 2)
    )


def test_the_terms_that_were_shown_are_those_of_the_enrolment() -> None:
    newer = do(
        COMMANDS["campaign.change_terms"],
        "2008-07-10 09:00",
        prepaid_min_fen=0,
        gift_bp=0,
        months_bound=1,
        min_monthly_fen=0,
    )
    told = despite(enrol(shown_terms_version=1), "terms_are_newer")
    given(MEMBER, campaign(), newer).when(told).then(
        fact(PlaceTaken, gift_fen=1_000),
        fact(CampaignEnrolled, terms_version=1, gift_fen=1_000, despite=("terms_are_newer",)),
        fact(BindingStarted, ends_on=date(2009, 7, 15)),
    )


def test_a_campaign_that_was_closed() -> None:
    closed = do(CloseCampaign, "2008-07-10 09:00")
    told = despite(enrol(), "campaign_over")
    outcome = given(MEMBER, campaign(), closed).when(told).outcome
    assert not isinstance(outcome, Refusal)


def test_but_never_before_joining_or_after_leaving() -> None:
    left = do(LeaveNetwork, "2008-07-01 09:00")
    told = despite(enrol(), *sorted(PROTECTS_A_DESK))
    scenario = given(MEMBER, campaign(), left).when(told)
    scenario.then_refused(REFUSALS["left_the_network"]("m1", local("2008-07-01 09:00")))


def test_an_exception_survives_its_bytes_and_its_command() -> None:
    told = despite(enrol(), "in_control_group")
    assert b'"despite":["in_control_group"]' in told.asked()
    assert b"despite" not in enrol().asked()
