"""Who leaves before the answer leaves no work behind: not in the queue, not in the database."""

import asyncio
import json
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest

from api.http import create_app
from api.http.server import asof, calls, downloads, reads
from ledger.database import connect
from ledger.locks import Lock
from projections.engine import runner
from projections.engine.schemas import session_lock
from tests.addresses import at
from tests.api.running import Server, asked, serving, stopped
from tests.api.test_http import samples
from tests.patience import LOOK_AGAIN_S, PATIENCE_S, SOON_S, comes_true, eventually, some_turns
from tests.projections.histories import furnished
from tests.projections.tables import filled

CARD = "GET /v1/members/m1 HTTP/1.1\r\nHost: here\r\n\r\n"
SUPPOSE = '{"changes": [{"change": "service_price", "club_id": "lounge", "factor": "1/2"}]}'


@pytest.fixture
def laid(installed: Callable[[int], str]) -> str:
    """A ledger whose answers are up to date."""
    return filled(installed(1), furnished().log)


@pytest.fixture
def real(laid: str) -> Iterator[Server]:
    """A server of its own on that ledger."""
    server = serving(None, environ={"CLUBLEDGER_DATABASE_URL": laid})
    yield server
    assert stopped(server).code == 0


def line_to(server: Server, request: str) -> socket.socket:
    """A connection on which this was sent."""
    address = httpx.URL(server.address)
    line = socket.create_connection((address.host, address.port or 80), timeout=PATIENCE_S)
    line.sendall(request.encode())
    return line


def answered(server: Server, request: str) -> bool:
    """Whether it is answered, and not refused."""
    with line_to(server, request) as line:
        return line.recv(1 << 16).startswith(b"HTTP/1.1 200")


@contextmanager
def held(dsn: str, table: str) -> Iterator[Any]:
    """Nobody reads this table meanwhile."""
    with connect(dsn) as conn, conn.transaction():
        conn.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield conn


