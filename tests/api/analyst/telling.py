"""The how-to of one's own files tells the analyst's year: its commands are run, on her files."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.api.running import Ended, clubledger

PAGE = Path(__file__).parents[3] / "docs/how-to/bring-your-own-files.md"
SHOWN = re.compile(r"^`([\w.]+)`:\n```csv\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FACTS = re.compile(r"^```jsonl\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOML = re.compile(r"^```toml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMES = re.compile(r"(?<= in )[0-9.]+ s$|(?<=written \()[0-9.]+ s(?=\)$)", re.MULTILINE)
BESIDE = re.compile(r"^(reading|importing|checking)( .*\.\.\.$|: [\d,]+ of [\d,]+)|waited \d+ s\.$")
"""Of progress, which a slow machine tells more of."""


def steps() -> Iterator[tuple[str, str]]:
    """(a command of the page, what it shows below it)."""
    for block in CONSOLE.findall(PAGE.read_text("utf-8")):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            yield command, shown


def run(command: str, data_dir: Path, where: Path) -> tuple[Ended, str]:
    """How a command ended, and what is told of it: the answer, then what stands beside it."""
    line, _, behind = command.partition(" | ")
    program, *words = shlex.split(line)
    if program != "clubledger":
        subprocess.run(command, shell=True, cwd=where, check=True)
        return Ended(0, "", ""), ""
    if "--data-dir" in words:
        place = words.index("--data-dir")
        del words[place : place + 2]
    words = [name for word in words for name in _expanded(word, where)]
    ended = clubledger(*words, data_dir=None if "--guess" in words else data_dir, cwd=where)
    if behind:
        subprocess.run(behind, shell=True, cwd=where, check=True, input=ended.out.encode())
        return ended, ""
    beside = [line for line in ended.err.splitlines() if not BESIDE.search(line)]
    told = "".join(f"{line.rstrip()}\n" for line in [*ended.out.splitlines(), *beside])
    return ended, TIMES.sub("...", told)


def _expanded(word: str, where: Path) -> list[str]:
    """As a shell does it."""
    return sorted(each.name for each in where.glob(word)) if "*" in word else [word]


def fits(shown: str, told: str) -> bool:
    """Whether it is what the page shows, word for word; a line `...` stands for some lines."""
    lines = [
        r"(?:.*\n)+" if line == "..." else re.escape(line) + r"\n" for line in shown.splitlines()
    ]
    return re.fullmatch("".join(lines), told.strip("\n") + "\n" if told.strip() else "") is not None
