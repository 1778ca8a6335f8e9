"""Every command under streams, arguments and signals that are not as they should be: it ends with a
sentence and a code of the table, never with a defect or a traceback, and --json says JSON alone."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import psycopg
import pytest
import typer

from api.cli.commands import app
from api.runtime.failures import EXIT_CODES
from ledger.embedded import EmbeddedServer
from tests.api.conftest import loaded_demo
from tests.api.running import COMMAND, REPOSITORY, Ended, clubledger, environment, started
from tests.api.warm import GONE
from tests.patience import PATIENCE_S, eventually

LINE: Any = typer.main.get_command(app)
WORDS: dict[str, tuple[str, ...]] = {
    "demo": ("--scale", "0.002"),
    "changes": ("--from", "2008-06-30"),
    "what-if": ("{scenario}",),
    "command": ("{key}",),
    "import": ("{facts}",),
    "member": ("{member}",),
    "compare": ("--sample", "1"),
    "ask": ("clubs",),
    "measure": ("members.vips",),
    "keys": ("show",),
    "report": ("check", "{report}"),
    "list": ("members",),
    "jobs": ("list",),
    "sql": ("-c", "SELECT 1 AS n"),
    "do": ("unit.open", "unit_id=u9", "title=城北", "--key", "u9"),
}
"""What a command needs to be told; the others need nothing."""
ENDLESS = {"serve"}
"""What ends only when it is told to."""
APART = {"archive", "backup", "restore"}
"""What makes something beside the ledger each time: tests/api/test_backup.py."""
DEAR = {"changes", "compare", "rebuild", "what-if"}
"""What takes a second of the processor each time: with half of the streams that others meet."""
COMMANDS = [
    pytest.param(name, marks=pytest.mark.slow) if name in DEAR else name
    for name in sorted(LINE.commands.keys() - ENDLESS - APART)
]
FULL, CLOSED = "/dev/full", None
NO_UTF_8 = os.fsdecode(b"/tmp/\xff")


@pytest.fixture(scope="module")
def demo_dir() -> Iterator[Path]:
    """A demo of these tests' own, since they write to it."""
    with loaded_demo() as (path, _):
        yield path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, demo_dir: Path) -> dict[str, str]:
    """What stands for the words in braces."""
    place = tmp_path_factory.mktemp("files")
    change = {"change": "service_price", "club_id": "lounge", "factor": "1/2"}
    (place / "scenario").write_text(json.dumps({"changes": [change]}))
    (place / "facts").write_text("")
    events = clubledger("events", "--limit", "1000", "--json", data_dir=demo_dir).json["events"]
    member = next(e["stream"] for e in events if e["stream"].startswith("member:"))
    named = {name: str(place / name) for name in ("scenario", "facts")}
    key = events[0]["key"]
    named["report"] = str(REPOSITORY / "demo" / "report.toml")
    return {**named, "member": member.removeprefix("member:"), "key": key}


def words_of(name: str, files: dict[str, str]) -> list[str]:
    return [name, *(word.format_map(files) for word in WORDS.get(name, ()))]


def no_defect(ended: Ended) -> None:
    assert ended.code in EXIT_CODES.keys() - {5}, ended
    told = ended.out + ended.err
    assert not [word for word in ("Traceback", "defect", "Exception ignored") if word in told], told


def json_alone(ended: Ended) -> None:
    """One JSON value on stdout at most, and a JSON object on each line of stderr."""
    assert not ended.out or json.loads(ended.out)
    for line in ended.err.splitlines():
        assert isinstance(json.loads(line), dict)


# --------------------------------------------------------------------------------------- streams
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_ends_in_order_whatever_its_streams(
    name: str, files: dict[str, str], demo_dir: Path
) -> None:
    words = words_of(name, files)
    cases: list[tuple[dict[int, str | None], list[str], bool]] = [
        ({1: CLOSED}, [], True),
        ({1: FULL}, [], True),
        ({1: FULL}, ["--json"], True),
        ({1: CLOSED, 2: CLOSED}, [], True),
        ({1: FULL, 2: FULL}, ["--json"], True),
        ({1: GONE}, [], False),
        ({0: CLOSED, 2: CLOSED}, [], False),
        ({2: FULL}, ["--json"], False),
        ({2: GONE}, [], False),
        ({}, ["--json"], False),
    ]
    for instead, more, unwritten in cases[1::2] if name in DEAR else cases:
        ended = clubledger(*words, *more, data_dir=demo_dir, instead=instead)
        no_defect(ended)
        assert (ended.code == 4) if unwritten else (ended.code in (0, 1)), (instead, ended)
        if unwritten and 2 not in instead:
            assert "cannot be written" in ended.err
        if more:
            json_alone(ended)


