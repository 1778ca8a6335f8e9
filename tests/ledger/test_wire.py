"""The wire: what fills the socket, what fails, what is cut."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest
import uvloop

from ledger.database import aconnect, connect
from ledger.log.wire import Question, Wire
from tests.patience import PATIENCE_S, some_turns

ECHO = Question(b"echo", b"SELECT $1::bytea")
DIVIDE = Question(b"divide", b"SELECT 1 / length($1::bytea)")
NONSENSE = Question(b"nonsense", b"SELECT no_such_thing($1::bytea)")
SLEEP = Question(b"sleep", b"SELECT pg_sleep(3600), $1::bytea")
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """The two loops: `serve` runs on uvloop."""
    found: Run = request.param
    return found


def test_what_does_not_fit_into_the_socket_arrives_whole(run: Run, ledger_dsn: str) -> None:
    sent = bytes(range(256)) * 64 * 1024  # 16 MiB

    async def asked() -> bytes | None:
        connection = await aconnect(ledger_dsn)
        async with connection:
            answer = await Wire(connection).ask(ECHO, [sent])
            return answer.get_value(0, 0)

    assert run(asked()) == sent


def test_an_error_is_psycopgs_and_the_next_question_is_answered(run: Run, ledger_dsn: str) -> None:
    async def asked() -> None:
        connection = await aconnect(ledger_dsn)
        async with connection:
            wire = Wire(connection)
            with pytest.raises(psycopg.errors.DivisionByZero):
                await wire.ask(DIVIDE, [b""])
            for _ in range(2):  # what could not be prepared is not taken for prepared
                with pytest.raises(psycopg.errors.UndefinedFunction):
                    await wire.ask(NONSENSE, [b""])
            answer = await wire.ask(DIVIDE, [b"x"])
            assert answer.get_value(0, 0) == b"\x00\x00\x00\x01"
            async with connection.transaction():  # and psycopg still gets on with it
                assert await (await connection.execute("SELECT 2")).fetchone() == (2,)

    run(asked())


@pytest.mark.parametrize("unread", [b"", b"H\0\0\0\4"], ids=["all read", "unread"])
def test_a_connection_that_is_cut_fails_its_asker(run: Run, ledger_dsn: str, unread: bytes) -> None:
    """A backend that ends with something unread resets the connection, behind its last words."""

    async def asked() -> None:
        connection = await aconnect(ledger_dsn)
        async with connection:
            waiting = asyncio.create_task(Wire(connection).ask(SLEEP, [b""]))
            await cut(connection, waiting, unread)
            with pytest.raises(psycopg.OperationalError):
                await asyncio.wait_for(waiting, PATIENCE_S)
            assert connection.closed

    run(asked())


async def cut(
    connection: psycopg.AsyncConnection[Any], waiting: asyncio.Task[Any], unread: bytes = b""
) -> None:
    """End the backend of a connection that sleeps, and let nobody look before it has gone."""
    pid = connection.info.backend_pid
    sleeps = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
    with connect(connection.info.dsn, password=connection.info.password) as other:
        while not other.execute(sleeps, (pid,)).fetchone():
            assert not waiting.done(), waiting.exception()
            await some_turns()
        os.write(connection.fileno(), unread)
        ended = other.execute("SELECT pg_terminate_backend(%s, %s)", (pid, PATIENCE_S * 1000))
        assert ended.fetchone() == (True,)
