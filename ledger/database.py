"""Connections, and the installation of the ledger's schema by plain SQL migrations."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, TypeVar
from uuid import uuid4
from zlib import crc32
from zoneinfo import ZoneInfo, available_timezones

from psycopg import AsyncConnection, Connection, pq
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import InvalidParameterValue

from domain.catalogue import REFERENCE
from domain.kernel.phones import NumberingPlan
from domain.kernel.values import MAX_TIERS, PROGRAMME, TIER_PATTERN
from ledger.keyring import KEYRING, KeyNotHere, Secrets
from ledger.locks import Lock

C = TypeVar("C", bound=Connection[Any])
SCHEMA = "ledger"
CHANNEL = "clubledger"
MAX_BUCKETS = 64
FROZEN_MS = 3_000
"""How long a writer may hold the lanes without saying a word."""
PATIENCE_MS = 2_000
"""How long a live batch waits for the lanes at a time, while an import holds them."""
CONNECT_S = 30
"""How long a connection may take to come about, unless the address or the user says."""
LOG_FORMAT = "2"
"""Of what the log stores. What changes it, with no migration and no `upcast`, gives it another."""
NOT_READ = "its log was written by another version, whose form is not read any more"
ANEW = "load the demo or import the files anew, into an empty data directory or database"
ZONE, TIERS = PROGRAMME.zone.key, ",".join(PROGRAMME.tiers)
PHONES = str(PROGRAMME.phones)
"""Of a ledger for which none was chosen."""
SURE = range(1980, 2038)
"""The years for which the clocks of a zone are compared."""
MAX_TITLE = 60
NOBODY = "none"
"""What is said where somebody holds no tier."""
ALIKE = "bring the time zone data of both up to date"
_SESSION = {
    "search_path": SCHEMA,  # what others may have made, in `public` or elsewhere, is never run
    "DateStyle": "ISO,MDY",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "transform_null_equals": "off",
    "quote_all_identifiers": "off",
    "default_transaction_isolation": r"read\ committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
}
"""What our texts rely upon, whatever the server's file, a role or a database has for a default."""
PINNED = " ".join(
    f"-c {setting}"
    for setting in (
        "enable_hashjoin=off",
        "enable_mergejoin=off",
        "enable_seqscan=off",
        "plan_cache_mode=force_generic_plan",
        "jit=off",
    )
)
"""For connections that look up snapshots and keys: by index, from the first minute on."""
NOTICE_DEATH = "-c client_connection_check_interval=1s"
"""For connections with long statements: if their process dies, the server ends what it does for it,
and frees its locks, within a second or two."""


def _options() -> str:
    """The programme's days are those of the session: `occurred_at::date` in our texts."""
    said = {"TimeZone": PROGRAMME.zone.key, **_SESSION}
    return " ".join(f"-c {name}={value}" for name, value in said.items())


class InstallError(Exception):
    """The database cannot be used as a ledger; the message says why and what to do."""


def connect(dsn: str, *, pinned: bool = False, **options: Any) -> Connection[Any]:
    """A connection in autocommit, which sees the ledger's tables and the programme's days."""
    return connect_as(Connection[Any], dsn, pinned=pinned, **options)


def connect_as(kind: type[C], dsn: str, *, pinned: bool = False, **options: Any) -> C:
    """The same as a kind of connection of one's own."""
    said = f"{_options()} {NOTICE_DEATH}" + (f" {PINNED}" if pinned else "")
    return kind.connect(dsn, **_said(dsn, said), **options)


async def aconnect(dsn: str, **options: Any) -> AsyncConnection[Any]:
    """The same for asyncio, pinned. Statements are prepared at once: the same few come for ever.

    A process that is frozen while it holds the lanes loses them after some seconds.
    """
    patience = {"idle_in_transaction_session_timeout": FROZEN_MS, "lock_timeout": PATIENCE_MS}
    impatient = " ".join(
        [_options(), PINNED, *(f"-c {name}={ms}" for name, ms in patience.items())]
    )
    connection = await AsyncConnection.connect(dsn, **_said(dsn, impatient), **options)
    connection.prepare_threshold = 0
    return connection


