"""The wire: what fills the socket, what fails, what is cut."""

import asyncio

import psycopg
import pytest

from ledger.database import aconnect
from ledger.wire import Question, Wire
from tests.patience import some_turns

ECHO = Question(b"echo", b"SELECT $1::bytea")
DIVIDE = Question(b"divide", b"SELECT 1 / length($1::bytea)")
NONSENSE = Question(b"nonsense", b"SELECT no_such_thing($1::bytea)")


def test_what_does_not_fit_into_the_socket_arrives_whole(ledger_dsn: str) -> None:
    sent = bytes(range(256)) * 64 * 1024  # 16 MiB

    async def asked() -> bytes | None:
        connection = await aconnect(ledger_dsn)
        async with connection:
            answer = await Wire(connection).ask(ECHO, [sent])
            return answer.get_value(0, 0)

    assert asyncio.run(asked()) == sent


def test_an_error_is_psycopgs_and_the_next_question_is_answered(ledger_dsn: str) -> None:
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

    asyncio.run(asked())


def test_a_connection_that_is_cut_fails_its_asker(ledger_dsn: str) -> None:
    sleep = Question(b"sleep", b"SELECT pg_sleep(60), $1::bytea")

    async def asked() -> None:
        connection = await aconnect(ledger_dsn)
        async with connection, await aconnect(ledger_dsn) as other:
            waiting = asyncio.create_task(Wire(connection).ask(sleep, [b""]))
            while not connection.closed and not waiting.done():
                await other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE pid = %s AND wait_event = 'PgSleep'",
                    (connection.info.backend_pid,),
                )
                await some_turns()
            with pytest.raises(psycopg.OperationalError):
                await waiting
            assert connection.closed

    asyncio.run(asked())
