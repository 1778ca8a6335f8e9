"""The views by SQL: as the how-to says, for whoever asks, and nothing else."""

import subprocess
from pathlib import Path

import psycopg
import pytest

from tests.api.running import COMMAND, REPOSITORY, SCALE, clubledger, environment
from tests.api.test_audit import examples, follow
from tests.patience import PATIENCE_S

PAGE = REPOSITORY / "docs" / "how-to" / "analyse.md"
WRITES = "COMMIT; SET default_transaction_read_only = off; COMMIT;"
"""How a block leaves the transaction that may not write."""


def test_the_analysis_goes_as_documented(demo_dir: Path, tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    assert f"clubledger demo --scale {SCALE} --no-figures\n" in text
    assert len(list(examples(text))) >= 6
    follow(text, demo_dir, tmp_path)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("SELECT 1; SELECT 2", 3),
        ("COMMIT; DROP SCHEMA analysis", 3),
        ("RESET ROLE", 0),
        ("SET default_transaction_read_only = off", 0),
        ("SELECT * FROM ledger.persons", 3),
        ("CREATE TABLE analysis.mine (n int)", 3),
        ("SET ROLE NONE", 0),
        ("DO $$ BEGIN SET ROLE NONE; COMMIT; PERFORM 1 FROM ledger.persons; END $$", 3),
        ("DO $$ BEGIN SET ROLE clubledger; END $$", 3),
        (f"DO $$ BEGIN {WRITES} CREATE TABLE public.mine (n int); END $$", 3),
        (f"DO $$ BEGIN {WRITES} CREATE TEMPORARY TABLE mine (n int); END $$", 3),
        (f"DO $$ BEGIN {WRITES} PERFORM lo_from_bytea(0, 'x'); END $$", 3),
        ("SELECT pg_advisory_lock(1)", 3),
        ("SELECT pg_try_advisory_lock_shared(1, 1)", 3),
        ("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000))", 3),
        ("nonsense", 3),
        ("", 0),
    ],
)
def test_a_query_is_one_and_reads_the_views_alone(demo_dir: Path, query: str, code: int) -> None:
    ended = clubledger("sql", "-c", query, data_dir=demo_dir)
    assert (ended.code, ended.out) == (code, ""), ended.err
    assert clubledger("sql", "-c", "SELECT 1 AS n", data_dir=demo_dir).out == "n\n1\n"


def test_a_question_is_bounded_in_time_and_room(demo_dir: Path) -> None:
    query = "SELECT current_setting('statement_timeout'), current_setting('temp_file_limit')"
    assert clubledger("sql", "-c", query, data_dir=demo_dir).out.splitlines()[1] == "10min,10GB"
    guests = "SELECT count(*) AS n FROM pg_roles WHERE rolname LIKE 'clubledger_analyst_%'"
    assert clubledger("sql", "-c", guests, data_dir=demo_dir).out == "n\n1\n"  # who asks now


def test_texts_are_no_formulas(demo_dir: Path) -> None:
    query = "SELECT '=1+1' AS a, '健康' AS b, NULL AS c, now() AS d"
    first, second = clubledger("sql", "-c", query, data_dir=demo_dir).out.splitlines()
    assert first == "a,b,c,d"
    assert second.startswith("'=1+1,健康,,2")
    assert second.endswith("+08:00")


def test_another_program_connects_with_what_is_told(demo_dir: Path) -> None:
    first, second = (
        clubledger("sql", "--connect", "--json", data_dir=demo_dir).json["connect"]
        for _ in range(2)
    )
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(first)
    with psycopg.connect(second) as conn:
        (members,) = conn.execute("SELECT count(*) FROM members").fetchone() or (0,)
        assert members > 0
        with pytest.raises(psycopg.Error):
            conn.execute("SELECT * FROM ledger.persons")


def test_a_session_is_one_of_psql(demo_dir: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "sql", "--data-dir", str(demo_dir)],
        input="\\pset format unaligned\n\\t on\nSELECT current_user, count(*) > 0 FROM members;\n"
        "SELECT count(*) FROM ledger.persons;\nDELETE FROM units;\n",
        capture_output=True, text=True, env=environment(), timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert "clubledger_analyst|t" in done.stdout, done.stderr
    assert "permission denied for schema ledger" in done.stderr
    assert done.stderr.count("ERROR") == 2


def test_what_does_not_go_together_is_said(demo_dir: Path) -> None:
    for words in (("--connect", "-c", "SELECT 1"), ("--json",)):
        assert clubledger("sql", *words, data_dir=demo_dir).code == 2
