"""What a run has found becomes goals, a page, a plot and JSON that agree."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import goals, report
from bench.catalogue import PARTS
from bench.goals import judged, listed
from bench.parts import ARENAS
from bench.report import Result
from bench.rounds import Series
from tests.bench.results import by_name, series

SVG = "{http://www.w3.org/2000/svg}"


def result(found: dict[str, Series]) -> Result:
    return Result(
        measured_at="2026-11-23T14:49+00:00",
        quick=False,
        commit="abc",
        minutes=1.0,
        options={"rounds": 3, "seconds": 2},
        machine={"cpu": "some | model", "cores": 2},
        postgresql={"fsync": "on"},
        found=found,
        goals=judged(found),
        left_out={"pgledger": "no package"},
        texts={"visits": ["ncalls tottime", "1 0.1 decide"]},
    )


def both() -> dict[str, Series]:
    more = {"p99_ms": 6.0, "cpu_app_us": 100.0, "cpu_postgres_us": 50.0, "cpu_load_us": 50.0}
    return by_name(
        series("fastapi.c32", 10_000, 12_000, 11_000, p99_ms=5.0),
        series("http.w1.c32", 8_000, 12_000, 11_000, **more),
        series("http.w2.c32", 8_000, 12_000, 11_000, **more),
    )


def test_goals_are_judged_by_their_comparison() -> None:
    found = {each.goal.id: each for each in judged(both())}
    rate, tail = found["http_rate"], found["http_p99"]
    assert rate.ratio is not None
    assert (rate.ratio.median, rate.ratio.minimum, rate.met) == (1.0, 0.8, True)
    assert tail.ratio is not None
    assert (tail.ratio.median, tail.met) == (1.2, True)
    assert found["stock"].met is None
    assert found["stock"].why == "stock.http.c32 was not measured"


def test_a_row_that_does_not_count_meets_no_goal() -> None:
    found = both()
    found["http.w1.c32"].faults.append("3 of 10 answers were no success")
    assert {each.met for each in judged(found)} == {None}


def test_every_goal_of_the_issue_is_there_and_can_be_measured() -> None:
    assert len({goal.id for goal in listed()}) == len(listed()) == 32
    arenas = {part.arena for part in PARTS.values()}
    assert arenas == set(ARENAS)
    assert set(report.REFERENCES) | {"profile"} == set(ARENAS)


def test_the_json_says_what_the_page_says(tmp_path: Path) -> None:
    page, plot, told = written(tmp_path)
    (rate,) = [goal for goal in told["goals"] if goal["id"] == "http_rate"]
    assert (rate["value"], rate["goal"], rate["met"]) == (1.0, 1.0, True)
    (measured,) = [m for m in told["measurements"] if m["id"] == "http.w1.c32:rate"]
    assert measured["unit"] == "commands a second"
    assert (measured["median"], measured["min"], measured["max"]) == (11_000, 8_000, 12_000)
    assert "| debits over HTTP / empty FastAPI POST | 1.00 (0.80-1.00) | >= 1 | yes |" in page
    assert "11,000 (8,000-12,000)" in page
    assert "fsync" in page
    assert "**pgledger**: no package" in page
    assert told["third_core"]["at_most_a_second"] == 15_000
    texts = [each.text for each in ElementTree.fromstring(plot).iter(f"{SVG}text")]
    assert "1.00 (goal >= 1)" in texts


def written(folder: Path) -> tuple[str, str, dict[str, Any]]:
    paths = report.write(result(both()), folder)
    assert {path.name for path in paths} == {"benchmarks.md", "benchmarks.svg", "benchmarks.json"}
    texts = {path.suffix: path.read_text("utf-8") for path in paths}
    return texts[".md"], texts[".svg"], json.loads(texts[".json"])


def test_tables_have_as_many_cells_in_every_row(tmp_path: Path) -> None:
    page, _, _ = written(tmp_path)
    widths: set[int] = set()
    for line in [*page.splitlines(), ""]:
        if line.startswith("|"):
            widths.add(line.count("|"))
        else:
            assert len(widths) <= 1
            widths = set()


def test_nothing_measured_still_makes_a_page(tmp_path: Path) -> None:
    paths = report.write(result({}), tmp_path)
    assert all(path.read_text("utf-8") for path in paths)


def test_the_alarm_rings_for_a_goal_that_is_misspelt() -> None:
    with pytest.raises(TypeError, match="gaol"):
        goals.Goal(id="x", gaol=1.0)  # type: ignore[call-arg]
