"""The world that the hostile hour is lived in: a club, a capped campaign, and members."""

import json
from typing import Any

AT = "2009-01-05T08:00:00+08:00"
CLUB, SERVICE, CAMPAIGN = "h-club", "tea", "h-campaign"
PRICE_POINTS, START_POINTS, CAP = 10, 1_000_000, 300
CLIENTS, MEMBERS = 8, 200
"""Honest clients, and the members of each, whom nobody else touches."""
VICTIM = "victim"
"""The member whom attackers name."""


def fact(command: str, **fields: Any) -> dict[str, Any]:
    """A line of an import file."""
    return {"command": command, "at": AT, "actor": "system:hostile", **fields}


def member_of(client: int, number: int) -> str:
    """The id of a member of a client."""
    return f"h{client}-{number}"


def facts() -> list[dict[str, Any]]:
    """All of it, as facts."""
    made = [
        fact("unit.open", unit_id="h-unit", title="Hostile"),
        fact("club.open", club_id=CLUB, title="Tea club", opens_on="2009-01-05", tiers=["gold"]),
        fact(
            "service.price",
            club_id=CLUB,
            service_id=SERVICE,
            title="Tea",
            points=PRICE_POINTS,
        ),
        fact(
            "campaign.launch",
            campaign_id=CAMPAIGN,
            title="Places to fight for",
            kind="care",
            opens_on="2009-01-05",
            closes_on="2499-12-31",
            tiers=["gold"],
            cap=CAP,
        ),
    ]
    members = [member_of(client, n) for client in range(CLIENTS) for n in range(MEMBERS)]
    for member_id in (*members, VICTIM):
        made += [
            fact("member.join", member_id=member_id, unit_id="h-unit"),
            fact("tier.change", member_id=member_id, tier="gold", reason="hostile"),
            fact(
                "points.credit",
                member_id=member_id,
                points=START_POINTS,
                source="hostile",
                rule="h-1",
            ),
        ]
    return made


def lines(made: list[dict[str, Any]]) -> bytes:
    """Facts as a file."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in made)
