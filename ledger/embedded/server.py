"""A PostgreSQL server shared by every process that uses its data directory."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import platformdirs
import psycopg
from psycopg import pq, sql

from ledger.embedded import binaries, postmaster, settings
from ledger.embedded.account import owner_of, server_account
from ledger.embedded.archive import archiving
from ledger.embedded.errors import EmbeddedError, reason
from ledger.embedded.files import locked, open_lock, read_if_there, take
from ledger.embedded.home import DATABASE, MAINTENANCE, TEMPLATE, USER, Home, open_home
from ledger.embedded.waiting import LOOK_AGAIN_S, Wait

CONNECT_S = 30
RECOVERY_SILENT_S = 120.0
"""How long a server that starts may write nothing to its log, which tells every 10 s how far its
recovery is, but not how far the checkpoint at its end."""


def default_data_dir() -> Path:
    """Where the data lives unless the settings say otherwise.

    As root not in root's home, which no server could enter.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/clubledger")
    return platformdirs.user_data_path("clubledger", appauthor=False)


@dataclass(frozen=True)
class Running:
    """A server that somebody has started."""

    pid: int
    version: str
    dsn: str
    accepting: bool  # False while it recovers or shuts down.
    stopping: bool  # It waits for its last session to end.


def running(data_dir: Path) -> Running | None:
    """The server on this data directory, or None. Changes nothing and waits for nothing."""
    path = data_dir.expanduser().resolve()
    try:
        if not (path / "pgdata").exists():
            return None
        home = Home(path, server_account((path / "pgdata", path)), owner_of(path))
        server = postmaster.found(home)
        if server is None:
            return None
        answer = server.answers()
        if answer not in (pq.Ping.OK, pq.Ping.REJECT):
            return None
        version = settings.version_of(read_if_there(home.pgdata / "postgresql.conf") or "")
        accepting = answer is pq.Ping.OK
        dsn = home.dsn(server.socket_dir)
        return Running(server.pid, version, dsn, accepting, server.stopping)
    except PermissionError as error:
        raise EmbeddedError(
            f"Only the owner of {path} and root can see its server: {error}"
        ) from error


