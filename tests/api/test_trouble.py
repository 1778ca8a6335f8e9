"""What befalls the writes is seen: in the log once a cause, by /ready, in the metrics."""

import asyncio
import logging
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.http.server import probing
from ledger.database import connect, install
from ledger.embedded import EmbeddedServer
from ledger.log.batcher import Unanswered
from ledger.trouble import Once
from tests.api.running import asked
from tests.ledger.facts import command
from tests.patience import comes_true
from tests.postgres import place

BREAKS = """
    CREATE FUNCTION ledger.breaks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '13800000001'; END $$;
    CREATE TRIGGER breaks BEFORE INSERT ON ledger.stored_events EXECUTE FUNCTION ledger.breaks()
"""


async def opened(client: httpx.AsyncClient, n: int) -> None:
    """A write: a unit is opened."""
    house = client._transport.app.state.house  # type: ignore[attr-defined]
    await house.ledger.execute(command("unit.open", unit_id=f"u{n}", title="U"))


async def turns(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """The answer of /ready, once it has this status."""
    answers: list[httpx.Response] = []

    async def look() -> None:
        while not answers or answers[-1].status_code != status:
            answers.append(await client.get("/ready"))

    looking = asyncio.create_task(look())
    assert await comes_true(looking.done), answers[-1].text
    return answers[-1]


@pytest.mark.parametrize("code", ["53100", "58030", "25006", "XX000"])
def test_what_the_batcher_meets_is_told_once_and_shown_until_a_write_goes_through(
    installed: Callable[[int], str], caplog: pytest.LogCaptureFixture, code: str
) -> None:
    dsn = installed(1)

    async def watch() -> None:
        async with asked(dsn) as client:
            with connect(dsn) as conn:
                conn.execute(BREAKS.format(code=code).encode())
                for n in range(3):
                    with pytest.raises(Unanswered):
                        await opened(client, n)
                    told = await client.get("/ready")
                    assert (told.status_code, told.json()["code"]) == (503, "writes_fail")
                    assert code in told.json()["cause"]
                said = (await client.get("/metrics")).text
                assert 'clubledger_writes_failing{worker="' in said
                assert f' {code}"}} 3\n' in said
                conn.execute("DROP FUNCTION ledger.breaks CASCADE")
                await opened(client, 4)
                assert (await client.get("/ready")).status_code == 200

    with caplog.at_level(logging.WARNING, "clubledger"):
        asyncio.run(watch())
    lines = [each.getMessage() for each in caplog.records if code in each.getMessage()]
    assert [line.split(":")[0].split(",")[0] for line in lines] == [
        "Writes", "Writes fail", "Writes go on"
    ]  # fmt: skip
    assert "13800000001" not in caplog.text


def test_where_nobody_writes_a_trial_shows_whether_writes_would_go_through(
    installed: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "FRESH_S", 0.0)
    dsn = installed(1)

    def room(said: str) -> None:
        """For the sessions that begin from now on."""
        with connect(dsn) as conn:
            conn.execute(
                f"ALTER DATABASE {conn.info.dbname} {said} temp_file_limit".encode()
                + (b" = 0" if said == "SET" else b"")
            )
            conn.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    async def watch() -> None:
        async with asked(dsn) as client:
            assert (await client.get("/ready")).status_code == 200
            room("SET")
            try:
                told = await turns(client, 503)
                assert told.json()["code"] == "writes_fail"
            finally:
                room("RESET")
            await turns(client, 200)

    asyncio.run(watch())


def test_metrics_are_told_while_the_database_is_away(installed: Callable[[int], str]) -> None:
    dsn = installed(1)

    async def watch() -> None:
        async with asked(dsn) as client:
            assert "clubledger_database_up 1\n" in (await client.get("/metrics")).text
            with connect(make_conninfo(dsn, dbname="postgres")) as conn:
                name = conninfo_to_dict(dsn)["dbname"]
                conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
                ending = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                conn.execute(f"{ending} WHERE datname = '{name}'".encode())
                try:
                    told = await client.get("/metrics")
                finally:
                    conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
            assert told.status_code == 200
            assert "clubledger_database_up 0\n" in told.text
            assert "clubledger_writes_failing{" in told.text
            assert "clubledger_log_position" not in told.text

    asyncio.run(watch())


def test_a_cause_that_goes_on_is_told_once() -> None:
    new = Once()
    assert [new(cause) for cause in ("a", "a", "b", "b", "a")] == [True, False, True, False, True]


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A disk of its own, so large, which root may make."""
    with place() as directory:
        disk = directory / "disk"
        disk.mkdir()
        size = f"size={megabytes}m,mode=0711"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], check=True)
        try:
            yield disk
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_not_ready_and_is_again_when_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "FRESH_S", 0.0)

    async def watch(dsn: str, ballast: Path) -> None:
        async with asked(dsn) as client:
            assert (await client.get("/ready")).status_code == 200
            with ballast.open("wb", buffering=0) as out:
                try:
                    while True:
                        out.write(bytes(4096))
                except OSError:
                    pass
            assert (await turns(client, 503)).json()["code"] == "writes_fail"
            os.unlink(ballast)
            await turns(client, 200)

    with small_disk(256) as disk, EmbeddedServer(disk / "data") as server:
        install(server.dsn, 1)
        asyncio.run(watch(server.dsn, disk / "ballast"))
