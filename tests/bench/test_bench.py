"""The bench runs from end to end on tiny numbers and writes a table; nothing is timed here."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bench import catalogue, goals, lives, machine, population, report
from bench.__main__ import chosen_parts, main
from bench.ground import TABLES
from bench.options import REPOSITORY
from bench.words import FaultError
from ledger.database import connect, install
from ledger.importing import Importer
from tests.api.running import UNTRACED
from tests.ledger.facts import NOW
from tests.patience import PATIENCE_S
from tests.places import place

pytestmark = pytest.mark.slow

PARTS = "floors,http,pgbench,import"
TINY = ("--quick", "--members", "1000", "--seconds", "1", "--rounds", "1", "--minutes", "60")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "bench", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "default", **UNTRACED}


def test_parts_that_nobody_takes_are_measured_by_the_code_of_each_checkout() -> None:
    """This checkout stands for another as well."""
    small = ("--rounds", "1", "--count", "16", "--members", "2", "--beside", str(REPOSITORY))
    done = subprocess.run(
        [sys.executable, "-m", "bench.unused", *small],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = {tuple(line.split()[:2]) for line in done.stdout.splitlines() if "/s" in line}
    assert told == {
        (kind, case) for kind in ("visit", "debit") for case in ("without", "with", "before")
    }


@pytest.mark.slow
@pytest.mark.timeout(4 * PATIENCE_S)
def test_it_measures_and_writes_a_table(tmp_path: Path) -> None:
    """Without wrk what goes over HTTP is left out, and the reason said."""
    done = subprocess.run(
        command("--parts", PARTS, *TINY, "--out", tmp_path),
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "benchmarks.json").read_text("utf-8"))
    assert told["postgresql"]["fsync"] == told["postgresql"]["synchronous_commit"] == "on"
    found = {each["id"]: each for each in told["measurements"]}
    for name in ("pgbench.c32", "pgbench_once.c1", "import.ours", "import.insert_select"):
        assert found[f"{name}:rate"]["median"] > 0
    over_http = ["http.w1.c32", "http.w2.c32", "fastapi.c32", "starlette.c32"]
    if "http" in told["left_out"]:
        assert "wrk is not installed" in told["left_out"]["http"]
        assert not [each for each in found if each.startswith(tuple(over_http))]
    else:
        assert all(found[f"{name}:p999_ms"]["valid"] for name in over_http)
    judged = {each["id"]: each for each in told["goals"]}
    assert judged["import"]["value"] > 0
    assert judged["history"]["met"] is None
    assert (tmp_path / "benchmarks.md").read_text("utf-8").startswith("# Benchmarks")


@pytest.mark.timeout(2 * PATIENCE_S)
def test_clerks_are_measured_at_a_desk_that_is_served(tmp_path: Path) -> None:
    """Each with a session, alone and beside a rebuild."""
    small = ("--scale", "0.002", "--out", tmp_path)
    done = subprocess.run(
        command("--parts", "pages", *TINY, *small),
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "benchmarks.json").read_text("utf-8"))
    found = {each["id"]: each for each in told["measurements"]}
    for name in ("pages.desk", "pages.desk.rebuild", "pages.search", "pages.search.rebuild"):
        assert found[f"{name}:p99_ms"]["valid"]
    assert found["pages.desk:press_p99_ms"]["median"] < found["pages.desk:slowest_ms"]["median"]
    assert {each["id"]: each for each in told["goals"]}["desk"]["value"] > 0


def test_every_goal_is_of_something_that_the_report_can_write() -> None:
    assert {goal.metric for goal in goals.listed()} <= report.UNITS.keys()


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    asked = ("--parts", "stock", *TINY, "--rounds", "50", "--minutes", "3", "--out", tmp_path)
    with (
        place() as scratch,
        subprocess.Popen(
            command(*asked, "--scratch", scratch),
            cwd=REPOSITORY,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as running,
    ):
        try:
            assert running.stderr is not None
            begun = next((line for line in running.stderr if "round 1 of 50" in line), None)
            assert begun is not None
            running.send_signal(signal.SIGINT)
            rest = running.stderr.read()
            assert running.wait(PATIENCE_S) == 130, rest
        finally:
            running.kill()
        assert "Traceback" not in rest
        assert not list(scratch.iterdir())
        assert not list(tmp_path.iterdir())
        assert not processes_of(scratch)


def processes_of(scratch: Path) -> list[str]:
    """Whoever still works for a bench in this directory, where the machine tells."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = each.read_text("utf-8", "replace")
            if str(scratch) in words:
                found.append(words)
    return found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--parts", "tea"), "unknown parts: tea"),
        (("--members", "10"), "at least 1000"),
        (("--rounds", "0"), "invalid"),
        (("--scale", "2"), "invalid"),
    ],
)
def test_nonsense_is_refused(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_every_part_says_what_it_measures() -> None:
    for part in catalogue.PARTS.values():
        assert part.about.endswith(".")


def test_what_takes_long_waits_to_be_named() -> None:
    usual = {part.name for part in chosen_parts([])}
    assert catalogue.PARTS.keys() - usual == {"millions", "pages"}
    assert {part.name for part in chosen_parts(["millions", "past"])} == {"millions", "past"}


def test_goals_name_subjects_of_the_bench() -> None:
    """Every name that a goal compares stands in the sources."""
    sources = "".join(path.read_text("utf-8") for path in (REPOSITORY / "bench").rglob("*.py"))
    made = {"fastapi.c32": "fastapi.c{n}", "http.w1.c32": "http.w1.c{n}"}
    made |= {"pages.desk.rebuild": "pages.desk"}
    made |= {"http.w2.c32": "http.w2.c{n}", "pgbench.c32": "{name}.c{clients}"}
    for form in ("csv", "xlsx", "jsonl"):
        made |= {f"tables.{form}": "tables.{form}", f"export.{form}": "export.{name}"}
        made |= {
            f"contributions.{form}.{n}": "contributions.{name}.{size}" for n in ("few", "many")
        }
    for goal in goals.listed():
        for name in filter(None, (goal.above, goal.below)):
            assert f'"{made.get(name, name)}"' in sources, name


def test_a_server_that_forgets_is_refused(database: str) -> None:
    """The server of the tests runs without fsync."""
    with psycopg.connect(database) as connection, pytest.raises(machine.NotDurableError):
        machine.promised(connection)


# ------------------------------------------------------------------------------------ histories
def members(dsn: str, number: int) -> None:
    for done in Importer(dsn, now=NOW).load_all(population.files(NOW, number, campaigns=2)):
        assert done.kept


def test_a_history_written_by_sql_is_what_the_rules_would_have_written(database: str) -> None:
    install(database)
    members(database, 3)
    begun = population.member(lives.NOBODY, NOW)
    life = lives.lived(NOW, begun + lives.visits(NOW, 4))
    with connect(database) as connection:
        indexes = names_of_indexes(connection)
        with lives.without_indexes(connection, "stored_events", "command_log"):
            assert names_of_indexes(connection) < indexes
            lives.write(connection, life, "m", 3, NOW, after=len(begun))
            lives.write(connection, life, "x", 2, NOW)
        assert names_of_indexes(connection) == indexes
        for prefix, number in (("m", 3), ("m", 1), ("x", 2)):
            lives.check(connection, f"member:{population.member_id(prefix, number)}")
        gaps = connection.execute(
            "SELECT count(*) = max(notification_id) AND count(DISTINCT notification_id) = count(*)"
            " AND max(notification_id) = (SELECT position FROM log_end) FROM stored_events"
        ).fetchone()
        assert gaps == (True,)
        keys = connection.execute("SELECT count(*) FROM command_log WHERE key LIKE '%h2-%'")
        assert keys.fetchone() == (4 + len(life.commands),)


def names_of_indexes(connection: psycopg.Connection[Any]) -> set[str]:
    rows = connection.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'ledger'")
    return {row[0] for row in rows.fetchall()}


def test_a_head_that_is_not_the_fold_is_noticed(database: str) -> None:
    install(database)
    members(database, 1)
    stream = f"member:{population.member_id('m', 1)}"
    with connect(database) as connection:
        lives.check(connection, stream)
        connection.execute(
            "UPDATE stored_events SET topic = 'tier.changed', state ="
            " replace(convert_from(state, 'UTF8'), 'gold', 'silver')::bytea"
            " WHERE originator_id = %s AND topic = 'tier.changed'",
            (stream,),
        )
        with pytest.raises(FaultError, match="not the fold"):
            lives.check(connection, stream)


def test_the_tables_of_the_ledger_are_those_that_the_bench_knows(database: str) -> None:
    install(database)
    with connect(database) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger'")
        assert set(TABLES) <= {row[0] for row in rows.fetchall()}
