"""Progress in lines, where nobody watches a bar."""

import pytest

from api.cli.terminal import output


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
