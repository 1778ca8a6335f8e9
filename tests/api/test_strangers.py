"""`serve` against strangers: floods, dribbles and what never ends, beside honest requests."""

import json
import resource
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import pytest

from tests.addresses import Client
from tests.api.contract import Contract
from tests.api.running import ENDLESS, Server, serving, stopped
from tests.api.test_front import Line, answers, connected, everything, hung_up, problem, request
from tests.patience import PATIENCE_S, SOON_S, eventually

CHUNKED = "Transfer-Encoding: chunked"
MOST_BYTES = 100_000_000
"""What a flood sends, or tries to."""
GROWS_BYTES = 200_000_000
"""What a worker may take for strangers: see api/http/server/limits.py."""
DESCRIPTORS = 1024
"""What the usual system gives a process."""


def port_of(server: Server) -> int:
    return httpx.URL(server.address).port or 80


def lines_to(server: Server, many: int, stack: ExitStack) -> list[Line]:
    return [stack.enter_context(closing(connected(port_of(server)))) for _ in range(many)]


def rss_bytes(server: Server) -> int:
    """The resident memory of the process and those it has started, but PostgreSQL's."""
    pages, todo = 0, [server.process.pid]
    while todo:
        pid = todo.pop()
        todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        if "postgres" not in Path(f"/proc/{pid}/comm").read_text():
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.fixture(
    params=["1", pytest.param("2", marks=pytest.mark.slow)],
    ids=["1 worker", "2 workers"],
    scope="module",
)
def besieged(request: pytest.FixtureRequest, demo_dir: Path) -> Iterator[Server]:
    """A server that has as many descriptors as are usual, whatever its user may ask for."""
    _, ours = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (ours, ours))
    server = serving(demo_dir, "--workers", request.param, descriptors=DESCRIPTORS)
    yield server
    assert stopped(server).code == 0


@pytest.fixture
def honest(besieged: Server) -> Iterator[Callable[[], None]]:
    """Ask as a desk does, on a connection that is kept and on a new one."""
    with Client(base_url=besieged.address, timeout=PATIENCE_S) as desk:

        def ask() -> None:
            assert desk.get("/livez").status_code == 200
            assert httpx.get(f"{besieged.address}/v1/clubs", timeout=PATIENCE_S).status_code == 200

        yield ask


def test_more_idle_connections_than_descriptors(
    besieged: Server, honest: Callable[[], None]
) -> None:
    with ExitStack() as stack:
        for _ in range(15):
            lines_to(besieged, 150, stack)
            honest()
        for line in lines_to(besieged, 150, stack):
            line.sendall(b"GET / HTTP/1.1\r\nA: ")
        honest()
        for line in lines_to(besieged, 150, stack):
            line.sendall(request("POST / HTTP/1.1", "Content-Length: 9", body=b"x"))
        honest()
    assert besieged.process.poll() is None


