"""The ground of a run: a durable server in a scratch directory, and databases to measure on."""

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.runtime.clock import Clock
from bench import machine, population
from bench.children import Child, python
from bench.options import Options
from bench.words import FaultError, counted
from ledger.database import connect, install
from ledger.embedded import EmbeddedServer, running
from ledger.importing import Importer

TABLES = ("stored_events", "snapshots", "snapshot_parts", "command_log", "persons", "person_keys",
          "log_end")  # fmt: skip
NEW, MEMBERS = "new_members", "members"
COMMANDS_A_SECOND = 20_000
"""More than anything here reaches: what a campaign's members have to last for."""


@dataclass
class Ground:
    """What the parts share."""

    options: Options
    scratch: Path
    dsn: str
    postgres: int
    """The server's first process."""
    now: datetime
    tell: Callable[[str], None]
    settings: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """What was not measured, and why."""
    texts: dict[str, list[str]] = field(default_factory=dict)
    """Profiles: title -> lines."""
    failed: bool = False
    _made: set[str] = field(default_factory=set)
    _names: Iterator[int] = field(default_factory=lambda: count(1))
    _campaigns: Iterator[int] = field(default_factory=lambda: count(1))

    # ------------------------------------------------------------------------------ databases
    def admin(self) -> Connection[Any]:
        """A connection beside every database that is measured."""
        return psycopg.connect(make_conninfo(self.dsn, dbname="postgres"), autocommit=True)

    def dsn_of(self, database: str) -> str:
        """How to connect to a database of this server."""
        return make_conninfo(self.dsn, dbname=database)

    def created(self, stack: ExitStack, of: str = "template0") -> str:
        """The dsn of a new database, a copy of `of`; it is dropped with the stack."""
        name = f"bench_{next(self._names)}"
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(of)
                )
            )
        stack.callback(self._drop, name)
        return self.dsn_of(name)

    def _drop(self, name: str) -> None:
        with self.admin() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def members(self, stack: ExitStack, buckets: int = 1) -> str:
        """A copy of the ledger with all members, vacuumed and analyzed."""
        name = f"{MEMBERS}_{buckets}"
        if name not in self._made:
            self.tell(
                f"Importing {self.options.members:,} members into {counted(buckets, 'bucket')}"
            )
            self._import(name, buckets)
            if buckets == 1:
                self._copy_kept(NEW, name)
            with connect(self.dsn_of(name)) as connection:
                for table in TABLES:
                    connection.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)".encode())
                connection.execute("VACUUM (FREEZE, ANALYZE)")
            self._made.add(name)
        return self.created(stack, of=name)

    def new_members(self, stack: ExitStack) -> str:
        """The same, but nothing was ever analyzed: what the planner finds on the first day."""
        with ExitStack() as unused:
            self.members(unused)
        dsn = self.created(stack, of=NEW)
        with connect(dsn) as connection:
            for table in TABLES:
                connection.execute(f"ALTER TABLE {table} RESET (autovacuum_enabled)".encode())
        return dsn

    def _copy_kept(self, name: str, of: str) -> None:
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(name), sql.Identifier(of)
                )
            )

    def _import(self, name: str, buckets: int) -> None:
        with self.admin() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        dsn = self.dsn_of(name)
        install(dsn, buckets)
        with connect(dsn) as connection:
            for table in TABLES:
                connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
        files = population.files(self.now, self.options.members, self.campaigns_needed)
        for done in Importer(dsn, now=self.now).load_all(files):
            if not done.kept:
                raise FaultError(f"the members were not taken: {done.rejections[:1]}")

    # ------------------------------------------------------------------------------ campaigns
    @property
    def campaigns_a_run(self) -> int:
        """So many hot campaigns, one after the other: each member can enrol once in each."""
        seconds = max(self.options.seconds, 1)
        return 1 + COMMANDS_A_SECOND * seconds // self.options.members

    @property
    def campaigns_needed(self) -> int:
        """For two subjects, each warmed up once."""
        return 2 * (self.options.rounds + 1) * self.campaigns_a_run

    def next_campaign(self) -> int:
        """The first campaign of a run that no run before has used."""
        first = next(self._campaigns) * self.campaigns_a_run - self.campaigns_a_run + 1
        if first > self.campaigns_needed:
            raise FaultError("all campaigns are used up")
        return first

    # ------------------------------------------------------------------------------ processes
    def python(self, stack: ExitStack, module: str, **config: Any) -> Child:
        """A module of the bench as a process that ends with the stack."""
        name = module.rpartition(".")[2]
        log = self.scratch / f"{name}-{next(self._names)}.log"
        return stack.enter_context(python(module, config, log))

    def token(self) -> str:
        """A name that no run before had: idempotency keys begin with it."""
        return secrets.token_hex(6)


@contextmanager
def opened(options: Options, place: Path | None, tell: Callable[[str], None]) -> Iterator[Ground]:
    """A durable server with the settings that clubledger gives it, gone afterwards.

    The directory can be entered by others because PostgreSQL does not run as root.
    """
    scratch = Path(tempfile.mkdtemp(prefix="clubledger-bench-", dir=place)).resolve()
    try:
        scratch.chmod(0o711)
        tell(f"Starting PostgreSQL in {scratch}")
        with EmbeddedServer(scratch / "data") as server:
            found = running(scratch / "data")
            assert found is not None
            ground = Ground(options, scratch, server.dsn, found.pid, Clock().now(), tell)
            with ground.admin() as connection:
                ground.settings = machine.promised(connection)
            yield ground
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def pg_environment(dsn: str) -> dict[str, str]:
    """The same as variables, for programs that would show a password in their arguments."""
    known = conninfo_to_dict(dsn)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    names |= {"dbname": "PGDATABASE", "options": "PGOPTIONS"}
    return {variable: str(known[name]) for name, variable in names.items() if name in known}