def waiting(conn: Any) -> set[int]:
    """The backends whose statement waits for a lock. What a transaction has seen of the activity
    it would see for ever."""
    conn.execute("SELECT pg_stat_clear_snapshot()")
    found = conn.execute(
        "SELECT pid FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return {pid for (pid,) in found}


def backends(conn: Any) -> set[int]:
    """All that are there. A short look takes a connection beside those that questions take."""
    conn.execute("SELECT pg_stat_clear_snapshot()")
    found = conn.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
    return {pid for (pid,) in found}


def until(conn: Any, number: int) -> set[int]:
    """Wait until so many statements of others wait for a lock; which they are."""
    found = set[int]()

    def as_many() -> bool:
        nonlocal found
        found = waiting(conn)
        return len(found) == number

    assert eventually(as_many), f"{len(found)} statements wait, not {number}"
    return found


def waits_and_leaves(conn: Any, server: Server, request: str) -> bool:
    """Whether it came to wait, and was not refused: what-if has one place, which is given back a
    moment after its statement has ended."""
    with line_to(server, request) as line:
        while not waiting(conn):
            if select.select([line], [], [], LOOK_AGAIN_S)[0]:
                return False
        return True


# ---------------------------------------------------------------------------- over real sockets
def test_a_thousand_who_left_leave_nothing_to_do(laid: str, real: Server) -> None:
    """While a table is held no card is made: whatever ends then, ends unanswered."""
    with held(laid, "answers.member") as conn:
        lines = [line_to(real, CARD) for _ in range(1000)]
        asked_on = until(conn, 4)  # as many as there are connections for reads
        for line in lines:
            line.close()
        until(conn, 0)
        conn.execute("COMMIT")
        assert eventually(lambda: answered(real, CARD)), "not while some are still being let go"
        # One that was cut short while a transaction began is closed, and another takes its place.
        assert asked_on & backends(conn), "they went back clean and are kept"


@pytest.mark.parametrize(
    ("table", "request_line"),
    [
        ("answers.member", "GET /v1/figures?wait_for=0:1"),
        ("answers.lot", "GET /v1/members/m1"),
        ("typed.points_credited", "GET /v1/members/m1/statement?format=csv"),
        ("typed.points_credited", "GET /v1/members/m1/statement"),
        ("answers.member", "POST /v1/what-if"),
        ("ledger.persons", "POST /v1/members/lookup"),
    ],
)
def test_what_is_asked_is_cancelled_on_the_server_when_the_asker_leaves(
    laid: str, real: Server, table: str, request_line: str
) -> None:
    body = SUPPOSE if "what-if" in request_line else '{"phone": "13800000001"}'
    body = body if request_line.startswith("POST") else ""
    request = (
        f"{request_line} HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    with held(laid, table) as conn:
        for _ in range(2):  # A place or a lock that is left behind is missed by the next.
            assert eventually(lambda: waits_and_leaves(conn, real, request))
            until(conn, 0)
        assert conn.execute("SELECT count(*) FROM pg_cursors").fetchone() == (0,)
    assert eventually(lambda: answered(real, request))


AT_ONCE = struct.pack("ii", 1, 0)
"""Of a connection that is reset when it is closed: who only says no more may still listen."""


def test_what_waits_of_a_batch_is_decided_though_the_asker_leaves(laid: str, real: Server) -> None:
    """Each comes to something: where a busy machine takes long the ledger gives some up."""
    said = [
        {"command": "unit.open", "key": f"left-{n}", "unit_id": f"left-{n}", "title": "Left"}
        for n in range(8)
    ]
    body = json.dumps({"commands": said})
    request = (
        "POST /v1/commands HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    with httpx.Client(base_url=real.address, timeout=PATIENCE_S) as http:

        def came(*outcome: str) -> float:
            found = samples(http.get("/metrics").text).items()
            kept = ("commands_total", "unit.open", *outcome)
            return sum(number for labels, number in found if labels[: len(kept)] == kept)

        with held(laid, "ledger.snapshots") as conn:
            with line_to(real, request) as line:
                until(conn, 1)
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            for _ in range(5):  # meanwhile it is seen that he is gone
                assert http.get("/v1/status").status_code == 200
        assert eventually(lambda: came() == len(said))
        with connect(laid) as conn:
            found = conn.execute(
                "SELECT count(*) FROM stored_events WHERE originator_id LIKE 'unit:left-%'"
            )
            assert found.fetchone() == (came("written"),)


def test_a_download_that_is_dropped_gives_its_place_back(laid: str, real: Server) -> None:
    request = "GET /v1/members/m1/statement?format=csv HTTP/1.1\r\nHost: here\r\n\r\n"
    for _ in range(40):
        with line_to(real, request) as line:
            assert line.recv(10)
    with line_to(real, request) as line:
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "again", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["Ctrl-C twice", "grace"]
)
def test_a_stop_breaks_off_what_is_not_answered_and_says_so(laid: str, again: bool) -> None:
    server = serving(None, environ={"CLUBLEDGER_DATABASE_URL": laid})
    with held(laid, "answers.member") as conn, line_to(server, CARD) as line:
        until(conn, 1)
        server.process.send_signal(signal.SIGINT)
        assert eventually(lambda: not listens(server))
        ended = stopped(server, signal.SIGINT) if again else None
        said = b"".join(iter(lambda: line.recv(1 << 16), b""))
        ended = ended or stopped(server, 0)
        until(conn, 0)
    assert said.startswith(b"HTTP/1.1 503")
    assert b'"code":"stopping"' in said
    note = "" if again else '{"level": "error", "note": "Not answered within 10 s of the stop'
    assert (ended.code, ended.err[: len(note) or None]) == (130, note)
    assert "Traceback" not in ended.err


def listens(server: Server) -> bool:
    """Whether it still takes connections."""
    address = httpx.URL(server.address)
    with suppress(OSError), socket.create_connection((address.host, address.port or 80)):
        return True
    return False


# --------------------------------------------------------------------------- in this process
@contextmanager
def within(conn: Any) -> Iterator[None]:
    """As questions that suppose something do: one transaction in another."""
    with runner.snapshot(conn), conn.transaction(force_rollback=True):
        yield


@pytest.mark.parametrize("snapshot", [runner.snapshot, within])
@pytest.mark.parametrize("when", ["before it begins", "before it ends"])
def test_what_is_called_off_where_a_transaction_begins_or_ends_goes_back_clean(
    laid: str, snapshot: Callable[[Any], Any], when: str
) -> None:
    """Its end is asked for as ever: psycopg counts what has begun, and what was never begun it
    would count as ended."""
    here, left, seen = threading.Event(), threading.Event(), list[Any]()

    def stay(conn: Any) -> None:
        seen.append(conn)
        here.set()
        assert left.wait(PATIENCE_S)

    @contextmanager
    def late(conn: Any) -> Iterator[None]:
        if when == "before it begins":
            stay(conn)
        with snapshot(conn):
            yield
            if when == "before it ends":
                stay(conn)

    def which(conn: Any) -> int:
        (pid,) = conn.execute("SELECT pg_backend_pid()").fetchone()
        return int(pid)

    async def ask() -> None:
        asking = reads.Reads(laid, 1)
        try:
            pid = await asking(which)
            task = asyncio.create_task(asking.within(late, which))
            assert await asyncio.to_thread(here.wait, PATIENCE_S)
            task.cancel()
            assert await comes_true(lambda: seen[0]._off)
            left.set()
            with suppress(asyncio.CancelledError):
                await task
            for _ in range(2):
                assert await asking(which) == pid
        finally:
            asking.close()

    asyncio.run(ask())


def test_what_work_uses_is_there_until_it_has_ended(laid: str) -> None:
    """Who leaves closes the file of a download, and a thread that still wrote to it would fail."""
    here, left = threading.Event(), threading.Event()
    done = []

    def work(_: Any) -> None:
        here.set()
        assert left.wait(PATIENCE_S)
        done.append("the work")

    async def ask() -> None:
        run = calls.Calls("work", 1, 0)

        async def request() -> None:
            try:
                await run(work)
            finally:
                done.append("the request")

        task = asyncio.create_task(request())
        assert await asyncio.to_thread(here.wait, PATIENCE_S)
        task.cancel()
        await some_turns()
        left.set()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    assert done == ["the work", "the request"]


def scope_of(app: Any, path: str) -> dict[str, Any]:
    where, _, query = path.partition("?")
    return {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
        "method": "GET", "scheme": "http", "path": where, "raw_path": where.encode(),
        "root_path": "", "query_string": query.encode(), "headers": [], "client": ("c", 1),
        "server": ("here", 80), "app": app,
    }  # fmt: skip


def test_who_waits_for_a_position_and_leaves_waits_no_longer(
    laid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "WAIT_S", 2 * PATIENCE_S)
    with connect(laid) as conn:
        conn.execute("UPDATE ledger.log_end SET position = position + 1")
        (end,) = conn.execute("SELECT position FROM ledger.log_end").fetchone() or (0,)
    app, told, gone = create_app(laid, follow=False), list[Any](), asyncio.Event

    async def ask() -> None:
        left = gone()

        async def receive() -> dict[str, Any]:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            told.append(message)

        async with app.router.lifespan_context(app):
            task = asyncio.create_task(
                app(scope_of(app, at(f"/clubs?wait_for=0:{end}")), receive, send)
            )
            assert await comes_true(lambda: app.state.house.reads._begun > 1)  # It looks again.
            left.set()
            await asyncio.wait_for(task, PATIENCE_S)
            assert told == []

    asyncio.run(ask())


def test_a_download_that_nobody_reads_is_given_up(
    laid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PATIENCE_S", SOON_S)
    app = create_app(laid, follow=False)

    async def ask() -> None:
        never = asyncio.Event()

        async def stuck(*_: Any) -> Any:
            await never.wait()

        async with app.router.lifespan_context(app):
            free = app.state.house.sending._free
            places = free._value
            path = at("/members/m1/statement?format=csv")
            await asyncio.wait_for(app(scope_of(app, path), stuck, stuck), PATIENCE_S)
            assert free._value == places

    asyncio.run(ask())


def test_reads_that_are_too_many_are_told_so(laid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reads, "MOST_WAITING", 3)

    async def ask() -> None:
        async with asked(laid) as client:
            with held(laid, "answers.member") as conn:
                tasks = [asyncio.create_task(client.get("/members/m1")) for _ in range(4 + 3)]
                await asyncio.to_thread(until, conn, 4)
                answer = await client.get("/members/m1")
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
                told = {"code": "busy", "queue": "reads", "waiting": 3, "retry_after_s": 1}
                assert answer.json().items() >= told.items()
            assert {(await task).status_code for task in tasks} == {200}

    asyncio.run(ask())


def test_a_build_that_nobody_waits_for_is_not_begun(laid: str) -> None:
    async def ask() -> None:
        async with asked(laid) as client:
            with connect(laid) as conn, session_lock(conn, Lock.BUILDER):
                end = len(furnished().log)
                paths = [f"/clubs/lounge/use?known_at=0:{end - n}" for n in range(asof.BUILDS + 1)]
                first = asyncio.create_task(client.get(paths[0]))
                await asyncio.to_thread(until, conn, 1)
                others = [asyncio.create_task(client.get(path)) for path in paths[1:-1]]
                builds = client._transport.app.state.house.past._builds  # type: ignore[attr-defined]
                assert await comes_true(lambda: len(builds) == asof.BUILDS)
                for task in others:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                last = asyncio.create_task(client.get(paths[-1]))
            assert {(await task).status_code for task in (first, last)} == {200}
            with connect(laid) as conn:
                assert conn.execute("SELECT count(*) FROM asof.kept").fetchone() == (2,)

    asyncio.run(ask())
