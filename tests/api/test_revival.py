"""`serve` and its embedded PostgreSQL, which somebody kills."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.embedded import running
from tests.addresses import Client
from tests.api.running import serving, stopped
from tests.patience import PATIENCE_S, eventually
from tests.places import empty_directory, kill_servers

pytestmark = pytest.mark.slow


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory of its own, on which no server is left."""
    with empty_directory() as path:
        yield path
        kill_servers(path)


def pid_of(data_dir: Path) -> int:
    """The postmaster's."""
    return int((data_dir / "pgdata" / "postmaster.pid").read_text().splitlines()[0])


def kill_postgres(data_dir: Path) -> None:
    """End the postmaster as the kernel does when memory is short."""
    os.kill(pid_of(data_dir), signal.SIGKILL)


def test_a_killed_database_is_brought_up_again(data_dir: Path) -> None:
    server = serving(data_dir)
    try:
        with Client(base_url=server.address, timeout=PATIENCE_S) as client:
            for _ in range(2):
                kill_postgres(data_dir)
                assert eventually(lambda: client.get("/readyz").status_code == 503)
                assert eventually(lambda: client.get("/readyz").status_code == 200)
                assert client.get("/clubs").status_code == 200
                refused = client.post(
                    "/members/nobody/visits",
                    json={"club_id": "c", "service_id": "s", "desk": "d", "shown_points": 1},
                    headers={"Idempotency-Key": "k"},
                )
                assert refused.json()["code"] == "unknown_member", "the writer is back too"
    finally:
        ended = stopped(server)
    assert ended.code == 0, ended.err


def test_a_database_that_waits_for_our_sessions_to_end_is_not_waited_for(data_dir: Path) -> None:
    """Told to stop, it takes nobody any more and goes on for who is there: for ever, here."""
    server = serving(data_dir)
    try:
        with Client(base_url=server.address, timeout=PATIENCE_S) as client:
            first = pid_of(data_dir)
            os.kill(first, signal.SIGTERM)

            def is_another() -> bool:
                found = running(data_dir)
                return found is not None and found.accepting and found.pid != first

            assert eventually(is_another)
            assert eventually(lambda: client.get("/readyz").status_code == 200)
    finally:
        ended = stopped(server)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_database_that_cannot_be_brought_up_ends_the_server(data_dir: Path, workers: str) -> None:
    server = serving(data_dir, "--workers", workers)
    (data_dir / "pgdata" / "PG_VERSION").write_text("9\n")
    kill_postgres(data_dir)
    out, err = server.process.communicate(timeout=PATIENCE_S)
    assert server.process.returncode == 4, (out, err)
    assert b"was made by PostgreSQL 9" in err
    assert json.loads(err.splitlines()[-1])["code"] == "cannot_open"
