"""One running PostgreSQL: launching it, asking whether it is there, and shutting it down."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from psycopg import pq
from psycopg.conninfo import make_conninfo

from ledger.embedded import binaries
from ledger.embedded.errors import EmbeddedError
from ledger.embedded.files import read_if_there, take, write_private
from ledger.embedded.home import MAINTENANCE, USER, Home
from ledger.embedded.settings import HBA, PORT
from ledger.embedded.trimming import trim
from ledger.embedded.waiting import Wait, log, process_shown

LOG_LINES = 20
LOG_TAIL_BYTES = 64 * 1024
LOG_BYTES = 16 * 1024 * 1024
PING_S = 3
"""How long a look waits for an answer: a frozen server gives none."""
REJECTED_S = 0.2
"""A server that recovers writes a line for everybody whom it turns away."""
ACCEPT_S = 10.0
"""How long a server that is to stop may recover first."""
STOP_S = 30.0
"""How long its last checkpoint may take."""
ABORT_S = 10.0
"""PostgreSQL itself kills after 5 s what does not abort."""


STEPS = ((signal.SIGINT, STOP_S), (signal.SIGQUIT, ABORT_S), (signal.SIGKILL, ABORT_S))
"""Stop with a checkpoint, abort, kill: each with its time."""


@dataclass(frozen=True)
class Postmaster:
    """What the server says of itself in postmaster.pid."""

    pid: int
    pgdata: Path
    socket_dir: Path
    status: str  # starting, ready, stopping
    place: tuple[int, int]  # what `place_of` said of the directory in which this was found

    @property
    def ready(self) -> bool:
        return self.status == "ready"

    @property
    def stopping(self) -> bool:
        return self.status == "stopping"

    def works_here(self) -> bool:
        """Whether this process is a server here: after a crash its number may be another's."""
        if sys.platform == "linux":
            return place_of(Path(f"/proc/{self.pid}/cwd")) == self.place
        command = ["ps", "-o", "command=", "-p", str(self.pid)]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return "postgres" in found

    def lost_its_socket(self) -> bool:
        """Whether a server works here that nobody can reach, because its socket was deleted."""
        return self.works_here() and not (self.socket_dir / f".s.PGSQL.{PORT}").exists()

    def signal(self, how: signal.Signals) -> None:
        """Send it a signal; who is killed takes his children with him, frozen ones too."""
        killed = [self.pid]
        if how is signal.SIGKILL:
            killed += _children(self.pid)
        for pid in killed:
            with suppress(ProcessLookupError):
                os.kill(pid, how)

    def answers(self) -> pq.Ping:
        """Whether somebody listens on its socket, and takes connections."""
        dsn = make_conninfo(
            host=str(self.socket_dir),
            port=PORT,
            user=USER,
            dbname=MAINTENANCE,
            connect_timeout=PING_S,
        )
        return pq.Ping(pq.PGconn.ping(dsn.encode()))


def place_of(directory: Path) -> tuple[int, int] | None:
    """What a directory is, whatever it is called: device and inode. None if it is not there."""
    try:
        status = directory.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def found(home: Home) -> Postmaster | None:
    """The server of postmaster.pid, running or not; None while that file is not whole."""
    lines = (read_if_there(home.pgdata / "postmaster.pid") or "").splitlines()
    if len(lines) < 5 or not lines[0].strip().isdigit() or not lines[4]:
        return None
    place = place_of(home.pgdata)
    if place is None:
        return None
    status = lines[7].strip() if len(lines) > 7 else "starting"
    return Postmaster(int(lines[0]), Path(lines[1]), Path(lines[4]), status, place)


