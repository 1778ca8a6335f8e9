"""One PostgreSQL a session, a database of its own for every test that asks."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

from ledger.database import install
from tests.postgres import Databases, server

# A machine that is busy with other work is no reason to fail.
settings.register_profile(
    "suite", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

# Who runs in the background of a shell ignores Ctrl-C, under nohup the end of his terminal, too,
# and whom he starts inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

BUCKETS = (1, 4)

LONGEST = """
fuzz/test_fuzz projections/test_corrections api/test_cli_streams api/test_crashes api/test_lives
api/test_dry_run bench/test_bench hostile/test_hostile_minutes projections/test_rebuilding
api/test_leaving api/test_strangers architecture/test_how_to projections/test_auditing
api/test_echoes api/test_asof api/test_audit projections/test_asof ledger/test_embedded_stops
"""
"""The files that take a minute or more begin first: else one of them runs alone at the end."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The session's server."""
    with server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def databases(postgres: str) -> Databases:
    """The databases of the session's server, lent and emptied."""
    return Databases(postgres)


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """An empty database."""
    with databases.lent() as dsn:
        yield dsn


@pytest.fixture
def installed(databases: Databases) -> Iterator[Callable[..., str]]:
    """installed(buckets, zone): the dsn of a fresh ledger with so many buckets."""
    with ExitStack() as stack:

        def make(buckets: int = 1, zone: str | None = None) -> str:
            dsn = stack.enter_context(databases.lent())
            install(dsn, buckets, zone)
            return dsn

        yield make


@pytest.fixture(params=BUCKETS, ids=["1 bucket", "4 buckets"])
def ledger_dsn(installed: Callable[[int], str], request: pytest.FixtureRequest) -> str:
    """A fresh ledger, with one lane and with four."""
    return installed(request.param)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the storm of tests/ledger blows, how much is tried by tests/fuzz, each from which
    seed; and whether all tests run."""
    parser.addoption("--all", action="store_true", help="the slow ones, too")
    parser.addoption("--storm-seconds", type=float, default=6.0)
    parser.addoption("--storm-seed", type=int, default=0)
    parser.addoption("--fuzz-seed", type=int, default=1)
    parser.addoption("--fuzz-examples", type=int, default=15)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files come first. The slow tests run in CI, by `--all`, and when they are named.

    So does the other half of the tests that run with one bucket and with four: without `--all`
    each runs with one of the two, always the same.
    """
    first = {f"tests/{name}.py": n for n, name in enumerate(LONGEST.split())}
    items.sort(key=lambda item: first.get(item.nodeid.partition("::")[0], len(first)))
    named = any("::" in word for word in config.args)
    if config.getoption("--all") or named:
        return
    left_out = {item for item in items if item.get_closest_marker("slow") or _other_half(item)}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=[*left_out])


def _other_half(item: pytest.Item) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    buckets = params.get("ledger_dsn", params.get("buckets"))
    if buckets not in BUCKETS:
        return False
    name = re.sub(r"\b[14]( buckets?)?\b", "", item.nodeid)  # the same for both
    return BUCKETS.index(buckets) != crc32(name.encode()) % 2
