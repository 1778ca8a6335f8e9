"""Progress in lines, where nobody watches a bar; lists where there is little room."""

import pytest

from api.cli.terminal import layouts, output
from api.cli.terminal.layouts import Column


def test_progress_in_lines_tells_how_long_the_rest_will_take(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("api.cli.terminal.output.time.monotonic", lambda: now[0])
    steps = output.Steps(None)
    steps.reach("events", 500, 2_000)  # a rebuild that was stopped there goes on
    now[0] += 10
    steps.reach("events", 1_000, 2_000)
    now[0] += 10
    steps.reach("events", 2_000, 2_000)
    assert capsys.readouterr().err.splitlines() == [
        "events ...",
        "events: 1,000 of 2,000, 20 s left",
        "events: 2,000 of 2,000",
    ]


def test_a_list_without_room_stands_row_below_row_and_breaks_no_word() -> None:
    columns = [Column("at"), Column("points", right=True), Column("lots"), Column("text")]
    rows = [["2008-12-31 21:00:00", "+17,447", "", "points.credited"], ["", "1", "lot 6", "账单"]]
    wide, narrow = (
        [line.plain for line in layouts.listed(columns, rows, room)] for room in (80, 40)
    )
    assert [line.split() for line in wide] == [
        ["at", "points", "lots", "text"],
        ["2008-12-31", "21:00:00", "+17,447", "points.credited"],
        ["1", "lot", "6", "账单"],
    ]
    assert narrow == [
        "at      2008-12-31 21:00:00", "points  +17,447", "text    points.credited", "",
        "points  1", "lots    lot 6", "text    账单", "",
    ]  # fmt: skip