def _children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            rest = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(rest[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def launch(home: Home, socket_dir: Path, settings: str, server_lock: int) -> None:
    """Start PostgreSQL in a session of its own; it holds the server lock as long as it lives."""
    programs = binaries.usable_by(home.account, home.path)
    _clear_reused_pid(home, socket_dir)
    _prune_logs(home)
    write_private(home.pgdata / "postgresql.conf", settings, home.account)
    write_private(home.pgdata / "pg_hba.conf", HBA, home.account)
    write_private(home.path / "start.log", "", home.owner)
    log = os.open(home.path / "start.log", os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
    # The shell leaves at once, so that the server is no child of ours: it may outlive us, and is no
    # zombie of ours when another process stops it.
    command = [
        "/bin/sh",
        "-c",
        '"$@" &',
        "sh",
        str(programs / "bin" / "postgres"),
        "-D",
        str(home.pgdata),
    ]
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(server_lock,),
            check=True,
            **home.account.popen(),
        )
    finally:
        os.close(log)


def shut_down(home: Home, server_lock: int, start_lock: int) -> None:
    """Stop the server and wait for its last process, each step up to a limit.

    PostgreSQL that is told to stop while it recovers from a crash may never end, so it may first
    recover. What has to be aborted recovers at the next start: nothing that was committed is lost.
    """
    wait = Wait(lambda: f"PostgreSQL in {home.path} recovers before it stops", ACCEPT_S, start_lock)
    while not take(server_lock, wait=False):
        server = found(home)
        here = server is not None and server.works_here()
        if server is not None and server.answers() is pq.Ping.OK:
            if not here:
                return  # In another container on the same files: its number means nothing here.
            break
        if here and server is not None and (server.stopping or server.lost_its_socket()):
            break  # Nobody can ask it any more.
        if wait.over:
            break
        wait.pause(REJECTED_S)
    else:
        home.remove_short_socket_dir()
        return
    if wait.over:
        log.warning("PostgreSQL in %s takes too long to recover before it stops.", home.path)
    let_end(home, server_lock, start_lock, STEPS[1:] if wait.over else STEPS)
    with suppress(OSError, subprocess.SubprocessError):  # it has ended, whatever it left behind
        trim(home.pgdata)
    home.remove_short_socket_dir()


def let_end(
    home: Home,
    server_lock: int,
    start_lock: int,
    steps: Sequence[tuple[signal.Signals, float]] = STEPS,
) -> None:
    """Wait for the last process of a server that is to end, and for nothing else.

    Somebody may have told it to end by SIGTERM: then it waits for its last session, which is one
    of ours, for ever, and takes no other meanwhile.
    """
    if not end(lambda: found(home), lambda: take(server_lock, wait=False), steps, start_lock):
        raise EmbeddedError(
            f"PostgreSQL in {home.path} could not be stopped: {_left(found(home))}"
            f" {home.lock('server')} as long as it runs. End it."
        )


def end(
    server: Callable[[], Postmaster | None],
    ended: Callable[[], bool],
    steps: Sequence[tuple[signal.Signals, float]],
    sign: int | None = None,
) -> bool:
    """Tell it to stop, to abort, and kill it; whether it has ended after one of that."""
    for how, limit_s in steps:
        known = server()
        if known is not None and known.works_here():
            if how is not signal.SIGINT:
                log.warning(
                    "PostgreSQL (process %d) %s; it recovers at its next start.",
                    known.pid,
                    "is told to abort" if how is signal.SIGQUIT else "is killed",
                )
            known.signal(how)
        told = "PostgreSQL writes its last checkpoint" if how is signal.SIGINT else "It is aborted"
        wait = Wait(partial(str, told), limit_s, sign)
        while not wait.over:
            if ended():
                return True
            wait.pause()
    return ended()


def _left(server: Postmaster | None) -> str:
    if server is None or not server.works_here():
        return "an unknown process holds"
    return f"{process_shown(server.pid)} holds"


def progress(home: Home) -> str:
    """Why a server that was started takes no connections yet, by the end of its log."""
    server, words = found(home), last_said(home)
    who = "" if server is None or not server.works_here() else f" ({process_shown(server.pid)})"
    said = f" (its log: {words})" if words else ""
    return f"PostgreSQL in {home.path}{who} takes no connections yet{said}"


def last_said(home: Home) -> str:
    """The last line of its log that does not say that somebody was turned away: while it starts,
    a sign of life."""
    for line in reversed(last_words(home).splitlines()):
        if "FATAL:" not in line:
            return line
    return ""


def last_words(home: Home) -> str:
    """The end of what the server wrote since its launch, to show why it died."""
    first = home.path / "start.log"
    if not first.exists():
        return ""
    since = first.stat().st_mtime
    texts = [first, *(path for path in _logs(home) if path.stat().st_mtime >= since)]
    lines = [line for path in texts for line in _end_of(path)]
    return "\n".join(lines[-LOG_LINES:])


def _end_of(path: Path) -> list[str]:
    with suppress(FileNotFoundError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()
    return []


def _clear_reused_pid(home: Home, socket_dir: Path) -> None:
    """After a crash the old number may be another process: PostgreSQL would refuse to start.

    It stands in two lock files. Ours say that nobody of ours is left, so both are stale unless
    another launcher was here; PostgreSQL finds a dead process in postmaster.pid by itself.
    """
    server = found(home)
    if server is not None and server.works_here():
        raise EmbeddedError(
            f"A PostgreSQL that clubledger did not start (process {server.pid}) "
            f"runs on {home.pgdata}: stop it first."
        )
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (socket_dir / name).unlink(missing_ok=True)
    if server is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(server.pid, 0)
            (home.pgdata / "postmaster.pid").unlink()


def _logs(home: Home) -> list[Path]:
    return list((home.pgdata / "log").glob("server-*.log"))


def _prune_logs(home: Home) -> None:
    """A weekday's file is emptied only by a server that runs at midnight; bound the others here."""
    for path in _logs(home):
        if path.stat().st_size > LOG_BYTES:
            path.unlink()
