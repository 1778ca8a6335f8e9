"""What befalls the writes is seen: in the log once a cause, by /readyz, in the metrics."""

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.cli.serving import revival
from api.http.server import follower, probing
from api.http.server.follower import Follower
from api.jobs import leading
from api.jobs.leading import Leader
from api.runtime import readiness
from api.runtime.settings import Settings
from api.webhooks import delivering
from api.webhooks.delivering import Deliverer
from ledger.database import connect, install
from ledger.embedded import EmbeddedServer
from ledger.log.batcher import Unanswered
from ledger.trouble import Once
from projections.engine import runner
from tests.api.running import asked
from tests.ledger.facts import command
from tests.patience import SOON_S, comes_true, eventually
from tests.places import place

BREAKS = """
    CREATE FUNCTION ledger.breaks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = '13800000001'; END $$;
    CREATE TRIGGER breaks BEFORE INSERT ON ledger.stored_events EXECUTE FUNCTION ledger.breaks()
"""


async def opened(client: httpx.AsyncClient, n: int) -> None:
    """A write: a unit is opened."""
    house = client._transport.app.state.house  # type: ignore[attr-defined]
    await house.ledger.execute(command("unit.open", unit_id=f"u{n}", title="U"))


def reasons(told: httpx.Response) -> dict[str, Any]:
    """What is told of an installation that is not ready, by its code."""
    assert told.json()["code"] == "not_ready"
    return {reason["code"]: reason for reason in told.json()["reasons"]}


async def turns(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """The answer of /readyz, once it has this status."""
    answers: list[httpx.Response] = []

    async def look() -> None:
        while not answers or answers[-1].status_code != status:
            answers.append(await client.get("/readyz"))

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
                    told = await client.get("/readyz")
                    assert told.status_code == 503
                    assert code in reasons(told)["writes_fail"]["cause"]
                said = (await client.get("/metrics")).text
                assert "clubledger_writes_failing 1.0\n" in said
                assert f' {code}"}} 3.0\n' in said
                conn.execute("DROP FUNCTION ledger.breaks CASCADE")
                await opened(client, 4)
                assert (await client.get("/readyz")).status_code == 200

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
            assert (await client.get("/readyz")).status_code == 200
            room("SET")
            try:
                assert "writes_fail" in reasons(await turns(client, 503))
            finally:
                room("RESET")
            await turns(client, 200)

    asyncio.run(watch())


def test_a_database_that_is_away_is_told_by_the_metrics_and_is_no_reason_to_be_started_anew(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(1)

    async def watch() -> None:
        async with asked(dsn) as client:
            assert "clubledger_database_up 1.0\n" in (await client.get("/metrics")).text
            with connect(make_conninfo(dsn, dbname="postgres")) as conn:
                name = conninfo_to_dict(dsn)["dbname"]
                conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
                ending = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                conn.execute(f"{ending} WHERE datname = '{name}'".encode())
                try:
                    told = await client.get("/metrics")
                    assert (await client.get("/livez")).status_code == 200
                    assert [*reasons(await client.get("/readyz"))] == ["database_away"]
                finally:
                    conn.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
            assert told.status_code == 200
            assert "clubledger_database_up 0.0\n" in told.text
            assert "clubledger_writes_failing " in told.text
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

    async def watch(dsn: str, ballast: Path, pgdata: Path) -> None:
        async with asked(dsn) as client:
            assert (await client.get("/readyz")).status_code == 200
            with ballast.open("wb", buffering=0) as out:
                try:
                    while True:
                        out.write(bytes(4096))
                except OSError:
                    pass
            assert "writes_fail" in reasons(await turns(client, 503))
            os.unlink(ballast)
            await turns(client, 200)
            # A stop waits for its sessions to end, and takes nobody else in.
            with connect(dsn):
                os.kill(int((pgdata / "postmaster.pid").read_text().split()[0]), signal.SIGTERM)
                assert await comes_true(lambda: readiness.of_absence(dsn).code == "recovering")

    with small_disk(256) as disk, EmbeddedServer(disk / "data") as server:
        install(server.dsn, 1)
        asyncio.run(watch(server.dsn, disk / "ballast", disk / "data" / "pgdata"))


@pytest.mark.parametrize(
    ("begun", "within", "called", "rest"),
    [
        (lambda: Follower("dbname=x"), runner, "follow", (follower, "AGAIN_S")),
        (lambda: Deliverer("dbname=x", []), delivering, "connect", (delivering, "OTHERS_S")),
        (lambda: Leader("dbname=x", Settings()), leading, "connect", (leading, "OTHERS_S")),
        (
            lambda: revival._Watcher(Settings(data_dir=Path("nowhere")), "dbname=x"),
            revival, "place_of", (revival, "LOOK_AGAIN_S"),
        ),
    ],
    ids=["follower", "deliverer", "jobs", "reviver"],
)  # fmt: skip
def test_who_works_in_the_background_goes_on_after_what_nobody_foresaw(
    begun: Callable[[], Any],
    within: Any,
    called: str,
    rest: tuple[Any, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    at_work, tried = begun(), list[int]()

    def breaks(*_: Any, **__: Any) -> Any:
        tried.append(1)
        raise LookupError("13800000001")

    monkeypatch.setattr(within, called, breaks)
    monkeypatch.setattr(*rest, SOON_S)
    at_work.start()
    assert eventually(lambda: len(tried) > 3)
    at_work.stop()
    told = [line.getMessage() for line in caplog.records if line.levelno == logging.ERROR]
    assert len(told) == 1, told
    assert told[0].endswith(": LookupError")
