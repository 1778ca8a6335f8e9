"""The tutorial's commands, run as they stand against a demo of their own, answer as it says."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.running import SCALE, clubledger, environment, serving, stopped
from tests.patience import PATIENCE_S, eventually
from tests.places import empty_directory

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial-desk.md"
README = Path(__file__).parents[2] / "README.md"
DOCUMENTED = "http://127.0.0.1:8000"
ANYTHING = "..."
NOT_YET = 504
"""What waits for answers is told so where the machine is busy."""
BLOCK = re.compile(r"^```console\n\$ (.+)\n(\d{3}) (.+)\n```$", re.MULTILINE)


def served() -> Iterator[str]:
    """A server on a demo that nobody else uses, since the tutorial says what happens first."""
    with empty_directory() as data_dir:
        loaded = clubledger("demo", "--scale", SCALE, "--no-figures", data_dir=data_dir)
        assert loaded.code == 0, loaded.err
        server = serving(data_dir)
        yield server.address
        assert stopped(server).code == 0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the tutorial's commands go."""
    yield from served()


def differences(said: Any, found: Any, at: str = "") -> list[str]:
    """Where an answer is not as documented; an object may hold more than is said of it."""
    if said == ANYTHING:
        return [] if found is not None else [f"{at}: nothing"]
    if isinstance(said, dict) and isinstance(found, dict):
        missing = [f"{at}.{name} is missing" for name in said.keys() - found.keys()]
        both = said.keys() & found.keys()
        return missing + [d for n in both for d in differences(said[n], found[n], f"{at}.{n}")]
    if isinstance(said, list) and isinstance(found, list) and len(said) == len(found):
        pairs = enumerate(zip(said, found, strict=True))
        return [d for n, (one, other) in pairs for d in differences(one, other, f"{at}.{n}")]
    return [] if said == found else [f"{at}: {found!r}, not {said!r}"]


def test_every_command_answers_as_documented(address: str, tmp_path: Path) -> None:
    examples = BLOCK.findall(TUTORIAL.read_text("utf-8"))
    assert len(examples) == TUTORIAL.read_text("utf-8").count("```console") >= 12
    assert [said for each in examples if (said := not_as_said(each, address, tmp_path))] == []


def not_as_said(example: tuple[str, str, str], address: str, home: Path) -> list[Any]:
    """What comes of a documented request, if that is something else."""
    command, status, body = example
    assert DOCUMENTED in command
    (home / ".curlrc").write_text('write-out = "%{stderr}%{http_code}\\n"\n')
    came: list[tuple[str, str]] = []

    def answered() -> bool:
        done = subprocess.run(
            ["bash", "-c", command.replace(DOCUMENTED, address)],
            capture_output=True,
            env=environment(CURL_HOME=str(home)),
            timeout=PATIENCE_S,
            check=False,
        )
        came.append((done.stderr.decode().split()[-1], done.stdout.decode()))
        return came[-1][0] != str(NOT_YET)

    assert eventually(answered)
    got, told = came[-1]
    found = differences(json.loads(body), json.loads(told))
    return [command, got, found, told] if got != status or found else []


def test_the_examples_of_the_readme_are_the_tutorials() -> None:
    text = README.read_text("utf-8")
    examples = BLOCK.findall(text)
    assert len(examples) == text.count("```console") > 0
    assert set(examples) <= set(BLOCK.findall(TUTORIAL.read_text("utf-8")))


def test_the_comparison_can_fail() -> None:
    assert differences({"a": 1, "b": ANYTHING}, {"a": 1, "b": 2, "c": 3}) == []
    assert differences({"a": 1}, {"a": 2}) == [".a: 2, not 1"]
    assert differences({"a": 1}, {}) == [".a is missing"]
    assert differences({"a": ["x"]}, {"a": []}) == [".a: [], not ['x']"]
    assert differences({"a": ANYTHING}, {"a": None}) == [".a: nothing"]
    assert differences({"a": [{"b": 1}]}, {"a": [{"b": 2, "c": 3}]}) == [".a.0.b: 2, not 1"]
