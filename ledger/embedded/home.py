"""The data directory: finding it, opening it as little as needed, and its Unix socket."""

import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import make_conninfo

from ledger.embedded import binaries
from ledger.embedded.account import Account, name_of, owner_of, server_account
from ledger.embedded.errors import EmbeddedError
from ledger.embedded.files import read_if_there, sync_directory, write_private
from ledger.embedded.settings import PORT
from ledger.embedded.waiting import Wait

USER = DATABASE = "clubledger"
MAINTENANCE = "postgres"  # The database that is there before ours.
TEMPLATE = "template1"  # What ours is made from.
SEGMENT_MB = 2
"""Size of a file of the write-ahead log. Whoever fills the last one makes the next, and all commits
wait: 90 ms for one of PostgreSQL's usual 16 MB, for one of 2 MB some 12 by its size."""
INITDB_S = 600.0
SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107


@dataclass(frozen=True)
class Home:
    """A data directory, the account of its server, and the owner of its files."""

    path: Path
    account: Account
    owner: Account

    @property
    def pgdata(self) -> Path:
        return self.path / "pgdata"

    def lock(self, name: str) -> Path:
        return self.path / f"{name}.lock"

    def dsn(self, socket_dir: Path, database: str = DATABASE) -> str:
        """Where to connect; without its password nobody gets in."""
        password = read_if_there(self.path / "password")
        if password is None:
            raise EmbeddedError(
                f"{self.path / 'password'} is missing: put it back from a backup, or choose "
                "a new one (ALTER ROLE clubledger PASSWORD ... in postgres --single)."
            )
        return make_conninfo(
            host=str(socket_dir), port=PORT, user=USER, password=password.strip(), dbname=database
        )

    def check_version(self) -> None:
        """Refuse a cluster of another major version: PostgreSQL cannot read it."""
        made_by = (read_if_there(self.pgdata / "PG_VERSION") or "").strip()
        ours = binaries.version().split(".")[0]
        if not made_by:
            raise EmbeddedError(
                f"{self.pgdata} is not a PostgreSQL data directory: it has no PG_VERSION."
            )
        if made_by != ours:
            raise EmbeddedError(
                f"{self.pgdata} was made by PostgreSQL {made_by}, and this clubledger brings "
                f"PostgreSQL {ours}. Dump it with the release that made it and restore it here, "
                "or use pg_upgrade."
            )

    def clear_leftovers(self) -> None:
        """Remove what a killed start was building."""
        for leftover in self.path.glob(".build-*"):
            shutil.rmtree(leftover)

    def build(self, options: Mapping[str, str], start_lock: int) -> None:
        """Make the cluster beside its place and rename it there: it is whole, or not there at all.

        initdb inherits the start lock, so that the next start waits for one that lost its parent.
        """
        programs = binaries.usable_by(self.account, self.path)
        building = Path(tempfile.mkdtemp(prefix=".build-", dir=self.path))
        self.account.own(building)
        password = secrets.token_urlsafe(32)
        write_private(building / "password", password + "\n", self.account)
        command = [
            str(programs / "bin" / "initdb"),
            f"--pgdata={building / 'pgdata'}",
            f"--username={USER}",
            f"--pwfile={building / 'password'}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            f"--wal-segsize={SEGMENT_MB}",
            "--no-instructions",
            *(["--no-sync"] if options.get("fsync") == "off" else []),
        ]
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            pass_fds=(start_lock,),
            **self.account.popen(),
        ) as initdb:
            wait = Wait(lambda: f"initdb makes a cluster in {self.path}", INITDB_S, start_lock)
            while initdb.poll() is None and not wait.over:
                wait.pause()
            if initdb.poll() is None:
                initdb.kill()
            said = initdb.stderr.read().strip() if initdb.stderr else ""
        if initdb.returncode:
            shutil.rmtree(building)
            why = f"took longer than {INITDB_S:.0f} s" if wait.over else f"failed:\n{said}"
            raise EmbeddedError(f"initdb in {self.path} {why}")
        write_private(self.path / "password", password + "\n", self.owner)
        (building / "pgdata").rename(self.pgdata)
        sync_directory(self.path)
        shutil.rmtree(building)

    def make_socket_dir(self) -> Path:
        """A directory for the socket that only the server's account can enter."""
        run = self.path / "run"
        if _fits(run):
            if not run.is_dir():
                run.mkdir(mode=0o700)
                self.account.own(run)
            if not self._is_private(run):
                raise EmbeddedError(
                    f"{run} must be a directory of {self.account.name} with mode 0700."
                )
            return run
        recorded = self.recorded_socket_dir()
        if recorded is not None and self._is_private(recorded):
            return recorded
        # A random name, made by us: a directory that another user planted is never taken.
        short = Path(tempfile.mkdtemp(prefix="clubledger-", dir="/tmp"))
        self.account.own(short)
        write_private(self.path / "socket_dir", f"{short}\n", self.owner)
        return short

    def recorded_socket_dir(self) -> Path | None:
        """The short directory used instead of run/, if there is one."""
        recorded = read_if_there(self.path / "socket_dir")
        return Path(recorded.strip()) if recorded else None

    def remove_short_socket_dir(self) -> None:
        """Leave nothing in /tmp once the server has stopped."""
        recorded = self.recorded_socket_dir()
        if recorded is not None:
            if self._is_private(recorded) and not any(recorded.iterdir()):
                recorded.rmdir()
            (self.path / "socket_dir").unlink()

    def _is_private(self, place: Path) -> bool:
        try:
            status = place.lstat()
        except FileNotFoundError:
            return False
        mode = stat.S_IMODE(status.st_mode)
        return stat.S_ISDIR(status.st_mode) and status.st_uid == self.account.uid and mode == 0o700


