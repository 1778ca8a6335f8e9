"""Who ends his side of a connection, or all of it, while answers are owed to him."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.api.test_front import (
    LAST,
    WORD,
    Application,
    answers,
    connected,
    everything,
    exchanged,
    request,
    running,
)
from tests.patience import PATIENCE_S


@pytest.fixture(scope="module")
def application() -> Application:
    return Application()


@pytest.fixture(scope="module")
def port(application: Application) -> Iterator[int]:
    """A server with the usual limits."""
    with running(application) as found:
        yield found


def test_nothing_is_taken_after_the_last_request(port: int) -> None:
    for last in (LAST, request("GET /last HTTP/1.0")):
        assert len(answers(exchanged(port, last + request() * 3 + b"GARBAGE"))) == 1


def test_the_one_who_is_gone_is_gone_for_the_request_in_hand(application: Application) -> None:
    """Also if others wait behind it, of which alone uvicorn would tell."""
    with running(application) as port:
        line = connected(port)
        line.sendall(request("GET /abandoned HTTP/1.1") + request())
        line.close()
        assert application.gone.wait(PATIENCE_S)


def test_who_has_said_all_he_had_to_is_answered(application: Application) -> None:
    """`shutdown` after the request, as `nc -N` and some health checks do it."""
    application.goes_on.clear()
    with running(application) as port, closing(connected(port)) as line:
        line.sendall(request("GET /wait HTTP/1.1") + request() + b"GARBAGE\r\n\r\n")
        line.shutdown(socket.SHUT_WR)
        assert line.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n", "it shows whether he is there"
        application.goes_on.set()
        assert [each[0] for each in answers(everything(line))] == [200, 200, 400]


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (request() * 3, [200, 200, 200]),
        (request("GET / HTTP/1.0"), [200]),
        (request("GET /long HTTP/1.0"), [200]),
        (request("GET / HTTP/1.1") + b"GET / HTT", [200, 400]),
        (request("POST / HTTP/1.1", "Content-Length: 5", body=b"hell"), [400]),
        (b"", []),
    ],
)
def test_what_ends_early_is_told_so_after_what_is_owed(
    port: int, sent: bytes, statuses: list[int]
) -> None:
    with closing(connected(port)) as line:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        said = everything(line).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    found = answers(said) if WORD not in said else [(200, {"connection": "close"}, None)]
    assert [status for status, _, _ in found] == statuses
    # What was answered before the end was seen does not say so; but the connection has ended.
    assert all(headers["connection"] == "close" for status, headers, _ in found if status == 400)
