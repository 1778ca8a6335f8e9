"""The front: HTTP/1.1 of one connection, within limits, before the application.

The application only sees whole requests, one after the other, without trailers. What is too much,
too slow or no HTTP is answered here with a problem, after the requests ahead of it have had their
answers; then the connection ends.
"""

import asyncio
import math
import socket
from collections import deque
from functools import partial
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import CLOSE_HEADER
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from api.http.server.gate import Gate
from api.http.server.handlers import as_response, carried
from api.http.server.limits import (
    FIELD_COST_BYTES,
    KERNEL_BYTES,
    REQUEST_COST_BYTES,
    UNREAD_BYTES,
    Limits,
)
from api.http.server.presence import CONTINUE, Presence
from api.runtime import problems

_ONCE = frozenset((b"host", b"content-length", b"transfer-encoding", b"expect"))
"""Fields that say where a request ends and whom it is for. Two of one kind are two opinions."""
_HOP = frozenset((b"upgrade", b"http2-settings"))
"""What asks for another protocol, which we do not speak: RFC 9110 (7.8) lets us ignore it."""
_BETWEEN, _HEAD, _BODY = range(3)

STOPPING = "stopping"
"""In the state of a request once the server stops: for an answer that has no end of its own."""


class _Fault(Exception):
    """Stops the parser."""


