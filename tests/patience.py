"""Patience: the only place of the tests that knows of time.

No test depends on a quiet machine. Whatever must happen is waited for as long as pytest lets a test
run, nothing is asserted of how long it took, and nobody sleeps in the hope that others are done.
"""

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 240
"""How long a machine that is busy with other work may take for what takes a moment. What waits so
long has failed; what does not loses nothing."""
SOON_S = 0.05
"""Patience that shall end, because what it waits for does not come."""
LOOK_AGAIN_S = 0.01


def eventually(true: Callable[[], bool]) -> bool:
    """Whether it comes true before patience ends."""
    until = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_AGAIN_S)
    return True


async def comes_true(true: Callable[[], bool]) -> bool:
    """The same, while other tasks go on."""
    until = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(LOOK_AGAIN_S)
    return True


def a_moment() -> None:
    """Let a moment pass: for what shall happen at any point of something else, no matter which."""
    time.sleep(10 * LOOK_AGAIN_S)


def give_way() -> None:
    """Let another thread have its turn, if one waits for it."""
    time.sleep(0)


async def some_turns() -> None:
    """The same, while other tasks go on."""
    await asyncio.sleep(3 * LOOK_AGAIN_S)
