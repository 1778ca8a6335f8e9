"""One PostgreSQL a session, a database of its own for every test that asks."""

import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings

from ledger.keyring import KEYRING, Source
from tests import choosing
from tests.postgres import BUCKETS, KEY, Databases, server

# A machine that is busy with other work is no reason to fail.
settings.register_profile(
    "suite", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

# Who runs in the background of a shell ignores Ctrl-C, under nohup the end of his terminal, too,
# and whom he starts inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

KEYRING.take(Source("the tests", lambda: KEY))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The session's server."""
    with server() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def databases(postgres: str) -> Databases:
    """The databases of the session's server."""
    return Databases(postgres)


@pytest.fixture
def database(databases: Databases) -> Iterator[str]:
    """An empty database."""
    with databases.lent() as dsn:
        yield dsn


@pytest.fixture
def installed(databases: Databases) -> Iterator[Callable[..., str]]:
    """installed(buckets, zone): the dsn of a ledger with so many buckets, and empty answers."""
    with ExitStack() as stack:

        def make(buckets: int = 1, zone: str | None = None) -> str:
            return stack.enter_context(databases.ledger(buckets, zone))

        yield make


@pytest.fixture(params=BUCKETS, ids=["1 bucket", "4 buckets"])
def ledger_dsn(installed: Callable[[int], str], request: pytest.FixtureRequest) -> str:
    """A fresh ledger, with one lane and with four."""
    return installed(request.param)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the storm of tests/ledger blows, how much is tried by tests/fuzz, each from which
    seed; and whether all tests run."""
    parser.addoption("--all", action="store_true", help="the slow ones, too")
    parser.addoption(
        "--both", action="store_true", help="all of them with one bucket and with four"
    )
    parser.addoption("--storm-seconds", type=float, default=6.0)
    parser.addoption("--storm-seed", type=int, default=0)
    parser.addoption("--fuzz-seed", type=int, default=1)
    parser.addoption("--fuzz-examples", type=int, default=2)
    parser.addoption("--fuzz-whole", action="store_true", help="each role asks all that it opens")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest files come first, and what does not run is left out (tests/choosing.py)."""
    choosing.longest_first(items)
    if any("::" in word for word in config.args):
        return
    left_out = choosing.left_out(items, config.getoption("--all"), config.getoption("--both"))
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=[*left_out])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Lines are counted of some (tests/choosing.py)."""
    with choosing.counting(item):
        return (yield)
