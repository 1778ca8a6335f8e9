"""Every `clubledger ...` that the Makefile and docker-compose.yml run is understood by the command
line, and every setting they give is one that exists.
"""

import importlib
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic_settings import BaseSettings

REPOSITORY = Path(__file__).parents[2]
SERVICES = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))["services"]


def composed() -> list[list[str]]:
    commands = [each["command"] for each in SERVICES.values() if "command" in each]
    return [command[1:] for command in commands if command[0] == "clubledger"]


def made() -> list[list[str]]:
    """What make would run, with and without its variables."""
    spoken = [
        subprocess.run(
            ["make", "--dry-run", *words],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for words in (["all"], ["all", "DATA_DIR=a b", "PORT=8001"], ["demo", "DATA_DIR=x"])
    ]
    lines = [
        shlex.split(line.removeprefix("exec "))
        for text in spoken
        for line in text.splitlines()
        if "/clubledger " in line
    ]
    return [words[1:] for words in lines if words and words[0].endswith("/clubledger")]


def understood(words: list[str]) -> None:
    """Parse as the command line would, and run nothing."""
    line: Any = typer.main.get_command(importlib.import_module("api.cli.commands").app)
    name, *rest = words
    assert name in line.commands, f"clubledger has no command {name!r}"
    line.commands[name].make_context(name, rest)


@pytest.mark.parametrize("words", [*composed(), *made()], ids=" ".join)
def test_every_command_is_understood(words: list[str]) -> None:
    understood(words)


def test_something_is_run() -> None:
    assert {words[0] for words in composed()} == {"serve", "project"}
    assert {words[0] for words in made()} == {"demo", "serve"}


def test_the_alarm_rings_for_an_unknown_command() -> None:
    with pytest.raises(AssertionError, match="no command 'surve'"):
        understood(["surve"])


def test_the_alarm_rings_for_an_unknown_option() -> None:
    with pytest.raises(Exception, match="No such option"):
        understood(["serve", "--hoist", "0.0.0.0"])


def test_every_setting_exists() -> None:
    doors = vars(importlib.import_module("api.runtime.settings")).values()
    kinds = [door for door in doors if isinstance(door, type) and issubclass(door, BaseSettings)]
    known = {
        f"{kind.model_config.get('env_prefix', '')}{field}".upper()
        for kind in kinds
        for field in kind.model_fields
    }
    given = {name for service in SERVICES.values() for name in service.get("environment", ())}
    assert {name for name in given if name.startswith("CLUBLEDGER_")} <= known