def _fits(socket_dir: Path) -> bool:
    """Whether libpq and the kernel take it: commas separate hosts, and a socket's path is short."""
    path = str(socket_dir / f".s.PGSQL.{PORT}")
    plain = re.fullmatch(r"[\w./ @+~-]+", path, re.ASCII)
    return plain is not None and len(os.fsencode(path)) <= SOCKET_PATH_BYTES


def open_home(data_dir: Path, *, create: bool) -> Home:
    """Make the data directory if wanted, and see that the server's account can reach it.

    Nothing above it is ever opened for that account; itself only when it is new or empty.
    """
    path = data_dir.expanduser().resolve()
    if (path / "PG_VERSION").exists():
        raise EmbeddedError(
            f"{path} is itself a PostgreSQL data directory: name a directory for clubledger."
        )
    if not create and not (path / "pgdata").is_dir():
        raise EmbeddedError(f"There is no ledger in {path}.")
    account = server_account((path / "pgdata", path))
    missing = [place for place in (path, *path.parents) if not place.exists()]
    _check_way(account, [place for place in path.parents if place not in missing])
    for place in reversed(missing):
        with suppress(FileExistsError):  # Another start is making it at this moment.
            place.mkdir()
            place.chmod(0o711 if account.dropped else 0o700)
    if not path.is_dir():
        raise EmbeddedError(f"{path} is not a directory.")
    closed = account.first_closed([("-x", path)])
    if closed and account.dropped and path.stat().st_uid == 0 and not any(path.iterdir()):
        path.chmod(0o711)
    _check_way(account, [path])
    _check_ours(path, account)
    return Home(path, account, owner_of(path))


def looked_at(data_dir: Path) -> Home:
    """The data directory, if it can be used as it is; EmbeddedError says why not."""
    home = open_home(data_dir, create=False)
    home.check_version()
    if read_if_there(home.path / "password") is None:
        home.dsn(home.path)  # which says so
    return home


def _check_way(account: Account, places: list[Path]) -> None:
    closed = account.first_closed(("-x", place) for place in reversed(places))
    if closed is None:
        return
    if account.dropped:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root and would run as {account.name}, "
            f"who cannot enter {closed}. Choose a data directory elsewhere, "
            f"such as /var/lib/clubledger, or allow it yourself: chmod o+x {closed}"
        )
    raise EmbeddedError(f"{account.name} cannot enter {closed}: choose another data directory.")


def _check_ours(path: Path, account: Account) -> None:
    """Refuse another user's data now, rather than at the first file that cannot be opened."""
    pgdata = path / "pgdata"
    if account.first_closed([("-w", path)]) is not None and not account.dropped:
        raise EmbeddedError(
            f"{path} belongs to {name_of(path.stat().st_uid)}: {account.name} cannot write there."
        )
    if pgdata.exists() and (uid := pgdata.lstat().st_uid) != account.uid:
        raise EmbeddedError(
            f"{pgdata} belongs to {name_of(uid)}: run clubledger as that user or as root, "
            f"not as {account.name}."
        )
