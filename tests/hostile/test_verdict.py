"""The verdict of the hostile hour rings for each thing that must not be."""

import json
import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import processes
from tests.hostile.commands import Commands, judged
from tests.hostile.evidence import Evidence
from tests.hostile.house import House, Life
from tests.hostile.verdict import (
    Journals,
    Phase,
    of_cards,
    of_journals,
    of_life,
    of_log,
    of_rates,
)
from tests.hostile.world import PRICE_POINTS, START_POINTS

VISIT = {"key": "h-0-1", "kind": "visit", "member": "h0-0"}
ANSWER = {**VISIT, "answered": 10.0, "took_s": 0.1, "tries": 1, "bucket": 0, "position": 2}
LOG = [
    {"position": 1, "key": "h-0-1", "topic": "points.debited"},
    {"position": 2, "key": "h-0-1", "topic": "visit.recorded"},
]


def journals(place: Path, *lines: dict[str, Any]) -> Journals:
    """What somebody wrote down, read."""
    (place / "0.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    found = Journals(place)
    found.read_on()
    return found


def log(*events: dict[str, Any]) -> list[dict[str, Any]]:
    """Events as the door shows them."""
    return [{"actor": "clerk:h0", "stream": "member:h0-0", "state": {}, **each} for each in events]


def test_what_is_right_is_right(tmp_path: Path) -> None:
    told = journals(tmp_path, {"sent": 9.9, **VISIT}, ANSWER)
    assert not list(of_journals(told, []))
    assert not list(of_log(told, log(*LOG), {}, set()))
    left = {"h0-0": START_POINTS - PRICE_POINTS}
    assert not list(of_cards(told, lambda member: left.get(member, 0), 9))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (None, "never got an answer"),
        ({**ANSWER, "took_s": 61.0}, "took 61 s"),
        ({**ANSWER, "refused": "unknown_member"}, "was refused: unknown_member"),
        ({"fault": "a card says 1 points where 2 are left"}, "a card says"),
    ],
)
def test_a_journal_that_tells_of_a_fault_is_heard(
    tmp_path: Path, line: dict[str, Any] | None, says: str
) -> None:
    told = journals(tmp_path, {"sent": 9.9, **VISIT}, *([line] if line else []))
    assert any(says in each for each in of_journals(told, []))


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (LOG[:1], "was acknowledged at 2; the log has 1"),
        ([], "was acknowledged at 2; the log has None"),
        ([LOG[0], {**LOG[1], "position": 3}], "gaps"),
        ([*LOG, {**LOG[1], "position": 3}], "wrote visit.recorded 2 times"),
        ([*LOG, {**LOG[1], "position": 3, "actor": "supervisor:forged"}], "of a trailer"),
        (
            [*LOG, {"position": 3, "key": "x", "topic": "campaign.place_taken",
                    "state": {"place": 2}}],
            "places of the campaign",
        ),
        (
            [*LOG, {"position": 3, "key": "x", "topic": "member.joined", "stream": "member:i0-0"}],
            "1 of 2 facts of i-0.jsonl are in",
        ),
    ],
)  # fmt: skip
def test_a_log_that_lost_or_doubled_something_is_found_out(
    tmp_path: Path, events: list[dict[str, Any]], says: str
) -> None:
    told = journals(tmp_path, {"sent": 9.9, **VISIT}, ANSWER)
    found = of_log(told, log(*events), {"i-0.jsonl": ["i0-0", "i0-1"]}, set())
    assert any(says in each for each in found)


def test_a_card_with_other_points_is_found_out(tmp_path: Path) -> None:
    told = journals(tmp_path, {"sent": 9.9, **VISIT}, ANSWER)
    assert list(of_cards(told, lambda _: START_POINTS, 9))


def test_one_stolen_second_convicts_nobody_and_four_short_attacks_do() -> None:
    def tries(*shares: float) -> list[Phase]:
        return [Phase("huge", 0, 1, share) for share in shares]

    assert of_rates([tries(0.0, 0.9)]) == ({"huge": 0.45}, [])
    assert of_rates([tries(0.4, 0.1, 0.3, 0.2)])[1]
    assert of_rates([tries(0.4, 0.6)] * 5 + [tries(0.1)] * 8)[1]


def test_what_others_take_of_the_machine_is_told_apart_from_what_is_ours() -> None:
    before, cores = processes.Used(at=10, everybody_s=100, ours_s=7), os.cpu_count() or 1
    ours = processes.Used(at=12, everybody_s=100 + cores, ours_s=7 + cores)
    assert processes.by_others(before, ours) == 0
    assert processes.by_others(before, replace(ours, ours_s=7)) == 0.5
    now = processes.used([os.getpid()])
    assert 0 < now.ours_s < now.everybody_s


