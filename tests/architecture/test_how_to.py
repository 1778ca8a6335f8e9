"""The how-to is walked: the noun on its page, planted in a copy, needs the files it names and no
other, and is asked at every door."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]

PAGE = "docs/how-to/add-an-event-a-figure-a-refusal.md"
BLOCK = re.compile(r"^```\w+\n# ([\w/.]+)(?:, in (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"^\| `([\w/.]+)` \|", re.MULTILINE)
IMPORTS = re.compile(r"\A(?:(?:from|import) .*\n)+\n*")
MOST_FILES = 4
BESIDE = (
    *(".git", ".venv", ".hypothesis", ".coverage*", ".*_cache"),
    *("__pycache__", "*.egg-info", "htmlcov", "build"),
)
"""What is no part of the repository. Some of it comes and goes while other tests run."""

GUARDS = (
    "tests/domain/test_complete.py",
    "tests/domain/test_events.py",
    "tests/domain/test_refusals.py",
    "tests/domain/test_bounds.py",
    "tests/domain/test_personal.py",
    "tests/projections/test_folds.py::test_every_event_is_folded_by_somebody",
    "tests/projections/test_folds.py::test_the_second_time_adds_to_the_first",
    "tests/projections/test_names.py",
    "tests/projections/test_measures.py",
    "tests/api/test_openapi.py",
    "tests/api/test_problems.py",
    "tests/api/test_doors.py",
    "tests/architecture/test_tidy.py",
    "tests/architecture/test_shapes.py",
    "tests/architecture/test_contracts.py::test_the_rooms_keep_their_contracts",
    "tests/docs",
)
"""What names a step that is missing."""
TESTS = ("pytest", "-q", "-x", "-n0", "-p", "no:cacheprovider", "-W", "ignore::UserWarning")

WALK = '''
"""The noun of the how-to at every door."""

import httpx
import pytest

from tests.api.running import asked, clubledger

AT = {"actor": "clerk:li", "at": "2008-07-15T12:00:00+08:00"}


async def post(http: httpx.AsyncClient, path: str, key: str, **said: str) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await http.post(path, json={"at": "2008-07-15T12:00:00+08:00", **said}, headers=headers)


@pytest.mark.anyio
async def test_the_noun_is_asked_at_every_door(installed) -> None:
    dsn = installed(4)
    async with asked(dsn, follow=True) as http:
        await post(http, "/units", "1", unit_id="u1", title="U")
        await post(http, "/members", "2", member_id="m1", unit_id="u1")
        lent = await post(http, "/members/m1/umbrellas", "3", desk="d1")
        assert lent.status_code == 201, lent.text
        assert lent.json()["made"] == 1
        again = await post(http, "/members/m1/umbrellas", "4", desk="d1")
        assert (again.status_code, again.json()["code"]) == (409, "umbrella_out")
        place = "{bucket}:{position}".format(**lent.json())
        days = {"first": "2008-07-01", "last": "2008-07-31"}
        told = await http.get("/umbrellas", params={"wait_for": place, **days})
        assert told.json() == {**days, "lent": 1}
        figures = (await http.get("/figures")).json()["figures"]
        (figure,) = (f for f in figures if f["measure_id"] == "umbrellas.lent")
        assert figure["why"] is None
        said = {"first": "2008-07-01", "on": "2008-07-31"}
        rows = await http.get("/measures/umbrellas.lent/contributions", params=said)
        assert (rows.json()["measured"]["value"], len(rows.json()["contributions"])) == (1, 1)
    here = {"CLUBLEDGER_DATABASE_URL": dsn}
    refused = clubledger("do", "umbrella.lend", "member_id=m1", "desk=d1", "--json", **here)
    assert refused.problem["refusal"] == "umbrella_out"
    said = [f"{name}={day}" for name, day in days.items()]
    assert clubledger("ask", "umbrellas", *said, "--json", **here).json == told.json()
'''


@dataclass(frozen=True)
class Block:
    """Some code of the page: the file it stands in, and in what, if not at its end."""

    path: str
    within: str
    code: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(page)]


def planted(text: str | None, block: Block) -> str:
    """The file with the block in it: as anybody would put it there."""
    if text is None:
        return block.code
    imports = IMPORTS.match(block.code)
    if imports:
        text = re.sub(r"^(?=from |import )", imports[0].strip() + "\n", text, count=1, flags=re.M)
    code = block.code[imports.end() :] if imports else block.code
    if not block.within:
        return f"{text.rstrip()}\n\n\n{code.lstrip()}"
    place = re.compile(rf"^{block.within}\b.*[(\[{{]$", re.MULTILINE)
    opened, found = place.subn(rf"\g<0>\n{code}", text, count=1)
    assert found, f"there is no {block.within} in {block.path}"
    return opened


def written(where: Path) -> None:
    """A copy with what the page has to be written in it."""
    beside = shutil.ignore_patterns(*BESIDE)
    shutil.copytree(REPOSITORY, where, ignore=beside, dirs_exist_ok=True)
    for block in blocks((where / PAGE).read_text("utf-8")):
        path = where / block.path
        text = path.read_text("utf-8") if path.exists() else None
        path.write_text(planted(text, block), "utf-8")
    run(where, "ruff", "check", "--fix-only", "--quiet", ".")
    run(where, "ruff", "format", "--quiet", ".")


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy with the noun in it, and what the code says of itself made anew."""
    where = tmp_path_factory.mktemp("grown")
    written(where)
    by_hand = dict(files(where))
    made = run(where, "docs.generate").split()
    assert made, "what the code says of itself is made anew"
    for name, content in files(where):
        assert name in made or by_hand.get(name) == content, f"{name} was made, and not named"
    return where


def run(where: Path, *words: str) -> str:
    """Runs a module in the copy, which must not fail."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=where,
        env={"PYTHONPATH": str(where), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(where: Path) -> Iterator[tuple[str, bytes]]:
    for path in where.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(where).as_posix(), path.read_bytes()


def test_the_page_names_the_files_that_its_code_stands_in() -> None:
    page = (REPOSITORY / PAGE).read_text("utf-8")
    by_hand = dict.fromkeys(block.path for block in blocks(page))
    assert sorted(by_hand) == sorted(NAMED.findall(page))
    assert len(by_hand) <= MOST_FILES


@pytest.mark.slow
@pytest.mark.timeout(4 * PATIENCE_S)
def test_a_noun_needs_the_files_that_the_page_names_and_no_other(grown: Path) -> None:
    run(grown, "ruff", "check", ".")
    (grown / "tests" / "test_walk.py").write_text(WALK, "utf-8")
    guards = [guard for guard in GUARDS if (grown / guard.partition("::")[0]).exists()]
    run(grown, *TESTS, *guards, "tests/test_walk.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left_out", "named_by"),
    [
        ("tests/domain/test_umbrellas.py", "tests/domain/test_complete.py"),
        (
            "api/doors.py",
            "tests/api/test_doors.py::test_every_command_has_one_door_and_one_example",
        ),
    ],
)
def test_the_alarm_rings_for_a_file_left_out(grown: Path, left_out: str, named_by: str) -> None:
    """It is as it was before; with it, all hold."""
    known, before = grown / left_out, REPOSITORY / left_out
    text = known.read_text("utf-8")
    try:
        if before.exists():
            known.write_text(before.read_text("utf-8"), "utf-8")
        else:
            known.unlink()
        with pytest.raises(AssertionError, match="FAILED tests"):
            run(grown, *TESTS, named_by)
    finally:
        known.write_text(text, "utf-8")
