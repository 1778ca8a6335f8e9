"""What the pages say is so: made pages are current, links lead somewhere, commands exist, the
example of the import format is decided, and pictures need nothing from elsewhere.
"""

import importlib
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import typer

import demo
from docs import generate
from docs.picture import PICTURE, picture
from domain.kernel import timeline
from domain.kernel.world import World
from ledger.commands import parse
from ledger.log import batcher
from projections.engine import runner
from tests.architecture.tidy import RULES, File

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    *(REPOSITORY / "docs").rglob("*.md"),
]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
CODE = re.compile(r"`[^`\n]*`")
SPOKEN = re.compile(r"`((?:make|clubledger)(?: [^`]*)?)`")
TARGETS = re.compile(r"^\.PHONY: (.+)$", re.MULTILINE)
RUN = re.compile(r"^ *(?:\$ )?(?:\.venv/bin/)?((?:make|clubledger)(?: .*)?)$", re.MULTILINE)


def named(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


# ---------------------------------------------------------------------------------- made pages
@pytest.mark.parametrize(
    ("path", "make"), generate.pages().items(), ids=lambda value: getattr(value, "name", "")
)
def test_a_made_page_is_current(path: Path, make: Callable[[], str]) -> None:
    assert path.read_text("utf-8") == make(), "run: make generate"


def test_a_page_that_lost_its_markers_is_noticed() -> None:
    with pytest.raises(ValueError, match="markers of assumptions are missing"):
        generate.between("# No markers", "assumptions", "")


def test_a_field_without_words_is_noticed() -> None:
    with pytest.raises(ValueError, match="no words for"):
        generate.said({"type": "number"}, {})


# --------------------------------------------------------------------------------------- links
def broken_links(page: Path, text: str) -> Iterator[str]:
    """Relative links to no file, and links to no heading of a page."""
    for link in LINK.findall(CODE.sub("", FENCE.sub("", text))):
        place, _, anchor = unquote(link).partition("#")
        if "://" in place:
            continue
        target = (page.parent / place).resolve() if place else page
        there = target.exists() and target.is_relative_to(REPOSITORY)
        if not there or (anchor and anchor not in anchors(target.read_text("utf-8"))):
            yield link


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not list(broken_links(page, page.read_text("utf-8")))


@pytest.mark.parametrize(
    "link", ["no.md", "docs/no.md", "README.md#no-such-heading", "#no", "../outside.md"]
)
def test_the_alarm_rings_for_a_broken_link(link: str) -> None:
    assert list(broken_links(REPOSITORY / "README.md", f"see [this]({link})")) == [link]


def test_what_stands_as_code_is_no_link() -> None:
    assert not list(
        broken_links(REPOSITORY / "README.md", "`^[a-z](no.md)` and [`see`](README.md)")
    )


# ------------------------------------------------------------------------------------ commands
def commands(text: str) -> Iterator[str]:
    """What a page says to run: lines of fenced blocks, and `clubledger ...` in a sentence."""
    for language, block in FENCE.findall(text):
        if language in ("", "sh", "console"):
            yield from RUN.findall(block)
    yield from SPOKEN.findall(FENCE.sub("", text))


def unknown(command: str) -> str | None:
    """What of a command does not exist."""
    said, *_ = re.split(r" [|>] ", command)
    program, *words = shlex.split(said.replace("...", "x"))
    return unmade(words) if program == "make" else unspoken(words)


def unmade(words: list[str]) -> str | None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    known = {name for line in TARGETS.findall(makefile) for name in line.split()}
    missing = [word for word in words if "=" not in word and word not in known]
    return f"make has no {missing}" if missing else None


def unspoken(words: list[str]) -> str | None:
    """Parse as the command line would, and run nothing. A bare name is a mention, not a call."""
    line: Any = typer.main.get_command(importlib.import_module("api.cli.commands").app)
    name, *rest = words or ["--help"]
    if name == "--help" or name.isupper():  # any of them
        return None
    if any(name in option.opts for option in line.params):
        return None
    if name not in line.commands:
        return f"clubledger has no {name}"
    if not rest:
        return None
    try:
        line.commands[name].make_context(name, rest)
    except typer.TyperException as error:
        return f"clubledger {name}: {error.format_message()}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_command_exists(page: Path) -> None:
    found = {command: unknown(command) for command in commands(page.read_text("utf-8"))}
    assert not {command: missing for command, missing in found.items() if missing}


def test_the_readme_says_the_commands() -> None:
    """A walk that sees none would find them all in order."""
    said = set(commands((REPOSITORY / "README.md").read_text("utf-8")))
    assert {"make", "make test", "make demo"} <= said
    assert "clubledger figures --report vip-2008 --explain binding.rate" in said


@pytest.mark.parametrize(
    "command",
    ["make tea", "make demo tea", "clubledger surve", "clubledger figures --explian x", "make x y"],
)
def test_the_alarm_rings_for_an_unknown_command(command: str) -> None:
    for text in (f"```sh\n{command}\n```", f"```sh\n.venv/bin/{command}\n```", f"say `{command}`"):
        assert [unknown(said) for said in commands(text)] != [None]


# ------------------------------------------------------------------------------------ examples
def test_the_example_of_the_import_format_is_decided() -> None:
    page = (REPOSITORY / "docs/how-to/import.md").read_text("utf-8")
    (example,) = (block for language, block in FENCE.findall(page) if language == "jsonl")
    topics = decided(example.splitlines())
    assert topics[-3:] == ["points.debited", "visit.recorded", "bill.issued"]


def decided(lines: list[str]) -> list[str]:
    """The topics of the events that these facts make, one fact after the other."""
    world = World()
    outcomes = [world.execute(parse(line)) for line in lines]
    return [event.topic for outcome in outcomes for _, event in outcome.events]


def test_the_readme_shows_what_the_tutorial_runs() -> None:
    readme, tutorial = (
        [block for language, block in FENCE.findall((REPOSITORY / path).read_text("utf-8"))
         if language == "console"]
        for path in ("README.md", "docs/tutorial-desk.md")
    )  # fmt: skip
    assert len(readme) >= 6
    assert set(readme) <= set(tutorial)


# ------------------------------------------------------------------------------------- numbers
NUMBERS: dict[str, int] = {
    r"for up to ([\d,]+) commands": batcher.MAX_BATCH,
    r"after ([\d,]+) tries": batcher.MAX_ATTEMPTS,
    r"\*\*Too much waits\*\* \(([\d,]+) commands\)": batcher.MAX_QUEUE,
    r"after ([\d,]+) ms, folds": int(runner.POLL_S * 1000),
    r"windows of up to ([\d,]+) events": runner.WINDOW_EVENTS,
    r"over ([\d,]+) events are missing": runner.REBUILD_EVENTS,
    r"bindings that ended ([\d,]+) days ago": timeline.LATE_DAYS,
}
"""What the architecture says in numbers, and where the code has it."""


@pytest.mark.parametrize(("sentence", "number"), NUMBERS.items(), ids=str)
def test_the_architecture_says_the_numbers_of_the_code(sentence: str, number: int) -> None:
    page = (REPOSITORY / "docs/explanation/architecture.md").read_text("utf-8")
    (said,) = re.findall(sentence, page)
    assert said == f"{number:,}"


# -------------------------------------------------------------------------------------- places
PLACES = [rule for rule in RULES if "registry" in rule.name or "written on" in rule.name]


def test_no_page_names_a_registry_or_this_machine() -> None:
    assert len(PLACES) == 2
    files = [File(named(path), path.read_text("utf-8")) for path in (*PAGES, PICTURE)]
    broken = [
        f"{file.path}:{n}" for rule in PLACES for file in files for n in rule.broken_lines(file)
    ]
    assert not broken


def test_the_picture_shows_figures_that_there_are() -> None:
    """As they were when it was made: docs/picture.py says how."""
    shown = set(re.findall(r">([a-z_]+(?:\.\w+)+)<", PICTURE.read_text("utf-8")))
    claims = {claim["id"] for claim in tomllib.loads(demo.REPORT.decode())["claim"]}
    assert len(shown) > 40
    assert shown <= claims


def elsewhere(svg: str) -> list[str]:
    """What an SVG would load, besides naming its own language."""
    return re.findall(r"@import|@font-face|url\((?!#)|href=|https?://(?!www\.w3\.org/)", svg)


def test_the_picture_needs_nothing_from_elsewhere() -> None:
    assert not elsewhere(PICTURE.read_text("utf-8"))
    assert not elsewhere(picture("\x1b[32magrees\x1b[0m VIP客户总数 76,385"))
    assert elsewhere('<style>@font-face { src: url("fonts/x.woff") }</style>')


def test_each_word_of_the_glossary_has_one_in_both_languages_and_stands_once() -> None:
    _, table = (
        (REPOSITORY / "docs" / "reference" / "glossary.md")
        .read_text("utf-8")
        .split("|---|---|---|\n")
    )
    rows = [[cell.strip() for cell in row.split("|")[1:3]] for row in table.splitlines()]
    words = [word for word, _ in rows]
    assert [word for word, chinese in rows if not re.search("[\u4e00-\u9fff]", chinese)] == []
    assert words == sorted(set(words), key=str.lower)
