"""Attending: what is asked is worked on for as long as who asked is there."""

import asyncio
from contextlib import suppress

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.server.inputs import KEY_HEADER

AFTER_S = 0.02
"""How long a request may take before anybody looks whether the asker is there."""
_KEY = KEY_HEADER.lower().encode()


async def attended(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request; one that writes nothing is cancelled when its connection is closed.

    Nothing is written without a key. What has a key is decided whoever is there to be told: it is
    asked for again under the same one.
    """
    if any(name == _KEY for name, _ in scope["headers"]):
        await app(scope, receive, send)
        return
    asker = _Asker(receive, read=scope["method"] in ("GET", "HEAD"))

    async def told(message: Message) -> None:
        if message["type"] == "http.response.body" and not message.get("more_body"):
            asker.leave()  # From here on `receive` says that it is over.
        await send(message)

    try:
        await app(scope, asker.receive, told)
    except asyncio.CancelledError:
        if not asker.gone or asker.task.uncancel():
            raise
    finally:
        asker.leave()


class _Asker:
    """Who sent a request: once its body is read there is nothing more to come but his going."""

    def __init__(self, receive: Receive, read: bool) -> None:
        task = asyncio.current_task()
        assert task is not None  # This is called by a coroutine.
        self.task = task
        self.gone = False
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        self._begin: asyncio.TimerHandle | None = None
        if read:
            self._attend()

    async def receive(self) -> Message:
        """The next message for the application."""
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._attend()
        return message

    def leave(self) -> None:
        """Look no more."""
        if self._begin is not None:
            self._begin.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _attend(self) -> None:
        """Look from a little later on: most are answered before."""
        if self._begin is None:
            self._begin = asyncio.get_running_loop().call_later(AFTER_S, self._look)

    def _look(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._until_gone())

    async def _until_gone(self) -> None:
        with suppress(HTTPException):  # A body that is too long, and that nobody asked for.
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.gone = True
            self.task.cancel()
