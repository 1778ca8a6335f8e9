"""The real thing: the command line and the server as processes of their own."""

import json
import os
import pty
import re
import resource
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from api.http import create_app
from api.runtime.settings import Settings
from tests.addresses import AsyncClient, PatientAsyncClient
from tests.api.warm import Starter, Warm
from tests.patience import PATIENCE_S
from tests.postgres import KEY

ENDLESS = "/v1/events/stream"
"""The address whose answer has no end."""
REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from api.cli import main; main()")
SCALE = "0.002"


UNTRACED = {"COVERAGE_PROCESS_CONFIG": ""}
"""For processes whose lines are counted elsewhere: being traced costs them a third more."""
COUNTED = {"archive", "backup", "restore", "doctor"}
"""Commands whose lines are counted nowhere else: they start cold, and are traced."""


def environment(**extra: str) -> dict[str, str]:
    """Ours without what the developer may have set for clubledger, and untraced."""
    known = {k: v for k, v in os.environ.items() if not k.startswith("CLUBLEDGER_")}
    if "CLUBLEDGER_DATABASE_URL" in extra and "CLUBLEDGER_KEYS_FILE" not in extra:  # a test's own
        extra.setdefault("CLUBLEDGER_KEYS", KEY)
    return {**known, **UNTRACED, "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", **extra}


def traced(environ: Mapping[str, str]) -> dict[str, str]:
    """The same environment of a process whose lines are counted, if ours are."""
    return {**environ, **{name: os.environ[name] for name in UNTRACED if name in os.environ}}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err.strip().splitlines()[-1])


def clubledger(
    *arguments: str | Path,
    data_dir: Path | None = None,
    stdin: bytes = b"",
    cwd: Path | None = None,
    cold: bool = False,
    instead: Mapping[int, str | None] | None = None,
    **extra: str,
) -> Ended:
    """Run a command to its end: as a user would, if cold, else from a start that is warm, and
    perhaps with other streams (`Starter.run`)."""
    where = () if data_dir is None else ("--data-dir", str(data_dir))
    words, environ = [*map(str, arguments), *where], environment(**extra)
    counted = bool(arguments) and arguments[0] in COUNTED and not instead
    if cold or counted:
        environ = traced(environ) if counted else environ
        code, out, err = _cold(words, environ, cwd, stdin, PATIENCE_S)
    else:
        code, out, err = _starter().run(words, environ, cwd, stdin, PATIENCE_S, instead)
    ended = Ended(code, out.decode(), err.decode())
    assert "Traceback" not in ended.err, ended.err
    return ended


def _cold(
    words: Iterable[str],
    environ: Mapping[str, str],
    cwd: Path | None,
    stdin: bytes,
    timeout_s: float,
) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        capture_output=True,
        env=environ,
        cwd=cwd,
        timeout=timeout_s,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@cache
def _starter() -> Starter:
    return Starter(environment())


def with_a_key(data_dir: Path, scopes: Iterable[str]) -> str:
    """A key of a role that gives these scopes everywhere, made on the ledger's own machine."""
    every = json.dumps(dict.fromkeys(scopes, "all"))
    said = ("role.define", "role_id=owner", f"scopes={every}")
    assert clubledger("do", *said, data_dir=data_dir).code == 0
    said = ("apikey.issue", "api_key_id=owner", "role_id=owner")
    done = clubledger("do", *said, "--json", data_dir=data_dir)
    assert done.code == 0, done.err
    return str(done.json["token"])


def started(
    *arguments: str | Path, data_dir: Path | None = None, cold: bool = False, **extra: str
) -> subprocess.Popen[bytes]:
    """Begin a command, in a process group of its own so that nothing else gets its signals: as a
    user would, if cold, else from a start that is warm."""
    where = () if data_dir is None else ("--data-dir", str(data_dir))
    words = [*map(str, arguments), *where]
    if not cold:
        return Warm(_starter(), words, environment(**extra))
    return subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**extra),
        start_new_session=True,
    )


def on_terminal(*arguments: str, data_dir: Path, columns: int) -> str:
    """What a command shows on a terminal so wide, without its colours."""
    ours, theirs = pty.openpty()
    known = environment(TERM="dumb", NO_COLOR="1", COLUMNS=str(columns))
    command = [*COMMAND, *arguments, "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=known) as shown:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # the terminal is gone with its last writer
            while block := os.read(ours, 65_536):
                said += block
        os.close(ours)
    assert shown.returncode == 0, said
    return re.sub(r"\x1b\[[0-9;]*m", "", said.decode()).replace("\r\n", "\n")


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    address: str


def serving(
    data_dir: Path | None,
    *options: str,
    environ: Mapping[str, str] | None = None,
    descriptors: int | None = None,
    cold: bool = False,
) -> Server:
    """A server on a free port, once it has said that it serves.

    It has no more than so many descriptors, if they are told: a cold one, which asks later.
    """
    words = ("serve", "--port", "0", "--json", *options)
    cold = cold or descriptors is not None
    process = started(*words, data_dir=data_dir, cold=cold, **(environ or {}))
    if descriptors is not None:
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (descriptors, descriptors))
    assert process.stdout is not None
    said = b""
    while select.select([process.stdout], [], [], PATIENCE_S)[0]:
        more = os.read(process.stdout.fileno(), 4096)
        said += more
        if found := re.search(rb'"serves": "(http[^"]+)"', said):
            return Server(process, found[1].decode())
        if not more:
            break
    process.kill()
    assert process.stderr is not None
    raise AssertionError(f"no server: {said!r} {process.stderr.read()!r}")


def stopped(server: Server, how: int = signal.SIGTERM) -> Ended:
    """End a server; how it ended."""
    server.process.send_signal(how)
    out, err = server.process.communicate(timeout=PATIENCE_S)
    return Ended(server.process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def asked(
    dsn: str, *, follow: bool = False, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application in this process, whose answers stand still or follow."""
    app = create_app(dsn, Settings(**settings), follow=follow)
    client_of = PatientAsyncClient if follow else AsyncClient
    async with (
        app.router.lifespan_context(app),
        client_of(
            transport=httpx.ASGITransport(app), base_url="http://here", timeout=PATIENCE_S
        ) as client,
    ):
        yield client
