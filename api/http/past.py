"""Questions as of a moment: on answers that are kept, and built first where they are not."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

import anyio
from anyio import to_thread

from api.http.reads import Reads
from api.problems import DoorProblem
from projections import asof, moments
from projections.moments import Asked, Moment

T = TypeVar("T")

BUILDS = 4
"""Moments for which builds may be under way or wait; each is built in its turn."""
PATIENCE_S = 30.0
"""How long a question waits for a build, which goes on when the question has gone."""
TRIES = 3


class Past:
    """Builds one pair of answers at a time, in a thread beside those of the questions.

    Who asks for a moment that is being built waits for that build, and holds no thread.
    """

    def __init__(self, dsn: str, reads: Reads) -> None:
        self._dsn = dsn
        self._reads = reads
        self._limit = anyio.CapacityLimiter(1)
        self._builds: dict[Moment, asyncio.Task[None]] = {}

    async def __call__(self, question: Callable[..., T], moment: Moment) -> T:
        """Ask on the answers as of a moment, which the live ones must hold."""
        for lane in moment.positions:
            await self._reads.reach(lane)
        for _ in range(TRIES):
            try:
                return await self._reads.within(partial(asof.snapshot, moment=moment), question)
            except asof.NotKept:
                await self._built(moment)
        raise DoorProblem("building")  # Others ask for so many moments that none is kept.

    async def moment(self, asked: Asked, now: datetime) -> Moment:
        """The moment that is meant."""
        return await self._reads.briefly(partial(moments.moment, asked=asked, now=now))

    async def _built(self, moment: Moment) -> None:
        task = self._builds.get(moment)
        if task is None:
            if len(self._builds) >= BUILDS:
                raise DoorProblem("building")
            task = self._builds[moment] = asyncio.create_task(self._build(moment))
        try:
            await asyncio.wait_for(asyncio.shield(task), PATIENCE_S)
        except TimeoutError:
            raise DoorProblem("building") from None

    async def _build(self, moment: Moment) -> None:
        try:
            await to_thread.run_sync(asof.build, self._dsn, moment, limiter=self._limit)
        finally:
            del self._builds[moment]
