"""One running PostgreSQL: launching it, asking whether it is there, and shutting it down."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg import pq

from ledger.embedded import binaries
from ledger.embedded.errors import EmbeddedError
from ledger.embedded.files import read_if_there, take, write_private
from ledger.embedded.home import MAINTENANCE, Home
from ledger.embedded.settings import HBA, PORT

LOG_LINES = 20
LOG_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Postmaster:
    """What the server says of itself in postmaster.pid."""

    pid: int
    pgdata: Path
    socket_dir: Path
    ready: bool

    def works_here(self) -> bool:
        """Whether this process is a server here: after a crash its number may be another's."""
        link = Path(f"/proc/{self.pid}/cwd")
        if sys.platform == "linux":
            try:
                return link.readlink() == self.pgdata
            except OSError:
                return False
        command = ["ps", "-o", "command=", "-p", str(self.pid)]
        found = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return "postgres" in found

    def lost_its_socket(self) -> bool:
        """Whether a server works here that nobody can reach, because its socket was deleted."""
        return self.works_here() and not (self.socket_dir / f".s.PGSQL.{PORT}").exists()

    def answers(self, home: Home) -> pq.Ping:
        """Whether somebody listens on its socket, and takes connections."""
        dsn = home.dsn(self.socket_dir, MAINTENANCE)
        return pq.Ping(pq.PGconn.ping(dsn.encode()))


def found(home: Home) -> Postmaster | None:
    """The server of postmaster.pid, running or not; None while that file is not whole."""
    lines = (read_if_there(home.pgdata / "postmaster.pid") or "").splitlines()
    if len(lines) < 5 or not lines[0].strip().isdigit() or not lines[4]:
        return None
    ready = len(lines) > 7 and lines[7].strip() == "ready"
    return Postmaster(int(lines[0]), Path(lines[1]), Path(lines[4]), ready)


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


def shut_down(home: Home, server_lock: int) -> None:
    """Stop the server in fast mode and wait for its last process, however long that takes."""
    while not take(server_lock, wait=False):
        server = found(home)
        if server is not None and server.works_here():
            with suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGINT)
            take(server_lock)
        elif server is not None and server.answers(home) is pq.Ping.OK:
            return  # It runs in another container on the same files: its number means nothing here.
        time.sleep(0.02)
    home.remove_short_socket_dir()


def last_words(home: Home) -> str:
    """The end of what the server wrote since its launch, to show why it died."""
    first = home.path / "start.log"
    since = first.stat().st_mtime
    texts = [first, *(path for path in _logs(home) if path.stat().st_mtime >= since)]
    lines = [line for path in texts for line in (read_if_there(path) or "").splitlines()]
    return "\n".join(lines[-LOG_LINES:])


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