def _said(dsn: str, options: str) -> dict[str, Any]:
    """What is said of every connection, over whatever the environment says of it."""
    said: dict[str, Any] = {"autocommit": True, "options": options, "client_encoding": "UTF8"}
    known = {option.keyword for option in pq.Conninfo.get_defaults() if option.val}
    if b"connect_timeout" not in known and "connect_timeout" not in conninfo_to_dict(dsn):
        said["connect_timeout"] = CONNECT_S
    return said


def bucket_of(stream: str, buckets: int) -> int:
    """The lane of a stream: the same for ever, on every machine.

    It hangs on the id alone, so that what one thing is told by in several streams (a campaign and
    its places, a club and its admissions) is folded together.
    """
    return crc32(stream[stream.find(":") + 1 :].encode()) % buckets if buckets > 1 else 0


_ONE_LANE = (0,)


def lanes_of(stream: str, buckets: int) -> Sequence[int]:
    """The lanes in which the snapshot of a stream stands: its own. Reference data stands in each,
    so that a command finds what it reads in its own lane; whoever writes it takes all of them."""
    if buckets == 1:
        return _ONE_LANE
    if stream.partition(":")[0] in REFERENCE:
        return range(buckets)
    return (bucket_of(stream, buckets),)


def meta(connection: Connection[Any]) -> dict[str, str]:
    """What was fixed when the ledger was installed, and the demo's clock."""
    return dict(connection.execute("SELECT name, value FROM ledger_meta").fetchall())


