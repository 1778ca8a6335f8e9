"""The audit of the documentation, run as it stands against a demo of its own, shows what it says;
and `compare` at the door.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.database import connect
from ledger.embedded import EmbeddedServer
from projections.audit.audit import ALWAYS
from tests.api.running import COMMAND, REPOSITORY, clubledger, environment
from tests.patience import PATIENCE_S
from tests.places import empty_directory

pytestmark = pytest.mark.slow

PAGE = REPOSITORY / "docs" / "how-to" / "audit.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANYTHING = "..."
SETUP = ("demo", "--scale", "0.02", "--no-figures")


@dataclass(frozen=True)
class Example:
    """A command line, with what it goes on with after `> `, and what the page shows of it."""

    command: str
    shown: list[str]


def examples(text: str) -> Iterator[Example]:
    """Every command of a page's console blocks."""
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            ends = 1
            while ends < len(lines) and lines[ends].startswith("> "):
                ends += 1
            going_on = [line.removeprefix("> ") for line in lines[1:ends]]
            yield Example("\n".join([lines[0], *going_on]), lines[ends:])


def fits(shown: list[str], said: list[str]) -> bool:
    """Whether the lines are as shown: `...` alone is any number of lines, within one any text.

    Runs of blanks count as one, and those at the end of a line not at all.
    """
    if not shown:
        return not said
    if shown[0].strip() == ANYTHING:
        return any(fits(shown[1:], said[skipped:]) for skipped in range(len(said) + 1))
    return bool(said) and line_fits(shown[0], said[0]) and fits(shown[1:], said[1:])


def line_fits(shown: str, said: str) -> bool:
    parts = (re.escape(" ".join(part.split(" ")).strip()) for part in shown.split(ANYTHING))
    pattern = r"\s*.*?\s*".join(re.sub(r"(\\ )+", r"\\s+", part) for part in parts)
    return re.fullmatch(rf"\s*{pattern}\s*", said) is not None


@pytest.fixture(scope="module")
def own_demo() -> Iterator[Path]:
    """A demo that the audit may correct and damage; its database stays up between commands."""
    with empty_directory() as data_dir, EmbeddedServer(data_dir):
        loaded = clubledger(*SETUP, data_dir=data_dir)
        assert loaded.code == 0, loaded.err
        yield data_dir


def run(command: str, data_dir: Path, where: Path) -> subprocess.CompletedProcess[str]:
    """A line of the page in a shell that knows `clubledger` and `python`."""
    tools = where / "bin"
    if not tools.exists():
        tools.mkdir()
        quoted = " ".join(f"'{word}'" for word in COMMAND)
        for name, words in (("clubledger", quoted), ("python", f"'{sys.executable}'")):
            (tools / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (tools / name).chmod(0o755)
    known = environment(CLUBLEDGER_DATA_DIR=str(data_dir), LC_ALL="C.UTF-8")
    known["PATH"] = f"{tools}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=where, env=known, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def follow(text: str, data_dir: Path, where: Path) -> None:
    """Every command of a page, in its order, says what the page shows of it."""
    wrong = []
    for step in examples(text):
        done = run(step.command, data_dir, where)
        if not fits(step.shown, done.stdout.splitlines()):
            wrong.append(f"$ {step.command}\n{done.stdout}\n{done.stderr}")
    assert not wrong, "\n".join(wrong)


def test_the_audit_goes_as_documented(own_demo: Path, tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    assert f"clubledger {' '.join(SETUP)}\n" in text
    assert len(list(examples(text))) >= 15
    follow(text, own_demo, tmp_path)


def test_the_comparison_of_transcripts_can_fail() -> None:
    said = ["one  two", "three 3", "", "four"]
    assert fits(["one two", "three ...", "", "four"], said)
    assert fits(["one two", "..."], said)
    assert fits(["...", "four"], said)
    assert not fits(["one two"], said)
    assert not fits(["one twO", "..."], said)
    assert not fits(["...", "three 4", "..."], said)
    assert not fits([], said)
    assert not fits(["one two"], [])
    assert [each.command for each in examples("```console\n$ a <<X\n> b\n> X\nc\n$ d\n```\n")] == [
        "a <<X\nb\nX",
        "d",
    ]


# ------------------------------------------------------------------------------------ compare
def test_compare_as_json_counts_what_it_saw(demo_dir: Path) -> None:
    ended = clubledger("compare", "--json", "--sample", "5", "--seed", "7", data_dir=demo_dir)
    assert ended.code == 0, ended.err
    found = ended.json
    assert [each["against"] for each in found["comparisons"]] == [*ALWAYS]
    assert (found["sample_members"], found["seed"], found["behind"]) == (5, 7, 0)
    replay, snapshots = found["comparisons"]
    assert {tally["table"] for tally in replay["tables"]} >= {
        "answers.checkpoint", "answers.lot", "typed.visit_recorded",
    }  # fmt: skip
    assert snapshots["tables"][0]["rows"] > 5
    assert not ended.err, "where JSON is wanted no progress is shown"


def test_compare_of_everybody_and_of_some_is_wrong_use(demo_dir: Path) -> None:
    ended = clubledger("compare", "--full", "--sample", "5", data_dir=demo_dir)
    assert ended.code == 2
    assert "--full takes every member" in ended.err


def test_compare_lists_no_more_than_it_is_asked_for(own_demo: Path) -> None:
    with EmbeddedServer(own_demo) as server, connect(server.dsn) as connection:
        connection.execute("UPDATE answers.account SET spent = spent + 1")
    try:
        ended = clubledger("compare", "--limit", "2", data_dir=own_demo)
        assert ended.code == 1
        assert ended.out.count("spent: ") == 2
        assert re.search(r"\.\.\. and 1,\d{3} more", ended.out)
        told = clubledger("compare", "--limit", "2", "--json", data_dir=own_demo)
        assert told.code == 1
        assert len(told.json["comparisons"][0]["differences"]) == 2
    finally:
        assert clubledger("rebuild", data_dir=own_demo).code == 0
