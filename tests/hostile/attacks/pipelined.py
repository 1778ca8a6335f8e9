"""Requests sent by the thousand before the first answer is read, or without reading any."""

from tests.hostile.attacks.lines import Target, line, many, push
from tests.hostile.world import VICTIM

ATTACKERS = 8
MOST_BYTES = 4 << 20


async def attack(target: Target) -> None:
    """Reads and writes, many in a row."""
    await many(target, ATTACKERS, _one)


async def _one(target: Target, number: int) -> None:
    path = ("/livez", f"/v1/members/{VICTIM}", "/openapi.json", "/v1/events?limit=1000")[number % 4]
    async with line(target) as (_, writer):
        asked = f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
        await push(target, writer, asked * 200, MOST_BYTES)
        while not target.over():
            await target.rest(0.5)
