"""The front on a real socket and a real loop: what it lets through, and what it turns away."""

import asyncio
import gc
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api.http.server import gate
from api.http.server.front import Entrance, Front
from api.http.server.limits import Limits
from api.runtime import problems
from tests.api.running import environment
from tests.patience import PATIENCE_S, SOON_S, eventually

USUAL = Limits(body_bytes=65_536)
WORD = b"x" * 100
Line = socket.socket


class Application:
    """Tells what reached it. `/wait` answers when it is told to, `/long` at length."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.seen: list[str] = []
        self.gone = threading.Event()
        self.stop: Callable[[], None] = lambda: None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.seen.append(scope["path"])
        message = await receive()
        assert not message["more_body"], "the application only sees whole requests"
        told: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"],
            "headers": [name.decode() for name, _ in scope["headers"]],
            "body": message["body"].decode(),
        }
        if scope["path"] == "/wait":
            await asyncio.to_thread(self.goes_on.wait, PATIENCE_S)
        if scope["path"] == "/abandoned":
            assert (await receive())["type"] == "http.disconnect"
            self.gone.set()
            return
        body = WORD * 100_000 if scope["path"] == "/long" else json.dumps(told).encode()
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})


class Server(uvicorn.Server):
    """Runs in a thread, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()


@contextmanager
def running(application: Application, limits: Limits = USUAL) -> Iterator[int]:
    """The port of a server with the front."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        entrance = cast(type[asyncio.Protocol], Entrance(limits))
        config = uvicorn.Config(
            application, http=entrance, loop="uvloop", ws="none", log_level="error"
        )
        config.timeout_graceful_shutdown = 5
        server = Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        stop = application.stop = partial(setattr, server, "should_exit", True)
        assert server.listens.wait(PATIENCE_S)
        try:
            yield listener.getsockname()[1]
        finally:
            application.goes_on.set()
            stop()
            thread.join(PATIENCE_S)


@pytest.fixture(scope="module")
def application() -> Application:
    return Application()


@pytest.fixture(scope="module")
def port(application: Application) -> Iterator[int]:
    """A server with the usual limits."""
    with running(application) as found:
        yield found


def connected(port: int) -> Line:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def everything(line: Line) -> bytes:
    """All that comes until the other side ends."""
    said = b""
    try:
        while part := line.recv(65_536):
            said += part
    except ConnectionResetError:
        pass
    return said


def an_answer(line: Line) -> bytes:
    """One whole answer on a line that stays open: it may come in several pieces."""
    with line.makefile("rb", buffering=0) as reading:
        head = b"".join(iter(reading.readline, b"\r\n"))
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        body = b""
        while len(body) < length:
            body += reading.read(length - len(body)) or b""
    return head + b"\r\n" + body


def exchanged(port: int, sent: bytes) -> bytes:
    """What comes back for this, whatever becomes of the connection."""
    with closing(connected(port)) as line:
        with suppress(BrokenPipeError, ConnectionResetError):
            line.sendall(sent)
        return everything(line)


def answers(said: bytes) -> list[tuple[int, dict[str, str], Any]]:
    """(status, headers, body) of each answer in a stream of them."""
    found = []
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        status = int(first.split()[1])
        length = int(headers.get("content-length", 0))
        body, said = said[:length], said[length:]
        found.append((status, headers, json.loads(body) if body else None))
    return found


def problem(said: bytes) -> str:
    """The code of the one problem that this is."""
    ((status, headers, told),) = answers(said)
    assert headers["content-type"] == problems.MEDIA_TYPE
    assert headers["connection"] == "close"
    assert headers["cache-control"] == "no-store"
    assert "date" in headers
    numbers = {name: told[name] for name in problems.members_of(told["code"])}
    assert told == problems.document(told["code"], None, **numbers)
    assert told["status"] == status
    return str(told["code"])


def request(head: str = "GET / HTTP/1.1", *fields: str, body: bytes = b"") -> bytes:
    lines = (
        [head, *fields]
        if any(f.lower().startswith("host") for f in fields)
        else [
            head,
            "Host: here",
            *fields,
        ]
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


LAST = request("GET /last HTTP/1.1", "Connection: close")
CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x16\x03\x01\x02\x00\x01", "malformed"),
        (b"GARBAGE\r\n\r\n", "malformed"),
        (request("GET / HTTP/9.9"), "malformed"),
        (request("BREW / HTTP/1.1"), "malformed"),
        (b"GET / HTTP/1.1\r\n\r\n", "malformed"),
        (request("GET / HTTP/1.1", "Host: a", "Host: b"), "malformed"),
        (request("GET / HTTP/1.1", "Host: a", "hOST: a"), "malformed"),
        (request("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 1"), "malformed"),
        (request("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 2"), "malformed"),
        (request("POST / HTTP/1.1", "Content-Length: 1, 1"), "malformed"),
        (request("POST / HTTP/1.1", "Content-Length: -1"), "malformed"),
        (request("POST / HTTP/1.1", "Content-Length: +1"), "malformed"),
        (request("POST / HTTP/1.1", "Content-Length: " + "9" * 30), "malformed"),
        (request("POST / HTTP/1.1", "Content-Length: 5", CHUNKED), "malformed"),
        (request("POST / HTTP/1.1", CHUNKED, "Content-Length: 5"), "malformed"),
        (request("POST / HTTP/1.1", CHUNKED, CHUNKED), "malformed"),
        (request("POST / HTTP/1.1", "Transfer-Encoding: identity", body=b"x"), "not_implemented"),
        (request("POST / HTTP/1.1", "Transfer-Encoding : chunked"), "malformed"),
        (request("POST / HTTP/1.0", CHUNKED, body=b"0\r\n\r\n"), "malformed"),
        (request("POST / HTTP/1.1", CHUNKED, body=b"5\nhello\n0\n\n"), "malformed"),
        (request("POST / HTTP/1.1", CHUNKED, body=b"zz\r\n"), "malformed"),
        (request("GET / HTTP/1.1", "A: b", " folded: c"), "malformed"),
        (request("GET / HTTP/1.1", "A: b\rC: d"), "malformed"),
        (request("POST / HTTP/1.1", "Transfer-Encoding: gzip, chunked"), "not_implemented"),
        (request("CONNECT here:80 HTTP/1.1"), "not_implemented"),
        (request("POST / HTTP/1.1", "Content-Length: 65537"), "too_large"),
        (request("POST / HTTP/1.1", CHUNKED, body=b"10001\r\n" + b"x" * 65_537), "too_large"),
        (request(f"GET /{'x' * 9_000} HTTP/1.1"), "address_too_long"),
        (b"GET /" + b"x" * 1_000_000, "address_too_long"),
        (request("GET / HTTP/1.1", *["A: b"] * 100), "head_too_large"),
        (request("GET / HTTP/1.1", *[f"A: {'x' * 4_000}"] * 9), "head_too_large"),
        (request("GET / HTTP/1.1", "A: " + "x" * 40_000), "head_too_large"),
    ],
)
def test_what_is_no_request_or_too_much_is_a_problem(
    port: int, application: Application, sent: bytes, code: str
) -> None:
    """And nothing of it reaches the application."""
    application.seen.clear()
    assert problem(exchanged(port, sent + LAST)) == code
    assert application.seen == []


def test_a_problem_comes_after_the_answers_that_were_owed(port: int) -> None:
    said = exchanged(port, request("GET /1 HTTP/1.1") * 3 + b"GARBAGE\r\n\r\n")
    assert [status for status, _, _ in answers(said)] == [200, 200, 200, 400]


def test_what_was_refused_late_reaches_who_still_sends(port: int) -> None:
    """We listen to the end, or the answer would be lost with the connection."""
    sent = request("POST / HTTP/1.1", "Content-Length: 20000000") + b"x" * 20_000_000
    assert problem(exchanged(port, sent)) == "too_large"


def test_trailers_never_become_headers(port: int) -> None:
    body = b"2\r\nhi\r\n0\r\nClubledger-Actor: supervisor:x\r\nHost: there\r\n\r\n"
    first, last = answers(exchanged(port, request("POST /t HTTP/1.1", CHUNKED, body=body) + LAST))
    assert first[2] == {
        "method": "POST",
        "path": "/t",
        "headers": ["host", "transfer-encoding"],
        "body": "hi",
    }
    assert last[2]["path"] == "/last"


ENDLESS = {
    "headers": (request()[:-2], b"A: b\r\n", "head_too_large"),
    "one header": (request()[:-2] + b"A: ", WORD, "head_too_large"),
    "one name": (request()[:-2], WORD, "head_too_large"),
    "trailers": (request("POST / HTTP/1.1", CHUNKED, body=b"0\r\n"), b"A: b\r\n", "head_too_large"),
    "one trailer": (
        request("POST / HTTP/1.1", CHUNKED, body=b"0\r\nA: "),
        WORD,
        "head_too_large",
    ),
    "chunk extension": (request("POST / HTTP/1.1", CHUNKED, body=b"1;"), WORD, "head_too_large"),
    "chunk extensions": (
        request("POST / HTTP/1.1", CHUNKED),
        b"1;" + b"x" * 1_000 + b"\r\nx\r\n",
        "too_large",
    ),
    "address": (b"GET /", WORD, "address_too_long"),
    "body": (request("POST / HTTP/1.1", CHUNKED), b"64\r\n" + WORD + b"\r\n", "too_large"),
}


@pytest.mark.parametrize("what", ENDLESS)
@pytest.mark.parametrize("at_once", [True, False], ids=["in blocks", "in crumbs"])
def test_what_has_no_end_is_cut_short(port: int, what: str, at_once: bool) -> None:
    start, more, code = ENDLESS[what]
    block = more * (200_000 // len(more)) if at_once else more
    with closing(connected(port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.sendall(start)
        line.setblocking(False)
        sent = 0
        while sent < 20_000_000:
            with suppress(BlockingIOError):
                sent += line.send(block)
            try:
                first = line.recv(65_536)
                break
            except BlockingIOError:
                continue
        line.setblocking(True)
        line.shutdown(socket.SHUT_WR)
        assert problem(first + everything(line)) == code


@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        ("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x"),
        ("Connection: keep-alive, Upgrade", "Upgrade: TLS/1.3, foo"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7])
def test_another_protocol_is_not_taken_up(port: int, fields: tuple[str, ...], pieces: int) -> None:
    """Body and connection are as if nobody had asked; RFC 9110 (7.8)."""
    told = request("POST /told HTTP/1.1", *fields, "Content-Length: 5", body=b"hello")
    untold = request("POST /untold HTTP/1.1", *fields, CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n")
    sent = told + untold + request("GET /none HTTP/1.1", *fields) + LAST
    with closing(connected(port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        step = len(sent) // pieces + 1
        for start in range(0, len(sent), step):
            line.sendall(sent[start : start + step])
        found = answers(everything(line))
    assert [(each[0], each[2]["path"], each[2]["body"]) for each in found] == [
        (200, "/told", "hello"),
        (200, "/untold", "hello"),
        (200, "/none", ""),
        (200, "/last", ""),
    ]
    assert "upgrade" not in found[0][2]["headers"]


def test_who_waits_for_a_continue_gets_one(port: int) -> None:
    expect = ("Expect: 100-continue", "Content-Length: 5")
    with closing(connected(port)) as line:
        for _ in range(2):
            line.sendall(request("POST /c HTTP/1.1", *expect))
            assert line.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            line.sendall(b"hello")
            assert b'"body": "hello"' in an_answer(line)
    large = request("POST /c HTTP/1.1", "Expect: 100-continue", "Content-Length: 70000")
    assert problem(exchanged(port, large)) == "too_large"
    none = request("GET /c HTTP/1.1", "Expect: 100-continue") + LAST
    assert [status for status, _, _ in answers(exchanged(port, none))] == [200, 200]


def test_requests_that_follow_each_other_are_answered_in_order(port: int) -> None:
    sent = b"".join(
        request(f"POST /{n} HTTP/1.1", "Content-Length: 2", body=b"%02d" % n) for n in range(12)
    )
    found = answers(exchanged(port, sent + LAST))
    assert [each[2]["path"] for each in found] == [*(f"/{n}" for n in range(12)), "/last"]
    assert [each[2]["body"] for each in found[:-1]] == [f"{n:02d}" for n in range(12)]


def test_of_requests_that_are_sent_ahead_only_some_wait(application: Application) -> None:
    application.goes_on.clear()
    with running(application) as port, closing(connected(port)) as line:
        line.sendall(request("GET /wait HTTP/1.1") + request() * 5_000)
        application.goes_on.set()
        found = answers(everything(line))
    assert [status for status, _, _ in found] == [200] * (1 + USUAL.waiting_requests) + [503]
    assert found[-1][2]["code"] == "overloaded"
    assert found[-1][1]["retry-after"] == "1"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HT",
        request()[:-2] + b"A: b",
        request("POST / HTTP/1.1", "Content-Length: 5", body=b"hell"),
        request("POST / HTTP/1.1", CHUNKED, body=b"5\r\nhello\r\n0\r\nA: b\r\n"),
        request("GET /1 HTTP/1.1") + b"GET / HT",
    ],
)
def test_who_does_not_finish_is_told_and_let_go(application: Application, sent: bytes) -> None:
    limits = replace(USUAL, head_s=0.2, body_s=0.2, idle_s=30.0)
    with running(application, limits) as port:
        *before, last = answers(exchanged(port, sent))
    assert [status for status, _, _ in before] == [200] * sent.count(b"/1 ")
    assert (last[0], last[2]["code"]) == (408, "too_slow")


def test_a_slow_request_does_not_buy_time_with_crumbs(application: Application) -> None:
    limits = replace(USUAL, head_s=1.0)
    with running(application, limits) as port, closing(connected(port)) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: here\r\nA: ")
        line.settimeout(SOON_S)
        while True:
            try:
                line.send(b"x")
                said = line.recv(65_536)
                break
            except TimeoutError:
                continue
        assert b" 408 " in said


def test_who_says_nothing_is_let_go_without_a_word(application: Application) -> None:
    with running(application, replace(USUAL, head_s=0.2, idle_s=0.2)) as port:
        assert exchanged(port, b"") == b""
        assert exchanged(port, b"\r\n\r\n") == b""
        assert [status for status, _, _ in answers(exchanged(port, request()))] == [200]


@pytest.mark.parametrize("closes", [True, False])
def test_who_does_not_read_his_answer_is_cut_off(application: Application, closes: bool) -> None:
    fields = ["Connection: close"] if closes else []
    limits = replace(USUAL, unread_s=0.2)
    with running(application, limits) as port, closing(connected(port)) as line:
        line.sendall(request("GET /long HTTP/1.1", *fields))
        assert line.recv(9) == b"HTTP/1.1 "
        assert eventually(lambda: hung_up(line))
        assert [status for status, _, _ in answers(exchanged(port, LAST))] == [200]


def hung_up(line: Line) -> bool:
    """Whether the other side is gone, of which a client who reads nothing learns by writing."""
    try:
        line.send(b"x")
    except OSError:
        return True
    return False


def test_a_reader_who_is_slow_gets_all_of_it(application: Application) -> None:
    with running(application) as port, closing(connected(port)) as line:
        line.sendall(request("GET /long HTTP/1.1", "Connection: close"))
        said = b""
        while part := line.recv(4_096):
            said += part
    assert len(said.partition(b"\r\n\r\n")[2]) == len(WORD) * 100_000


def test_no_request_is_begun_before_the_last_answer_is_taken(application: Application) -> None:
    with running(application) as port, closing(connected(port)) as line:
        application.seen.clear()
        line.sendall(request("GET /long HTTP/1.1") + request("GET /2 HTTP/1.1"))
        with closing(connected(port)) as other:
            other.sendall(LAST)
            everything(other)
        assert "/2" not in application.seen
        line.sendall(LAST)
        assert everything(line).count(b"HTTP/1.1 200 OK") == 3


def test_blanks_after_a_value_are_none_of_it(port: int) -> None:
    sent = request("POST /b HTTP/1.1", f"{CHUNKED}  ", body=b"1\r\nx\r\n0\r\n\r\n")
    assert [each[0] for each in answers(exchanged(port, sent + LAST))] == [200, 200]


def test_when_all_places_are_taken_the_longest_idle_makes_way(application: Application) -> None:
    with running(application, replace(USUAL, connections=5)) as port:
        idle = [connected(port) for _ in range(5)]
        for _ in range(20):
            assert [status for status, _, _ in answers(exchanged(port, LAST))] == [200]
        assert idle[0].recv(1) == b""
        for line in idle:
            line.close()


def test_a_flood_of_newcomers_leaves_the_desks_alone(application: Application) -> None:
    with running(application, replace(USUAL, connections=8)) as port:
        desk = connected(port)
        desk.sendall(request())
        assert desk.recv(1_000).startswith(b"HTTP/1.1 200")
        flood = [connected(port) for _ in range(50)]
        desk.sendall(LAST)
        assert everything(desk).startswith(b"HTTP/1.1 200")
        for line in (desk, *flood):
            line.close()


def test_a_half_told_request_that_makes_way_is_told_so(application: Application) -> None:
    with running(application, replace(USUAL, connections=1)) as port:
        half = connected(port)
        half.sendall(b"GET / HTT")
        assert [status for status, _, _ in answers(exchanged(port, LAST))] == [200]
        said = everything(half)
        assert said == b"" or problem(said) == "overloaded"
        half.close()


def test_when_all_are_being_answered_the_next_is_told_so(application: Application) -> None:
    application.goes_on.clear()
    with running(application, replace(USUAL, connections=2)) as port:
        application.seen.clear()
        busy = [connected(port) for _ in range(2)]
        for line in busy:
            line.sendall(request("GET /wait HTTP/1.1", "Connection: close"))
        assert eventually(lambda: len(application.seen) == 2)
        assert problem(exchanged(port, b"")) == "overloaded"
        application.goes_on.set()
        assert [answers(everything(line))[0][0] for line in busy] == [200, 200]
        for line in busy:
            line.close()


def test_memory_that_is_full_is_taken_from_who_holds_most(application: Application) -> None:
    """Those who hold it are told; who asks for little is answered."""
    limits = replace(USUAL, held_bytes=300_000)
    half = request("POST / HTTP/1.1", "Content-Length: 60000", body=b"x" * 50_000)
    with running(application, limits) as port:
        lines = [connected(port) for _ in range(20)]
        for line in lines:
            line.sendall(half)
            assert [status for status, _, _ in answers(exchanged(port, LAST))] == [200]
        rest = [line for line in lines if finished(line, b"x" * 10_000)]
        for line in lines:
            line.close()
    assert 2 <= len(rest) <= 6


def finished(line: Line, rest: bytes) -> bool:
    """Whether the rest of a request is still taken."""
    try:
        line.sendall(rest)
        ((status, _, told),) = answers(an_answer(line))
    except (OSError, ValueError):
        return False
    assert status == 200 or told["code"] == "overloaded"
    return status == 200


def test_a_server_that_stops_answers_what_it_has_and_waits_for_nobody(
    application: Application,
) -> None:
    application.goes_on.clear()
    with running(application) as port:
        application.seen.clear()
        idle, half, busy = (connected(port) for _ in range(3))
        half.sendall(b"GET / HTT")
        busy.sendall(request("GET /wait HTTP/1.1") + request())
        assert eventually(lambda: bool(application.seen))
        application.stop()
        assert everything(idle) == everything(half) == b""
        application.goes_on.set()
        found = answers(everything(busy))
    for line in (idle, half, busy):
        line.close()
    assert [status for status, _, _ in found] == [200, 200]
    assert found[-1][1]["connection"] == "close"


def test_an_idle_connection_keeps_nothing_of_its_request(application: Application) -> None:
    sent = request("POST /unread HTTP/1.1", "Content-Length: 60000", body=b"x" * 60_000)
    with running(application) as port, closing(connected(port)) as line:
        line.sendall(sent)
        assert line.recv(100_000).startswith(b"HTTP/1.1 200")
        fronts = [each for each in gc.get_objects() if type(each) is Front and each.gate.inside]
        (front,) = [
            each
            for each in fronts
            if each.transport.get_extra_info("peername")[1] == line.getsockname()[1]
        ]
        assert eventually(lambda: front.active is None)
        kept = [front.cycle, front.scope, front.headers, front.held_bytes, front.gate.held_bytes]
        assert not any(kept)


def test_the_log_tells_who_was_turned_away(
    application: Application, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By code and number, once in a while: a flood shall not become one of the log."""
    monkeypatch.setattr(gate, "TELL_AGAIN_S", 0.0)
    with running(application) as port:
        for sent in (b"GARBAGE\r\n\r\n", b"GARBAGE\r\n\r\n", request("CONNECT a:1 HTTP/1.1")):
            problem(exchanged(port, sent))
        assert eventually(lambda: "not_implemented 1" in caplog.text)
    assert "Turned away in front of the application: malformed" in caplog.text


PLACES = """
import resource, sys
from api.http.server.limits import Limits
soft, hard = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
places = Limits(body_bytes=1, descriptors_kept=64).places()
print(places, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "found"),
    [
        (256, 4096, "1000 2064 4096"),  # it asks for as many as it needs
        (256, 1024, "480 1024 1024"),  # takes what there is
        (4096, 4096, "1000 4096 4096"),
        (64, 64, "1 64 64"),
    ],
)
def test_places_stay_below_the_descriptors_that_there_are(soft: int, hard: int, found: str) -> None:
    command = [sys.executable, "-c", PLACES, str(soft), str(hard)]
    done = subprocess.run(command, capture_output=True, env=environment(), text=True, check=True)
    assert done.stdout.strip() == found
