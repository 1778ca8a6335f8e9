"""What is wrong with an installation is named, and how to mend it: each made wrong once."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pydantic import SecretStr

from api.cli import doctor
from api.cli.doctor import Finding, examined
from api.runtime import readiness
from api.runtime.settings import Settings
from ledger.database import connect, migrations
from projections.engine import runner
from tests.api import provider
from tests.api.running import COMMAND, Server, clubledger, environment
from tests.patience import PATIENCE_S, eventually
from tests.projections.histories import lay_rows
from tests.projections.workings import a_newer_version_comes


def at(dsn: str | None = None, **said: Any) -> Settings:
    """Settings on a free port."""
    return Settings(**{"database_url": dsn, "port": 0, **said})


def found(settings: Settings) -> dict[str, Finding]:
    """What is found, by its code."""
    return {each.code: each for each in examined(settings)}


def test_nothing_is_wrong_with_a_ledger_that_is_served(
    demo_dir: Path, server: Server, data_dir: Path
) -> None:
    port = server.address.rpartition(":")[2]
    asked = clubledger("doctor", "--json", data_dir=demo_dir, CLUBLEDGER_PORT=port)
    assert (asked.code, asked.json) == (0, {"well": True, "findings": []})
    (told,) = doctor._port(Settings(data_dir=data_dir, port=int(port)))
    assert "serves another ledger" in told.detail


def test_a_setting_that_is_none_is_unsafe_or_no_utf_8_locale(data_dir: Path) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", 'ulimit -n 300; exec "$@"', "-", *COMMAND, "doctor"],
        env=environment(
            CLUBLEDGER_DATA_DIR=str(data_dir),
            CLUBLEDGER_PROT="8000",
            CLUBLEDGER_PORT="0",
            CLUBLEDGER_HOST="0.0.0.0",
            CLUBLEDGER_TRACEBACK="1",
            LC_ALL="C",
            PYTHONUTF8="0",
            PYTHONCOERCECLOCALE="0",
        ),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert re.findall(r"^WRONG (\w+)", done.stdout, re.M) == [
        "unknown_setting", "open_to_others", "unsafe_setting", "locale", "open_files", "no_ledger"
    ]  # fmt: skip
    assert "CLUBLEDGER_PORT may be meant." in done.stdout
    assert not [*data_dir.iterdir()], "it leaves nothing behind"


def test_a_port_that_another_program_has() -> None:
    with socket.create_server(("127.0.0.1", 0)) as line:
        (told,) = doctor._port(at(port=line.getsockname()[1]))
        assert (told.code, told.wrong) == ("port", True)
    (told,) = doctor._port(at(host="203.0.113.1"))
    assert told.code == "port"


def test_addresses_of_databases() -> None:
    assert found(at("postgresql://127.0.0.1:1/x")).keys() == {"database_away"}
    (told,) = doctor._settings(at("postgres=//password"))
    assert told.code == "bad_setting"
    assert "password" not in told.detail
    (told,) = doctor._settings(at("postgresql://db.invalid/x"))
    assert (told.code, told.wrong) == ("unsafe_setting", False)
    assert not [*doctor._settings(at("postgresql://db.invalid/x?sslmode=verify-full"))]


def test_an_identity_provider_that_is_half_said_not_safe_or_away() -> None:
    said: dict[str, Any] = {"database_url": "postgresql://localhost/none", "port": 0}
    half: dict[str, Any] = {"oidc_issuer": "http://127.0.0.1:9"}
    whole: dict[str, Any] = {**half, "oidc_client_id": "c", "public_address": "https://here"}
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"oidc_client_id": "c"}, "bad_setting"),
        (half, "bad_setting"),
        ({**whole, "oidc_issuer": "http://id.example"}, "bad_setting"),
        ({**whole, "oidc_client_secret_file": Path("/nowhere/secret")}, "bad_setting"),
        (whole, "provider_away"),  # nothing listens there
    ]
    for more, code in wrong:
        findings = [*doctor._provider(Settings(**{**said, **more}))]
        assert [each.code for each in findings] == [code], more
    with provider.running() as known:
        settings = Settings(**{**said, **whole, "oidc_issuer": known.address})
        assert [*doctor._provider(settings)] == []


def test_a_password_from_a_file(installed: Callable[[int], str], tmp_path: Path) -> None:
    """As docker-compose.yml has it: the address holds none."""
    known = conninfo_to_dict(installed(1))
    password, path = str(known.pop("password")), tmp_path / "database_password"
    dsn = make_conninfo("", **known)
    assert "bad_setting" in found(at(dsn, database_password_file=path))
    path.write_text(f"{password}x\n")
    assert "lets us not in" in found(at(dsn, database_password_file=path))["database_away"].detail
    path.write_text(f"{password}\n")
    path.chmod(0o644)  # as a secret is mounted
    said = {"CLUBLEDGER_DATABASE_URL": dsn, "CLUBLEDGER_DATABASE_PASSWORD_FILE": str(path)}
    told = clubledger("status", "--json", **said)  # type: ignore[arg-type]
    assert told.json["events"] == 0, told.err


def test_an_embedded_server_that_is_not_there_and_files_that_others_may_read(
    own_ledger: Path,
) -> None:
    settings = at(data_dir=own_ledger)
    assert found(settings).keys() == {"no_ledger"}
    (own_ledger / "password").chmod(0o644)
    assert "chmod go=" in found(settings)["rights"].mend
    (own_ledger / "password").chmod(0o600)
    full = at(data_dir=own_ledger, ready_free_mb=2**40)
    assert found(full)["disk_nearly_full"].wrong
    pgdata = own_ledger / "pgdata"
    main = int((pgdata / "postmaster.pid").read_text().split()[0])
    dsn = doctor._reached(settings)
    assert isinstance(dsn, str)
    with connect(dsn):  # A stop waits for its sessions to end.
        os.kill(main, signal.SIGTERM)
        assert eventually(lambda: "recovering" in found(settings))
    assert eventually(lambda: "not_running" in found(settings))
    assert not found(settings)["not_running"].wrong
    (pgdata / "PG_VERSION").write_text("9\n")
    assert "made by PostgreSQL 9" in found(settings)["directory"].detail


def test_what_is_wrong_with_a_database(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    usual = {"unsafe_setting"} if "unsafe_setting" in found(at(dsn)) else set()  # no fsync in tests
    assert found(at(make_conninfo(dsn, dbname="postgres"))).keys() == usual | {"no_ledger"}
    with connect(dsn) as conn:
        runner.prepare(conn)
        assert found(at(dsn)).keys() == usual | {"no_follower"}
        assert not found(at(dsn))["no_follower"].wrong
        conn.execute("SET synchronous_commit = off")
        off = [told for told in doctor._of_database(conn, at(dsn)) if "synchronous" in told.detail]
        assert [told.code for told in off] == ["unsafe_setting"]
        assert "needs" in found(at(dsn, workers=64))["connections"].detail

        lay_rows(conn, [(0, "unit:a", "unit.opened", b"{}", 1)])
        assert "answers_behind" in found(at(dsn, ready_lag_events=0))
        with pytest.raises(runner.PoisonedEvent):
            runner.project(dsn)
        assert "position 1" in found(at(dsn))["answers_stand_still"].detail

        conn.execute("INSERT INTO person_keys VALUES (0, 'm1', 'aaaaaaaaaaaa', '')")
        assert "The keys of 1 person need aaaaaaaaaaaa" in found(at(dsn))["key_not_here"].detail
        conn.execute("UPDATE ledger_meta SET value = 'bbbbbbbbbbbb' WHERE name = 'kek'")
        told = [each.detail for each in examined(at(dsn)) if each.code == "key_not_here"]
        assert ["bbbbbbbbbbbb" in each for each in told] == [True, False]
        assert found(at(dsn, keys=SecretStr("0a0a")))["bad_keys"].wrong

        conn.execute("UPDATE log_end SET recorded_at = now() + interval '1 hour'")
        assert "--stand-still" in found(at(dsn))["log_ahead"].mend

        conn.execute("UPDATE answers.checkpoint SET version = 'x' WHERE projection = 'points'")
        assert not found(at(dsn))["other_version"].wrong, "the next start mends it"
        a_newer_version_comes(conn)
        assert "clubledger rebuild" in found(at(dsn))["other_version"].mend

        conn.execute("INSERT INTO migrations VALUES ('0999_later.sql', '')")
        assert "0999_later.sql" in found(at(dsn))["other_version"].detail
        conn.execute("DELETE FROM migrations WHERE name >= '0006'")
        assert not found(at(dsn))["other_version"].wrong, "the next start mends it"
        later = [name for name, _ in migrations() if name >= "0006"]
        conn.execute(
            "INSERT INTO migrations SELECT n, 'another' FROM unnest(%s::text[]) n", (later,)
        )
        assert found(at(dsn))["old_layout"].wrong


def test_text_that_is_no_utf_8_and_clocks_that_are_ahead(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(1)
    with connect(dsn) as conn:
        conn.execute(
            "CREATE OR REPLACE FUNCTION ledger_clock() RETURNS timestamptz LANGUAGE sql STABLE"
            " AS $$ SELECT clock_timestamp() - interval '1 hour' $$"
        )
        assert "3,600 s ahead" in found(at(dsn))["clock_ahead"].detail
        conn.execute("DROP DATABASE IF EXISTS odd")
        conn.execute("CREATE DATABASE odd ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0")
        try:
            assert "SQL_ASCII" in found(at(make_conninfo(dsn, dbname="odd")))["locale"].detail
        finally:
            conn.execute("DROP DATABASE odd")


def test_every_reason_has_its_mend() -> None:
    """`other_version` is looked at more closely, and no write is tried."""
    assert {*doctor.MENDS} == {*readiness.REASONS} - {"other_version", "writes_fail"}