@pytest.mark.parametrize("words", [[], ["--help"], *([name, "--help"] for name in LINE.commands)])
def test_help_that_does_not_get_out_is_no_defect(words: list[str]) -> None:
    for where in (FULL, CLOSED, GONE):
        no_defect(clubledger(*words, instead={1: where}))


@pytest.mark.parametrize("where", [CLOSED, FULL, GONE])
def test_a_stream_that_python_finds_so_is_no_other(where: str | None, demo_dir: Path) -> None:
    """The same from a cold start, by a shell."""
    how = {CLOSED: '"$@" >&-', FULL: '"$@" >/dev/full', GONE: 'set -o pipefail; "$@" | true'}
    words = [*COMMAND, "events", "--data-dir", str(demo_dir)]
    done = subprocess.run(
        ["/bin/bash", "-c", how[where], "-", *words], capture_output=True, env=environment(),
        timeout=PATIENCE_S, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert done.returncode == (0 if where == GONE else 4)
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [">&-", ">/dev/full", "> >(true)"])
def test_a_server_that_cannot_say_where_serves_nevertheless(how: str, demo_dir: Path) -> None:
    words = [*COMMAND, "serve", "--port", "0", "--json", "--data-dir", str(demo_dir)]
    with subprocess.Popen(
        ["/bin/bash", "-c", f'exec "$@" {how}', "-", *words], stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, env=environment(), start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert select.select([process.stderr], [], [], PATIENCE_S)[0]
        note = json.loads(process.stderr.readline())["note"]
        address = next(word.rstrip(",") for word in note.split() if word.startswith("http"))
        assert httpx.get(f"{address}/livez", timeout=PATIENCE_S).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert (process.wait(PATIENCE_S), process.stderr.read()) == (0, b"")


# ------------------------------------------------------------------------ arguments, environment
@pytest.mark.parametrize("name", sorted(LINE.commands))
def test_what_is_no_utf_8_is_refused(name: str) -> None:
    told: list[tuple[list[str], dict[str, str]]] = [
        ([name, "--data-dir", NO_UTF_8], {}),
        ([name, "--nothing", NO_UTF_8], {}),
        ([name], {"CLUBLEDGER_DATABASE_URL": f"postgresql://{NO_UTF_8}"}),
        ([name], {"CLUBLEDGER_DATA_DIR": NO_UTF_8}),
        ([name], {"CLUBLEDGER_PORT": NO_UTF_8}),
    ]
    for words, environ in told:
        ended = clubledger(*words, "--json", **environ)  # type: ignore[arg-type]
        assert (ended.code, ended.out) == (2, "")
        assert ended.problem["code"] == "wrong_use"
        assert "not UTF-8" in ended.problem["detail"]
        json_alone(ended)


@pytest.mark.parametrize("name", ["HOME", "XDG_DATA_HOME", "TMPDIR", "TZ", "LANG", "PGPASSWORD"])
def test_an_environment_of_others_that_is_no_utf_8_is_no_defect(name: str, demo_dir: Path) -> None:
    environ: dict[str, Any] = {name: NO_UTF_8}
    no_defect(clubledger("status", "--json", data_dir=demo_dir, **environ))
    no_defect(clubledger("status", "--json", **environ))


NUMBERS = [
    (registered.callback.__name__, name, hint.__metadata__[0])
    for registered in app.registered_commands
    if registered.callback is not None
    for name, hint in get_type_hints(registered.callback, include_extras=True).items()
    if hasattr(hint, "__metadata__") and hint.__origin__ in (int, int | None)
]


def test_every_number_has_bounds_that_postgresql_has_too() -> None:
    assert len(NUMBERS) > 5
    unbounded = [
        (command, name)
        for command, name, option in NUMBERS
        if option.min is None or option.max is None or option.max >= 2**63
    ]
    assert not unbounded


@pytest.mark.parametrize("position", ["9223372036854775807", "99999999999999999999"])
def test_a_position_beyond_every_number_is_no_defect(position: str, demo_dir: Path) -> None:
    for words in (("figures", "--known-at", f"0:{position}"), ("what-if", "-", "--skip", position),
                  ("events", "--after", position)):  # fmt: skip
        ended = clubledger(*words, data_dir=demo_dir)
        no_defect(ended)
        assert ended.code in (2, 3)


def test_a_fifo_is_read_as_a_file_is(tmp_path: Path, files: dict[str, str], demo_dir: Path) -> None:
    for name, content in (("what-if", "scenario"), ("import", "facts")):
        fifo = tmp_path / name
        os.mkfifo(fifo)
        with subprocess.Popen(["/bin/sh", "-c", 'cat "$1" >"$2"', "-", files[content], fifo]):
            ended = clubledger(name, fifo, "--json", data_dir=demo_dir)
        no_defect(ended)
        assert ended.code == 0, ended.err
        json_alone(ended)


# --------------------------------------------------------------------------------------- signals
ENDS = (("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143))
WAITING = sorted(LINE.commands.keys() - ENDLESS - APART - {"measures"})  # it asks no database


@pytest.mark.parametrize(
    ("name", "how", "code"),
    [
        *(("figures", *end) for end in ENDS),
        *(
            pytest.param(name, *ENDS[n % 3], marks=pytest.mark.slow)  # one way each: it is one way
            for n, name in enumerate(WAITING)
            if name != "figures"
        ),
    ],
)
def test_a_signal_while_it_waits_for_the_database_ends_a_command_without_a_word(
    name: str, how: str, code: int, files: dict[str, str], demo_dir: Path
) -> None:
    waits = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with (
        EmbeddedServer(demo_dir) as server,
        psycopg.connect(server.dsn) as holding,
        psycopg.connect(server.dsn, autocommit=True) as looking,
    ):
        holding.execute("LOCK TABLE ledger.ledger_meta IN ACCESS EXCLUSIVE MODE")
        with started(*words_of(name, files), data_dir=demo_dir) as process:
            assert eventually(lambda: looking.execute(waits).fetchone() != (0,))
            process.send_signal(getattr(signal, how))
            out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (code, b"", b"")


# Python traces what it imports: Ctrl-C comes as this module begins, wherever that is.
INTERRUPTING = """
import os, signal, sys
from api.cli import main

module = sys.argv.pop(1)

class Interrupting:
    def find_spec(name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.{signal})

sys.meta_path.insert(0, Interrupting)
main()
"""
EARLY = [
    "api.cli.ending",
    "typer",
    "api.cli.commands",
    "api.runtime.settings",
    "psycopg",
    "projections.asof.pairs",
]


@pytest.mark.parametrize(("how", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("module", EARLY)
def test_a_signal_while_modules_are_imported_ends_without_a_word(
    module: str, how: str, code: int, demo_dir: Path
) -> None:
    script = INTERRUPTING.replace("{signal}", how)
    done = subprocess.run(
        [sys.executable, "-c", script, module, "figures", "--data-dir", str(demo_dir)],
        capture_output=True, env=environment(), cwd=REPOSITORY, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


_LOST = """
import os, signal, time
from api.cli.terminal import signals
from api.runtime.failures import Stopped

class Tidied:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGNAL)
        sum(range(1000))

signals.leave_in_order()
try:
    Tidied()
    while True:  # works on: one that waits hears nothing that came just before
        time.sleep(0.01)
except (Stopped, KeyboardInterrupt):
    print("ended")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_while_python_tidies_up_is_not_lost(name: str) -> None:
    """What is raised in `__del__` nobody sees: the command would go on."""
    ended = subprocess.run(
        [sys.executable, "-c", _LOST.replace("SIGNAL", name)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("ended\n", "")


_NOTES = """
import sys
from collections.abc import Iterator
from api.cli.terminal import streams
streams.prepare()
sys.stderr.write("a note\\n")
sys.stdin.read()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_note_is_told_at_once(unbuffered: str) -> None:
    """However Python was told to buffer: a server's notes are read while it runs."""
    with subprocess.Popen(
        [sys.executable, "-c", _NOTES],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        cwd=REPOSITORY,
    ) as told:
        assert told.stdin is not None
        assert told.stderr is not None
        ready, _, _ = select.select([told.stderr], [], [], PATIENCE_S)
        assert ready
        assert told.stderr.readline() == b"a note\n"
        told.stdin.close()
