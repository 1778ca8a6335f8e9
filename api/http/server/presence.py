"""Presence: whether who has said all he had to say is still there to be told.

Who closes a connection and who only says that no more will come (`shutdown`, `nc -N`, some health
checks) look the same from here, and the answer of one of them matters. So what is owed is worked
on; if it takes longer, an interim answer is sent, which the system of one who is gone refuses.
"""

import asyncio
import socket
from typing import Protocol

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

LOOK_AGAIN_S = 0.1
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""RFC 9110 (15.2.1): who did not ask for it simply discards it."""


class Owing(Protocol):
    """A connection on which an answer is owed."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    active: RequestResponseCycle | None


class Presence:
    """Looks after one connection until it ends, and ends it if nobody is there."""

    def __init__(self, line: Owing) -> None:
        self._line = line
        self._asked = False
        self._wait()

    def _wait(self) -> None:
        self._line.loop.call_later(LOOK_AGAIN_S, self._look)

    def _look(self) -> None:
        transport, active = self._line.transport, self._line.active
        if transport.is_closing():
            return  # What is left to be taken has its own limit.
        if _refused(transport) or (active and not self._asked and not self._ask(active)):
            transport.abort()
        else:
            self._wait()

    def _ask(self, active: RequestResponseCycle) -> bool:
        """Send what shows it. False if it cannot be shown: HTTP/1.0 has no interim answers."""
        self._asked = True
        if not active.response_started:  # An answer under way shows it, too.
            if active.scope["http_version"] == "1.0":
                return False
            self._line.transport.write(CONTINUE)
        return True


def _refused(transport: asyncio.Transport) -> bool:
    """Whether what we sent came back: nobody reads on this connection, so nobody would tell us."""
    line = transport.get_extra_info("socket")
    return bool(line.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
