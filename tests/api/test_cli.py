"""The command line as its users run it: processes, exit codes, JSON, one sentence of error."""

import json
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer

from api.cli.commands import app
from api.runtime.failures import EXIT_CODES
from api.runtime.settings import Settings
from ledger.database import connect
from ledger.embedded import EmbeddedServer
from tests.api import facts
from tests.api.running import COMMAND, clubledger, environment

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
COMMANDS = (
    ("figures",),
    ("project",),
    ("rebuild",),
    ("member", "m1"),
    ("events",),
    ("status",),
)


# ------------------------------------------------------------------------------- documentation
def test_the_documentation_has_the_exit_codes_and_settings() -> None:
    text = DOCS.read_text("utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE))
    assert rows == {str(code): meaning for code, meaning in EXIT_CODES.items()}
    settings = re.findall(r"^\| `CLUBLEDGER_([A-Z_]+)` \|.*\| (.+) \|$", text, re.MULTILINE)
    known = {name.upper(): field.description for name, field in Settings.model_fields.items()}
    assert dict(settings) == known


def test_the_documentation_has_every_command() -> None:
    told = set(re.findall(r"^\| `([a-z-]+)", DOCS.read_text("utf-8"), re.MULTILINE))
    line: Any = typer.main.get_command(app)
    assert {*line.commands} - told == set()


# -------------------------------------------------------------------------------- which ledger
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_question_makes_no_ledger(data_dir: Path, command: tuple[str, ...]) -> None:
    ended = clubledger(*command, "--json", data_dir=data_dir / "mistyped", cold=True)
    assert (ended.code, ended.problem["code"]) == (4, "cannot_open")
    assert not list(data_dir.iterdir())


ANOTHER_FORM = (
    "UPDATE ledger.migrations SET sha256 = repeat('0', 64) WHERE name LIKE '0001%'",
    "UPDATE ledger.ledger_meta SET value = '1' WHERE name = 'log_format'",
    "DELETE FROM ledger.ledger_meta WHERE name = 'log_format'",
)
"""How the database of a version before tells itself: by its schema, or by a number or none of its
own where the schema is the same."""


@pytest.mark.parametrize("made", ANOTHER_FORM)
def test_a_log_of_another_form_is_not_read_and_the_way_is_named(
    data_dir: Path, made: str, tmp_path: Path
) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_bytes(facts.lines([facts.fact("unit.open", unit_id="u", title="u")]))
    with EmbeddedServer(data_dir) as server:
        assert clubledger("import", file, data_dir=data_dir).code == 0
        with connect(server.dsn) as connection:
            connection.execute(made.encode())
        for words in (
            *COMMANDS,
            ("import", file),
            ("serve", "--port", "0"),
            ("compare",),
            ("demo",),
        ):
            ended = clubledger(*words, data_dir=data_dir)
            assert (ended.code, len(ended.err.splitlines())) == (4, 1), words
            assert "not read any more" in ended.err
            assert "import the files anew" in ended.err
        with connect(server.dsn) as connection:
            assert connection.execute("SELECT count(*) FROM stored_events").fetchone() == (1,)


def test_the_version_is_told() -> None:
    ended = clubledger("--version")
    assert (ended.code, ended.out) == (0, f"clubledger {version('clubledger')}\n")


def test_the_environment_names_the_directory(demo_dir: Path) -> None:
    ended = clubledger("status", "--json", CLUBLEDGER_DATA_DIR=str(demo_dir))
    assert ended.json["database"] == str(demo_dir)


@pytest.mark.parametrize("command", COMMANDS[::3], ids=lambda command: command[0])
def test_a_database_that_is_away_is_one_sentence(command: tuple[str, ...]) -> None:
    url = "postgresql://user:secret@127.0.0.1:1/none"
    ended = clubledger(*command, CLUBLEDGER_DATABASE_URL=url)
    assert ended.code == 4
    assert len(ended.err.splitlines()) == 1
    assert "secret" not in ended.err


def test_an_address_that_is_none_does_not_tell_its_password() -> None:
    ended = clubledger("status", CLUBLEDGER_DATABASE_URL="postgresql://u:secret@[broken")
    assert ended.code == 4
    assert "secret" not in ended.err


def test_a_setting_out_of_range_is_wrong_use() -> None:
    ended = clubledger("status", "--json", CLUBLEDGER_PORT="70000")
    assert ended.code == 2
    assert "CLUBLEDGER_PORT" in ended.problem["detail"]


# ------------------------------------------------------------------------------------ wrong use
@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("figures", "--nothing"),
        ("events", "--limit", "0"),
        ("serve", "--port", "70000"),
        ("member",),
    ],
)
def test_wrong_use_is_one_sentence(arguments: tuple[str, ...]) -> None:
    ended = clubledger(*arguments, cold=True)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    told = clubledger(*arguments, "--json", cold=True).problem
    assert (told["code"], told["exit_code"]) == ("wrong_use", 2)


@pytest.mark.parametrize("command", ["demo", "serve", "import", *(c[0] for c in COMMANDS)])
def test_every_command_explains_itself(command: str) -> None:
    ended = clubledger(command, "--help")
    assert ended.code == 0
    assert "--data-dir" in ended.out
    assert "--json" in ended.out


def test_json_errors_are_one_object(demo_dir: Path) -> None:
    ended = clubledger("figures", "--report", "nothing", "--json", data_dir=demo_dir)
    assert json.loads(ended.err)["exit_code"] == ended.code == 3


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["status"], ["events", "--limit", "2000"], ["--help"]])
def test_an_answer_that_finds_no_room_says_so(
    demo_dir: Path, words: list[str], unbuffered: str
) -> None:
    where = environment(CLUBLEDGER_DATA_DIR=str(demo_dir), PYTHONUNBUFFERED=unbuffered)
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*COMMAND, *words], stdout=full, stderr=subprocess.PIPE, env=where, check=False
        )
    assert ended.stderr.decode().endswith(
        "clubledger: The answer cannot be written: No space left on device.\n"
    )
    assert ended.returncode == 4


@pytest.mark.parametrize("words", [["figures", "--report", "none"], ["nothing"]])
def test_a_complaint_that_finds_no_room_leaves_the_exit_code(
    demo_dir: Path, words: list[str]
) -> None:
    where = environment(CLUBLEDGER_DATA_DIR=str(demo_dir))
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run([*COMMAND, *words], stdout=full, stderr=full, env=where, check=False)
    assert ended.returncode == (3 if words[0] == "figures" else 2)


@pytest.mark.parametrize(("shut", "code"), [("status >&-", 4), ("status 2>&-", 0), ("x 2>&-", 2)])
def test_a_stream_that_is_closed_is_no_defect(demo_dir: Path, shut: str, code: int) -> None:
    """An answer that cannot be written is no success; what is said beside it may be lost."""
    where = environment(CLUBLEDGER_DATA_DIR=str(demo_dir))
    script = f'exec "$@" {shut}'
    ended = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *COMMAND], capture_output=True, env=where, check=False
    )
    assert ended.returncode == code
    assert (b"cannot be written" in ended.stderr) == (code == 4)


@pytest.mark.parametrize("words", [["compare"], ["figures", "--known-at", "2008-06-30"]])
def test_with_json_no_progress_is_shown(demo_dir: Path, words: list[str]) -> None:
    ended = clubledger(*words, "--json", data_dir=demo_dir)
    assert (ended.code, ended.err) == (0, "")
