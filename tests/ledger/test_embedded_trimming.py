"""A stopped ledger gives back the files of its write-ahead log that nobody will soon need."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.embedded import EmbeddedServer
from ledger.embedded.trimming import trim
from tests.places import kill_servers, place
from tests.postgres import CHEAP

FILE = 2 << 20
MUCH = "CREATE TABLE much AS SELECT n, md5(n::text) FROM generate_series(1, 200000) n"


@pytest.fixture
def data() -> Iterator[Path]:
    with place() as directory:
        yield directory / "data"
        kill_servers(directory)


def files(data: Path) -> list[str]:
    return sorted(p.name for p in (data / "pgdata" / "pg_wal").iterdir() if p.is_file())


def test_files_that_wait_to_be_used_again_go_and_nothing_else_does(data: Path) -> None:
    with (
        EmbeddedServer(data, CHEAP) as server,
        psycopg.connect(server.dsn, autocommit=True) as connection,
    ):
        connection.execute(MUCH)
        connection.execute("CHECKPOINT")
    waiting = len(files(data))
    assert waiting > 6
    assert trim(data / "pgdata") == 0  # all of them are fewer than those that always stay
    assert trim(data / "pgdata", 4 * FILE) == waiting - 5  # and the one that is written to
    assert trim(data / "pgdata", 4 * FILE) == 0
    assert len(files(data)) == 5
    with (
        EmbeddedServer(data, CHEAP) as server,
        psycopg.connect(server.dsn, autocommit=True) as connection,
    ):
        assert connection.execute("SELECT count(*) FROM much").fetchone() == (200_000,)
        connection.execute("INSERT INTO much SELECT * FROM much")
        assert connection.execute("SELECT count(*) FROM much").fetchone() == (400_000,)


def test_what_a_recovery_will_read_stays(data: Path) -> None:
    server = EmbeddedServer(data, CHEAP)
    server.start()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute(MUCH)
        connection.execute("CHECKPOINT")
    kill_servers(data.parent)
    before = files(data)
    assert trim(data / "pgdata", FILE) == 0
    assert files(data) == before
