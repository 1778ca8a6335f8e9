"""What the user's environment says to libpq does not reach our connections."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import pq, sql

from ledger.database import connect, install
from ledger.embedded import EmbeddedServer
from tests.api.running import clubledger, serving, stopped

HOSTILE: dict[str, Any] = {
    "PGAPPNAME": "x" * 300,
    "PGCHANNELBINDING": "require",
    "PGCLIENTENCODING": "SQL_ASCII",
    "PGCONNECT_TIMEOUT": "soon",
    "PGDATABASE": "nothing",
    "PGDATESTYLE": "SQL, DMY",
    "PGGEQO": "perhaps",
    "PGGSSDELEGATION": "1",
    "PGGSSENCMODE": "require",
    "PGGSSLIB": "sspi",
    "PGHOST": "nowhere.invalid",
    "PGHOSTADDR": "192.0.2.1",
    "PGKRBSRVNAME": "nobody",
    "PGLOADBALANCEHOSTS": "perhaps",
    "PGLOCALEDIR": "/nowhere",
    "PGMAXPROTOCOLVERSION": "2.9",
    "PGMINPROTOCOLVERSION": "9.9",
    "PGOPTIONS": "-c default_transaction_read_only=on -c statement_timeout=1",
    "PGPASSFILE": "/nowhere/passwords",
    "PGPASSWORD": "wrong",
    "PGPORT": "1",
    "PGREQUIREAUTH": "gss",
    "PGREQUIREPEER": "nobody.at.all",
    "PGREQUIRESSL": "1",
    "PGSERVICE": "nowhere",
    "PGSERVICEFILE": "/nowhere/services",
    "PGSSLCERT": "/nowhere/cert",
    "PGSSLCERTMODE": "require",
    "PGSSLCOMPRESSION": "1",
    "PGSSLCRL": "/nowhere/crl",
    "PGSSLCRLDIR": "/nowhere/crls",
    "PGSSLKEY": "/nowhere/key",
    "PGSSLMAXPROTOCOLVERSION": "TLSv0",
    "PGSSLMINPROTOCOLVERSION": "TLSv9",
    "PGSSLMODE": "verify-full",
    "PGSSLNEGOTIATION": "direct",
    "PGSSLROOTCERT": "/nowhere/root",
    "PGSSLSNI": "0",
    "PGSYSCONFDIR": "/nowhere",
    "PGTARGETSESSIONATTRS": "standby",
    "PGTZ": "Nowhere/There",
    "PGUSER": "nobody",
}
SESSION: dict[str, Any] = {
    "PGCLIENTENCODING": "LATIN1",
    "PGDATESTYLE": "SQL, DMY",
    "PGGEQO": "perhaps",
    "PGOPTIONS": "-c IntervalStyle=sql_standard",
    "PGTZ": "America/New_York",
}
DEFAULTS = {
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "DateStyle": "German, DMY",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "extra_float_digits": "-5",
    "IntervalStyle": "sql_standard",
    "lock_timeout": "1",
    "quote_all_identifiers": "on",
    "search_path": "nowhere",
    "standard_conforming_strings": "off",
    "statement_timeout": "1",
    "TimeZone": "America/New_York",
    "transform_null_equals": "on",
}
"""What a database may have for its sessions' defaults."""


def test_every_variable_that_libpq_knows_is_tried() -> None:
    known = {option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar}
    assert known <= HOSTILE.keys()


@pytest.mark.parametrize("command", [("status",), ("figures",), ("events",)])
def test_a_command_hears_nothing_of_it(demo_dir: Path, command: tuple[str, ...]) -> None:
    plain = clubledger(*command, "--json", data_dir=demo_dir)
    ended = clubledger(*command, "--json", data_dir=demo_dir, **HOSTILE)
    assert (ended.code, ended.err) == (plain.code, plain.err)


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_command_hears_nothing_of_each(demo_dir: Path, name: str) -> None:
    one = {name: HOSTILE[name]}
    ended = clubledger("status", "--json", data_dir=demo_dir, **one)
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.slow
def test_a_ledger_is_made_filled_and_served_whatever_it_says(data_dir: Path) -> None:
    fact = (
        '{"command": "member.join", "key": "j-1", "at": "2008-01-05T09:00:00+08:00",'
        ' "member_id": "m1", "tier": "gold"}\n'
    )
    made = clubledger("import", "-", data_dir=data_dir, stdin=fact.encode(), **HOSTILE)
    assert made.code in (0, 3), made.err  # whatever the rules say of the line
    server = serving(data_dir, "--workers", "2", environ=HOSTILE, cold=True)
    ended = stopped(server)
    assert (ended.code, ended.err) == (0, "")


def test_what_sessions_mean_is_ours_on_a_database_of_the_users_own(demo_dir: Path) -> None:
    with EmbeddedServer(demo_dir) as server:
        url: dict[str, Any] = {"CLUBLEDGER_DATABASE_URL": server.dsn}
        url["CLUBLEDGER_KEYS_FILE"] = str(demo_dir / "keys")
        for command in (("figures", "--json"), ("events", "--json")):
            plain = clubledger(*command, **url)
            ended = clubledger(*command, **url, **SESSION)
            told, wanted = ended.json, plain.json
            told.pop("clock", None), wanted.pop("clock", None)
            assert (ended.code, ended.err, told) == (plain.code, plain.err, wanted)


def test_how_it_is_reached_is_the_users_to_say(demo_dir: Path) -> None:
    with EmbeddedServer(demo_dir) as server:
        known = psycopg.conninfo.conninfo_to_dict(server.dsn)
        said: dict[str, Any] = {
            "CLUBLEDGER_DATABASE_URL": f"dbname={known['dbname']}",
            "CLUBLEDGER_KEYS_FILE": str(demo_dir / "keys"),
            "PGHOST": str(known["host"]),
            "PGPORT": str(known["port"]),
            "PGUSER": str(known["user"]),
            "PGPASSWORD": str(known["password"]),
        }
        ended = clubledger("status", "--json", **said)
        assert (ended.code, ended.err) == (0, "")


def test_defaults_of_the_database_change_nothing(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        (name,) = conn.execute("SELECT current_database()").fetchone() or ("",)
        for setting, value in DEFAULTS.items():
            conn.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(name), sql.Identifier(setting), sql.Literal(value)
                )
            )
    try:
        install(database)
        with connect(database) as conn:
            for setting, value in DEFAULTS.items():
                (now,) = conn.execute(f"SHOW {setting}").fetchone() or ("",)
                assert now != value, setting
    finally:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute("SET default_transaction_read_only = off")
            conn.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))
