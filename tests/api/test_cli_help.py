"""Help: by -h as well, with an example that is understood; and what a shell completes."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from api.cli.commands import app
from api.cli.terminal.examples import EXAMPLES
from tests.api.running import clubledger, environment
from tests.patience import PATIENCE_S

LINE: Any = typer.main.get_command(app)
COMMANDS = sorted(set(LINE.commands) - {"do"})


def test_every_command_has_an_example_that_is_understood() -> None:
    line: Any = typer.main.get_command(app)  # its own: without its group a command forgets -h
    groups = {name for name in COMMANDS if hasattr(LINE.commands[name], "commands")}
    assert set(COMMANDS) - groups <= set(EXAMPLES)
    for name, example in EXAMPLES.items():
        if name in COMMANDS:
            program, called, *words = shlex.split(example)
            assert (program, called) == ("clubledger", name)
            line.commands[name].make_context(name, words)


@pytest.mark.parametrize("columns", ["80", "200"])
def test_help_is_there_under_both_names(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each command in this process, which has them all already; of groups as they are run."""
    monkeypatch.setenv("COLUMNS", columns)

    def shown(*words: str) -> str:
        assert LINE.main([*words], prog_name="clubledger", standalone_mode=False) == 0
        return capsys.readouterr().out

    for name in (*EXAMPLES, "do visit.record"):
        if name.split()[0] in LINE.commands:
            short, long = (shown(*name.split(), option) for option in ("-h", "--help"))
            assert short == long, name
            assert "Example:\n    clubledger " in short, name
            assert max(map(len, short.splitlines())) <= int(columns), name
    for group in ("", "do", "report"):
        words = group.split()
        ended, same = (clubledger(*words, each, COLUMNS=columns) for each in ("-h", "--help"))
        assert (ended.code, ended.out) == (0, same.out)
        assert not re.search(r"\w\.\.\.$", ended.out, re.MULTILINE), "each is there to its end"
        assert max(map(len, ended.out.splitlines())) <= int(columns)
    assert clubledger("--version").out.startswith("clubledger 0.")


PROGRAM = Path(sys.executable).with_name("clubledger")


def ran(*words: str, **said: str) -> str:
    """What the installed program prints: its own name is what a shell completes."""
    done = subprocess.run(
        [PROGRAM, *words],
        env=environment(**said),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_commands_and_options(shell: str) -> None:
    """By what the script asks that is sourced."""
    assert f"_CLUBLEDGER_COMPLETE=complete_{shell}" in ran(_CLUBLEDGER_COMPLETE=f"source_{shell}")

    def completed(*words: str) -> str:
        line = " ".join(["clubledger", *words])
        return ran(
            _CLUBLEDGER_COMPLETE=f"complete_{shell}",
            COMP_WORDS=line,
            COMP_CWORD=str(len(words)),
            _TYPER_COMPLETE_ARGS=line,
            _TYPER_COMPLETE_FISH_ACTION="get-args",
        )

    assert "figures" in completed("fig")
    assert "--explain" in completed("figures", "--ex")
    assert "visit.record" in completed("do", "visit.r")
    assert "--shown-points" in completed("do", "visit.record", "--sho")
