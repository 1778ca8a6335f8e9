"""Questions as of a moment: on answers that are kept, and built first where they are not."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from anyio import to_thread

from api.http.server.reads import Reads
from api.runtime.problems import DoorProblem
from projections.asof import pairs
from projections.engine import moments
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.moments import Asked

T = TypeVar("T")

BUILDS = 4
"""Moments for which builds may be under way or wait; each is built in its turn."""
PATIENCE_S = 30.0
"""How long a question waits for a build, which goes on when the question has gone."""
TRIES = 3


class Builds:
    """Builds one pair of answers at a time, in a thread beside those of the questions.

    Who asks for a moment that is being built waits for that build, and holds no thread. One that
    has not begun when all who asked for it have gone is not begun.
    """

    def __init__(self, dsn: str, reads: Reads) -> None:
        self._dsn = dsn
        self._reads = reads
        self._turn = asyncio.Lock()
        self._builds: dict[Moment, _Build] = {}

    async def __call__(self, question: Callable[[Conn], T], moment: Moment, reads: Reads) -> T:
        """Ask on the answers as of a moment, which the live ones must hold."""
        for lane in moment.positions:
            await self._reads.reach(lane)
        for _ in range(TRIES):
            try:
                return await reads.within(partial(pairs.snapshot, moment=moment), question)
            except pairs.NotKept:
                await self._built(moment)
        raise DoorProblem("building")  # Others ask for so many moments that none is kept.

    async def moment(self, asked: Asked, now: datetime) -> Moment:
        """The moment that is meant."""
        return await self._reads.briefly(partial(moments.moment, asked=asked, now=now))

    async def _built(self, moment: Moment) -> None:
        build = self._builds.get(moment)
        if build is None:
            if len(self._builds) >= BUILDS:
                raise DoorProblem("building")
            build = self._builds[moment] = _Build()
            build.task = asyncio.create_task(self._build(moment, build))
            build.task.add_done_callback(partial(self._forget, moment))
        build.askers += 1
        try:
            await asyncio.wait_for(asyncio.shield(build.task), PATIENCE_S)
        except TimeoutError:
            build.begun = True  # In its turn, whoever is here: he was told to ask again.
            raise DoorProblem("building") from None
        finally:
            build.askers -= 1
            if not build.askers and not build.begun:
                build.task.cancel()
                del self._builds[moment]

    async def _build(self, moment: Moment, build: "_Build") -> None:
        async with self._turn:
            build.begun = True
            await to_thread.run_sync(pairs.build, self._dsn, moment)

    def _forget(self, moment: Moment, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # Told to who waits for it, if anybody does.
            del self._builds[moment]


class _Build:
    """A build that is under way or waits for its turn, and how many wait for it."""

    task: asyncio.Task[None]
    askers = 0
    begun = False
