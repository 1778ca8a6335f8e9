"""Commands that are killed in the middle of what they build or suppose, and what comes next."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from ledger.database import connect
from ledger.embedded import EmbeddedServer
from ledger.locks import Lock
from projections.engine.schemas import session_lock
from tests.api.running import SCALE, clubledger, environment
from tests.patience import PATIENCE_S, eventually
from tests.places import empty_directory, kill_servers

pytestmark = pytest.mark.slow

DYING = """
import os, signal, sys
from functools import reduce
from importlib import import_module
from itertools import count
from api.cli import main

where, after, does, *command = sys.argv[1:]
module, _, name = where.partition(":")
*path, last = name.split(".")
owner = reduce(getattr, path, import_module(module))
work, calls = getattr(owner, last), count(1)

def dies(*given, **more):
    if next(calls) == int(after):
        if does == "sleeps":
            print("asleep", flush=True)
            given[0].execute("SELECT pg_sleep(120)")
        os.kill(os.getpid(), signal.SIGKILL)
    return work(*given, **more)

setattr(owner, last, dies)
sys.argv = ["clubledger", *command]
main()
"""
"""A command that kills itself when it calls something for the n-th time."""
FIGURES = ("figures", "--known-at", "2008-11-30", "--json")
HALF = {"changes": [{"change": "service_price", "club_id": "lounge", "factor": "1/2"}]}


@pytest.fixture(scope="module")
def own_demo() -> Iterator[Path]:
    """A demo whose database runs only as long as somebody needs it."""
    with empty_directory() as path:
        done = clubledger("demo", "--scale", SCALE, "--no-figures", data_dir=path)
        assert done.code == 0, done.err
        yield path
        kill_servers(path)


@pytest.fixture(params=["the server stays", "the server is left alone"])
def around(own_demo: Path, request: pytest.FixtureRequest) -> AbstractContextManager[Any]:
    """A database that somebody else keeps up, or nobody."""
    return EmbeddedServer(own_demo) if request.param == "the server stays" else nullcontext()


@pytest.fixture(scope="module")
def half(own_demo: Path) -> str:
    """The file of a scenario."""
    (own_demo / "half.json").write_text(json.dumps(HALF))
    return str(own_demo / "half.json")


def dying(where: str, after: int, *command: str, data_dir: Path) -> None:
    """Run a command that is killed; it says nothing and leaves what it has done."""
    said = [where, str(after), "dies", *command, "--data-dir", str(data_dir)]
    died = subprocess.run(
        [sys.executable, "-c", DYING, *said], capture_output=True, env=environment(), check=False
    )
    assert died.returncode == -signal.SIGKILL, (died.stdout, died.stderr)
    assert died.stdout == b""


def told(*command: str, data_dir: Path) -> Any:
    """What a command says in JSON, the time of asking apart."""
    done = clubledger(*command, data_dir=data_dir)
    assert done.code == 0, done.err
    return {
        name: value for name, value in done.json.items() if name not in {"clock", "effective_at"}
    }


def scratch(conn: Any) -> set[str]:
    """The schemas beside the ledger and the live answers; temporary tables are in one of theirs."""
    found = conn.execute(
        "SELECT nspname FROM pg_namespace n WHERE nspname NOT IN ('ledger', 'public', 'answers',"
        " 'typed', 'asof', 'analysis', 'information_schema') AND nspname !~ '^pg_(catalog|toast$)'"
        " AND (nspname !~ '^pg_' OR EXISTS (SELECT FROM pg_class c WHERE relnamespace = n.oid))"
    )
    return {name for (name,) in found.fetchall()}


def forget(conn: Any) -> None:
    """No answers as of a moment are kept."""
    for name in {*scratch(conn), "asof"}:
        conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


@pytest.mark.parametrize(
    ("where", "after"),
    [("projections.engine.building:Builder._take", 8), ("projections.engine.measure:overview", 1)],
    ids=["folding", "computing figures"],
)
def test_figures_as_of_a_moment_are_right_after_a_build_was_killed(
    own_demo: Path, around: AbstractContextManager[Any], where: str, after: int
) -> None:
    with EmbeddedServer(own_demo) as server, connect(server.dsn) as conn:
        live, wanted = (
            told("figures", "--json", data_dir=own_demo),
            told(*FIGURES, data_dir=own_demo),
        )
        kept = scratch(conn)
        assert len(kept) == 2
        forget(conn)
    with around:
        dying(where, after, *FIGURES, data_dir=own_demo)
        assert told("figures", "--json", data_dir=own_demo) == live
        assert told(*FIGURES, data_dir=own_demo) == wanted
    with EmbeddedServer(own_demo) as server, connect(server.dsn) as conn:
        assert scratch(conn) == kept
        forget(conn)


def test_a_build_for_another_moment_drops_what_a_killed_one_left(own_demo: Path) -> None:
    with EmbeddedServer(own_demo) as server, connect(server.dsn) as conn:
        dying("projections.engine.building:Builder._take", 8, *FIGURES, data_dir=own_demo)
        left = scratch(conn)
        assert len(left) == 2
        told("figures", "--known-at", "2008-10-31", "--json", data_dir=own_demo)
        assert len(scratch(conn)) == 2
        assert not scratch(conn) & left
        forget(conn)


@pytest.mark.parametrize("where", ["_Rows.copy", "_fold"])
def test_what_if_is_right_after_one_was_killed(
    own_demo: Path, around: AbstractContextManager[Any], half: str, where: str
) -> None:
    live = told("figures", "--json", data_dir=own_demo)
    wanted = told("what-if", half, "--json", data_dir=own_demo)
    with around:
        dying(f"projections.whatif.overlay:{where}", 1, "what-if", half, data_dir=own_demo)
        assert told("figures", "--json", data_dir=own_demo) == live
        assert told("what-if", half, "--json", data_dir=own_demo) == wanted
    with EmbeddedServer(own_demo) as server, connect(server.dsn) as conn:
        assert eventually(lambda: scratch(conn) == set())


@pytest.mark.parametrize(
    ("where", "command"),
    [
        ("projections.whatif.overlay:_show", "what-if"),
        ("projections.engine.measure:overview", "figures"),
    ],
)
def test_who_is_killed_over_a_long_query_holds_nobody_up(
    own_demo: Path, half: str, where: str, command: str
) -> None:
    asked = ("what-if", half) if command == "what-if" else FIGURES
    with EmbeddedServer(own_demo) as server, connect(server.dsn) as conn:
        forget(conn)
        said = [where, "1", "sleeps", *asked, "--data-dir", str(own_demo)]
        with subprocess.Popen(
            [sys.executable, "-c", DYING, *said], stdout=subprocess.PIPE, env=environment()
        ) as sleeper:
            assert sleeper.stdout is not None
            assert sleeper.stdout.readline() == b"asleep\n"
            sleeper.kill()
        conn.execute(f"SET lock_timeout = '{PATIENCE_S}s'")
        with session_lock(conn, Lock.BUILDER):
            pass
        told(*asked, *(() if command == "figures" else ("--json",)), data_dir=own_demo)
        forget(conn)
