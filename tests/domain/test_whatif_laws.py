"""What holds of every replay, over histories that nobody thought of."""

from collections import Counter
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings

from domain.catalogue import COMMANDS
from domain.simulation.scenario import Scenario
from projections.engine.reference import ReferenceFold
from tests.projections.histories import STEPS, World, history
from tests.projections.overlays import Supposed, scenario, suppose
from tests.projections.test_folds import everything_twice

LOUNGE = {"change": "service_price", "club_id": "lounge"}
HEALTH = {"change": "service_price", "club_id": "health"}
NOTHING_IN_MANY_WORDS = scenario(
    {"change": "earning_rate", "factor": "7/7"},
    {**LOUNGE, "factor": "1"},
    {**HEALTH, "service_id": "room", "tier": "gold", "factor": "3/3"},
    {
        "change": "campaign_terms",
        "campaign_id": "plain",
        "min_monthly_fen": 0,
        "since": "2009-01-01",
    },
    {"change": "campaign_terms", "campaign_id": "drawn", "gift_bp": 1000, "since": "2009-01-01"},
    {"change": "expiry_policy", "expires": "never", "rule": "no such rule"},
)


@pytest.mark.parametrize("unchanged", [scenario(), NOTHING_IN_MANY_WORDS], ids=["none", "words"])
@settings(max_examples=25)
@given(steps=STEPS)
def test_a_replay_that_changes_nothing_is_the_history(
    unchanged: Scenario, steps: list[Any]
) -> None:
    assert_the_same(history(steps, buckets=1), unchanged)


@pytest.mark.parametrize("unchanged", [scenario(), NOTHING_IN_MANY_WORDS], ids=["none", "words"])
def test_whatever_happens_twice_happens_twice_again(unchanged: Scenario) -> None:
    world = everything_twice(buckets=1)
    him: dict[str, Any] = {"member_id": "m1"}
    world.does("cohort.include", **him, cohort_id="kept")
    days: dict[str, Any] = {"starts_on": date(2008, 1, 1), "ends_on": date(2008, 9, 1)}
    world.does("binding.start", **him, policy="handset", **days)
    world.does("binding.end", **him, binding=2, ended_on=date(2008, 5, 1), cause="cancelled")
    world.does("activity.correct_attendance", **him, club_id="health", activity_id="a")
    world.does("campaign.correct_offer", **him, campaign_id="drawn")
    world.does("campaign.correct_enrolment", **him, campaign_id="plain")
    world.does("binding.correct_end", **him, binding=2)
    world.does("binding.correct", **him, binding=2)
    world.does("bill.correct", **him, month="2007-01")
    world.does("cohort.correct_inclusion", **him, cohort_id="kept")
    world.does("member.change_details", **him, phone="13800000001")
    world.does("member.move", **him, unit_id="west")
    world.does("member.leave", **him)
    world.does("member.return", **him, unit_id="east")
    world.does("member.correct_return", **him)
    world.does("member.correct_leaving", **him)
    world.does("member.unmask", **him, purpose="called back")
    world.does("member.erase", **him, reason="asked for")
    asked = {command.called for command in world.asked.values()}
    assert asked >= {name for name, kind in COMMANDS.items() if "member" in kind.writes}
    assert_the_same(world, unchanged)


def assert_the_same(world: World, unchanged: Scenario) -> None:
    found = suppose(world, unchanged)
    assert not found.refused
    assert found.log == world.log


COUNTED = {
    "visit.record": "visit.recorded",
    "points.credit": "points.credited",
    "campaign.enrol": "campaign.enrolled",
    "visit.undo": "visit.undone",
}
HARSH = [
    scenario({"change": "earning_rate", "factor": "1/3"}),
    scenario({"change": "expiry_policy", "expires": "month_end"}),
    scenario({**LOUNGE, "points": 90}, {**HEALTH, "factor": "5/2"}),
    scenario({"change": "tier_rule", "thresholds_fen": {"diamond": 9_000, "silver": 1},
              "window": "rolling", "months": 2}),
    scenario({"change": "expiry_policy", "expires": "year_end", "after": 1},
             {"change": "earning_rate", "factor": "2"}, {**LOUNGE, "factor": "1/2"}),
]  # fmt: skip


def test_points_are_conserved_and_no_command_is_lost() -> None:
    """Each member's account is the sum of his lots, and each recorded visit, credit and enrolment
    would have happened or been refused."""
    codes: Counter[str] = Counter()

    @settings(max_examples=25)
    @given(steps=STEPS)
    def conserved(steps: list[Any]) -> None:
        world = history(steps, buckets=1)
        for changed in HARSH:
            found = suppose(world, changed)
            assert_conserved(found)
            refused = [one for his in found.refused.values() for one in his]
            for name, topic in COUNTED.items():
                lost = sum(one.command == name for one in refused)
                assert times(found.log, topic) + lost == times(world.log, topic)
            codes.update(one.refusal.code for one in refused)

    conserved()
    assert {"not_enough_points", "unknown_visit", "not_eligible"} <= codes.keys()


def assert_conserved(found: Supposed) -> None:
    plain = ReferenceFold().fold(found.log)
    left: Counter[str] = Counter()
    for lot in plain.rows("lot"):
        assert lot["spendable"] >= 0
        left[lot["member_id"]] += lot["spendable"]
    assert {row["member_id"]: row["spendable"] for row in plain.rows("account")} == left


def times(log: list[Any], topic: str) -> int:
    return sum(stored.event.topic == topic for stored in log)


MILD = [
    scenario({**LOUNGE, "factor": "1/2"}),
    scenario({**LOUNGE, "factor": "0"}, {**HEALTH, "factor": "9/10"}),
    scenario({"change": "earning_rate", "factor": "3/2"}),
]
NOTHING_EXPIRES = scenario({"change": "expiry_policy", "expires": "never"})
TAKE_BACK = ("visit.undo", "points.reverse_debit", "points.reverse_credit")


def _at_its_price(step: Any) -> bool:
    return "price_changed" not in step[1].get("despite", ())


@settings(max_examples=40)
@given(steps=STEPS)
def test_who_pays_less_or_has_more_is_never_refused(steps: list[Any]) -> None:
    """Less is paid from the same lots in the same order, so of each lot as much or more is left.

    It holds for histories in which nothing is taken back: what is given back goes to the lots it
    came from, which may be others than in the record; and in which visits cost their price, since
    one that cost less, as it was shown, costs what is supposed of all. Where nothing expires lots
    are spent in another order, and a late fact may find those of its time spent: that holds for
    facts in order.
    """
    kept = [
        (
            [step for step in scene if step[0] not in TAKE_BACK and _at_its_price(step)],
            minutes,
            late,
        )
        for scene, minutes, late in steps
    ]
    in_order = [(scene, max(minutes, 60), 0) for scene, minutes, _ in kept]
    for told, changes in ((kept, MILD), (in_order, [NOTHING_EXPIRES])):
        world: World = history(told, buckets=1)
        for changed in changes:
            found = suppose(world, changed)
            assert not found.refused
            assert_conserved(found)
