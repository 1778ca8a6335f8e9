"""Around everything, where traces are asked for: a span a request."""

import asyncio
from threading import Thread
from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.server import tracing
from api.runtime import spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

FLUSH_S = 3.0
"""How long a stop waits for what was not sent yet."""


class Traced:
    """An application whose requests are traced; what is not sent yet is, when it ends."""

    def __init__(self, app: ASGIApp, provider: "TracerProvider") -> None:
        self.app, self.provider = app, provider
        spans.begin(provider)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":

            async def last(message: Message) -> None:
                if message["type"].startswith("lifespan.shutdown"):
                    await self._end()
                await send(message)

            await self.app(scope, receive, last)
            return
        sent = dict(scope["headers"]).get(tracing.TRACE)
        with spans.request(None if sent is None else sent.decode("latin-1")):
            await self.app(scope, receive, send)

    async def _end(self) -> None:
        spans.end()
        flushing = Thread(target=self.provider.shutdown, name="traces", daemon=True)
        flushing.start()
        await asyncio.to_thread(flushing.join, FLUSH_S)
