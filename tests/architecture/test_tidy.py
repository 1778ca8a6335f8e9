"""The repository is tidy, and each rule of tidy.py has been seen to ring."""

import re
import subprocess
import warnings
from pathlib import Path

import pytest

from tests.architecture.tidy import GENERATED, ROOMS, RULES, File, Rule

REPOSITORY = Path(__file__).parents[2]
FOREIGN = re.compile(r"(^|/)(vendor|vendored)/|\.min\.(js|css)$|(^|/)LICENSE|compose-spec\.json$")
GUIDE_LINES = 300


def everything() -> list[File]:
    """What git tracks or would track; without git, what stands here and in the known folders."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0 and listed.stdout:
        paths = [REPOSITORY / name for name in listed.stdout.split("\0") if name]
    else:
        folders = (*ROOMS, "tests", "bench", "docs", "requirements", ".ci")
        paths = [*REPOSITORY.glob("*"), *(p for f in folders for p in (REPOSITORY / f).rglob("*"))]
    names = sorted({path.relative_to(REPOSITORY).as_posix(): path for path in paths}.items())
    return [
        File(name, text)
        for name, path in names
        if path.is_file() and not FOREIGN.search(name) and (text := _text(path)) is not None
    ]


def _text(path: Path) -> str | None:
    content = path.read_bytes()
    try:
        return None if b"\0" in content else content.decode("utf-8")
    except UnicodeDecodeError:
        return None


@pytest.fixture(scope="module")
def files() -> list[File]:
    return everything()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_repository_is_tidy(rule: Rule, files: list[File]) -> None:
    broken = [f"{file.path}:{line}" for file in files for line in rule.broken_lines(file)]
    assert not broken, rule.name


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [(rule, *example) for rule in RULES for example in rule.rings],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_alarm_rings(rule: Rule, path: str, text: str) -> None:
    assert list(rule.broken_lines(File(path, text)))


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [(rule, *example) for rule in RULES for example in rule.quiet],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_alarm_does_not_cry_wolf(rule: Rule, path: str, text: str) -> None:
    assert not list(rule.broken_lines(File(path, text)))


def test_the_walk_sees_the_rooms(files: list[File]) -> None:
    """An empty walk would find everything tidy."""
    seen = {file.path for file in files}
    assert {"Makefile", ".ci/run", "pyproject.toml", "requirements/run.txt"} <= seen
    assert {f"{room}/__init__.py" for room in ROOMS} <= seen


@pytest.mark.filterwarnings("default")
def test_long_files_are_named(files: list[File]) -> None:
    """A guide, no law: past it a noun usually wants to become a package of the same import path."""
    for file in files:
        lines = file.text.count("\n")
        if lines > GUIDE_LINES and not GENERATED.search(file.path):
            warnings.warn(f"{file.path} has {lines} lines", stacklevel=1)
