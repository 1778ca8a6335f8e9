"""The analyst's year: an invented branch's files are mapped, checked and imported as the how-to
tells it, and then every measure is what plain Python makes of the branch's own records."""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from ledger.database import connect
from ledger.embedded import EmbeddedServer
from projections.engine import runner
from projections.engine.catalogue import NOUNS
from projections.engine.connection import Conn
from projections.engine.measure import MEASURES, Measured, measured, overview
from tests.api.analyst.generator import Branch
from tests.api.analyst.house import COHORTS, SHEETS, house
from tests.api.analyst.plainly import ALL, NEEDED, PLAINLY, QUESTIONS, Asked, Row, interval, plainly
from tests.api.analyst.rows import MAPPING
from tests.api.analyst.telling import FACTS, PAGE, SHOWN, TOML, fits, run, steps
from tests.api.running import Ended
from tests.places import empty_directory

LATE = "lounge_late.csv"
REJECTED = re.compile(r"^(\S+), line (\d+): (\w+): .+; to mend it: \S.+$", re.MULTILINE)
JUDGED_LATE = re.compile(rf"^\.\./{LATE}, line \d+: visit.record of .+ is judged by", re.MULTILINE)
assert NOUNS, "they make the catalogue"


@dataclass(frozen=True)
class Year:
    """The branch, and how its files were taken: each command of the page, what it shows, how it
    ended and what was told."""

    branch: Branch
    data_dir: Path
    files: Path
    walked: list[tuple[str, str, Ended, str]]
    conn: Conn

    def ended(self, *words: str) -> Ended:
        """How the one command with these words ended."""
        (found,) = [each for each in self.walked if {*words} <= {*each[0].split()}]
        return found[2]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    """The files of the branch, and with them all that the page says to run."""
    branch, files = Branch(), tmp_path_factory.mktemp("branch") / "branch"
    files.mkdir()
    branch.write(files)
    walked = []
    with empty_directory() as data_dir, EmbeddedServer(data_dir) as server:
        for command, shown in steps():
            walked.append((command, shown, *run(command, data_dir, files)))
            if "--check" in command:
                with connect(server.dsn) as conn:
                    events = conn.execute("SELECT count(*) FROM ledger.stored_events").fetchone()
                assert events == (0,)
        runner.project(server.dsn)
        with connect(server.dsn) as conn, runner.snapshot(conn):
            yield Year(branch, data_dir, files, walked, conn)


def test_the_page_is_so(year: Year) -> None:
    for command, shown, _, told in year.walked:
        assert fits(shown, told), f"{command}\n{told}"
    assert len(year.walked) > 12
    assert {command.split()[0] for command, *_ in year.walked} == {"clubledger", "mv", "sed"}


def test_the_page_shows_the_files_and_the_mapping(year: Year) -> None:
    """Lines of files below their headers, and parts of the mapping."""
    branch, page = year.branch, PAGE.read_text("utf-8")
    mapping = MAPPING.read_text("utf-8")
    for part in TOML.findall(page):
        assert part in mapping
    shown = SHOWN.findall(page)
    for name, text in shown:
        sheet = SHEETS[name]
        cells = csv.reader(text.splitlines(), delimiter=sheet.separator)
        header, *lines = (tuple(row) for row in cells)
        assert header == sheet.header
        assert {*lines} <= {row.cells for row in branch.rows if row.file == name}, name
    assert len(shown) > 3
    (facts,) = FACTS.findall(page)
    told = json.loads(json.dumps(house()))
    assert all(json.loads(line) in told for line in facts.splitlines())
    assert f"{len(branch.ids)} customers" in page
    assert f"{len(SHEETS) + 1} files" in page


def rejected(ended: Ended) -> set[tuple[str, int, str]]:
    """What was told, by its code; a cell that cannot be read is told by its field."""
    found = REJECTED.findall(ended.err)
    return {(file, int(line), "misspelt" if said == "tier" else said) for file, line, said in found}


def test_a_check_tells_what_is_wrong_and_what_would_mend_it(year: Year) -> None:
    checked = year.ended("--check")
    assert (checked.code, rejected(checked)) == (3, year.branch.rejections())
    assert {code for _, _, code in year.branch.rejections()} >= {
        "not_open_yet", "not_come_yet", "in_control_group", "already_billed", "unknown_member",
        "not_enough_points", "misspelt",
    }  # fmt: skip


def test_what_happened_all_the_same_is_taken(year: Year) -> None:
    wrong = year.branch.rejections()
    expected = {each for each in wrong if each[2] != "in_control_group"}
    known = year.ended("exceptions").out.splitlines()
    assert len(known) == len(wrong) - len(expected) > 5
    imported = year.ended("--despite")
    assert (imported.code, rejected(imported)) == (3, expected)
    reasons = (year.files / "rejects.reasons").read_text("utf-8").splitlines()
    assert len(reasons) == len(expected)


