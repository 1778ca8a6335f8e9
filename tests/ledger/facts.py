"""Commands for the ledger's tests, and a door to send them through."""

import asyncio
import uuid
from datetime import UTC, date, datetime
from typing import Any

from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.parts import State
from domain.kernel.refusal import Refusal
from ledger.database import connect
from ledger.log import snapshots
from ledger.log.batcher import Ledger
from ledger.log.receipts import Receipt

MOMENT = datetime(2008, 7, 1, 2, tzinfo=UTC)
NOW = datetime(2009, 1, 5, 1, tzinfo=UTC)


def command(called: str, **fields: Any) -> Command:
    """A command by its name, at MOMENT unless said, with a key of its own unless said."""
    fields.setdefault("key", uuid.uuid4().hex)
    fields.setdefault("actor", "clerk:li")
    fields.setdefault("at", MOMENT)
    return COMMANDS[called](**fields)


def executed(dsn: str, *commands: Command) -> list[Receipt]:
    """Send commands one after the other through a ledger of their own."""

    async def send() -> list[Receipt]:
        async with Ledger(dsn, now=lambda: NOW) as ledger:
            return [await ledger.execute(each) for each in commands]

    return asyncio.run(send())


def asked(dsn: str, each: Command) -> str:
    """The code of the refusal that this command meets, or "done"."""
    try:
        executed(dsn, each)
    except Refusal as refusal:
        return refusal.code
    return "done"


def a_club(points: int = 10, **priced: Any) -> list[Command]:
    """A unit, and the health club with one service."""
    return [
        command("unit.open", unit_id="u1", title="城南"),
        command(
            "club.open",
            club_id="health",
            title="健康俱乐部",
            opens_on=date(2008, 6, 30),
            tiers=("diamond", "gold"),
            important=True,
        ),
        command(
            "service.price",
            club_id="health",
            service_id="escort",
            title="专人导诊",
            points=points,
            **priced,
        ),
    ]


def a_member(member_id: str, points: int = 100, tier: str = "gold") -> list[Command]:
    """A member of a tier with one lot of points."""
    return [
        command("member.join", member_id=member_id, unit_id="u1"),
        command("tier.change", member_id=member_id, tier=tier, reason="测试"),
        command("points.credit", member_id=member_id, points=points, source="test", rule="r1"),
    ]


def a_visit(member_id: str, **fields: Any) -> Command:
    """A visit to the health club."""
    fields = {
        "club_id": "health",
        "service_id": "escort",
        "desk": "d1",
        "confirm_repeat": True,
    } | fields
    return command("visit.record", member_id=member_id, **fields)


def stored_states(dsn: str) -> dict[tuple[str, int], State]:
    """The state of each stream in each lane that has its snapshot, put together from its rows."""
    found: dict[tuple[str, int], State] = {}
    with connect(dsn) as connection:
        rows = connection.execute("SELECT originator_id, bucket, state FROM snapshots").fetchall()
        for stream, lane, row in rows:
            found[stream, lane] = snapshots.fresh(stream) | snapshots.decode(stream, row)
        for stream, lane, part, row in connection.execute(
            "SELECT originator_id, bucket, part, state FROM snapshot_parts"
        ):
            found[stream, lane][part] = snapshots.decode_part(part, row)
    return found