@pytest.mark.parametrize(
    ("code", "asked", "said", "wrong"),
    [
        (0, ["SIGTERM"], "", False),
        (130, ["SIGINT"], "", False),
        (4, [], "clubledger: The disk is full.", False),
        (0, [], "", True),
        (4, [], "", True),
        (3, ["SIGTERM"], "", True),
        (0, ["SIGTERM", "hung"], "", True),
        (0, ["SIGTERM"], "Traceback (most recent call last):", True),
    ],
)
def test_an_end_without_last_words_is_noticed(
    tmp_path: Path, code: int, asked: list[str], said: str, wrong: bool
) -> None:
    process = subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"])
    process.wait()
    (tmp_path / "err").write_text(said)
    assert bool(list(of_life(Life(0, process, tmp_path / "err", "", asked)))) is wrong
    for crew, excused in (({7, 8}, code == 4), ({8, 9}, False)):  # 7 was replaced: it died before
        life = Life(0, process, tmp_path / "err", "", asked, crew=crew)
        assert len([*of_life(life, [7])]) == wrong + (not excused)


def test_what_convicts_a_life_is_told_wherever_it_stands(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (tmp_path / "err").write_text('{"note": "A defect: SystemError"}\n{"note": "Writes go on."}\n')
    (found,) = of_life(Life(0, process, tmp_path / "err", "", ["SIGTERM"]))
    assert "SystemError" in found


def test_the_command_that_took_most_is_named(tmp_path: Path) -> None:
    ours = b"x" * (256 << 20)
    commands = Commands("t", House(tmp_path, tmp_path / "data"), random.Random(1))
    commands.one(("member", "nobody", "--json"), {"TZ": "Mars/Olympus"}, 64, "")
    assert 0 < commands.peak_bytes < len(ours), "what the hour itself takes does not count"
    assert (
        commands.peak_of == "`member nobody --json` ({'TZ': 'Mars/Olympus'} nofile=64 undisturbed)"
    )


def test_while_nobody_is_answered_everybody_is_asked_what_he_does(tmp_path: Path) -> None:
    house = House(tmp_path, tmp_path / "data")
    (house.data_dir / "pgdata" / "log").mkdir(parents=True)
    (house.data_dir / "pgdata" / "log" / "server-Mon.log").write_text("PANIC:  no room\n")
    sleeper = (
        "import asyncio\n"
        "async def held(): print(flush=True); await asyncio.Event().wait()\n"
        "asyncio.run(held())"
    )
    with (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", sleeper],
            env=house.environment(),
            stdout=subprocess.PIPE,
            stderr=err,
        )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        house.lives.append(Life(0, process, tmp_path / "err", "", ["full disk"]))
        evidence = Evidence(tmp_path / "kept")
        evidence.of_silence(house)
        assert process.poll() is None
        process.kill()
    (file,) = evidence.files
    for word in ("task Task-1: <string>:2 > locks.py", "full disk", "PANIC", f"{process.pid} of"):
        assert word in file.read_text()


@pytest.mark.parametrize(
    ("code", "ending", "out", "err", "wrong"),
    [
        (0, "", b"{}", b"", False),
        (-9, "SIGKILL", b"", b"", False),
        (143, "SIGTERM", b"", b"", False),
        (4, "/dev/full", b"", b'{"code": "cannot_write"}', False),
        (5, "", b"", b'{"code": "internal"}', True),
        (4, "", b"", b"", True),
        (7, "", b"", b"{}", True),
        (0, "", b"no JSON", b"", True),
        (4, "", b"", b"importing ...", True),
        (-2, "SIGINT", b"", b'Traceback\n  File "/x/api/cli/ending.py", line 1, in _run', True),
        (-2, "SIGINT", b"", b'Traceback\n  File "/x/api/cli/a.py", line 1, in <module>\n', False),
        (
            -2,
            "SIGINT",
            b"",
            b'Traceback\n  File "/x/api/cli/__init__.py", line 12, in main\n'
            b'  File "/x/api/cli/terminal/signals.py", line 29, in leave_at_once\n',
            False,
        ),
        (1, "SIGINT", b"", b"Fatal Python error: init_sys_streams: can't\nTraceback", False),
        (
            1,
            "SIGINT",
            b"",
            b"Fatal Python error: init_\nTraceback\n  /api/y.py, line 1, in y",
            True,
        ),
        (1, "", b"", b"Fatal Python error: init_sys_streams: can't\nTraceback", True),
    ],
)
def test_an_end_of_a_command_is_judged(
    code: int, ending: str, out: bytes, err: bytes, wrong: bool
) -> None:
    found = judged(("status", "--json"), code, ending, False, out, err)
    assert (found is not None) is wrong
    assert judged(("status", "--json"), code, ending, True, out, err)


def test_the_clock_of_its_processes_jumps(tmp_path: Path) -> None:
    house = House(tmp_path, tmp_path / "data")
    house.clock(10 * 365 * 86_400)
    ask = "from api.runtime.clock import Clock; print(Clock().now().year)"

    def year() -> int:
        return int(subprocess.check_output([sys.executable, "-c", ask], env=house.environment()))

    ahead = year()
    house.clock(0)
    assert ahead - year() in (9, 10)
