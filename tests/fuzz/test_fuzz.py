"""Schemathesis against a real server on a small ledger: a fixed budget, every check, no finding."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from domain.access import SCOPES
from ledger.embedded import EmbeddedServer
from tests.api import facts
from tests.api.running import (
    ENDLESS,
    REPOSITORY,
    Server,
    clubledger,
    empty_directory,
    environment,
    serving,
    stopped,
    with_a_key,
)
from tests.patience import PATIENCE_S

CONFIG = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = (
    sys.executable,
    "-c",
    "from schemathesis.cli import schemathesis; schemathesis()",
    "--config-file",
    CONFIG,
    "run",
)

FUZZ_S = 1_200
"""Its budget is of requests, not of time: beside the whole suite they take minutes."""


@dataclass(frozen=True)
class Opened:
    """A server, and a key that opens all but who may do what: else it would end itself."""

    server: Server
    token: str


@pytest.fixture(scope="module")
def opened() -> Iterator[Opened]:
    """A server on a ledger of its own."""
    with empty_directory() as path, EmbeddedServer(path):
        sent = facts.lines(facts.facts())
        assert clubledger("import", "-", data_dir=path, stdin=sent).code == 0
        token = with_a_key(path, [scope for scope in SCOPES if scope != "access.write"])
        running = serving(path)
        # It is made when it is first asked for, and Schemathesis waits 10 s for it.
        httpx.get(f"{running.address}/openapi.json", timeout=PATIENCE_S)
        yield Opened(running, token)
        assert stopped(running).code == 0


def fuzzed(opened: Opened, config: pytest.Config, *options: str, lane: str = "") -> None:
    """Run Schemathesis; it finds nothing."""
    seed, examples = config.getoption("--fuzz-seed"), config.getoption("--fuzz-examples")
    budget = ("--seed", str(seed), "--max-examples", str(examples), "--checks", "all")
    key = ("--header", f"Authorization: Bearer {opened.token}")
    done = subprocess.run(
        [
            *SCHEMATHESIS,
            f"{opened.server.address}/openapi.json",
            *budget,
            *key,
            *options,
            *("--exclude-path", ENDLESS, "--exclude-path", "/v1/jobs/{job_id}/events"),
        ],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=environment(FUZZ_LANE=lane, SCHEMATHESIS_TELEMETRY="0"),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"(\d+) generated", done.stdout)
    assert tried is not None, done.stdout
    assert int(tried[1]) > 100, done.stdout


@pytest.mark.timeout(FUZZ_S)
def test_schemathesis_finds_nothing(opened: Opened, request: pytest.FixtureRequest) -> None:
    fuzzed(opened, request.config)


@pytest.mark.timeout(FUZZ_S)
def test_schemathesis_finds_nothing_in_the_ordinary_lane(
    opened: Opened, request: pytest.FixtureRequest
) -> None:
    """What the express lane hands on is held to the same document."""
    lane = "application/json; charset=utf-8"
    hot = "/(visits|enrolments)$"
    fuzzed(opened, request.config, "--include-path-regex", hot, lane=lane)
