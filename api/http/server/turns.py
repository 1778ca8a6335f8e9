"""Turns: who came first is served first, so many at a time, and only so many wait."""

import asyncio
from typing import Self

from ledger.log.batcher import Busy

AGAIN_S = 1
"""When somebody who found too many waiting may come again."""


class Turns:
    """At most `size` at once; where `most_waiting` wait already, nobody else does.

    `queue` is what is waited for, in the refusal. Whoever goes while waiting leaves the queue.
    """

    def __init__(self, queue: str, size: int, most_waiting: int) -> None:
        self.queue = queue
        self.waiting = 0
        self._most = most_waiting
        self._free = asyncio.Semaphore(size)

    async def take(self) -> None:
        """Wait for one's turn. Raises Busy."""
        if self._free.locked() and self.waiting >= self._most:
            raise Busy(queue=self.queue, waiting=self.waiting, retry_after_s=AGAIN_S)
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1

    def give_back(self) -> None:
        """The next, please."""
        self._free.release()

    async def __aenter__(self) -> Self:
        await self.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.give_back()
