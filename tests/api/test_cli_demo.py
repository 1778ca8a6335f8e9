"""`demo`: loaded once, never mixed, and gone on with where it was killed."""

import signal
from pathlib import Path

import pytest

from demo import SMALLEST
from tests.api import facts
from tests.api.running import SCALE, clubledger, serving, started, stopped


def test_a_loaded_demo_is_not_loaded_twice(demo_dir: Path) -> None:
    before = clubledger("status", "--json", data_dir=demo_dir).json["events"]
    again = clubledger("demo", "--scale", SCALE, "--json", data_dir=demo_dir)
    assert again.code == 0, again.err
    assert again.json["figures"]
    assert clubledger("status", "--json", data_dir=demo_dir).json["events"] == before


def test_what_many_tests_read_none_of_them_writes(demo_dir: Path) -> None:
    said = facts.lines([facts.fact("unit.open", unit_id="u", title="u")])
    ended = clubledger("import", "-", data_dir=demo_dir, stdin=said)
    assert (ended.code, "RaiseException" in ended.err) == (5, True)
    assert clubledger("import", "-", data_dir=demo_dir, stdin=b"").code == 0


@pytest.mark.parametrize("other", [("--scale", "0.003"), ("--scale", SCALE, "--seed", "7")])
def test_demos_do_not_mix(demo_dir: Path, other: tuple[str, ...]) -> None:
    ended = clubledger("demo", *other, data_dir=demo_dir)
    assert ended.code == 3
    assert "one ledger holds one demo" in ended.err


def test_a_demo_does_not_mix_with_other_events(own_ledger: Path) -> None:
    stdin = facts.lines(facts.facts())
    imported = clubledger("import", "-", data_dir=own_ledger, stdin=stdin, cold=True)
    assert imported.code == 0, imported.err
    ended = clubledger("demo", "--scale", SCALE, "--json", data_dir=own_ledger)
    assert ended.code == 3
    assert ended.problem["code"] == "rejected"
    assert ended.problem["exit_code"] == 3


@pytest.mark.parametrize("scale", ["0", "-1", "1.5", "nan", "inf", "small", "0.0001", "0.00049"])
def test_a_scale_out_of_range_is_wrong_use(data_dir: Path, scale: str) -> None:
    assert clubledger("demo", f"--scale={scale}", data_dir=data_dir).code == 2
    assert not list(data_dir.iterdir())


def test_the_smallest_scale_loads(data_dir: Path) -> None:
    loaded = clubledger("demo", "--scale", SMALLEST, data_dir=data_dir)
    assert loaded.code == 0, loaded.err
    assert f"a demo scaled to {SMALLEST}" in loaded.out


@pytest.mark.slow
def test_a_demo_in_part_says_so(own_ledger: Path) -> None:
    loading = started("demo", "--scale", SCALE, "--no-figures", data_dir=own_ledger)
    assert loading.stderr is not None
    for line in loading.stderr:
        if line.startswith(b"May 2008"):
            break
    loading.kill()
    loading.communicate()
    shown = clubledger("figures", data_dir=own_ledger)
    assert shown.code == 0
    assert shown.out.startswith("The demo is loaded in part: `clubledger demo` goes on.")
    served = stopped(serving(own_ledger))
    assert "The demo is loaded in part, and so is what is served" in served.err


@pytest.mark.slow
def test_a_load_that_was_killed_goes_on_where_it_stopped(demo_dir: Path, data_dir: Path) -> None:
    """Killed with -9 again and again, it ends with the same log and figures as one that was not."""
    for step in ("The branch in 2007", "May 2008", "December 2008", "windows"):
        loading = started("demo", "--scale", SCALE, "--no-figures", data_dir=data_dir)
        assert loading.stderr is not None
        for line in loading.stderr:
            if line.decode().startswith(step):
                break
        loading.kill()
        loading.communicate()
        assert loading.returncode == -signal.SIGKILL
    ended = clubledger("demo", "--scale", SCALE, "--json", data_dir=data_dir)
    assert ended.code == 0, ended.err
    assert ended.json["figures"] == _demo_figures(demo_dir)
    log = _log(data_dir)
    assert log == _log(demo_dir)[: len(log)]


@pytest.mark.slow
def test_four_buckets_give_the_same_figures_as_one(demo_dir: Path, own_ledger: Path) -> None:
    demo = ("demo", "--scale", SCALE, "--json")
    loaded = clubledger(*demo, data_dir=own_ledger, CLUBLEDGER_BUCKETS="4")
    assert loaded.code == 0, loaded.err
    assert loaded.json["figures"] == _demo_figures(demo_dir)
    status = clubledger("status", "--json", data_dir=own_ledger).json
    assert all(lane["log_end"] > 0 for lane in status["lanes"])
    assert (status["buckets"], status["behind"]) == (4, 0)
    page = clubledger("events", "--bucket", "3", "--limit", "5", "--json", data_dir=own_ledger).json
    assert [event["position"] for event in page["events"]] == [1, 2, 3, 4, 5]


def _demo_figures(data_dir: Path) -> list[object]:
    asked = ("figures", "--report", "vip-2008", "--json")
    figures: list[object] = clubledger(*asked, data_dir=data_dir).json["figures"]
    return figures


def _log(data_dir: Path) -> list[object]:
    """The events as they are; behind those of the demo there may be those of other tests."""
    page = clubledger("events", "--limit", "10000", "--json", data_dir=data_dir).json
    events: list[object] = page["events"]
    return events


@pytest.mark.slow
def test_a_rebuild_changes_no_figure(demo_dir: Path) -> None:
    before = _demo_figures(demo_dir)
    ended = clubledger("rebuild", "--json", data_dir=demo_dir)
    assert ended.code == 0, ended.err
    assert ended.json["rebuilt"]
    assert _demo_figures(demo_dir) == before
    assert clubledger("project", "--json", data_dir=demo_dir).json["events"] == 0
