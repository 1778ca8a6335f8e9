"""The analyst's year: an invented branch's files are mapped, checked and imported through the
command line, and then every measure is what plain Python makes of the branch's own records."""

import json
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
from tests.api.analyst.house import SHEETS
from tests.api.analyst.plainly import ALL, NEEDED, PLAINLY, QUESTIONS, Asked, Row, interval, plainly
from tests.api.running import Ended, clubledger, empty_directory

HERE = Path(__file__).parent
LATE = "lounge_late.csv"
FILES = [*(name for name in SHEETS if name != LATE), "house.jsonl"]
assert NOUNS, "they make the catalogue"


@dataclass(frozen=True)
class Year:
    """The branch, and how its files were taken."""

    branch: Branch
    data_dir: Path
    files: Path
    events_after_check: int
    checked: Ended
    imported: Ended
    late: Ended
    conn: Conn


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Year]:
    """The files of the branch, mapped, checked and imported; those that come late after that."""
    branch, files = Branch(), tmp_path_factory.mktemp("branch")
    branch.write(files)
    guessed = clubledger("import", "--guess", "bills_2024.csv", cwd=files)
    assert (guessed.code, guessed.err) == (0, "")
    tables = guessed.out[guessed.out.index("[[table]]") :]
    said = (HERE / "mapping.toml").read_text("utf-8")
    (files / "branch.toml").write_text(f"{said}\n{tables}", "utf-8")
    with empty_directory() as data_dir, EmbeddedServer(data_dir) as server:

        def imported(*words: str) -> Ended:
            known = ("import", *words, "--mapping", "branch.toml", "--json")
            return clubledger(*known, data_dir=data_dir, cwd=files)

        assert clubledger("import", "-", data_dir=data_dir).code == 0
        checked = imported(*FILES, "--check")
        events = clubledger("status", "--json", data_dir=data_dir).json["events"]
        done = imported(*FILES, "--despite", "in_control_group", "--keep-good", "rejects")
        late = imported(LATE)
        runner.project(server.dsn)
        with connect(server.dsn) as conn, runner.snapshot(conn):
            yield Year(branch, data_dir, files, events, checked, done, late, conn)


def rejected(ended: Ended) -> set[tuple[str, int, str]]:
    return {(each["file"], each["line"], each["code"]) for each in ended.json["rejections"]}


def test_a_check_tells_what_is_wrong_and_writes_nothing(year: Year) -> None:
    assert rejected(year.checked) == year.branch.rejections()
    assert (year.checked.code, year.events_after_check) == (3, 0)
    assert {code for _, _, code in year.branch.rejections()} >= {
        "not_open_yet", "not_come_yet", "in_control_group", "already_billed", "unknown_member",
        "not_enough_points", "misspelt",
    }  # fmt: skip
    for each in year.checked.json["rejections"]:
        assert each["mend"], each


def test_what_happened_all_the_same_is_taken(year: Year) -> None:
    wrong = year.branch.rejections()
    expected = {each for each in wrong if each[2] != "in_control_group"}
    known = clubledger("exceptions", "--json", data_dir=year.data_dir).json["exceptions"]
    assert len(known) == len(wrong) - len(expected) > 5
    assert (year.imported.code, rejected(year.imported)) == (3, expected)
    reasons = (year.files / "rejects.reasons").read_text("utf-8").splitlines()
    assert len(reasons) == len(expected)


def test_what_came_late_is_taken_and_said_by_line(year: Year) -> None:
    told = year.late.json
    assert (year.late.code, told["rejected"]) == (0, 0)
    assert told["judged_late"] == len(told["late"]) > 5
    assert {each["file"] for each in told["late"]} == {LATE}


OTHERWISE = {
    "days": 200, "fen_per_1000": 1_250, "low_fen": 7_500, "low_months": 2, "club_id": "court",
    "service_id": "weights",
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


def test_the_command_line_tells_the_same(year: Year) -> None:
    words = ("measure", "bindings.rate", "--cohort", "bound-2025", "--on", "2025-12-31")
    told = clubledger(*words, "--by", "unit", "--json", data_dir=year.data_dir).json
    here = measured(
        year.conn, "bindings.rate", {"cohort_id": "bound-2025"}, QUESTIONS[0][0], ["unit_id"]
    )
    assert json.loads(here.model_dump_json())["value"] == told["value"]
    assert len(told["groups"]) == len(here.groups) == 3
