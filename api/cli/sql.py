"""`sql`: the views for tools of one's own: a session, a query, or an address to connect to."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex, token_urlsafe
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic_core import to_jsonable_python

from api.cli.terminal import output
from api.runtime.exports import cell, harmless
from api.runtime.failures import Rejected, WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import Database, first_line, opened
from domain.kernel.values import PROGRAMME
from ledger.database import connect
from ledger.embedded import EmbeddedError, binaries
from projections.engine import runner
from projections.engine.public import PATIENCE, ROLE, SCHEMA, bound, known

PRIVATE = 0o600
GUEST_S = 600
"""How long a guest's password lets somebody in."""


def run(settings: Settings, query: str | None, address: bool, as_json: bool) -> int:
    """Run one query, tell an address, or open a session of psql."""
    if query is not None and address:
        raise WrongUse("--connect goes without a query.")
    if as_json and query is None and not address:
        raise WrongUse("--json goes with a query or --connect.")
    with opened(settings) as database:
        runner.project(database.dsn)
        _require_role(database)
        if address:
            return _address(database, as_json)
        if query is not None:
            return _asked(database, query, as_json)
        return _session(database)


def _require_role(database: Database) -> None:
    with connect(database.dsn) as connection:
        if known(connection):
            return
    raise Rejected(
        f"The server has no role {ROLE}, and lets us make none. Its owner does:"
        f" CREATE ROLE {ROLE}; GRANT {ROLE} TO the user of the ledger."
    )


@contextmanager
def _looked_into(database: Database) -> Iterator[str]:
    """The same database, read as an analyst has it: the views, and nothing can be written.

    By a login of its own. A server of somebody else's may let us make none, or not let it in: there
    the ledger's user puts the role on, and whoever asks can take it off.
    """
    said = {
        "role": ROLE,
        "client_connection_check_interval": "1s",
        "TimeZone": PROGRAMME.zone.key,
    }
    bounds = {"default_transaction_read_only": "on", "search_path": SCHEMA, **PATIENCE}
    as_owner = make_conninfo(database.dsn, options=_options(said | bounds))
    with connect(database.dsn) as owner, _guest(owner) as login:
        if login is None:
            yield as_owner
            return
        name, password = login
        as_guest = make_conninfo(database.dsn, user=name, password=password, options=_options(said))
        try:
            psycopg.connect(as_guest).close()
        except psycopg.OperationalError:
            as_guest = as_owner
        yield as_guest


def _options(said: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in said.items())


def _asked(database: Database, query: str, as_json: bool) -> int:
    """The rows of one query as CSV or JSON."""
    try:
        with (
            _looked_into(database) as conninfo,
            psycopg.connect(conninfo, autocommit=True) as connection,
        ):
            # A prepared statement is one alone: nothing is done beside it.
            cursor = connection.execute(query.encode(), prepare=True)
            names = [column.name for column in cursor.description or []]
            rows = cursor.fetchall() if names else []
    except psycopg.Error as error:
        raise Rejected(f"PostgreSQL refuses it: {first_line(error)}") from None
    if as_json:
        listed = [dict(zip(names, row, strict=True)) for row in rows]
        output.tell({"rows": to_jsonable_python(listed)})
        return 0
    lines = csv.writer(sys.stdout, lineterminator="\n")
    if names:
        lines.writerow(names)
    lines.writerows([harmless(cell(value)) for value in row] for row in rows)
    return 0


def _address(database: Database, as_json: bool) -> int:
    """Give the role a new password, and tell with what other programs connect."""
    password = token_urlsafe(24)
    try:
        with connect(database.dsn) as connection:
            text = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
            connection.execute(text.format(sql.Identifier(ROLE), sql.Literal(password)))
    except psycopg.errors.InsufficientPrivilege:
        raise Rejected(
            f"The server does not let us give {ROLE} a password: its owner does, by"
            f" ALTER ROLE {ROLE} LOGIN PASSWORD '...'."
        ) from None
    known = conninfo_to_dict(database.dsn)
    kept = {name: known[name] for name in ("host", "port", "dbname", "sslmode") if name in known}
    told = make_conninfo("", **kept, user=ROLE, password=password)
    if as_json:
        output.tell({"connect": told})
    else:
        output.say(told)
    return 0


def _session(database: Database) -> int:
    """psql, whose password goes by a file that nobody else may read."""
    program = _psql()
    if program is None:
        raise Rejected("There is no psql here: --connect tells with what other programs connect.")
    with TemporaryDirectory(prefix="clubledger-") as aside, _looked_into(database) as conninfo:
        known = conninfo_to_dict(conninfo)
        password = known.pop("password", None)
        if password is not None:
            file = Path(aside) / "password"
            file.touch(PRIVATE)
            escaped = str(password).replace("\\", "\\\\").replace(":", "\\:")
            file.write_text(f"*:*:*:*:{escaped}\n", "utf-8")
            known["passfile"] = str(file)
        hidden = make_conninfo("", **known)
        return subprocess.run([program, hidden], check=False).returncode


def _psql() -> str | None:
    try:
        return str(binaries.binary("psql"))
    except EmbeddedError:
        return shutil.which("psql")


@contextmanager
def _guest(conn: Connection[Any]) -> Iterator[tuple[str, str] | None]:
    """A login that may what the role may, while it is used: its name and its password.

    Whoever looked as the role from a login of the ledger's user would be that user again by
    `SET ROLE NONE`, and write. None: the server lets us make no login.
    """
    _drop_guests(conn)
    name, password = f"{ROLE}_{token_hex(8)}", token_urlsafe(24)
    until = conn.execute("SELECT now() + %s * interval '1 s'", (GUEST_S,)).fetchone()
    try:
        with conn.transaction():
            text = sql.SQL(
                f"CREATE ROLE {name} LOGIN PASSWORD {{}} VALID UNTIL {{}} IN ROLE {ROLE}"
            )
            conn.execute(text.format(password, sql.Literal(str(until and until[0]))))
            bound(conn, name)
    except psycopg.errors.InsufficientPrivilege:
        yield None
        return
    try:
        yield name, password
    finally:
        _drop_role(conn, name)


def _drop_guests(conn: Connection[Any]) -> None:
    """Drop those whose users were killed: nobody comes in as one any more, and nobody is."""
    for (name,) in conn.execute(
        "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s) AND rolvaliduntil < now()"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = rolname)",
        (f"{ROLE}_",),
    ).fetchall():
        _drop_role(conn, name)


def _drop_role(conn: Connection[Any], name: str) -> None:
    """On a server of somebody else's it may own what it could make there: then it stays."""
    with suppress(psycopg.Error), conn.transaction():
        conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))
