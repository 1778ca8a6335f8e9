"""Connections that drip: heads and bodies that never end, and answers that nobody reads."""

from tests.hostile.attacks.lines import Target, line, many
from tests.hostile.world import VICTIM

ATTACKERS = 60
HEAD = f"POST /v1/members/{VICTIM}/visits HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"


async def attack(target: Target) -> None:
    """Dripping heads, dripping bodies, unread answers."""
    await many(target, ATTACKERS, _one)


async def _one(target: Target, number: int) -> None:
    async with line(target) as (_, writer):
        if number % 6 == 5:
            writer.write(b"GET /v1/events?limit=1000 HTTP/1.1\r\nHost: h\r\n\r\n" * 20)
            while not target.over():
                await target.rest(0.5)
            return
        writer.write(HEAD.encode())
        if number % 2:
            writer.write(b"Idempotency-Key: slow\r\nContent-Length: 60000\r\n\r\n{")
        while not target.over():
            writer.write(b"x" if number % 2 else b"X-Slow: 1\r\n")
            await writer.drain()
            await target.rest(0.3)
