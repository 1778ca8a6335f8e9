"""Passwords: argon2id, slow on purpose, and so one at a time in a thread that gives way to all
others. Who signs in may have to wait; who stands at a desk never waits for him.
"""

import asyncio
import os
import sys
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from threading import get_native_id
from typing import Annotated, TypeAlias, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import Field, StringConstraints

from api.http.server.turns import Turns

T = TypeVar("T")
MOST_WAITING = 16
"""Who waits for his password to be looked at; more are told to come again."""
NICENESS = 5
HASHER = PasswordHash((Argon2Hasher(time_cost=3, memory_cost=64 * 1024, parallelism=1),))
"""RFC 9106's second choice (3 passes over 64 MiB), by one thread: it takes about 0.1 s of one."""

NewPassword: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{12,256}$"), Field(repr=False)
]
Password: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,256}$"), Field(repr=False)
]


def _plain(password: str) -> str:
    """The same however a keyboard composes it."""
    return unicodedata.normalize("NFKC", password)


@cache
def _nobodys() -> str:
    """What the password of nobody is compared with, so that it takes as long."""
    return HASHER.hash("of nobody at all")


def _give_way() -> None:
    if sys.platform == "linux":  # where a thread has a niceness of its own
        os.setpriority(os.PRIO_PROCESS, get_native_id(), NICENESS)


class Passwords:
    """Looks at passwords, one at a time."""

    def __init__(self) -> None:
        self._turns = Turns("passwords", 1, MOST_WAITING)
        self._thread = ThreadPoolExecutor(1, "passwords", _give_way)

    async def fits(self, password: str, encoded: str | None) -> bool:
        """Whether it is this one. That there is none takes as long to find out."""

        def compare() -> bool:
            nobodys = _nobodys()
            same = HASHER.verify(_plain(password), nobodys if encoded is None else encoded)
            return same and encoded is not None

        return await self._in_turn(compare)

    async def encoded(self, password: str) -> str:
        """It as it is kept."""
        return await self._in_turn(lambda: HASHER.hash(_plain(password)))

    async def _in_turn(self, work: Callable[[], T]) -> T:
        """The turn is over when the work is, not when who asked for it went."""
        await self._turns.take()
        loop = asyncio.get_running_loop()
        begun = self._thread.submit(work)

        def over(_: Future[T]) -> None:
            loop.call_soon_threadsafe(self._turns.give_back)

        begun.add_done_callback(over)
        return await asyncio.wrap_future(begun)

    def close(self) -> None:
        """Look at no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