@dataclass
class EmbeddedServer:
    """PostgreSQL on `data_dir`, started by the first process that uses it and stopped by the last.

    `options` are settings beyond our own, such as a cheap `fsync` for tests. Without `create` a
    directory that holds no ledger is refused and stays as it is. `connections` is how many it must
    take; it takes no fewer than it once did. A start ends when it is called off.
    """

    data_dir: Path
    options: Mapping[str, str] = field(default_factory=dict)
    create: bool = True
    connections: int = 0
    call_off: threading.Event | None = None
    _server: postmaster.Postmaster | None = field(default=None, init=False, repr=False)
    _home: Home | None = field(default=None, init=False, repr=False)
    _users_lock: int | None = field(default=None, init=False, repr=False)
    _dsn: str | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def dsn(self) -> str:
        """The libpq connection string of the database, password included: not for logs."""
        if self._dsn is None:
            raise EmbeddedError("The embedded server has not been started.")
        return self._dsn

    def start(self) -> None:
        """Attach to the server, or start it and wait as long as its recovery takes."""
        if self._users_lock is not None:
            return
        if sys.platform == "win32":
            raise EmbeddedError(
                "The embedded server needs Linux or macOS: name a database of your own."
            )
        settings.check_options(self.options)
        try:
            home = self._home = open_home(self.data_dir, create=self.create)
            with locked(home.lock("start"), home.owner, self.call_off) as start_lock:
                self._users_lock = open_lock(home.lock("users"), home.owner)
                try:
                    # Nobody joins while we hold the start lock, so what we learn here stays true.
                    alone = take(self._users_lock, wait=False)
                    take(self._users_lock, shared=True)
                    server = self._bring_up(home, alone, start_lock)
                    _ensure_database(home, server.socket_dir)
                    self._dsn = home.dsn(server.socket_dir)
                    self._server = server
                except BaseException:
                    self._release(home, start_lock)
                    raise
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedError(
                f"The embedded server in {self.data_dir} cannot start: {reason(error)}"
            ) from error

    def stop(self) -> None:
        """Leave the server; the last one to leave shuts it down."""
        if self._users_lock is None or self._home is None:
            return
        try:
            if self.gone:
                self._leave_what_is_gone()
                return
            with locked(self._home.lock("start"), self._home.owner) as start_lock:
                self._release(self._home, start_lock)
        finally:
            self._leave()

    @property
    def gone(self) -> bool:
        """Whether the data is no longer where it was when the server was started or joined:
        unmounted, moved, deleted, or replaced by other data."""
        if self._home is None or self._server is None:
            return False
        return postmaster.place_of(self._home.pgdata) != self._server.place

    def _leave(self) -> None:
        if self._users_lock is not None:
            os.close(self._users_lock)
        self._users_lock = self._dsn = None

    def _leave_what_is_gone(self) -> None:
        """Stop the server where it works now, unless others use it there; make nothing here."""
        server = self._server
        if server is None or self._users_lock is None or not take(self._users_lock, wait=False):
            return
        if not postmaster.end(lambda: server, lambda: not server.works_here(), postmaster.STEPS):
            raise EmbeddedError(f"PostgreSQL (process {server.pid}) could not be stopped: end it.")

    def _release(self, home: Home, start_lock: int) -> None:
        """Leave, under the start lock; a child forked from us keeps its copy of the users lock."""
        self._leave()
        users_lock = open_lock(home.lock("users"), home.owner)
        server_lock = open_lock(home.lock("server"), home.owner)
        try:
            if take(users_lock, wait=False):
                postmaster.shut_down(home, server_lock, start_lock)
        finally:
            os.close(server_lock)
            os.close(users_lock)

    def _bring_up(self, home: Home, alone: bool, start_lock: int) -> postmaster.Postmaster:
        """A server that takes connections, with our settings or with those who asked the same."""
        home.clear_leftovers()
        if not home.pgdata.exists():
            if not self.create:
                raise EmbeddedError(f"There is no ledger in {home.path}.")
            home.build(self.options, start_lock)
        home.check_version()
        launched = False
        wait = Wait(
            partial(postmaster.progress, home),
            RECOVERY_SILENT_S,
            start_lock,
            self.call_off,
            partial(postmaster.last_said, home),
        )
        while True:
            rejected = False
            server_lock = open_lock(home.lock("server"), home.owner)
            try:
                if take(server_lock, wait=False):
                    if launched:
                        raise EmbeddedError(
                            f"PostgreSQL in {home.path} stopped:\n{postmaster.last_words(home)}"
                        )
                    launched = True
                    self._launch(home, server_lock)
                elif (server := postmaster.found(home)) is None:
                    pass  # It has not said yet who it is.
                elif server.stopping and server.works_here():
                    postmaster.let_end(home, server_lock, start_lock)
                    continue
                elif server.ready:
                    mine = alone and not launched and server.works_here()
                    if mine and not self._as_we_want(home, server):
                        postmaster.shut_down(home, server_lock, start_lock)
                        continue
                    answer = server.answers()
                    rejected = answer is not pq.Ping.OK
                    if not rejected:
                        if not launched:
                            self._check_same(home, server)
                        return server
                    if server.lost_its_socket():
                        raise EmbeddedError(
                            f"The socket of the server in {home.path} was deleted from "
                            f"{server.socket_dir}: stop those who use it, and start again."
                        )
            finally:
                os.close(server_lock)
            if wait.over:
                raise EmbeddedError(f"{postmaster.progress(home)}, and has said nothing for long.")
            wait.pause(postmaster.REJECTED_S if rejected else LOOK_AGAIN_S)

    def _launch(self, home: Home, server_lock: int) -> None:
        socket_dir = home.make_socket_dir()
        postmaster.launch(home, socket_dir, self._settings(home, socket_dir), server_lock)

    def _settings(self, home: Home, socket_dir: Path) -> str:
        command = [str(binaries.binary("pg_config")), "--configure"]
        configured = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        written = read_if_there(home.pgdata / "postgresql.conf") or ""
        return settings.rendered(
            binaries.version(),
            socket_dir,
            self.options,
            archiving(home),
            lz4="--with-lz4" in configured,
            connections=max(self.connections, settings.connections_of(written)),
        )

    def _as_we_want(self, home: Home, server: postmaster.Postmaster) -> bool:
        """Whether a server that was left running may stay; else no upgrade would reach it."""
        written = read_if_there(home.pgdata / "postgresql.conf")
        return (
            not server.lost_its_socket()
            and server.pgdata == home.pgdata
            and written == self._settings(home, server.socket_dir)
        )

    def _check_same(self, home: Home, server: postmaster.Postmaster) -> None:
        """Refuse to share a server whose users asked for other settings, durability among them."""
        if server.pgdata != home.pgdata:
            raise EmbeddedError(
                f"{home.path} was moved from {server.pgdata} while its server "
                f"(process {server.pid}) was running: stop those who use it first."
            )
        theirs = settings.options_of(read_if_there(home.pgdata / "postgresql.conf") or "")
        if theirs != dict(self.options):
            raise EmbeddedError(
                f"Others use the server in {home.path} with options {json.dumps(theirs)}, "
                f"not with {json.dumps(dict(self.options))}: stop them first, or ask for the same."
            )


def _ensure_database(home: Home, socket_dir: Path) -> None:
    """Our database and what its user keeps out of the log, made at the first start.

    Errors of its sessions quote the values they met ("invalid input syntax"), and the caller sees
    them anyway; those of the server's own processes, which have no user, still go to the log.
    """
    dsn = home.dsn(socket_dir, MAINTENANCE)
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=CONNECT_S) as connection:
            known = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if known is None:
                _close_to_others(home.dsn(socket_dir, TEMPLATE))
                for name in (TEMPLATE, MAINTENANCE):
                    connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
                connection.execute(
                    sql.SQL("ALTER ROLE {} SET log_min_messages = 'log'").format(
                        sql.Identifier(USER)
                    )
                )
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
                connection.execute(f"REVOKE TEMPORARY ON DATABASE {DATABASE} FROM PUBLIC")
    except psycopg.Error as error:
        raise EmbeddedError(f"The server in {home.path} runs, but refuses us: {error}") from error


def _close_to_others(template: str) -> None:
    """Take from everybody else what no reader needs, and what is not read-only where it seems so:
    large objects and messages that fill the disk, advisory locks that others wait for."""
    with psycopg.connect(template, autocommit=True, connect_timeout=CONNECT_S) as connection:
        for (function,) in connection.execute(
            "SELECT oid::regprocedure::text FROM pg_proc"
            " WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ %s",
            ("^(lo_|lowrite|pg_(try_)?advisory_|pg_logical_emit_message)",),
        ).fetchall():
            connection.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
