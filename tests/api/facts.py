"""A club, a campaign and some members of the tests' own, as a file of facts."""

import json
from typing import Any

AT = "2009-01-05T08:00:00+08:00"
PRICE_POINTS, COMPANION_POINTS = 10, 3
MEMBERS = 32
POOR, SILVER, LEFT, FREE = "t-poor", "t-silver", "t-left", "t-free"
PHONE, SHARED_PHONE = "13900000001", "13900000077"


def fact(command: str, at: str = AT, **fields: Any) -> dict[str, Any]:
    return {"command": command, "at": at, "actor": "system:test", **fields}


def member(
    member_id: str, tier: str | None, points: int, phone: str, name: str = "测试"
) -> list[dict[str, Any]]:
    facts = [fact("member.join", member_id=member_id, unit_id="t-unit", phone=phone, name=name)]
    if tier is not None:
        facts.append(fact("tier.change", member_id=member_id, tier=tier, reason="test"))
    if points:
        credit = fact(
            "points.credit", member_id=member_id, points=points, source="test", rule="test-1"
        )
        facts.append(credit)
    return facts


def facts() -> list[dict[str, Any]]:
    """t1 .. tn are gold with 100 points; the others are as their names say."""
    club = fact(
        "club.open", club_id="t-club", title="Test club", opens_on="2009-01-05", tiers=["gold"]
    )
    service = fact(
        "service.price", club_id="t-club", service_id="tea", title="Tea", points=PRICE_POINTS,
        companion_points=COMPANION_POINTS,
    )  # fmt: skip
    yearly = fact(
        "service.price", club_id="t-club", service_id="gift", title="A free visit a year",
        points=40, free_visits={"gold": 1},
    )  # fmt: skip
    campaign = fact(
        "campaign.launch", campaign_id="t-campaign", title="Test", kind="prepay",
        opens_on="2009-01-05", closes_on="2029-12-31", tiers=["gold"], cap=4, gift_bp=1_000,
        months_bound=12, prepaid_min_fen=10_000,
    )  # fmt: skip
    made = [fact("unit.open", unit_id="t-unit", title="Test unit"), club, service, yearly, campaign]
    for n in range(1, MEMBERS + 1):
        made += member(f"t{n}", "gold", 100, PHONE if n == 1 else f"139100{n:05}")
    made += member(POOR, "gold", 5, SHARED_PHONE)
    made += member(SILVER, "silver", 100, SHARED_PHONE)
    made += member(FREE, "gold", 100, "13900000003")
    made += member(LEFT, "gold", 100, "13900000002")
    made.append(fact("member.leave", member_id=LEFT, reason="test"))
    return made


def lines(made: list[dict[str, Any]]) -> bytes:
    """As a file."""
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in made)