FLOODS = {
    "headers": (request()[:-2], b"A: b\r\n"),
    "header": (request()[:-2], b"x" * 60),
    "trailers": (request("POST / HTTP/1.1", CHUNKED, body=b"0\r\n"), b"A: b\r\n"),
    "trailer": (request("POST / HTTP/1.1", CHUNKED, body=b"0\r\nA: "), b"x" * 60),
    "extension": (request("POST / HTTP/1.1", CHUNKED, body=b"1;"), b"x" * 60),
    "body": (request("POST / HTTP/1.1", CHUNKED), b"10\r\n0123456789abcdef\r\n"),
    "requests": (b"", request("GET /livez HTTP/1.1")),
    "long answers": (b"", request("GET /openapi.json HTTP/1.1")),
    "noise": (b"", b"\x00\xff"),
    "line breaks": (b"", b"\r\n"),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_takes_no_memory(besieged: Server, honest: Callable[[], None], what: str) -> None:
    """100 MB of it on one connection; and all that is sent before anything is read."""
    start, more = FLOODS[what]
    block = more * (250_000 // len(more))
    honest()
    before = rss_bytes(besieged)
    with ExitStack() as stack:
        for line in lines_to(besieged, 4, stack):
            flood(line, start, block)
        assert rss_bytes(besieged) - before < GROWS_BYTES
        honest()


def flood(line: Line, start: bytes, block: bytes) -> None:
    """Send as much as is taken, until there is an answer and no more is taken, or no connection."""
    line.settimeout(SOON_S)
    sent = 0
    with suppress(BrokenPipeError, ConnectionResetError):
        line.sendall(start)
        while sent < MOST_BYTES:
            try:
                sent += line.send(block)
            except TimeoutError:
                if select.select([line], [], [], 0)[0]:
                    return


def test_answers_that_nobody_reads_take_no_memory(
    besieged: Server, honest: Callable[[], None]
) -> None:
    honest()
    before = rss_bytes(besieged)
    with ExitStack() as stack:
        for _ in range(4):
            for line in lines_to(besieged, 100, stack):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                line.sendall(request("GET /openapi.json HTTP/1.1") * 15)
            honest()
        assert rss_bytes(besieged) - before < GROWS_BYTES
        assert besieged.process.poll() is None


@pytest.mark.slow
def test_slow_requests_are_told_and_let_go(besieged: Server, honest: Callable[[], None]) -> None:
    """With the times of a real server."""
    with ExitStack() as stack:
        silent, head, body, reader = lines_to(besieged, 4, stack)
        head.sendall(b"GET / HTTP/1.1\r\nA: ")
        body.sendall(request("POST / HTTP/1.1", "Content-Length: 9", body=b"x"))
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        reader.sendall(request("GET /openapi.json HTTP/1.1") * 10)
        assert everything(silent) == b""
        honest()
        assert problem(everything(head)) == problem(everything(body)) == "too_slow"
        honest()
        assert eventually(lambda: hung_up(reader))
        honest()


def test_an_actor_in_a_trailer_is_nobody(server: Server) -> None:
    """A supervisor may take a visit back after a quarter of an hour; a trailer is no supervisor."""
    told = b'{"at": "2008-06-01T09:00:00+08:00"}'
    chunks = b"%x\r\n%s\r\n0\r\nClubledger-Actor: supervisor:x\r\nIdempotency-Key: b\r\n\r\n"
    fields = ("Content-Type: application/json", CHUNKED, "Connection: close")
    sent = request(
        "POST /v1/members/t1/visits/1/undo HTTP/1.1", *fields, body=chunks % (len(told), told)
    )
    with closing(connected(port_of(server))) as line:
        line.sendall(sent)
        ((status, _, answer),) = answers(everything(line))
    assert (status, answer["code"]) == (400, "key_missing")


def test_a_write_that_asks_for_another_protocol_is_a_write(server: Server) -> None:
    body = json.dumps({"club_id": "c", "service_id": "s", "desk": "d", "shown_points": 1}).encode()
    fields = (
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Content-Type: application/json",
        "Idempotency-Key: h2c",
        f"Content-Length: {len(body)}",
    )
    sent = request("POST /v1/members/nobody/visits HTTP/1.1", *fields, body=body)
    with closing(connected(port_of(server))) as line:
        line.sendall(sent * 2 + request("GET /livez HTTP/1.1", "Connection: close"))
        found = answers(everything(line))
    assert [status for status, _, _ in found] == [404, 404, 200]
    assert [told["code"] for _, _, told in found[:2]] == ["unknown_member"] * 2


def test_head_is_answered_wherever_get_is(server: Server, contract: Contract) -> None:
    """With the same headers and no body, on a connection that goes on."""
    known = {"member_id": "m000001", "club_id": "health", "campaign_id": "golden_autumn"}
    known |= {
        "report_id": "vip-2008",
        "claim_id": "binding.rate",
        "measure_id": "members.vips",
        "webhook_id": "none",
        "role_id": "clerk",
        "job_id": "0123456789abcdef",
        "number": "1",
    }
    known_paths = contract.document["paths"].items()
    paths = [path for path, methods in known_paths if "get" in methods and path != ENDLESS]
    paths += ["/openapi.json", "/nowhere", "/members/{member_id}/statement?format=csv"]
    paths += ["/figures?format=xlsx", "/problems/none", "/livez?deep=1"]
    with Client(base_url=server.address, timeout=PATIENCE_S) as client:
        for path in paths:
            asked = path.format_map({**known, "code": "busy"})
            got, headed = client.get(asked), client.head(asked)
            assert headed.status_code == got.status_code, asked
            assert headed.content == b"", asked
            changing = {"date", "clubledger-clock", "x-request-id"}
            ages = any(each in path for each in ("xlsx", "/status", "/metrics"))
            lengths = {"content-length"} if ages else set()
            assert {k: v for k, v in headed.headers.items() if k not in changing | lengths} == {
                k: v for k, v in got.headers.items() if k not in changing | lengths
            }, asked
        refused = client.head("/members/m000001/visits")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        assert client.delete("/clubs").headers["allow"] == "GET, HEAD, POST"


def test_problems_of_the_front_tell_the_time_of_a_demo(server: Server) -> None:
    with closing(connected(port_of(server))) as line:
        line.sendall(b"GARBAGE\r\n\r\n")
        said = everything(line)
    assert problem(said) == "malformed"
    assert b"clubledger-clock: 20" in said
