"""How to bring one's own files: what the page says to run is run, on the files that it shows."""

import re
import shlex
import subprocess
from pathlib import Path

from tests.api.running import clubledger

PAGE = Path(__file__).parents[2] / "docs/how-to/bring-your-own-files.md"
SHOWN = re.compile(r"^`([\w.]+)`:\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TIMES = re.compile(r"(?<= in )[0-9.]+ s$|(?<=written \()[0-9.]+ s(?=\)$)", re.MULTILINE)
BESIDE = re.compile(r"^(reading|importing|checking) .*\.\.\.$|waited \d+ s\.$")


def test_the_page_is_so(own_ledger: Path, tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8")
    for name, content in SHOWN.findall(page):
        (tmp_path / name).write_text(content, "utf-8")
    walked = []
    for block in CONSOLE.findall(page):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, said = step.partition("\n")
            walked.append(command)
            assert answer(command, own_ledger, tmp_path) == said.rstrip("\n"), command
    assert len(walked) >= 9
    assert {command.split()[0] for command in walked} == {"clubledger", "sed", "mv"}


def answer(command: str, data_dir: Path, where: Path) -> str:
    """What is told of a command: the answer, then what stands beside it."""
    program, *words = shlex.split(command)
    if program != "clubledger":
        subprocess.run([program, *words], cwd=where, check=True)
        return ""
    if "--data-dir" in words:
        place = words.index("--data-dir")
        del words[place : place + 2]
    ended = clubledger(*words, data_dir=None if "--guess" in words else data_dir, cwd=where)
    beside = [line for line in ended.err.splitlines() if not BESIDE.search(line)]
    told = "\n".join(line.rstrip() for line in [*ended.out.rstrip("\n").splitlines(), *beside])
    return TIMES.sub("...", told)
