"""Requests whose asker goes away, before the answer or in the middle of it."""

import asyncio
from contextlib import suppress

from tests.hostile.attacks.lines import Target, line, many
from tests.hostile.world import CLUB, VICTIM

ATTACKERS = 12
PATHS = (
    f"/v1/members/{VICTIM}",
    f"/v1/members/{VICTIM}/statement?format=csv",
    f"/v1/members/{VICTIM}?wait_for=0:999999999",
    "/v1/events?limit=1000",
    "/v1/figures",
    "/v1/figures?format=xlsx",
    "/v1/figures?known_at=2009-06-30",
    f"/v1/clubs/{CLUB}/use?by=month&by=tier",
    "/v1/campaigns",
    "/v1/status",
)


async def attack(target: Target) -> None:
    """Ask and go, again and again."""
    await many(target, ATTACKERS, _one)


async def _one(target: Target, number: int) -> None:
    path = target.dice.choice(PATHS)
    async with line(target) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        await writer.drain()
        if number % 3 == 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(100), 0.1)
        await target.rest(target.dice.random() * 0.05)