def test_what_came_late_is_taken_and_said_by_line(year: Year) -> None:
    late = year.ended(f"../{LATE}", "import")
    assert late.code == 0
    assert len(JUDGED_LATE.findall(late.err)) > 5


OTHERWISE = {
    "days": 200, "fen_per_1000": 1_250, "low_fen": 7_500, "low_months": 2, "club_id": "court",
    "service_id": "weights", "cohort_id": next(iter(COHORTS)),
}  # fmt: skip
"""What may be said, said."""
ONLY = {
    "tier": "gold", "unit_id": "hills", "campaign_id": "pocket", "club_id": "gym",
    "service_id": "seat", "policy": "prepay",
}  # fmt: skip


@pytest.fixture(scope="module")
def answers(year: Year) -> dict[str, list[Measured]]:
    """Every measure on each of the days, of all that it needs, in all and by each column."""
    found: dict[str, list[Measured]] = {}
    for on, first in QUESTIONS:
        for said in ({}, OTHERWISE):
            days = {"first": first} if first else {}
            for each in overview(year.conn, on, groups=True, said={**said, **days}):
                found.setdefault(each.measure_id, []).append(each)
    for name, measure in MEASURES.items():
        for dim in [each for each in measure.rows.dims if each in ONLY][:2]:
            needed = {each: NEEDED[each][0] for each in measure.needs}
            said = {**needed, dim: ONLY[dim]}
            found[name].append(measured(year.conn, name, said, QUESTIONS[0][0]))
    return found


Known: TypeAlias = dict[tuple[Any, ...], list[Row]]


@pytest.fixture(scope="module")
def known() -> Known:
    """Rows that were reckoned already."""
    return {}


def differences(year: Year, known: Known, told: Measured) -> Iterator[str]:
    """Where an answer and its parts are not what is reckoned here."""
    first = told.first or told.on.replace(month=1, day=1)
    asked = Asked(year.branch, told.on, first, told.params)
    of = PLAINLY[told.measure_id].of
    place = (of, told.on, first, frozenset(told.params.items()))
    if place not in known:
        known[place] = list(of(asked))
    for by in (None, *{name for group in told.groups for name in group.key}):
        plain = plainly(told.measure_id, asked, known[place], by, told.digits)
        groups: dict[Any, Any] = {ALL: told}
        if by:
            groups = {each.key[by]: each for each in told.groups if by in each.key}
        for key in {*groups, *plain}:
            if why := difference(told, groups.get(key), plain.get(key)):
                yield f"{told.measure_id} {told.params} {first}..{told.on} {by or ''} {key}: {why}"


def difference(told: Measured, group: Any, plain: Any) -> str | None:
    """What is told of a part and what is reckoned, if these differ. A part that is nothing but zero
    need not be told."""
    measure = MEASURES[told.measure_id]
    theirs = {} if group is None else {each.name: each.value for each in group.inputs}
    ours = {} if plain is None else {name: plain[1].get(name, 0) for name in measure.formula.names}
    theirs = {name: value for name, value in theirs.items() if name in measure.formula.names}
    if group is None or plain is None:
        alone = {**ours, **theirs}
        return str(alone) if any(alone.get(name) for name in measure.added) else None
    value = None if group.value is None else str(group.value)
    return (
        None if (value, theirs) == (plain[0], ours) else f"{value} {theirs}, not {plain[0]} {ours}"
    )


def test_every_measure_is_reckoned_here() -> None:
    assert PLAINLY.keys() == MEASURES.keys(), "a new measure needs its plain computation"


@pytest.mark.parametrize("measure_id", PLAINLY)
def test_it_is_what_plain_python_makes_of_the_records(
    year: Year, answers: dict[str, list[Measured]], known: Known, measure_id: str
) -> None:
    told = answers[measure_id]
    assert len(told) >= 2 * len(QUESTIONS)
    assert any(each.value for each in told)
    assert not [why for each in told for why in differences(year, known, each)]


def test_a_return_is_so_sure(year: Year, answers: dict[str, list[Measured]], known: Known) -> None:
    told = [each for each in answers["campaigns.return"] if each.value is not None]
    assert len(told) > 2
    for each in told:
        first = each.on.replace(month=1, day=1)
        asked = Asked(year.branch, each.on, first, each.params)
        rows = list(PLAINLY[each.measure_id].of(asked))
        _, sums = plainly(each.measure_id, asked, rows, None, each.digits)[ALL]
        assert (float(each.low or 0), float(each.high or 0)) == pytest.approx(
            interval(sums), abs=1e-4
        )


def test_the_page_tells_the_same(year: Year) -> None:
    told = year.ended("bindings.rate").out
    here = measured(
        year.conn, "bindings.rate", {"cohort_id": "bound-2025"}, QUESTIONS[0][0], ["unit_id"]
    )
    assert f"\n{here.value} %\n" in told
    lines = [line.split() for line in told.splitlines()]
    assert len(here.groups) == 3
    for each in here.groups:
        said = [each.key["unit_id"], each.value, *(one.value for one in each.inputs)]
        assert [*map(str, said)] in lines
