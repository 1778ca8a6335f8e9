"""Clubs: their opening, hours and prices, the ice disaster, and the activities of the car club."""

from random import Random
from typing import Any

from demo import examples
from demo.assumptions import assumed
from demo.customers import SILVER, Customers
from demo.facts import Source, command, told
from demo.instants import read
from demo.scaling import some

BOSS = "manager:vip-centre"
Facts = list[tuple[int, bytes]]


def facts(those: Customers) -> list[Source]:
    """Everything about the clubs but the visits."""
    draw = those.scale.random("clubs")
    found: Facts = []
    for club in assumed("club-hours-and-prices"):
        found += _opening(club)
    found += _ice_disaster(those, draw)
    return [told(found), told(_activities(those, draw))]


def _opening(club: dict[str, Any]) -> Facts:
    entered = read(club["entered"])
    opens, closes = club["hours"]
    capacity = {"capacity": club["capacity"]} if "capacity" in club else {}
    found = [
        (
            entered,
            command(
                "club.open", entered, BOSS, club_id=club["id"],
                title=club["title"], opens_on=club["opens_on"], tiers=club["tiers"],
                important=club["important"], opens_minute=opens, closes_minute=closes, **capacity,
            ),
        )
    ]  # fmt: skip
    for minutes, service in enumerate(club["services"], start=1):
        at = entered + 60 * minutes
        line = command(
            "service.price", at, BOSS, club_id=club["id"],
            service_id=service["id"], title=service["title"], points=service["points"],
            tier_points=service.get("tier_points", {}),
            companion_points=service.get("companion", 0), free_visits=service.get("free", {}),
        )  # fmt: skip
        found.append((at, line))
    return found


def _ice_disaster(those: Customers, draw: Random) -> Facts:
    """The lounge around the clock, and everybody who was let in without being a member."""
    chosen = assumed("ice-disaster")
    begin, end = read(chosen["from"]), read(chosen["until"])
    admissions, people = those.scale.of(chosen["admissions"]), those.scale.of(chosen["people"])
    groups = [1] * admissions
    for _ in range(people - admissions):
        groups[draw.randrange(admissions)] += 1
    reason = "冰雪灾害 Ice disaster: trains held up, no water or power"
    found = [
        (begin, command("emergency.declare", begin, BOSS, club_id="lounge", reason=reason)),
        (end, command("emergency.end", end, BOSS, club_id="lounge")),
    ]
    for count in groups:
        at = begin + 900 + int(draw.random() * (end - begin - 1_800))
        category = draw.choices(("elderly", "child", "other"), (46, 38, 16))[0]
        line = command(
            "visit.admit_in_emergency", at, "clerk:tang05", club_id="lounge",
            category=category, people=count, desk="lounge-1",
        )  # fmt: skip
        found.append((at, line))
    return found


def _activities(those: Customers, draw: Random) -> Facts:
    """Each activity, and who came to it."""
    found: Facts = []
    pool = [
        number
        for number in range(len(examples.PLANNED), those.joined_before_2008)
        if min(those.tier_2007[number], those.tier_2008[number]) >= SILVER
        and number not in those.left
    ]
    regulars = some(draw, pool, those.scale.of(assumed("car-regulars"), 8))
    for activity in assumed("car-activities"):
        at = read(activity["at"])
        line = command(
            "activity.hold", at, "manager:car-club", club_id="car", activity_id=activity["id"],
            title=activity["title"], cost_fen=activity["cost"] * 100,
            fee_fen=activity["fee"] * 100, commission_fen=activity["commission"] * 100,
        )  # fmt: skip
        found.append((at, line))
        came = [examples.DIAMOND, *some(draw, regulars, those.scale.of(activity["count"]) - 1)]
        for number in came:
            signed = at + 60 + int(draw.random() * 7_200)
            line = command(
                "activity.attend", signed, "clerk:deng03", member_id=those.ids[number],
                club_id="car", activity_id=activity["id"],
            )  # fmt: skip
            found.append((signed, line))
    return found
