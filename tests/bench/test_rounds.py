"""Rounds: everybody in each, ratios within a round, and one bad run spoils a row."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cpu
from bench.options import QUICK
from bench.parts import Arena, Outcome, Subject
from bench.rounds import GIVE_UP_AFTER, Spread, arranged, order_of, play, ratios
from bench.words import FaultError
from tests.bench.results import series

FOREVER = float("inf")


def subject(name: str, beside: str = "", fails: bool = False) -> Subject:
    def run(seconds: int) -> Outcome:
        if fails:
            raise FaultError("3 of 10 answers were no success")
        return Outcome(100, seconds, {"p99_ms": 2.0})

    return Subject(name, name, run, beside=beside)


def quiet(_: str) -> None:
    pass


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """The machine slowed down to a half in the last round: medians alone would say 1.25."""
    ours, floor = series("a", 100, 110, 50), series("b", 100, 100, 50)
    assert ratios(ours, floor, "rate") == [1.0, 1.1, 1.0]
    assert Spread.of(ratios(ours, floor, "rate")) == Spread(1.0, 1.0, 1.1, 3)


def test_a_round_without_both_gives_no_ratio() -> None:
    ours, floor = series("a", 100, 110), series("b", 100, 100)
    floor.rounds[0] = None
    assert ratios(ours, floor, "rate") == [1.1]


def test_what_is_compared_stands_together() -> None:
    subjects = [
        subject("ours", beside="floor"),
        subject("other"),
        subject("two workers", beside="ours"),
        subject("floor"),
        subject("lone", beside="what was not chosen"),
    ]
    names = [each.name for each in arranged(subjects)]
    assert names == ["other", "floor", "ours", "two workers", "lone"]


def test_every_round_holds_everybody_in_another_order() -> None:
    subjects = [subject(name) for name in "abcdefg"]
    orders = [[each.name for each in order_of(subjects, n, in_order=False)] for n in range(6)]
    assert all(sorted(order) == list("abcdefg") for order in orders)
    assert len({tuple(order) for order in orders}) == 6
    assert [each.name for each in order_of(subjects, 3, in_order=True)] == list("abcdefg")


def test_rounds_are_measured_and_a_bad_run_spoils_its_row_alone() -> None:
    subjects = [subject("good"), subject("bad", fails=True)]
    options = QUICK.__class__(rounds=4, seconds=1)
    found = play("http", Arena("x", warm=False), subjects, options, FOREVER, quiet)
    assert found["good"].valid
    assert found["good"].spread("rate") == Spread(100, 100, 100, 4)
    assert not found["bad"].valid
    assert len(found["bad"].faults) == GIVE_UP_AFTER
    assert found["bad"].rounds == [None] * 4


def test_no_round_begins_after_the_deadline() -> None:
    options = QUICK.__class__(rounds=4, seconds=1)
    found = play("http", Arena("x", warm=False), [subject("a")], options, 0.0, quiet)
    assert len(found["a"].rounds) == 1


def test_preparation_is_undone_whatever_happens() -> None:
    done: list[str] = []

    def fail(_: int) -> Outcome:
        raise FaultError("it broke")

    broken = Subject(
        "a", "a", fail, before=lambda: done.append("before"), after=lambda: done.append("after")
    )
    play("http", Arena("x", warm=False), [broken], QUICK, FOREVER, quiet)
    assert done == ["before", "after"]


def test_time_on_the_processors_counts_children() -> None:
    """One that has ended, too; without /proc nothing is told."""
    if not cpu.known():
        return
    before = cpu.seconds_of([os.getpid()])
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", busy], check=True)
    assert cpu.seconds_of([os.getpid()]) - before >= 0.25


@pytest.mark.parametrize("pid", [0, 2**30])
def test_nobody_has_no_time(pid: int) -> None:
    assert cpu.seconds_of([pid]) >= 0


@pytest.mark.parametrize(
    ("said", "told"),
    [("cpu  10 0 20 60 1 2 3 4 0 0\ncpu0 1", (4, 100)), ("cpu  1 2 3", None), ("", None)],
)
def test_what_the_host_stole_is_told_where_the_machine_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, told: tuple[int, int] | None
) -> None:
    monkeypatch.setattr(cpu, "PROC", tmp_path)
    assert cpu.stolen() is None
    (tmp_path / "stat").write_text(said)
    assert cpu.stolen() == told