class Entrance:
    """Makes the protocols of a process; in each worker they share one gate."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._gate: Gate | None = None

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> "Front":
        if self._gate is None:
            self._gate = Gate(self.limits)
        return Front(self._gate, config, server_state, app_state, _loop)


class Front(HttpToolsProtocol):
    """One connection.

    `active` is the request that is being answered, `pipeline` holds those that came after it, and
    `_phase` says how far the next one is in.
    """

    def __init__(
        self,
        gate: Gate,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.gate = gate
        self.limits = gate.limits
        self.answered = False
        self.held_bytes = 0
        self.active: RequestResponseCycle | None = None
        self._deaf = False  # No more is taken in: it was refused, or said that it would end.
        self._presence: Presence | None = None  # once no more can come in
        self._refusal: str | None = None
        self._deadline = self._unread_until = math.inf
        self._unread_bytes = 0
        self._sizes: deque[int] = deque()  # of the active request and those in the pipeline
        self._phase = self._timed = _BETWEEN
        self._wire_bytes = self._quiet_from = self._counted_bytes = 0
        self._trailers = self._trailer_bytes = 0
        self._once: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._continues = False

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or say that there is none."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES)
        line = transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_BYTES)
        if self.gate.enter(self):
            self._deadline = self.loop.time() + self.limits.head_s
        else:
            self._deaf, self._refusal = True, "overloaded"
            self._say_why()
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being answered, too: uvicorn only tells the last one."""
        self._deaf = True
        self.gate.leave(self)
        self._let_go()
        self.pipeline.clear()
        if self.active is not None:
            self.active.disconnected = True
            self.active.message_event.set()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """No more will come, but who sent it may still listen: what is owed is answered, then it
        ends. Whether to keep the connection."""
        if self._phase != _BETWEEN and not self._deaf:
            self._presence = Presence(self)
            self._refuse("malformed")  # Its end is missing.
        elif self.active is not None or self.pipeline:
            self._presence = Presence(self)
            self._deaf = True
            if self._refusal is None:
                self.cycle.keep_alive = False
        else:
            return False
        return not self.transport.is_closing()

    def shutdown(self) -> None:
        """The server stops: what is being answered is answered still, what is not whole is not."""
        if self.active is None:
            self.transport.close()
        else:
            self._deaf = True
            self.cycle.keep_alive = False
            self.active.scope["state"][STOPPING] = True

    def overdue(self, now: float) -> bool:
        """Whether time is up."""
        if self._deadline == math.inf and self.transport.is_closing():
            self._deadline = now + self.limits.unread_s  # until its last bytes are taken
        return now > self._deadline or now > self._unread_until

    def expire(self) -> None:
        """Time is up."""
        if self._deaf or self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
        elif self._phase != _BETWEEN:
            self._refuse("too_slow")
        else:
            self.transport.close()

    def make_way(self) -> None:
        """End at once: others need the place, or the memory."""
        began, self._phase = self._phase != _BETWEEN, _BETWEEN
        self._let_go()
        if self._deaf or self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
            return
        self._deaf = True
        if began and self.active is None and not self.pipeline:
            self._refusal = "overloaded"
            self._say_why()
        self.transport.close()
        self._deadline = self.loop.time() + self.limits.linger_s

    # What comes in

    def data_received(self, data: bytes) -> None:
        """Take in what came, within the limits."""
        rest: bytes | None = data
        while rest is not None and not self._deaf:
            self._wire_bytes += len(rest)
            rest = self._fed(rest)
        if self._phase != _BETWEEN:
            self._look_at_part()
        elif self._wire_bytes:
            self._wire_bytes = 0  # line breaks between requests
        if self.gate.held_bytes > self.limits.held_bytes:
            self.gate.make_room()
            if self.gate.held_bytes > self.limits.held_bytes and not self._deaf:
                self._keep_to_one()

    def _fed(self, data: bytes) -> bytes | None:
        """Parse; what is to be parsed by another parser, if somebody asks for another protocol."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._without_upgrade() + data[upgrade.args[0] :]
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse(self._refusal or "malformed")
        return None

    def _without_upgrade(self) -> bytes:
        """The head again as if nothing but HTTP/1.1 were asked for, for a parser that goes on."""
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self._version())]
        for name, value in self.headers:
            if name == b"connection":
                options = (option.strip() for option in value.split(b","))
                kept = b", ".join(each for each in options if each.lower() not in _HOP)
                lines.append(b"connection: " + kept)
            elif name not in _HOP:
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._wire_bytes = 0
        return b"\r\n".join([*lines, b"", b""])

    def _version(self) -> bytes:
        version: str = self.parser.get_http_version()
        return version.encode()

    def _look_at_part(self) -> None:
        """A request is in part. That is rare, so whatever costs time is done here."""
        limits = self.limits
        if self._timed != self._phase:
            self._timed = self._phase
            allowed_s = limits.head_s if self._phase == _HEAD else limits.body_s
            self._deadline = self.loop.time() + allowed_s
            if self.active is None:
                self.gate.wait_for(self)
        self._hold(self._wire_bytes - self._counted_bytes)
        self._counted_bytes = self._wire_bytes
        if self._wire_bytes - self._quiet_from > limits.head_bytes:
            self._refuse("head_too_large")  # a line without end, which the parser keeps
        elif self._wire_bytes > limits.body_wire_bytes + limits.head_bytes:
            self._refuse("too_large")

    def _hold(self, more_bytes: int) -> None:
        self.held_bytes += more_bytes
        self.gate.held_bytes += more_bytes

    def _let_go(self) -> None:
        self._hold(-self.held_bytes)
        self._sizes.clear()
        self._body = bytearray()
        self._unread_bytes = self._wire_bytes = self._counted_bytes = 0

    def _keep_to_one(self) -> None:
        """Memory is full of requests that are being answered: of ours just one may be."""
        if self.pipeline or self._phase != _BETWEEN:
            while self.pipeline:
                self.pipeline.popleft()
                self._hold(-self._sizes.pop())
            self._refuse("overloaded")

    # What the parser finds

    def on_message_begin(self) -> None:
        """A request begins."""
        if self._deaf:
            raise _Fault
        super().on_message_begin()
        self._phase = _HEAD
        self._quiet_from = self._wire_bytes
        self._trailers = self._trailer_bytes = 0
        self._once = {}

    def on_url(self, url: bytes) -> None:
        """A part of its address."""
        super().on_url(url)
        if len(self.url) > self.limits.address_bytes:
            self._fault("address_too_long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which is counted and dropped: it never becomes a header."""
        headers = self.headers
        if self._phase == _BODY:
            self._trailers += 1
            self._trailer_bytes += len(name) + len(value)
            if self._trailers + len(headers) > self.limits.fields:
                self._fault("head_too_large")
            if self._trailer_bytes > self.limits.head_bytes:
                self._fault("head_too_large")
            return
        if len(headers) == self.limits.fields:
            self._fault("head_too_large")
        name, value = name.lower(), value.rstrip(b" \t")  # which RFC 9110 (5.5) takes for no part
        if name in _ONCE:
            if name in self._once:
                self._fault("malformed")
            self._once[name] = value
        headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Its head is in: whether we want the rest."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                self._fault("not_implemented")
            return  # It comes again, without.
        if (
            self._wire_bytes > self.limits.head_bytes
            and self._head_bytes() > self.limits.head_bytes
        ):
            self._fault("head_too_large")
        once = self._once
        coding, length = once.get(b"transfer-encoding"), once.get(b"content-length")
        if b"host" not in once and self.parser.get_http_version() == "1.1":
            self._fault("malformed")
        if coding is not None:
            if self.parser.get_http_version() != "1.1":
                self._fault("malformed")
            if coding.lower() != b"chunked":
                self._fault("not_implemented")
        if length is not None and int(length) > self.limits.body_bytes:
            self._fault("too_large")
        self._phase = _BODY
        self._quiet_from = self._wire_bytes
        if b"expect" in once and self.parser.get_http_version() == "1.1":
            has_body = coding is not None or length not in (None, b"0")
            self._continues = has_body and once[b"expect"].lower() == b"100-continue"
            self._continue()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._body += body
        self._quiet_from = self._wire_bytes
        if len(self._body) > self.limits.body_bytes:
            self._fault("too_large")

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._quiet_from = self._wire_bytes

    def on_message_complete(self) -> None:
        """It is whole, and the application may see it."""
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= self.limits.waiting_requests:
            self._fault("overloaded")
        self._phase = self._timed = _BETWEEN
        self._continues = False
        super().on_headers_complete()  # which makes the cycle and starts it, or lets it wait
        cycle = self.cycle
        cycle.more_body = False
        cycle.message_event.set()
        if self._body:
            cycle.body, self._body = self._body, bytearray()
        size = self._wire_bytes + REQUEST_COST_BYTES + FIELD_COST_BYTES * len(self.headers)
        self._sizes.append(size)
        self._hold(size - self._counted_bytes)
        self._wire_bytes = self._counted_bytes = 0
        self._deadline = math.inf
        self._deaf = not cycle.keep_alive

    def _fault(self, code: str) -> None:
        self._refusal = code
        raise _Fault

    def _continue(self) -> None:
        """Say that the body may come, if no answer is in between."""
        if self._continues and self.active is None and not self.pipeline:
            self._continues = False
            self.transport.write(CONTINUE)

    # What goes out

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Answer a request, unless answers are still to be taken."""
        if self.active is not None or self.flow.write_paused:
            self.pipeline.appendleft((cycle, app))
            return
        self.active = cycle
        self.gate.work_on(self)
        super()._start_asgi_task(cycle, partial(self._answer, cycle, app))

    async def _answer(
        self, cycle: RequestResponseCycle, app: Any, scope: Any, receive: Any, send: Any
    ) -> None:
        """Have it answered; or say, if the server stops before, that it may have happened."""
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if not cycle.response_started and not self.flow.write_paused:
                cycle.keep_alive = False
                await as_response(problems.document("stopping"))(scope, receive, send)
            cycle.disconnected = True
            self.transport.close()

    def on_response_complete(self) -> None:
        """A request is answered."""
        self.server_state.total_requests += 1
        if self._sizes:
            self._hold(-self._sizes.popleft())
        self.active, self.answered = None, True
        if not self.transport.is_closing():
            self._go_on()

    def _go_on(self) -> None:
        """To the next request, or to wait for it."""
        if self.active is not None or self.flow.write_paused:
            return
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._refusal is not None:
            self._turn_away()
        else:
            self.gate.wait_for(self)
            self.flow.resume_reading()
            self._continue()
            if self._phase == _BETWEEN:
                self._deadline = self.loop.time() + self.limits.idle_s
                self._forget()

    def _forget(self) -> None:
        """An idle connection keeps nothing of its last request, which no longer counts."""
        self.cycle = None  # type: ignore[assignment]  # as uvicorn has it before the first one
        self.scope = None  # type: ignore[assignment]
        self.headers, self._once, self.url = [], {}, b""

    def pause_writing(self) -> None:
        """An answer is not taken as fast as it is given."""
        super().pause_writing()
        self._unread_until = self.loop.time() + self.limits.unread_s
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._hold(self._unread_bytes)
        self.gate.wait_for(self)
        if self.gate.held_bytes > self.limits.held_bytes:
            self.gate.make_room()

    def resume_writing(self) -> None:
        """It was taken."""
        super().resume_writing()
        self._unread_until = math.inf
        self._hold(-self._unread_bytes)
        self._unread_bytes = 0
        if self.active is not None:
            self.gate.work_on(self)
        elif not self.transport.is_closing():
            self._go_on()

    def _refuse(self, code: str) -> None:
        """Take no more, and say why once everything before it is answered."""
        self._deaf, self._refusal = True, code
        self._phase = _BETWEEN
        self._deadline = math.inf
        self._hold(-self._counted_bytes)
        self._wire_bytes = self._counted_bytes = 0
        self._body = bytearray()
        self._go_on()

    def _turn_away(self) -> None:
        """Say why, and listen for a while, or what is under way to us would undo what we said."""
        assert self._refusal is not None
        self.gate.turn_away(self._refusal)
        self._say_why()
        if self._presence is not None:
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self.gate.wait_for(self)
        self._deadline = self.loop.time() + self.limits.linger_s

    def _say_why(self) -> None:
        assert self._refusal is not None
        code = self._refusal
        answer = as_response(problems.document(code, None, **self.limits.passed(code)))
        fields = [
            *self.server_state.default_headers,
            *answer.raw_headers,
            *carried(self.app_state.get("clock")),
            CLOSE_HEADER,
        ]
        told = b"".join(b"%s: %s\r\n" % field for field in fields)
        body = b"" if self.parser.get_method() == b"HEAD" else answer.body
        self.transport.write(b"".join([STATUS_LINE[answer.status_code], told, b"\r\n", body]))
