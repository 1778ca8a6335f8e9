"""The command line as its users run it: processes, exit codes, JSON, one sentence of error."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from rich.cells import cell_len

from api import models
from api.cli.figures import fitting, tell_figures
from api.failures import EXIT_CODES
from api.settings import Settings
from demo import SMALLEST
from ledger.embedded import EmbeddedServer
from projections.evidence import EVIDENCE
from projections.figures import COUNTED
from tests.api import facts
from tests.api.running import (
    SCALE,
    clubledger,
    empty_directory,
    on_terminal,
    serving,
    started,
    stopped,
)

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
AT = datetime(2009, 1, 5, 1, tzinfo=UTC)
COMMANDS = (
    ("figures",),
    ("project",),
    ("rebuild",),
    ("member", "m1"),
    ("events",),
    ("status",),
)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory of its own, with nothing in it."""
    with empty_directory() as path:
        yield path


@pytest.fixture
def own_ledger(data_dir: Path) -> Iterator[Path]:
    """The same, with a database that stays up between the commands."""
    with EmbeddedServer(data_dir):
        yield data_dir


# ------------------------------------------------------------------------------- documentation
def test_the_documentation_has_the_exit_codes_and_settings() -> None:
    text = DOCS.read_text("utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE))
    assert rows == {str(code): meaning for code, meaning in EXIT_CODES.items()}
    settings = re.findall(r"^\| `CLUBLEDGER_([A-Z_]+)` \|.*\| (.+) \|$", text, re.MULTILINE)
    known = {name.upper(): field.description for name, field in Settings.model_fields.items()}
    assert dict(settings) == known


# ------------------------------------------------------------------------------------ figures
def test_figures_of_a_scaled_demo(demo_dir: Path) -> None:
    shown = clubledger("figures", data_dir=demo_dir)
    assert shown.code == 0, shown.err
    for word in ("reported", "derived", "difference", "verdict", "assumed?", "events"):
        assert word in shown.out
    assert f"a demo scaled to {SCALE}" in shown.out


def _figure(name: str, reported: str, derived: str, verdict: str) -> models.Figure:
    return models.Figure(
        id=name,
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


def _figures(*figures: models.Figure) -> models.Figures:
    return models.Figures(demo=None, clock=AT, figures=list(figures))


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
    shown = models.Figures.model_validate(told).figures
    layout, lines = fitting(shown, width)
    assert max(line.cell_len for line in lines) <= width
    assert layout.units
    rows, said = [line.plain for line in lines], set[str]()
    for row in rows:
        said |= {row.split("  ")[0], row.strip().split("  ")[0]}
    for figure in shown:
        name = figure.id.rpartition(".")[2] if layout.grouped else figure.id
        assert name in said
    if layout.grouped:
        assert {f"{figure.id.rpartition('.')[0]}." for figure in shown} <= set(rows)
    assert any("2008-06-30" in row for row in rows)


def test_the_narrowest_layout_is_taken_where_none_fits() -> None:
    layout, lines = fitting([_figure("a.b", "1", "1", "agrees")], 5)
    assert (layout.units, layout.events) == (False, False)
    assert [line.plain for line in lines][1:] == ["a.", " b             1        1      0  ="]


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_gets_no_line_that_it_would_break(demo_dir: Path, width: int) -> None:
    for arguments in (("figures",), ("figures", "--explain", "binding.rate")):
        for line in on_terminal(*arguments, data_dir=demo_dir, columns=width).splitlines():
            assert cell_len(line) <= width, line


@pytest.mark.parametrize("command", [("figures",), ("figures", "--json"), ("events", "--json")])
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
    names = {"id", "reported", "derived", "difference", "verdict", "assumed", "events"}
    assert all(names <= figure.keys() for figure in told["figures"])
    assert len({figure["id"] for figure in told["figures"]}) == len(told["figures"])
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


def test_every_kind_of_evidence_says_what_was_counted() -> None:
    assert COUNTED.keys() == EVIDENCE.keys()


def test_an_unknown_figure_is_refused(demo_dir: Path) -> None:
    ended = clubledger("figures", "--explain", "nothing", data_dir=demo_dir)
    assert ended.code == 3
    assert ended.err.startswith("clubledger: There is no figure 'nothing'")


# --------------------------------------------------------------------------------------- demo
def test_a_loaded_demo_is_not_loaded_twice(demo_dir: Path) -> None:
    before = clubledger("status", "--json", data_dir=demo_dir).json["events"]
    again = clubledger("demo", "--scale", SCALE, "--json", data_dir=demo_dir)
    assert again.code == 0, again.err
    assert again.json["figures"]
    assert clubledger("status", "--json", data_dir=demo_dir).json["events"] == before


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
    for arguments in (("figures",), ("figures", "--explain", "binding.rate")):
        shown = clubledger(*arguments, data_dir=own_ledger)
        assert shown.code == 0
        assert shown.out.startswith("The demo is loaded in part: `clubledger demo` goes on.")
    served = stopped(serving(own_ledger))
    assert served.err.startswith("The demo is loaded in part, and so is what is served")


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
    assert all(lane["head"] > 0 for lane in status["lanes"])
    assert (status["buckets"], status["behind"]) == (4, 0)
    page = clubledger("events", "--bucket", "3", "--limit", "5", "--json", data_dir=own_ledger).json
    assert [event["position"] for event in page["events"]] == [1, 2, 3, 4, 5]


def _demo_figures(data_dir: Path) -> list[object]:
    figures: list[object] = clubledger("figures", "--json", data_dir=data_dir).json["figures"]
    return figures


def _log(data_dir: Path) -> list[object]:
    """The events as they are; behind those of the demo there may be those of other tests."""
    page = clubledger("events", "--limit", "10000", "--json", data_dir=data_dir).json
    events: list[object] = page["events"]
    return events


# ------------------------------------------------------------------------------------- import
def test_a_good_file_is_taken_once(own_ledger: Path, tmp_path: Path) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_bytes(facts.lines(facts.facts()))
    first = clubledger("import", file, "--json", data_dir=own_ledger)
    assert first.code == 0, first.err
    assert (first.json["facts"], first.json["rejected"]) == (len(facts.facts()), 0)
    again = clubledger("import", file, "--json", data_dir=own_ledger)
    assert (again.code, again.json["replayed"]) == (0, True)
    events = clubledger("status", "--json", data_dir=own_ledger).json["events"]
    assert events == first.json["events"]
    card = clubledger("member", facts.PHONE, "--json", data_dir=own_ledger).json
    assert (card["member_id"], card["spendable_points"]) == ("t1", 100)


def test_nothing_is_kept_of_a_bad_file_unless_it_is_asked_for(
    own_ledger: Path, tmp_path: Path
) -> None:
    bad = [
        b"no json at all\n",
        b'{"command": "no.such"}\n',
        facts.lines([facts.fact("points.debit", member_id="t1", points=10_000, reason="x")]),
        b'{"command": "unit.open", "actor": "system:test", "unit_id": "u", "title": "undated"}\n',
        facts.lines([facts.fact("unit.open", at="2999-01-01T00:00:00Z", unit_id="v", title="V")]),
    ]
    good = facts.lines(facts.facts())
    file, rejects = tmp_path / "facts.jsonl", tmp_path / "rejects.jsonl"
    file.write_bytes(good + b"".join(bad))

    ended = clubledger("import", file, data_dir=own_ledger)
    assert ended.code == 3
    assert ended.err.strip().endswith("so nothing of the file was taken.")
    first = len(facts.facts()) + 1
    for line in range(first, first + len(bad)):
        assert f"line {line}: " in ended.err
    assert clubledger("status", "--json", data_dir=own_ledger).json["events"] == 0

    ended = clubledger("import", file, "--keep-good", rejects, "--json", data_dir=own_ledger)
    assert ended.code == 3
    assert (ended.json["kept"], ended.json["rejected"]) == (True, len(bad))
    lines = {each["line"]: each["code"] for each in ended.json["rejections"]}
    assert list(lines) == list(range(first, first + len(bad)))
    assert lines[first + 2] == "not_enough_points"
    assert sorted(rejects.read_bytes().splitlines(True)) == sorted(bad)
    assert clubledger("status", "--json", data_dir=own_ledger).json["events"] > 0

    other = tmp_path / "other.jsonl"
    again = clubledger("import", file, "--keep-good", other, data_dir=own_ledger)
    assert again.code == 3
    assert again.out.startswith("this file was taken before: ")
    assert again.out.endswith(f"events, {len(bad)} lines were rejected then\n")
    assert "they are not in the ledger" in again.err
    assert not other.exists()
    again = clubledger("import", file, "--json", data_dir=own_ledger)
    assert (again.code, again.json["replayed"], again.json["rejected"]) == (3, True, len(bad))

    mine = clubledger("import", file, "--keep-good", rejects, data_dir=own_ledger)
    assert mine.code == 2
    assert sorted(rejects.read_bytes().splitlines(True)) == sorted(bad)


def test_a_file_that_is_not_there_is_wrong_use(data_dir: Path, tmp_path: Path) -> None:
    for file in (tmp_path / "nothing.jsonl", tmp_path):
        ended = clubledger("import", file, data_dir=data_dir)
        assert ended.code == 2
        assert "cannot be read" in ended.err


# ------------------------------------------------------------------------- members and the log
def test_a_card_and_a_statement(demo_dir: Path) -> None:
    page = clubledger("events", "--limit", "2000", "--json", data_dir=demo_dir).json
    credited = next(e for e in page["events"] if e["topic"] == "points.credited")
    member_id = credited["stream"].removeprefix("member:")
    card = clubledger("member", member_id, data_dir=demo_dir)
    assert card.code == 0, card.err
    assert member_id in card.out
    assert "demo clock: 2009-01-05 09:" in card.err
    told = clubledger("member", member_id, "--statement", "--json", data_dir=demo_dir).json
    assert told["entries"][0]["balance"] >= 0
    assert "+" in clubledger("member", member_id, "--statement", data_dir=demo_dir).out


def test_nobody_is_not_found(demo_dir: Path) -> None:
    for who in ("nobody", "19999999999"):
        ended = clubledger("member", who, "--json", data_dir=demo_dir)
        assert (ended.code, ended.problem["code"]) == (3, "not_found")
        assert who not in ended.err


def test_events_from_a_position_and_of_a_stream(demo_dir: Path) -> None:
    page = clubledger("events", "--after", "3", "--limit", "4", "--json", data_dir=demo_dir).json
    assert [event["position"] for event in page["events"]] == [4, 5, 6, 7]
    times = [event[at] for event in page["events"] for at in ("occurred_at", "recorded_at")]
    assert {time[-1] for time in times} == {"Z"}
    stream = page["events"][0]["stream"]
    told = clubledger("events", "--stream", stream, "--json", data_dir=demo_dir).json
    assert {event["stream"] for event in told["events"]} == {stream}
    assert len(clubledger("events", "--limit", "5", data_dir=demo_dir).out.splitlines()) == 5
    assert clubledger("events", "--stream", "member:nobody", data_dir=demo_dir).code == 3
    assert clubledger("events", "--bucket", "9", data_dir=demo_dir).code == 3


@pytest.mark.parametrize("command", ["events", "figures"])
def test_a_reader_who_leaves_is_no_failure(demo_dir: Path, command: str) -> None:
    """As in `clubledger events | head`."""
    leaving = started(command, *(["--limit", "5000"] * (command == "events")), data_dir=demo_dir)
    assert leaving.stdout is not None
    assert leaving.stderr is not None
    with leaving:
        leaving.stdout.close()
        assert leaving.stderr.read() == b""
    assert leaving.returncode == 0


# --------------------------------------------------------------------------------- the answers
@pytest.mark.slow
def test_a_rebuild_changes_no_figure(demo_dir: Path) -> None:
    before = _demo_figures(demo_dir)
    ended = clubledger("rebuild", "--json", data_dir=demo_dir)
    assert ended.code == 0, ended.err
    assert ended.json["rebuilt"]
    assert _demo_figures(demo_dir) == before
    assert clubledger("project", "--json", data_dir=demo_dir).json["events"] == 0


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_following_ends_when_it_is_told(demo_dir: Path, how: int, code: int) -> None:
    following = started("project", "--follow", data_dir=demo_dir)
    assert following.stderr is not None
    assert b"folds what comes in" in following.stderr.readline()
    time.sleep(0.5)
    following.send_signal(how)
    _, err = following.communicate(timeout=30)
    assert (following.returncode, err) == (code, b"")


# -------------------------------------------------------------------------------- which ledger
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_question_makes_no_ledger(data_dir: Path, command: tuple[str, ...]) -> None:
    ended = clubledger(*command, "--json", data_dir=data_dir / "mistyped", cold=True)
    assert (ended.code, ended.problem["code"]) == (4, "cannot_open")
    assert not list(data_dir.iterdir())


def test_the_environment_names_the_directory(demo_dir: Path) -> None:
    ended = clubledger("status", "--json", CLUBLEDGER_DATA_DIR=str(demo_dir))
    assert ended.json["database"] == str(demo_dir)


@pytest.mark.parametrize("command", COMMANDS[::3], ids=lambda command: command[0])
def test_a_database_that_is_away_is_one_sentence(command: tuple[str, ...]) -> None:
    url = "postgresql://user:secret@127.0.0.1:1/none"
    ended = clubledger(*command, CLUBLEDGER_DATABASE_URL=url)
    assert ended.code == 4
    assert len(ended.err.splitlines()) == 1
    assert "secret" not in ended.err


def test_an_address_that_is_none_does_not_tell_its_password() -> None:
    ended = clubledger("status", CLUBLEDGER_DATABASE_URL="postgresql://u:secret@[broken")
    assert ended.code == 4
    assert "secret" not in ended.err


def test_a_setting_out_of_range_is_wrong_use() -> None:
    ended = clubledger("status", "--json", CLUBLEDGER_PORT="70000")
    assert ended.code == 2
    assert "CLUBLEDGER_PORT" in ended.problem["detail"]


# ------------------------------------------------------------------------------------ wrong use
@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("figures", "--nothing"),
        ("events", "--limit", "0"),
        ("serve", "--port", "70000"),
        ("member",),
    ],
)
def test_wrong_use_is_one_sentence(arguments: tuple[str, ...]) -> None:
    ended = clubledger(*arguments, cold=True)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    told = clubledger(*arguments, "--json", cold=True).problem
    assert (told["code"], told["exit_code"]) == ("wrong_use", 2)


