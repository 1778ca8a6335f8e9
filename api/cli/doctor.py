"""`doctor`: what is wrong with an installation, and how to mend it. It changes nothing and starts
nothing: of a server that does not run it says what can be seen without."""

import errno
import http.client
import json
import os
import resource
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

import psycopg
from psycopg import Connection, pq
from psycopg.conninfo import conninfo_to_dict

from api.cli.terminal import output
from api.http.server.limits import DESCRIPTORS_EACH, Limits
from api.runtime import readiness
from api.runtime.clock import Clock
from api.runtime.connections import check_room
from api.runtime.failures import CannotOpen
from api.runtime.keys import take_keys
from api.runtime.readiness import Reason
from api.runtime.settings import Settings, quieten_libpq, unknown
from api.runtime.wiring import address_of, embedded_version
from ledger import clocks, rotation
from ledger.database import LOG_FORMAT, applied_to, connect, meta, migrations, strangers
from ledger.embedded import EmbeddedError, looked_at, running
from ledger.keyring import KEYRING, UnusableKeys
from ledger.locks import Lock, held
from projections.engine import schemas, succession

LOCAL = ("127.0.0.1", "::1", "localhost")
TLS = ("require", "verify-ca", "verify-full")
DURABLE = ("fsync", "full_page_writes", "synchronous_commit")
START = "Nothing has to be done for it: the first command that needs it starts it."
OTHER_PORT = "Stop it, or choose another port: CLUBLEDGER_PORT."
BAD_ADDRESS = "CLUBLEDGER_DATABASE_URL is not an address of PostgreSQL."
MAKES = "`clubledger demo`, `import` or `serve` makes one; --data-dir names another place."
HELP, ACCESS = "docs/how-to/watch-the-answers.md", "docs/how-to/access.md"
MENDS: dict[str, str] = {
    "answers_behind": "Wait, if an import has just ended; else see that `clubledger serve` or"
    " `clubledger project --follow` runs.",
    "answers_stand_still": f"Run the newest version that wrote to this log: {HELP}.",
    "database_away": "See that PostgreSQL runs, and that CLUBLEDGER_DATABASE_URL names it and"
    " somebody whom it knows.",
    "disk_nearly_full": "Make room on that disk, or enlarge it; `clubledger space` tells what lies"
    " where.",
    "key_not_here": "Bring it back from where its copy is, or, if it is lost, give those names up"
    " (`clubledger keys give-up`): docs/how-to/keys.md.",
    "recovering": "Wait until it has recovered; name the database that is written to, if this one"
    " copies another.",
}
"""What mends a reason for which a server is not ready."""
BACK = "To go back to this one, call `clubledger rebuild`."
KEYLESS = "A ledger that never had one is of an earlier version: it is loaded or imported anew."


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, or (`wrong` is false) worth knowing."""

    code: str
    detail: str
    mend: str
    wrong: bool = True


def run(settings: Settings, as_json: bool) -> int:
    """Tell what is found: 0 if nothing is wrong, else 1."""
    quieten_libpq(embedded=settings.database_url is None)
    found = examined(settings)
    wrong = any(each.wrong for each in found)
    if as_json:
        output.tell({"well": not wrong, "findings": [asdict(each) for each in found]})
        return int(wrong)
    for each in found:
        output.say(f"{'WRONG' if each.wrong else 'note':<6}{each.code}: {each.detail}")
        output.say(f"      {each.mend}")
    output.say("Something is wrong." if wrong else "Nothing is wrong.")
    return int(wrong)


def examined(settings: Settings) -> list[Finding]:
    """All that is found."""
    return [finding for look in LOOKS for finding in look(settings)]


# -------------------------------------------------------------------- settings and this machine
def _settings(settings: Settings) -> Iterator[Finding]:
    names = [f"CLUBLEDGER_{name.upper()}" for name in Settings.model_fields]
    for name in unknown():
        near = get_close_matches(name, names, 1)
        said = f"{name} is set in the environment, and no setting is called so."
        yield Finding("unknown_setting", said, f"{near[0]} may be meant." if near else "Remove it.")
    if settings.host not in LOCAL and not settings.tls_in_front:
        said = f"`serve` refuses to listen on {settings.host}, where keys would travel in the open."
        mend = "Put a proxy in front that speaks TLS, and say so: CLUBLEDGER_TLS_IN_FRONT=1."
        yield Finding("open_to_others", said, mend)
    if settings.traceback:
        said = "Unexpected errors are shown whole, and may quote what somebody sent."
        yield Finding(
            "unsafe_setting", said, "Unset CLUBLEDGER_TRACEBACK but to look for a defect."
        )
    if settings.database_url is not None:
        yield from _address(settings.database_url.get_secret_value())
    yield from _provider(settings)


def _provider(settings: Settings) -> Iterator[Finding]:
    if settings.oidc_issuer is None:
        if settings.oidc_client_id is not None:
            said = "CLUBLEDGER_OIDC_CLIENT_ID is set, and no CLUBLEDGER_OIDC_ISSUER to sign in at."
            yield Finding("bad_setting", said, "Say both, or neither.")
        return
    from api.http.server.identity import Provider  # authlib is slow to start
    from api.http.server.issuers import UNREADABLE

    try:
        provider = Provider.of(settings)
        assert provider is not None
        provider.looked_up()
    except CannotOpen as failure:
        yield Finding("bad_setting", str(failure), f"See {ACCESS}.")
    except UNREADABLE as error:
        why = error.strerror if isinstance(error, OSError) else None
        said = f"Nobody signs in at {settings.oidc_issuer}: {why or type(error).__name__}."
        mend = "See that it runs, is reached from here, and calls itself as CLUBLEDGER_OIDC_ISSUER"
        yield Finding("provider_away", said, f"{mend} does: {ACCESS}.")


def _address(url: str) -> Iterator[Finding]:
    try:
        known = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        yield Finding(
            "bad_setting",
            BAD_ADDRESS,
            "Write it as postgresql://user@host/database.",
        )
        return
    host = str(known.get("host") or "")
    here = not host or host.startswith("/") or host in LOCAL
    usual = {option.keyword.decode(): option.val for option in pq.Conninfo.get_defaults()}
    mode = known.get("sslmode") or (usual.get("sslmode") or b"").decode()
    if not here and mode not in TLS:
        said = (
            f"What is said to the database on {host} may be read on the way: TLS is not asked for."
        )
        yield Finding("unsafe_setting", said, "Add ?sslmode=verify-full to the address.", False)


def _machine(settings: Settings) -> Iterator[Finding]:
    encoding = sys.getfilesystemencoding()
    if encoding.lower() not in ("utf-8", "utf8"):
        said = f"Names of files are {encoding} here: those that are Chinese cannot be opened."
        yield Finding("locale", said, "Set LC_ALL=C.UTF-8, or another locale of UTF-8.")
    limits = Limits.of(settings)
    needed = limits.descriptors_kept + DESCRIPTORS_EACH * limits.connections
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most not in (resource.RLIM_INFINITY, -1) and most < needed:
        said = (
            f"A process may open {most:,} files, and a worker with {limits.connections:,}"
            f" connections needs {needed:,}: it takes fewer connections."
        )
        mend = f"Raise the limit (ulimit -Hn {needed}, LimitNOFILE={needed})"
        yield Finding("open_files", said, f"{mend}, or lower CLUBLEDGER_HTTP_CONNECTIONS.")


def _port(settings: Settings) -> Iterator[Finding]:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        with closing(socket.socket(family)) as line:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            line.bind((settings.host, settings.port))
            line.listen()
    except (OSError, UnicodeError) as error:
        where = f"{settings.host}:{settings.port}"
        if getattr(error, "errno", None) != errno.EADDRINUSE:
            said = f"`serve` could not listen on {where}: {error}."
            yield Finding("port", said, "Choose another: CLUBLEDGER_HOST, CLUBLEDGER_PORT.")
        elif not _is_ours(settings):
            said = f"Another program listens on {where}."
            yield Finding("port", said, OTHER_PORT)
        elif settings.database_url is None and embedded_version(settings.data_dir) is None:
            said = f"clubledger listens on {where}, and serves another ledger."
            yield Finding("port", said, OTHER_PORT)


def _is_ours(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    with closing(http.client.HTTPConnection(host, settings.port, timeout=2)) as line:
        try:
            line.request("GET", "/")
            return bool(json.loads(line.getresponse().read(4096))["name"] == "clubledger")
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return False


# ----------------------------------------------------------------------------- the data directory
def _directory(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is not None:
        return
    path = settings.data_dir
    try:
        home = looked_at(path)
    except (EmbeddedError, OSError) as error:
        if not (path / "pgdata").exists():
            yield Finding("no_ledger", f"There is no ledger in {path}.", MAKES)
        else:
            mend = "Run it as who made the directory, or put right what is said here."
            yield Finding("directory", str(error), mend)
        return
    if os.statvfs(home.path).f_flag & os.ST_RDONLY:
        said = f"The file system of {path} is read-only: nothing that uses the ledger can start."
        yield Finding("directory", said, "Mount it for writing; see first whether the disk failed.")
    keys = settings.keys_file or home.path / "keys"
    for place in (home.path / "password", keys, home.path / "pgdata"):
        if place.exists() and stat.S_IMODE(place.lstat().st_mode) & 0o077:
            said = f"{place} is open to other users of this machine."
            yield Finding("rights", said, f"chmod go= {place}")
    yield from map(_of_reason, readiness.of_disk(settings))


def _keys(settings: Settings) -> Iterator[Finding]:
    ledger = settings.database_url is None and (settings.data_dir / "pgdata").exists()
    try:
        take_keys(settings)
        if ledger and not KEYRING.known():
            said = f"{KEYRING.place} holds no key of names and numbers: the ledger is not opened."
            yield Finding("key_not_here", said, f"{MENDS['key_not_here']} {KEYLESS}")
    except UnusableKeys as error:
        said = f"The keys of names and numbers cannot be read: {error}."
        yield Finding("bad_keys", said, "See docs/explanation/personal-data.md: a key a line.")


# ------------------------------------------------------------------------------------ the database
def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is None and not (settings.data_dir / "pgdata").exists():
        return  # There is none.
    dsn = _reached(settings)
    if isinstance(dsn, Finding):
        yield dsn
        return
    try:
        with connect(dsn) as conn:
            yield from _of_database(conn, settings)
    except psycopg.ProgrammingError as error:
        said = f"The database refuses us: {error.sqlstate or type(error).__name__}."
        yield Finding("refused", said, "Give its user the rights of an owner of this database.")
    except psycopg.Error:
        yield _of_reason(readiness.of_absence(dsn))
    else:
        try:
            check_room(dsn, settings)
        except CannotOpen as failure:
            mend = "Raise max_connections, or lower CLUBLEDGER_WORKERS or"
            yield Finding("connections", str(failure), f"{mend} CLUBLEDGER_READ_CONNECTIONS.")


def _reached(settings: Settings) -> str | Finding:
    """How to reach the database, or why it cannot be asked."""
    if settings.database_url is not None:
        try:
            return address_of(settings)
        except (CannotOpen, psycopg.ProgrammingError) as failure:
            said = str(failure) if isinstance(failure, CannotOpen) else BAD_ADDRESS
            return Finding("bad_setting", said, "See CLUBLEDGER_DATABASE_URL and its file.")
    try:
        server = running(settings.data_dir)
    except (EmbeddedError, OSError) as error:
        return Finding("directory", str(error), "Run it as the owner of the data directory.")
    if server is None:
        return Finding("not_running", "The embedded PostgreSQL does not run.", START, False)
    if not server.accepting:
        doing = "waits for its last session to end" if server.stopping else "starts or recovers"
        said = f"The embedded PostgreSQL (process {server.pid}) {doing}."
        return Finding("recovering", said, MENDS["recovering"])
    return server.dsn


def _of_database(conn: Connection[Any], settings: Settings) -> Iterator[Finding]:
    if (encoding := conn.info.parameter_status("server_encoding")) != "UTF8":
        said = f"The database keeps text as {encoding}."
        yield Finding("locale", said, "Make it anew with ENCODING 'UTF8', and import again.")
    for name in DURABLE:
        if _one(conn, f"SHOW {name}") == "off":
            said = f"{name} is off: what is acknowledged may be lost."
            yield Finding("unsafe_setting", said, f"Set {name} = on in postgresql.conf.")
    if _one(conn, "SELECT to_regclass('ledger.migrations')::text") is None:
        said = "The database holds no ledger."
        yield Finding("no_ledger", said, MAKES)
        return
    if (layout := _of_layout(conn)) is not None:
        yield layout
        return
    reasons = readiness.of_database(conn, settings.ready_lag_events)
    yield from map(_of_reason, reasons)
    for each in rotation.usage(conn):
        if not (each.here or each.wraps):  # of that which wraps it was said
            whose = output.counted(each.persons, "person")
            said = f"The keys of {whose} need {each.key_id}, which is not in {KEYRING.place}."
            yield Finding("key_not_here", said, MENDS["key_not_here"])
    if schemas.installed(conn) and schemas.outdated(conn):
        said = "The answers are those of another version."
        mend = "The next `serve` or `project` makes them anew; end that version, if it still runs."
        yield Finding("other_version", said, mend, False)
    if not held(conn, Lock.RUNNER):
        said = "Nobody folds what comes into the log: no `serve`, no `project --follow` runs."
        yield Finding("no_follower", said, "Start `clubledger serve` to keep answers fresh.", False)
    yield from _of_clocks(conn)


def _of_layout(conn: Connection[Any]) -> Finding | None:
    """Whether program and database are of one version."""
    applied, ours = set(applied_to(conn)), {name for name, _ in migrations()}
    if newer := sorted(applied - ours):
        said = f"A newer version brought the database up to date ({', '.join(newer)})."
        return Finding("other_version", said, "Run that version.")
    if lacking := sorted(ours - applied):
        said = f"The database is of an older version (without {', '.join(lacking)})."
        return Finding("other_version", said, "The next command brings it up to date.", False)
    if meta(conn).get("log_format", LOG_FORMAT) != LOG_FORMAT or strangers(conn):
        said = "The log was written by another version, whose form is not read any more."
        return Finding("old_layout", said, f"{HELP}: load or import anew, or run that version.")
    if succession.superseded(conn):
        said = "A newer version makes the answers."
        return Finding("other_version", said, f"Run that version. {BACK}")
    return None


def _of_clocks(conn: Connection[Any]) -> Iterator[Finding]:
    try:
        clocks.check_wall(conn, Clock().now())
    except clocks.ClockAhead as ahead:
        seconds = (ahead.now - ahead.database_now).total_seconds()
        said = f"The clock here is {seconds:,.0f} s ahead of the database's: nothing is written."
        yield Finding("clock_ahead", said, "Set both clocks right (NTP).")
    except clocks.LogAhead as ahead:
        seconds = (ahead.recorded_at - ahead.database_now).total_seconds()
        said = f"The log was last written {seconds:,.0f} s ahead of the database's clock."
        mend = "Set the clocks right; if they are, `clubledger clock --stand-still`."
        yield Finding("log_ahead", said, mend)


def _of_reason(reason: Reason) -> Finding:
    return Finding(reason.code, reason.detail, MENDS[reason.code])


def _one(conn: Connection[Any], query: str) -> Any:
    row = conn.execute(query.encode()).fetchone()
    return row and row[0]


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _settings,
    _machine,
    _port,
    _directory,
    _keys,
    _database,
)
