"""Wiring: which database a door opens, and what keeps it from opening, in one sentence."""

import gc
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from api.runtime.clock import Clock
from api.runtime.connections import needed
from api.runtime.failures import CannotOpen
from api.runtime.keys import take_keys
from api.runtime.settings import Settings, quieten_libpq
from ledger import clocks
from ledger.database import InstallError, connect, install, meta
from ledger.embedded import EmbeddedError, EmbeddedServer, running
from ledger.keyring import UnusableKeys

# What befalls a connection is raised; psycopg would also write a line about it to stderr.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

COLLECT_AFTER = 10_000
"""So many objects more than were freed, before the collector looks for cycles (Python's: 700)."""


@dataclass(frozen=True)
class Database:
    """An installed ledger: how to reach it, where it is for a reader, what was fixed with it."""

    dsn: str  # holds a password: never shown
    place: str
    meta: Mapping[str, str]

    @property
    def clock(self) -> Clock:
        """The installation's clock."""
        return Clock.of(self.meta)

    def anew(self) -> "Database":
        """The same with what is known of it by now."""
        with connect(self.dsn) as connection:
            return replace(self, meta=meta(connection))


@contextmanager
def opened(
    settings: Settings, *, create: bool = False, give_up: bool = False
) -> Iterator[Database]:
    """The ledger that the settings name, with its schema up to date.

    `create` makes an embedded one where there is none; without it that is refused, so that a
    question about a mistyped directory leaves nothing behind. Who makes one writes, and is refused
    while clocks are ahead. `give_up` deletes personal data whose key is lost. The embedded server
    stops with its last user.
    """
    quieten_libpq(embedded=settings.database_url is None)
    try:
        take_keys(settings)
    except UnusableKeys as error:
        raise CannotOpen(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    if settings.database_url is not None:
        place = _place(settings.database_url.get_secret_value())
        yield _installed(settings, address_of(settings), place, create, give_up)
        return
    data_dir = settings.data_dir
    try:
        if not create and not (data_dir / "pgdata").is_dir():
            raise CannotOpen(
                f"There is no ledger in {data_dir}: `clubledger demo`, `import` or `serve` makes"
                " one."
            )
        with embedded(settings, create=create) as server:
            yield _installed(settings, server.dsn, str(data_dir), create, give_up)
    except EmbeddedError as error:
        raise CannotOpen(str(error)) from error
    except OSError as error:
        if error.filename is None or not str(error.filename).startswith(str(data_dir)):
            raise
        raise CannotOpen(f"{data_dir} cannot be used: {error.strerror}.") from error


def embedded(
    settings: Settings, *, create: bool, call_off: threading.Event | None = None
) -> EmbeddedServer:
    """The embedded server of the settings, with room for what they need."""
    room = needed(settings).all
    return EmbeddedServer(settings.data_dir, create=create, connections=room, call_off=call_off)


def _installed(settings: Settings, dsn: str, place: str, writes: bool, give_up: bool) -> Database:
    try:
        said = settings.zone, settings.tiers, settings.phones
        install(dsn, settings.buckets, *said, give_up=give_up)
        with connect(dsn) as connection:
            database = Database(dsn, place, meta(connection))
            if writes:
                clocks.check_wall(connection, Clock().now())
            return database
    except (InstallError, UnusableKeys) as error:
        raise CannotOpen(f"The database cannot be a ledger: {error}.") from error
    except psycopg.OperationalError as error:
        raise CannotOpen(f"The database does not answer: {first_line(error)}") from error
    except psycopg.ProgrammingError as error:
        raise CannotOpen(f"The database refuses us: {first_line(error)}") from error


def address_of(settings: Settings) -> str:
    """The address of a database of the user's own, with its password, if a file holds that."""
    assert settings.database_url is not None
    url, path = settings.database_url.get_secret_value(), settings.database_password_file
    if path is None:
        return url
    try:
        return psycopg.conninfo.make_conninfo(url, password=path.read_text("utf-8").rstrip("\r\n"))
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CannotOpen(f"The password in {path} cannot be read: {why}.") from None


def _place(url: str) -> str:
    """Where a database is, without the secrets that its address may hold."""
    try:
        known = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        # The message quotes the address, and the address may hold a password.
        raise CannotOpen("CLUBLEDGER_DATABASE_URL is not an address of PostgreSQL.") from error
    return f"{known.get('dbname') or 'its default database'} on {known.get('host') or 'localhost'}"


def settle_in() -> None:
    """Called once all is imported: the collector leaves that alone from now on.

    Its passes over the imported modules were the slowest answers, 25 ms each. What is made for a
    command goes by its last reference; the collector need not look for it every few commands.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def first_line(error: BaseException) -> str:
    """The first line of what a library says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def embedded_version(data_dir: Path) -> str | None:
    """The version of the embedded server that runs on this directory, if one does."""
    quieten_libpq(embedded=True)
    try:
        server = running(data_dir)
    except (EmbeddedError, OSError):
        return None
    return None if server is None else server.version
