"""Members, clubs and campaigns to measure on, as facts for the importer."""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from domain.kernel.values import local_date

ACTOR = "system:bench"
CLUB, SERVICE, DESK, UNIT = "health", "escort", "d1", "u1"
PRICE_POINTS = 1
YEARS = 10
"""So long ago everything was opened, so that a history has room."""
LOTS = 6
LOT_POINTS = 200_000
HALF_YEAR = timedelta(days=180)
MEMBERS_A_FILE = 6_000
"""So few that a file stays below what makes the importer tell the planner."""

Fact = dict[str, Any]
File = tuple[str, Callable[[], Iterable[bytes]]]


def line(fact: Fact) -> bytes:
    """A fact as a line of an import file."""
    return json.dumps(fact, ensure_ascii=False).encode()


def opening(now: datetime) -> datetime:
    """When the club and the members began."""
    return now - timedelta(days=365 * YEARS)


def member_id(prefix: str, number: int) -> str:
    """m0000001 and so on, as wrk's script and SQL spell it too."""
    return f"{prefix}{number:07d}"


def campaign_id(number: int) -> str:
    """c0001 and so on."""
    return f"c{number:04d}"


def house(now: datetime, campaigns: int) -> Iterator[Fact]:
    """A unit, a club with a service at one point, and campaigns with room for everybody."""
    at = opening(now)
    known: Fact = {"actor": ACTOR, "at": at.isoformat()}
    yield {"command": "unit.open", "unit_id": UNIT, "title": "城南", **known}
    club: Fact = {"club_id": CLUB, **known}
    yield {
        "command": "club.open",
        "title": "健康俱乐部",
        "opens_on": local_date(at).isoformat(),
        "tiers": ["diamond", "gold"],
        "important": True,
        **club,
    }
    yield {
        "command": "service.price",
        "service_id": SERVICE,
        "title": "专人导诊",
        "points": PRICE_POINTS,
        **club,
    }
    for number in range(1, campaigns + 1):
        yield {
            "command": "campaign.launch",
            "campaign_id": campaign_id(number),
            "title": f"活动 {number}",
            "kind": "care",
            "opens_on": local_date(at).isoformat(),
            "closes_on": local_date(now + timedelta(days=365)).isoformat(),
            "tiers": ["gold"],
            "cap": 1_000_000,
            **known,
        }


def member(member: str, now: datetime, lots: int = LOTS) -> list[Fact]:
    """A member of the gold tier with so many lots, which expire one after the other."""
    known: Fact = {"actor": ACTOR, "at": opening(now).isoformat(), "member_id": member}
    credit: Fact = {"command": "points.credit", "points": LOT_POINTS, **known}
    credit |= {"source": "bench", "rule": "r1"}
    return [
        {"command": "member.join", "unit_id": UNIT, **known},
        {"command": "tier.change", "tier": "gold", "reason": "bench", **known},
        *(
            {**credit, "expires_at": (now + HALF_YEAR * (number + 1)).isoformat()}
            for number in range(lots)
        ),
    ]


def visit(member: str, at: datetime, key: str | None = None) -> Fact:
    """A visit that costs a point."""
    fact: Fact = {
        "command": "visit.record",
        "actor": ACTOR,
        "at": at.isoformat(),
        "member_id": member,
        "club_id": CLUB,
        "service_id": SERVICE,
        "desk": DESK,
        "shown_points": PRICE_POINTS,
        "confirm_repeat": True,
    }
    return fact if key is None else {**fact, "key": key}


def files(now: datetime, members: int, campaigns: int) -> Iterator[File]:
    """Everything, in files for the importer."""

    def chapter(first: int) -> Iterator[bytes]:
        # All members begin alike: their lines differ in the id alone.
        texts = [line(fact) for fact in member("@", now)]
        for number in range(first, min(first + MEMBERS_A_FILE, members + 1)):
            own = member_id("m", number).encode()
            for text in texts:
                yield text.replace(b"@", own)

    yield "house", lambda: map(line, house(now, campaigns))
    for first in range(1, members + 1, MEMBERS_A_FILE):
        yield f"members-{first}", lambda first=first: chapter(first)  # type: ignore[misc]
