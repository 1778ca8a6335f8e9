"""Every command under streams, arguments and signals that are not as they should be: it ends with a
sentence and a code of the table, never with a defect or a traceback, and --json says JSON alone."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import typer

from api.cli.commands import app
from api.failures import EXIT_CODES
from tests.api.running import COMMAND, REPOSITORY, environment
from tests.patience import PATIENCE_S

LINE: Any = typer.main.get_command(app)
FIRST = "m0000001"
WORDS: dict[str, tuple[str, ...]] = {
    "demo": ("--scale", "0.002"),
    "changes": ("--from", "2008-06-30"),
    "what-if": ("{scenario}",),
    "import": ("{facts}",),
    "member": (FIRST,),
    "compare": ("--sample", "1"),
}
"""What a command needs to be told; the others need nothing."""
ENDLESS = {"serve"}
"""What ends only when it is told to."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("files")
    change = {"change": "service_price", "club": "lounge", "factor": "1/2"}
    (place / "scenario").write_text(json.dumps({"changes": [change]}))
    (place / "facts").write_text("")
    return place


def told(name: str, files: Path, data_dir: Path) -> list[str]:
    words = (word.format(scenario=files / "scenario", facts=files / "facts")
             for word in WORDS.get(name, ()))  # fmt: skip
    return [*COMMAND, name, *words, "--data-dir", str(data_dir)]


def ended(command: str, *words: str, **options: Any) -> tuple[int, str, str]:
    """How a shell command ended; `"$@"` in it are the words."""
    done = subprocess.run(
        ["/bin/bash", "-c", command, "-", *words], capture_output=True, env=environment(),
        timeout=PATIENCE_S, stdin=subprocess.DEVNULL, check=False, **options,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def no_defect(code: int, err: str) -> None:
    assert code in EXIT_CODES.keys() - {5}, (code, err)
    assert not [word for word in ("Traceback", "defect", "Exception ignored") if word in err], err


def json_alone(out: str, err: str) -> None:
    """One JSON value on stdout at most, and a JSON object on each line of stderr."""
    assert not out or json.loads(out)
    for line in err.splitlines():
        assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize("name", sorted(LINE.commands.keys() - ENDLESS))
def test_a_command_ends_in_order_whatever_its_streams(
    name: str, files: Path, demo_dir: Path
) -> None:
    words = told(name, files, demo_dir)
    cases = {
        '"$@" >&-': "cannot be written",
        '"$@" >/dev/full': "cannot be written",
        '"$@" --json >/dev/full': "cannot be written",
        '"$@" 2>&-': "",
        '"$@" --json 2>/dev/full': "",
        'set -o pipefail; "$@" | true': "",
        '"$@" --json': "",
    }
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda case: ended(case, *words), cases)
    for (case, sentence), (code, out, err) in zip(cases.items(), results, strict=True):
        no_defect(code, err)
        assert code == 4 if sentence else code in (0, 1, 3), (case, err)
        assert sentence in err, case
        if "--json" in case:
            json_alone(out, err)


@pytest.mark.parametrize("name", sorted(LINE.commands))
def test_arguments_that_are_no_utf_8_are_refused(name: str) -> None:
    for option in ("--data-dir", "--nothing"):
        words = [*COMMAND, name, option, os.fsdecode(b"/tmp/\xff")]
        code, out, err = ended('"$@" --json', *words)
        assert (code, out) == (2, "")
        assert json.loads(err)["code"] == "wrong_use"


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
        code, _, err = ended('"$@" --data-dir "$D"'.replace("$D", str(demo_dir)), *COMMAND, *words)
        no_defect(code, err)
        assert code in (2, 3)


def test_a_fifo_is_read_as_a_file_is(tmp_path: Path, files: Path, demo_dir: Path) -> None:
    fifo = tmp_path / "fifo"
    for name, content in (("what-if", "scenario"), ("import", "facts")):
        words = [*COMMAND, name, str(fifo), "--data-dir", str(demo_dir), "--json"]
        feed = f'mkfifo "{fifo}"; cat "{files / content}" > "{fifo}" & "$@"; rm "{fifo}"'
        code, out, err = ended(feed.replace('"$@";', '"$@"; code=$?;') + "; exit $code", *words)
        no_defect(code, err)
        assert code == 0, err
        json_alone(out, err)


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
    "api.settings",
    "psycopg",
    "projections.asof",
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