def set_meta(connection: Connection[Any], **values: str) -> None:
    """Remember facts about this installation."""
    for name, value in values.items():
        connection.execute(
            "INSERT INTO ledger_meta VALUES (%s, %s)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )


def migrations() -> list[tuple[str, str]]:
    """(name, text) of every migration, in the order in which they are applied."""
    folder = files("ledger") / "migrations"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return [(entry.name, entry.read_text("utf-8")) for entry in sorted(found, key=lambda e: e.name)]


def keep_time(known: Mapping[str, str]) -> None:
    """The days of this process are those of the ledger of which these facts are known: of its
    connections from now on, and of its rules."""
    PROGRAMME.keep_time_of(known["zone"])
    PROGRAMME.tiers = tuple(known["tiers"].split(","))
    PROGRAMME.titles = _titles_kept(known)
    PROGRAMME.phones = NumberingPlan.said(known.get("phones", PHONES))


def _titles_kept(known: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    return {tier: (zh, en) for tier, (zh, en) in json.loads(known.get("tier_titles", "{}")).items()}


def install(
    dsn: str,
    buckets: int = 1,
    zone: str | None = None,
    tiers: str | None = None,
    phones: str | None = None,
    *,
    give_up: bool = False,
) -> None:
    """Bring the schema up to date, under a lock, all of it or nothing. Safe to call again. The
    process keeps the ledger's time from now on.

    The number of buckets, the zone of the programme, its tiers and the plan of its phone numbers
    are fixed by the first call; a later call may leave them out or repeat them, add tiers, and give
    these other titles. `give_up`: where the key to the personal data is lost, that is deleted.
    """
    if not 1 <= buckets <= MAX_BUCKETS:
        raise InstallError(f"a ledger has 1 to {MAX_BUCKETS} buckets, not {buckets}")
    with connect(dsn) as connection, connection.transaction():
        if connection.info.server_version < 150000:
            raise InstallError(
                f"PostgreSQL 15 or later is needed, this is {connection.info.server_version}"
            )
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (Lock.MIGRATOR,))
        # Asked first: CREATE ... IF NOT EXISTS needs rights that a plain user may lack later.
        if connection.execute("SELECT to_regclass('ledger.migrations')").fetchone() == (None,):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            connection.execute(
                "CREATE TABLE migrations (name text PRIMARY KEY, sha256 text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now())"
            )
        _migrate(connection)
        _check_format(connection)
        _fix_buckets(connection, buckets)
        _require_keys(connection, give_up)
        _fix_phones(connection, phones)
        _fix_zone(connection, zone)
        _fix_tiers(connection, tiers)
        known = meta(connection)
    keep_time(known)


@cache
def _digests() -> dict[str, str]:
    return {name: sha256(text.encode()).hexdigest() for name, text in migrations()}


def applied_to(connection: Connection[Any]) -> dict[str, str]:
    """Migrations of a database, by name with a digest of each."""
    return dict(connection.execute("SELECT name, sha256 FROM migrations").fetchall())


def strangers(connection: Connection[Any]) -> list[str]:
    """Migrations that this program and the database do not share: they are of two versions."""
    return sorted({name for name, _ in _digests().items() ^ applied_to(connection).items()})


def _migrate(connection: Connection[Any]) -> None:
    applied, digests = applied_to(connection), _digests()
    unknown = applied.keys() - digests.keys()
    if unknown:
        raise InstallError(
            f"the database has migrations that this version does not know"
            f" ({', '.join(sorted(unknown))}): use the newer version"
        )
    for name, text in migrations():
        if name not in applied:
            connection.execute(text.encode())
            connection.execute("INSERT INTO migrations VALUES (%s, %s)", (name, digests[name]))
        elif applied[name] != digests[name]:
            raise InstallError(f"{NOT_READ} (migration {name} is another one); {ANEW}")


def _check_format(connection: Connection[Any]) -> None:
    known = meta(connection)
    if "buckets" in known and (found := known.get("log_format")) != LOG_FORMAT:
        raise InstallError(f"{NOT_READ} (format {found or 1}, not {LOG_FORMAT}); {ANEW}")


def _fix_buckets(connection: Connection[Any], buckets: int) -> None:
    known = meta(connection).get("buckets")
    if known is None:
        fixed = {"buckets": str(buckets), "log_format": LOG_FORMAT, "ledger_id": str(uuid4())}
        set_meta(connection, **fixed, **Secrets.new(fixed["ledger_id"], KEYRING.first()))
        connection.execute(
            "INSERT INTO log_end SELECT b, 0, 'epoch' FROM generate_series(0, %s) b",
            (buckets - 1,),
        )
        connection.execute("SELECT create_lanes(%s)", (buckets,))
    elif buckets not in (1, int(known)):
        raise InstallError(f"this ledger has {known} buckets, not {buckets}")


def _require_keys(connection: Connection[Any], give_up: bool) -> None:
    """What wraps the keys of persons has to be here."""
    known = meta(connection)
    secrets = Secrets.of(known)
    if give_up:
        connection.execute("SELECT take_lanes(%s::int2[])", (list(range(int(known["buckets"]))),))
        rows = connection.execute("SELECT DISTINCT kek FROM person_keys").fetchall()
        lost = [kek for (kek,) in rows if not KEYRING.holds(kek)]
        connection.execute("SELECT give_up_persons(%s)", (lost,))
    try:
        assert secrets.root
    except KeyNotHere:
        if not give_up:
            raise InstallError(
                f"its personal data is encrypted with the key {secrets.wrapped_by}, which is not in"
                f" {KEYRING.place}: bring that key, or give the data up (`clubledger keys give-up`)"
            ) from None
        connection.execute("SELECT give_up_persons(NULL)")  # nobody is found by his number either
        connection.execute("DELETE FROM webhook_secrets")  # what rotates them makes them anew
        connection.execute("DELETE FROM job_files")
        connection.execute("DELETE FROM jobs")
        fresh = Secrets.new(secrets.ledger_id, KEYRING.first())
        set_meta(connection, **fresh | {"digest_key": secrets.digest_key.hex()})


def _fix_zone(connection: Connection[Any], zone: str | None) -> None:
    known = meta(connection).get("zone")
    if known is None:
        zone = ZONE if zone is None else zone
        if zone not in available_timezones():
            raise InstallError(f"there is no time zone {zone}: one is named as Asia/Shanghai")
        _require_like_clocks(connection, zone)
        set_meta(connection, zone=zone)
    elif zone not in (None, known):
        raise InstallError(f"this ledger keeps the time of {known}, not of {zone}")


def tiers_said(text: str) -> dict[str, tuple[str, str] | None]:
    """The tiers that a setting names, highest first, each with its titles in Chinese and in English
    if it has any. Raises InstallError if they are none."""
    codes = [each.partition("=")[0] for each in text.split(",")]
    taken = len(set(codes)) == len(codes) <= MAX_TIERS and NOBODY not in codes
    if not taken or not all(re.fullmatch(TIER_PATTERN, tier) for tier in codes):
        raise InstallError(
            f"tiers are at most {MAX_TIERS} codes by commas, each once, highest first, such as"
            f" diamond,gold; {NOBODY} is no tier"
        )
    return {each.partition("=")[0]: _titles_said(each) for each in text.split(",")}


def _titles_said(tier: str) -> tuple[str, str] | None:
    code, titled, titles = tier.partition("=")
    zh, _, en = (each.strip() for each in titles.partition("/"))
    if titled and not (zh and titles.isprintable() and len(titles) <= MAX_TITLE):
        raise InstallError(
            f"a tier has its titles behind it, Chinese and English, such as {code}=金卡/Gold, in at"
            f" most {MAX_TITLE} characters"
        )
    return (zh, en or zh) if titled else None


def _fix_tiers(connection: Connection[Any], tiers: str | None) -> None:
    """Highest first. What is known stays known: later calls may only put others between. A title
    that is not said again stays, too; what is read of one is no fact, and may change."""
    known = meta(connection).get("tiers")
    said = tiers_said(tiers or known or TIERS)
    stand = [] if known is None else known.split(",")
    if [tier for tier in said if tier in stand] != stand:
        raise InstallError(f"this ledger has the tiers {known}: others may only stand between them")
    if ",".join(said) != known:
        set_meta(connection, tiers=",".join(said))
    if told := {tier: titles for tier, titles in said.items() if titles}:
        titles = {**_titles_kept(meta(connection)), **told}
        set_meta(connection, tier_titles=json.dumps(titles, ensure_ascii=False))


def plan_said(text: str) -> NumberingPlan:
    """The plan of phone numbers that a setting names. Raises InstallError if it is none."""
    try:
        return NumberingPlan.said(text)
    except ValueError as error:
        raise InstallError(f"{text} is no plan of phone numbers: {error}") from None


def _fix_phones(connection: Connection[Any], phones: str | None) -> None:
    """Numbers are kept, and found, in the spelling that it gives. Asked before the zone is fixed: a
    ledger that has one was made before plans were said, and has the usual one."""
    known = meta(connection)
    plan = known.get("phones") or str(
        plan_said((phones if "zone" not in known else None) or PHONES)
    )
    if "phones" not in known:
        set_meta(connection, phones=plan)
    if phones is not None and str(plan_said(phones)) != plan:
        raise InstallError(f"this ledger's phone numbers are those of {plan}, not of {phones}")


def _require_like_clocks(connection: Connection[Any], zone: str) -> None:
    """Rules ask Python for a day and answers PostgreSQL, each of its own time zone database."""
    months = [datetime(year, month, 15, tzinfo=UTC) for year in SURE for month in range(1, 13)]
    try:
        with connection.transaction():
            rows = connection.execute(
                "SELECT at AT TIME ZONE %s FROM unnest(%s::timestamptz[]) WITH ORDINALITY o(at, n)"
                " ORDER BY n",
                (zone, months),
            ).fetchall()
    except InvalidParameterValue:
        raise InstallError(f"this PostgreSQL knows no time zone {zone}") from None
    here = ZoneInfo(zone)
    if [at for (at,) in rows] != [month.astimezone(here).replace(tzinfo=None) for month in months]:
        raise InstallError(f"Python and this PostgreSQL disagree on the clocks of {zone}: {ALIKE}")