@pytest.mark.parametrize("command", ["demo", "serve", "import", *(c[0] for c in COMMANDS)])
def test_every_command_explains_itself(command: str) -> None:
    ended = clubledger(command, "--help", cold=True)
    assert ended.code == 0
    assert "--data-dir" in ended.out
    assert "--json" in ended.out


# -------------------------------------------------------------------------------------- serving
def test_a_port_that_is_taken_is_one_sentence(demo_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = clubledger("serve", "--port", port, data_dir=demo_dir)
    assert ended.code == 4
    assert (
        ended.err
        == f"clubledger: Cannot listen on http://127.0.0.1:{port}: Address already in use.\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_a_server_with_130(data_dir: Path, workers: str) -> None:
    """On an empty directory, which serving makes a ledger."""
    ended = stopped(serving(data_dir, "--workers", workers), signal.SIGINT)
    assert ended.code == 130, ended.err
    assert ended.err == ""


def test_a_server_says_in_one_line_that_it_serves(demo_dir: Path) -> None:
    process = started("serve", "--port", "0", data_dir=demo_dir)
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    assert re.fullmatch(r"clubledger serves on http://127\.0\.0\.1:\d+\n", line)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == b""
    assert re.fullmatch(rb"(demo clock: 2009-01-05 09:\d\d Asia/Shanghai\n)?", err)


def test_json_errors_are_one_object(demo_dir: Path) -> None:
    ended = clubledger("figures", "--explain", "nothing", "--json", data_dir=demo_dir)
    assert json.loads(ended.err)["exit_code"] == ended.code == 3
