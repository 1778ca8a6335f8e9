"""`figures`: every measure, or a report beside them: the table at every width, explanations, exit
codes."""

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from api.answers import Figures, ReportAnswer
from api.cli.changes import tell_changes
from api.cli.figures import fitting
from api.cli.reports import fitting as fitting_claims
from api.cli.reports import tell
from projections.asof.changes import Changes
from projections.engine.answer import Moment
from projections.engine.measure import DAY, MeasureChange
from projections.figures.claims import ClaimFigure
from tests.api.running import SCALE, clubledger, on_terminal

AT = datetime(2009, 1, 5, 1, tzinfo=UTC)
VIP = ("figures", "--report", "vip-2008")


def test_figures_of_a_scaled_demo(demo_dir: Path) -> None:
    shown = clubledger(*VIP, data_dir=demo_dir)
    assert shown.code == 0, shown.err
    for word in ("printed", "its own", "derived", "diff.", "verdict", "Targets:"):
        assert word in shown.out
    assert f"a demo scaled to {SCALE}" in shown.out
    measures = clubledger("figures", data_dir=demo_dir)
    assert measures.code == 0, measures.err
    assert "bindings.rate" in measures.out
    last = "The last fact about customers is of 2008-12-31: --effective-at 2008-12-31."
    assert last in measures.out


def claim(name: str, value: str, derived: str, verdict: Any) -> ClaimFigure:
    said: dict[str, Any] = {
        "section": "Test", "title": name, "zh": "测试", "measure": None, "parameters": {},
        "digits": 2, "unit": "pp", "meant": "exact", "formula": "a - b", "why": None, "flags": [],
        "note": "98.82 - 83 is not 14.57.", "difference": Decimal("1.25"),
    }  # fmt: skip
    days = dict.fromkeys(("first", "last"), date(2008, 12, 31))
    found = {"derived": Decimal(derived), "by_its_own": Decimal(derived), "verdict": verdict}
    return ClaimFigure(claim_id=name, value=value, **{**said, **days, **found})


def answer(*figures: ClaimFigure) -> ReportAnswer:
    said: dict[str, Any] = {"report_id": "r", "title": "T", "source": "S", "demo": None}
    days = dict.fromkeys(("dated_on", "first", "last"), date(2008, 12, 31))
    return ReportAnswer(clock=AT, figures=list(figures), targets=[], **{**said, **days})


def test_a_contradiction_of_the_document_is_flagged_and_no_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    contradiction = claim("a.b", "14.57", "15.82", "contradicts itself")
    agreeing = claim("a.c", "1", "1", "agrees")
    assert tell(answer(agreeing, contradiction), as_json=False) == 0
    said = capsys.readouterr().out
    assert "The document contradicts itself:\n  a.b: it prints 14.57, and a - b of what" in said
    assert tell(answer(agreeing, contradiction), as_json=True) == 0


def test_a_claim_that_differs_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        assert tell(answer(claim("a.b", "1", "2", "differs")), as_json) == 1
        assert "differs" in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 100, 120, 150, 200])
def test_a_narrow_table_breaks_no_name(demo_dir: Path, width: int) -> None:
    told = clubledger(*VIP, "--json", data_dir=demo_dir).json
    claims = ReportAnswer.model_validate(told).figures
    _, lines = fitting_claims(claims, width)
    assert max(line.cell_len for line in lines) <= width
    rows = [line.plain for line in lines]
    names = {row.strip().split("  ")[0] for row in rows}
    assert {each.claim_id.rpartition(".")[2] for each in claims} <= names
    assert any("2008-06-30" in row for row in rows)
    measures = Figures.model_validate(clubledger("figures", "--json", data_dir=demo_dir).json)
    lines = fitting(measures.figures, width)
    assert {each.measure_id for each in measures.figures} <= {
        line.plain.split("  ")[0] for line in lines
    }


