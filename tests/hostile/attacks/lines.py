"""Connections of attackers: they open, send what they like, and do not care."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


@dataclass(frozen=True)
class Target:
    """Who is attacked, with what luck, and until when (monotonic)."""

    port: int
    dice: random.Random
    until: float

    def over(self) -> bool:
        """Whether the attack has ended."""
        return time.monotonic() >= self.until

    async def rest(self, seconds: float = 0.0) -> None:
        """Wait a little, not beyond the end."""
        await asyncio.sleep(max(0.0, min(seconds, self.until - time.monotonic())))


Attack = Callable[[Target], Awaitable[None]]


@asynccontextmanager
async def line(target: Target) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port, limit=1 << 20)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def push(target: Target, writer: asyncio.StreamWriter, block: bytes, most: int) -> None:
    """Send a block again and again, as long as somebody takes it, `most` bytes in all."""
    sent = 0
    while sent < most and not target.over():
        writer.write(block)
        sent += len(block)
        try:
            await asyncio.wait_for(writer.drain(), max(0.01, target.until - time.monotonic()))
        except TimeoutError:
            return


async def many(
    target: Target, attackers: int, each: Callable[[Target, int], Awaitable[None]]
) -> None:
    """So many attackers at a time, each again and again."""

    async def again(number: int) -> None:
        while not target.over():
            with suppress(*GONE):  # That the other side ends it is no surprise.
                await each(target, number)
            await target.rest(0.02)

    await asyncio.gather(*map(again, range(attackers)))
