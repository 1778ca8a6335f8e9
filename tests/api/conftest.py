"""One small demo and one server for all tests of the doors."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from domain.access import SCOPES
from ledger.embedded import EmbeddedServer
from tests.addresses import Client
from tests.api.contract import Contract, promised
from tests.api.running import (
    SCALE,
    Server,
    clubledger,
    serving,
    stopped,
    with_a_key,
)
from tests.patience import PATIENCE_S
from tests.places import empty_directory

READ_ALONE = """
    CREATE FUNCTION tests_share_this() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE 'Many tests read this demo: one that writes loads its own.'; END $$;
    CREATE TRIGGER tests_share_this BEFORE INSERT ON ledger.stored_events
    FOR EACH ROW EXECUTE FUNCTION tests_share_this()
"""


@contextmanager
def loaded_demo() -> Iterator[tuple[Path, EmbeddedServer]]:
    """A data directory with the demo at a small scale.

    Its database stays up between the commands, which would otherwise start and stop it each time.
    """
    with empty_directory() as path, EmbeddedServer(path) as database:
        done = clubledger("demo", "--scale", SCALE, "--no-figures", data_dir=path)
        assert done.code == 0, done.err
        yield path, database


@pytest.fixture(scope="session")
def demo_dir() -> Iterator[Path]:
    """The demo that tests read: its log takes no fact, so none sees what another wrote."""
    with loaded_demo() as (path, database):
        with psycopg.connect(database.dsn, autocommit=True) as conn:
            conn.execute(READ_ALONE)
        yield path


@pytest.fixture(scope="session")
def server(demo_dir: Path) -> Iterator[Server]:
    """A server on the demo."""
    running = serving(demo_dir, cold=True)
    yield running
    assert stopped(running).code == 0


@pytest.fixture(scope="session")
def contract() -> Contract:
    """What the OpenAPI document promises."""
    return promised()


@pytest.fixture
def http(server: Server, contract: Contract) -> Iterator[httpx.Client]:
    """A client that holds every answer against the OpenAPI document."""
    hooks = {"response": [contract.check]}
    with Client(base_url=server.address, event_hooks=hooks, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory of its own, with nothing in it."""
    with empty_directory() as path:
        yield path


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    """A data directory in which a database was made, and nothing in that."""
    with empty_directory() as path:
        with EmbeddedServer(path):
            pass
        yield path


@pytest.fixture
def own_ledger(cluster: Path, data_dir: Path) -> Iterator[Path]:
    """A data directory of its own, with a database that stays up between the commands: a copy,
    which is quicker than initdb."""
    subprocess.run(["cp", "-a", f"{cluster}/.", data_dir], check=True)
    with EmbeddedServer(data_dir):
        yield data_dir


@pytest.fixture
def empty(own_ledger: Path, contract: Contract) -> Iterator[httpx.Client]:
    """A client of a server on an empty ledger, that holds every answer against the document."""
    with checked(own_ledger, contract) as client:
        yield client


@pytest.fixture
def owned(own_ledger: Path, contract: Contract) -> Iterator[httpx.Client]:
    """The same, who has a key that opens every door."""
    assert clubledger("import", "-", data_dir=own_ledger, stdin=b"").code == 0
    token = with_a_key(own_ledger, SCOPES)
    with checked(own_ledger, contract, Authorization=f"Bearer {token}") as client:
        yield client


@contextmanager
def checked(path: Path, contract: Contract, **headers: str) -> Iterator[httpx.Client]:
    """A client of a server of its own there, that holds every answer against the document."""
    running = serving(path)
    try:
        hooks = {"response": [contract.check]}
        with Client(
            base_url=running.address, event_hooks=hooks, timeout=PATIENCE_S, headers=headers
        ) as client:
            yield client
    finally:
        assert stopped(running).code == 0