@pytest.mark.parametrize("width", [80, pytest.param(120, marks=pytest.mark.slow)])
def test_a_terminal_gets_no_line_that_it_would_break(demo_dir: Path, width: int) -> None:
    for line in on_terminal(*VIP, data_dir=demo_dir, columns=width).splitlines():
        assert cell_len(line) <= width, line


@pytest.mark.parametrize(
    "command",
    [
        ("figures",),
        ("figures", "--json"),
        pytest.param(("events", "--json"), marks=pytest.mark.slow),
    ],
)
def test_an_encoding_that_lacks_letters_is_no_failure(
    demo_dir: Path, command: tuple[str, ...]
) -> None:
    ended = clubledger(
        *command, data_dir=demo_dir, cold=True, PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    assert (ended.code, ended.err) == (0, "")
    if "--json" in command:
        assert ended.json == clubledger(*command, data_dir=demo_dir).json | (
            {"clock": ended.json["clock"]} if "clock" in ended.json else {}
        )


def test_figures_as_json(demo_dir: Path) -> None:
    told = clubledger(*VIP, "--json", data_dir=demo_dir).json
    names = {"claim_id", "value", "derived", "by_its_own", "difference", "verdict", "assumed"}
    assert all(names <= figure.keys() for figure in told["figures"])
    assert len({figure["claim_id"] for figure in told["figures"]}) == len(told["figures"])
    known = {"scale": SCALE, "seed": 2008, "complete": True}
    assert known.items() <= told["demo"].items()


def test_a_claim_is_explained(demo_dir: Path, tmp_path: Path) -> None:
    shown = clubledger(*VIP, "--explain", "binding.rate", data_dir=demo_dir)
    assert shown.code == 0, shown.err
    assert "formula     bound / base * 100" in shown.out
    assert "binding.base: printed 104,628" in shown.out
    assert "cohort.included" in shown.out
    opened = clubledger(*VIP, "--explain", "clubs.health_opened", data_dir=demo_dir).out
    assert "printed     2008-06-30" in opened
    stated = clubledger(*VIP, "--explain", "binding.target_basic", data_dir=demo_dir).out
    assert "verdict     stated only" in stated
    asked = (*VIP, "--explain", "binding.rate", "--limit", "2", "--json")
    assert len(clubledger(*asked, data_dir=demo_dir).json["contributions"]) == 2
    target = tmp_path / "rows.csv"
    rows = (*VIP, "--explain", "binding.rate", "--export", target)
    assert clubledger(*rows, data_dir=demo_dir).code == 0
    assert target.stat().st_size
    assert clubledger(*VIP, "--explain", "binding.target_basic", "--export",
                      str(tmp_path / "none.csv"), data_dir=demo_dir).code == 3  # fmt: skip


def test_what_is_not_there_is_refused(demo_dir: Path) -> None:
    ended = clubledger(*VIP, "--explain", "nothing", data_dir=demo_dir)
    assert (ended.code, "makes no such claim" in ended.err) == (3, True)
    ended = clubledger("figures", "--report", "nothing", data_dir=demo_dir)
    assert (ended.code, "There is no such report" in ended.err) == (3, True)
    ended = clubledger("figures", "--explain", "binding.rate", data_dir=demo_dir)
    assert (ended.code, "--explain goes with --report" in ended.err) == (2, True)


def test_changes_show_days_as_days_and_how_many_lie_between(
    capsys: pytest.CaptureFixture[str],
) -> None:
    moment = Moment(known_at=AT, effective_at=None, positions=((0, 1),))
    moved = MeasureChange(
        measure_id="a.day",
        title="A day",
        unit=DAY,
        params={},
        key={},
        before=Decimal(20080101),
        after=Decimal(20080103),
        difference=Decimal(2),
    )
    tell_changes(Changes(before=moment, after=moment, measures=[moved], events=[]))
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("a.day"))
    assert row.split() == ["a.day", "2008-01-01", "2008-01-03", "2", "days"]
