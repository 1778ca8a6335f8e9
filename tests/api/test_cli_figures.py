"""`figures`: the table at every width, explanations, exit codes."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from rich.cells import cell_len

from api.answers import Figures
from api.cli.changes import tell_changes
from api.cli.figures import fitting, tell_figures
from projections.asof.changes import Changes
from projections.engine.answer import Moment
from projections.engine.measure import MeasureChange
from projections.figures.report import DAY, Figure
from tests.api.running import SCALE, clubledger, on_terminal

AT = datetime(2009, 1, 5, 1, tzinfo=UTC)


def test_figures_of_a_scaled_demo(demo_dir: Path) -> None:
    shown = clubledger("figures", data_dir=demo_dir)
    assert shown.code == 0, shown.err
    for word in ("reported", "derived", "difference", "verdict", "assumed?", "events"):
        assert word in shown.out
    assert f"a demo scaled to {SCALE}" in shown.out


def _figure(name: str, reported: str, derived: str, verdict: str) -> Figure:
    return Figure(
        figure_id=name,
        section="Test",
        title=name,
        zh="测试",
        unit="pp",
        reported=Decimal(reported),
        derived=Decimal(derived),
        difference=Decimal(derived) - Decimal(reported),
        verdict=verdict,
        assumed=[],
        events=1,
        formula=None,
        note="98.82 - 83 is not 14.57.",
    )


def _figures(*figures: Figure) -> Figures:
    return Figures(demo=None, clock=AT, figures=list(figures))


def test_a_contradiction_of_the_document_is_flagged_and_no_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    contradiction = _figure("a.b", "14.57", "15.82", "DISAGREES")
    agreeing = _figure("a.c", "1", "1", "agrees")
    assert tell_figures(_figures(agreeing, contradiction), as_json=False) == 0
    said = capsys.readouterr().out
    assert "The document contradicts itself:\n  a.b: it prints 14.57, its own inputs" in said
    assert tell_figures(_figures(agreeing, contradiction), as_json=True) == 0


def test_a_figure_that_differs_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        assert tell_figures(_figures(_figure("a.b", "1", "2", "DIFFERS")), as_json) == 1
        assert "DIFFERS" in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 100, 120, 150, 200])
def test_a_narrow_table_breaks_no_name(demo_dir: Path, width: int) -> None:
    told = clubledger("figures", "--json", data_dir=demo_dir).json
    shown = Figures.model_validate(told).figures
    layout, lines = fitting(shown, width)
    assert max(line.cell_len for line in lines) <= width
    assert layout.units
    rows, said = [line.plain for line in lines], set[str]()
    for row in rows:
        said |= {row.split("  ")[0], row.strip().split("  ")[0]}
    for figure in shown:
        name = figure.figure_id.rpartition(".")[2] if layout.grouped else figure.figure_id
        assert name in said
    if layout.grouped:
        assert {f"{figure.figure_id.rpartition('.')[0]}." for figure in shown} <= set(rows)
    assert any("2008-06-30" in row for row in rows)


def test_the_narrowest_layout_is_taken_where_none_fits() -> None:
    layout, lines = fitting([_figure("a.b", "1", "1", "agrees")], 5)
    assert (layout.units, layout.events) == (False, False)
    assert [line.plain for line in lines][1:] == ["a.", " b             1        1      0  ="]


@pytest.mark.parametrize("width", [80, pytest.param(120, marks=pytest.mark.slow)])
def test_a_terminal_gets_no_line_that_it_would_break(demo_dir: Path, width: int) -> None:
    for arguments in (("figures",), ("figures", "--explain", "binding.rate")):
        for line in on_terminal(*arguments, data_dir=demo_dir, columns=width).splitlines():
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
    told = clubledger("figures", "--json", data_dir=demo_dir).json
    names = {"figure_id", "reported", "derived", "difference", "verdict", "assumed", "events"}
    assert all(names <= figure.keys() for figure in told["figures"])
    assert len({figure["figure_id"] for figure in told["figures"]}) == len(told["figures"])
    assert told["demo"] == {"scale": SCALE, "seed": 2008, "complete": True}


def test_a_figure_is_explained(demo_dir: Path) -> None:
    shown = clubledger("figures", "--explain", "binding.rate", data_dir=demo_dir)
    assert shown.code == 0, shown.err
    assert "formula" in shown.out
    assert "inputs" in shown.out
    assert "each start of a binding" in shown.out
    opened = clubledger("figures", "--explain", "clubs.health_opened", data_dir=demo_dir).out
    assert "reported    2008-06-30" in opened
    assert "\n1 event.\n" in opened
    claim = clubledger("figures", "--explain", "binding.target_basic", data_dir=demo_dir).out
    assert claim.endswith("no events\n")
    told = clubledger(
        "figures", "--explain", "binding.rate", "--limit", "2", "--json", data_dir=demo_dir
    ).json
    assert len(told["events"]) == 2


def test_an_unknown_figure_is_refused(demo_dir: Path) -> None:
    ended = clubledger("figures", "--explain", "nothing", data_dir=demo_dir)
    assert ended.code == 3
    assert ended.err.startswith("clubledger: There is no such figure")


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
