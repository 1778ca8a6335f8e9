"""Server-sent events: answers that go on for as long as somebody takes them, who may, and the
server serves."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any

import psycopg
from fastapi import Response
from starlette.types import Receive, Scope, Send

from api.doors import Need
from api.http.server.downloads import taken
from api.http.server.front import STOPPING
from api.http.server.handlers import HEADED
from api.http.server.inputs import House, InHouse
from domain.kernel.refusal import Refusal
from ledger.log.batcher import Busy

LOOK_AGAIN_S = 0.25
"""How often it is looked for new events."""
STILL_HERE_S = 15.0
"""After so long without an event a comment is sent, so that nothing between closes the line."""
MEDIA_TYPE = "text/event-stream"


async def followed(house: InHouse) -> AsyncIterator[None]:
    """A worker holds only so many streams."""
    async with house.following:
        yield


def block(place: object, event: str, said: bytes) -> bytes:
    """An event as it is sent: behind this place the stream goes on."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(place).encode(), event.encode(), said)


class Stream(Response):
    """Events as they come."""

    media_type = MEDIA_TYPE
    over = False
    """Nothing more will come."""

    def __init__(self, house: House, need: Need) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.house, self._need = house, need

    @abstractmethod
    async def found(self) -> list[bytes]:
        """What is new, as blocks."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; given up where nothing of it is taken for a while."""
        start: dict[str, Any] = {"type": "http.response.start", "status": self.status_code}
        await taken(send, {**start, "headers": self.raw_headers})
        if scope.get(HEADED):
            await send({"type": "http.response.body", "body": b""})
            return
        quiet_s = STILL_HERE_S  # A first word at once: it is open.
        try:
            while not scope["state"].get(STOPPING) and self._stands(scope):
                found = await self.found()
                told = b"".join(found)
                quiet_s = 0.0 if told else quiet_s + LOOK_AGAIN_S
                if not told and quiet_s >= STILL_HERE_S:
                    told, quiet_s = b": still here\n\n", 0.0
                if told:
                    await taken(send, {**_BODY, "body": told})
                if self.over:
                    break
                if not found:
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            return  # Nobody takes it.
        except (psycopg.Error, Busy, Refusal):
            pass  # It ends here, and is gone on with from its last id.
        await send({"type": "http.response.body", "body": b""})

    def _stands(self, scope: Scope) -> bool:
        return self.house.access.stands(scope, self._need)


_BODY = {"type": "http.response.body", "more_body": True}
