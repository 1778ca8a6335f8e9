"""The example members are what they are said to be when the demo's clock starts."""

from datetime import datetime
from typing import Any

import pytest

import demo
from demo.replay import Replay
from domain.catalogue import COMMANDS, REFUSALS
from domain.kernel.event import Event
from domain.points.lots import spendable_points

NOW = demo.CLOCK_STARTS_AT
DIAMOND, GOLD, SILVER, IMPORTANT, GONE, ENROLLED, CONTROL, MEMBER = demo.EXAMPLES


@pytest.fixture(scope="module", params=[("0.001", 1), ("0.01", demo.DEFAULT_SEED)])
def replay(request: pytest.FixtureRequest) -> Replay:
    replay = Replay()
    for chapter in demo.chapters(*request.param):
        replay.run(chapter.lines())
    return replay


def tried(replay: Replay, name: str, at: datetime = NOW, **fields: Any) -> list[Event]:
    """What a command would do; nothing is applied."""
    command = COMMANDS[name](actor="clerk:desk", **fields)
    return [event for _, event in replay.decide(command, at)]


def visit(replay: Replay, member: str, club: str, service: str) -> list[Event]:
    return tried(
        replay, "visit.record", member_id=member, club_id=club, service_id=service, desk="desk-1"
    )


def enrol(replay: Replay, member: str, campaign: str = "spring-2009") -> list[Event]:
    return tried(
        replay, "campaign.enrol", member_id=member, campaign_id=campaign, prepaid_fen=50_000
    )


def refused(code: str) -> Any:
    return pytest.raises(REFUSALS[code])


def test_the_diamond_has_points_and_free_visits(replay: Replay) -> None:
    lounge = visit(replay, DIAMOND, "lounge", "waiting")[-1]
    assert (lounge.payment, lounge.points) == ("free_visit", 0)  # type: ignore[attr-defined]
    health = visit(replay, DIAMOND, "health", "escort")[-1]
    assert (health.payment, health.points) == ("points", 300)  # type: ignore[attr-defined]
    assert replay.states[f"member:{DIAMOND}"]["visits"].made == 4


def test_the_gold_is_short_of_points(replay: Replay) -> None:
    assert spendable_points(replay.states[f"member:{GOLD}"]["points"].lots.values(), NOW) == 60
    for service in ("waiting", "lecture", "record"):
        with refused("not_enough_points"):
            visit(replay, GOLD, "health", service)


def test_the_silver_is_not_for_the_health_club_but_may_enrol(replay: Replay) -> None:
    with refused("not_eligible"):
        visit(replay, SILVER, "health", "waiting")
    assert len(enrol(replay, SILVER)) == 3


def test_the_important_customer_is_admitted_without_a_tier(replay: Replay) -> None:
    admitted = visit(replay, IMPORTANT, "health", "waiting")[-1]
    assert (admitted.tier, admitted.important) == (None, True)  # type: ignore[attr-defined]


def test_the_one_who_left_has_left_and_keeps_his_tier(replay: Replay) -> None:
    with refused("left_the_network"):
        visit(replay, GONE, "lounge", "waiting")
    assert replay.states[f"member:{GONE}"]["membership"].tiers[-1][1] == "silver"


def test_the_enrolled_is_bound(replay: Replay) -> None:
    with refused("already_bound"):
        enrol(replay, ENROLLED)


def test_the_control_group_may_enrol_elsewhere(replay: Replay) -> None:
    assert replay.tally.arms["golden_autumn"][CONTROL] == "control"
    assert len(enrol(replay, CONTROL)) == 3


def test_the_member_pays_in_the_lounge_and_is_not_for_the_others(replay: Replay) -> None:
    assert visit(replay, MEMBER, "lounge", "waiting")[-1].points == 120  # type: ignore[attr-defined]
    with refused("not_eligible"):
        visit(replay, MEMBER, "health", "waiting")


def test_golf_has_not_opened(replay: Replay) -> None:
    with refused("not_open_yet"):
        visit(replay, DIAMOND, "golf", "range")


def test_last_years_campaigns_are_over(replay: Replay) -> None:
    with refused("campaign_over"):
        enrol(replay, SILVER, "ten_years_gift")
