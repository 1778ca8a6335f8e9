"""Schemathesis against a real server on a small ledger, in each role: a fixed budget, every check,
no finding. A long run, in which each role is asked for all that it opens:

    make test ARGS="-n 0 -s tests/fuzz --all --fuzz-whole --fuzz-examples 50 --fuzz-seed 2"
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

import httpx
import pytest

from api.http import create_app
from api.http.server.access import opened as opened_doors
from api.http.server.access import routes_of
from domain.access import BUILT_IN
from ledger.embedded import EmbeddedServer
from tests.api import facts
from tests.api.running import (
    ENDLESS,
    UNTRACED,
    Server,
    clubledger,
    environment,
    serving,
    stopped,
)
from tests.fuzz.warm import PRELOADED, schemathesis
from tests.patience import PATIENCE_S
from tests.places import empty_directory

CONFIG = Path(__file__).with_name("schemathesis.toml")
FUZZ_S = 3_600
"""Its budget is of requests, not of time: beside the whole suite they take minutes."""


@dataclass(frozen=True)
class Opened:
    """A server, and a key of each role, in the test's only club and unit."""

    server: Server
    tokens: dict[str, str]
    starts: ForkServerContext


@pytest.fixture(scope="module")
def warm() -> Iterator[ForkServerContext]:
    """What has imported Schemathesis and what its hooks need, and forks for each run."""
    made = ForkServerContext()
    made.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in UNTRACED.items():
            patch.setenv(name, value)
        yield made


@pytest.fixture(scope="module")
def opened(warm: ForkServerContext) -> Iterator[Opened]:
    """A server on a ledger of its own."""
    with empty_directory() as path, EmbeddedServer(path):
        sent = facts.lines(facts.facts())
        assert clubledger("import", "-", data_dir=path, stdin=sent).code == 0
        said = ("api_key_id=root", "role_id=administrator", "--json")
        root = clubledger("do", "apikey.issue", *said, data_dir=path).json["token"]
        running = serving(path)
        tokens = {role_id: issued(running.address, root, role_id) for role_id in BUILT_IN}
        # It is made when it is first asked for, and Schemathesis waits 10 s for it.
        httpx.get(f"{running.address}/openapi.json", timeout=PATIENCE_S)
        yield Opened(running, tokens, warm)
        assert stopped(running).code == 0


def issued(address: str, root: str, role_id: str) -> str:
    """A key of a role in all that facts tell of."""
    headers = {"Authorization": f"Bearer {root}", "Idempotency-Key": role_id}
    body = {"api_key_id": role_id, "role_id": role_id, "clubs": ["t-club"], "units": ["t-unit"]}
    at = f"{address}/v1/api-keys"
    return str(httpx.post(at, json=body, headers=headers, timeout=PATIENCE_S).json()["token"])


@cache
def operations() -> dict[str, list[str]]:
    """By the scope that they need, if any, the names of all operations."""
    app = create_app("", follow=False)
    needs = {(method, path): need for method, path, _, need in opened_doors(app)}
    found: dict[str, list[str]] = {}
    for method, path, name, _ in routes_of(app):
        found.setdefault(needs[method, path].scope or "", []).append(name)
    return found


def opens(role_id: str, scope: str) -> bool:
    """Whether a role opens what needs a scope: what is closed to it is tried cell by cell in
    tests/api/test_access.py."""
    return not scope or scope in BUILT_IN[role_id]


def shares(whole: bool) -> dict[str, list[str]]:
    """What is asked in which role: all that it opens, or so that each scope is asked for in one
    that opens it, and none has much more to do than the others."""
    found: dict[str, list[str]] = {role_id: [] for role_id in BUILT_IN}
    by_scope = operations()
    for scope in sorted(by_scope, key=lambda scope: sum(opens(each, scope) for each in BUILT_IN)):
        open_to = [role_id for role_id in BUILT_IN if opens(role_id, scope)]
        for role_id in open_to if whole else [min(open_to, key=lambda each: len(found[each]))]:
            found[role_id] += by_scope[scope]
    return found


def fuzzed(
    opened: Opened,
    role_id: str,
    config: pytest.Config,
    where: Path,
    *options: str,
    lane: str = "",
) -> None:
    """Run Schemathesis in a role; it finds nothing."""
    seed, examples = config.getoption("--fuzz-seed"), config.getoption("--fuzz-examples")
    budget = ("--seed", str(seed), "--max-examples", str(examples), "--checks", "all")
    key = ("--header", f"Authorization: Bearer {opened.tokens[role_id]}")
    asked = (
        *("--config-file", str(CONFIG), "run", f"{opened.server.address}/openapi.json"),
        *budget,
        *key,
        *options,
        *("--exclude-path", ENDLESS, "--exclude-path", "/v1/jobs/{job_id}/events"),
    )
    whole = "1" if config.getoption("--fuzz-whole") else ""
    environ = environment(
        FUZZ_LANE=lane, FUZZ_ROLE=role_id, FUZZ_WHOLE=whole, SCHEMATHESIS_TELEMETRY="0"
    )
    said = where / "said"
    run = opened.starts.Process(target=schemathesis, args=(asked, environ, said))
    run.start()
    run.join()
    told = said.read_text("utf-8")
    assert run.exitcode == 0, told
    tried = re.search(r"(\d+) generated.*", told)
    assert tried is not None, told
    print(f"{role_id}: {tried[0]}")  # noqa: T201  (what a long run is for: -s)
    assert int(tried[1]) > 100, told


def test_every_operation_is_asked_and_every_role_asks() -> None:
    whole, parts = shares(whole=True), shares(whole=False)
    everything = sorted(name for names in operations().values() for name in names)
    assert sorted(name for names in parts.values() for name in names) == everything
    assert all(parts[each] and {*parts[each]} <= {*whole[each]} for each in BUILT_IN)


@pytest.mark.timeout(FUZZ_S)
@pytest.mark.parametrize("role_id", BUILT_IN)
def test_schemathesis_finds_nothing(
    opened: Opened, role_id: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    names = shares(request.config.getoption("--fuzz-whole"))[role_id]
    asked = ("--include-operation-id-regex", f"^({'|'.join(names)})$")
    fuzzed(opened, role_id, request.config, tmp_path, *asked)


@pytest.mark.timeout(FUZZ_S)
def test_schemathesis_finds_nothing_in_the_ordinary_lane(
    opened: Opened, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What the express lane hands on is held to the same document."""
    hot = ("--include-path-regex", "/(visits|enrolments)$")
    lane = "application/json; charset=utf-8"
    fuzzed(opened, "manager", request.config, tmp_path, *hot, lane=lane)
