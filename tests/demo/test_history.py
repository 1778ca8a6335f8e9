"""The demo's history is the same each time, in order, and accepted line by line."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

import demo
from demo.facts import command
from demo.replay import NotAccepted, Replay
from demo.staying import COHORT
from demo.tally import BASE, LAST_DAY, percent

REPOSITORY = Path(__file__).parents[2]
DIGEST = """
import sys
from hashlib import sha256
import demo
for chapter in demo.chapters(sys.argv[1], int(sys.argv[2])):
    print(chapter.key, chapter.facts, sha256(b"".join(chapter.lines())).hexdigest())
"""


def digests(scale: str, seed: int) -> list[str]:
    return [
        f"{chapter.key} {chapter.facts} {sha256(b''.join(chapter.lines())).hexdigest()}"
        for chapter in demo.chapters(scale, seed)
    ]


def replayed(scale: str, seed: int = demo.DEFAULT_SEED) -> Replay:
    replay = Replay()
    for chapter in demo.chapters(scale, seed):
        assert replay.run(chapter.lines()) == chapter.facts
    return replay


@pytest.fixture(scope="module")
def replay() -> Replay:
    return replayed("0.02")


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert digests("0.01", 7) == digests("0.01", 7)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_gives_the_same_bytes(hash_seed: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", DIGEST, "0.01", "7"],
        cwd=REPOSITORY,
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == digests("0.01", 7)


def test_another_seed_gives_another_history() -> None:
    first, second = digests("0.001", 1), digests("0.001", 2)
    assert not set(first) & set(second)


def test_a_chapter_can_be_written_again_and_by_itself() -> None:
    in_order = {c.key: b"".join(c.lines()) for c in demo.chapters("0.01", 3)}
    for chapter in reversed(list(demo.chapters("0.01", 3))):
        assert b"".join(chapter.lines()) == in_order[chapter.key] == b"".join(chapter.lines())


def test_chapters_have_keys_and_titles_of_their_own() -> None:
    chapters = list(demo.chapters("0.001", 1))
    assert [c.key for c in chapters] == sorted({c.key for c in chapters})
    assert len({c.title for c in chapters}) == len(chapters)
    assert chapters[-1].key == "demo-2008-12"


@pytest.mark.parametrize("scale", ["0", "-0.1", "0.0004", "1.01"])
def test_a_scale_is_not_too_small_and_at_most_1(scale: str) -> None:
    with pytest.raises(ValueError, match="at most 1"):
        next(demo.chapters(scale, 1))


@pytest.mark.parametrize("seed", [demo.DEFAULT_SEED, 1, 2])
@pytest.mark.parametrize("scale", [demo.SMALLEST, "0.001", "0.003", "0.01"])
def test_every_line_is_accepted(scale: str, seed: int) -> None:
    tally = replayed(scale, seed).tally
    assert tally.bound_on(LAST_DAY, BASE) == round(43_204 * float(scale))
    assert {"offered", "control"} == set(tally.arms["golden_autumn"].values())


def test_a_history_out_of_order_is_noticed(replay: Replay) -> None:
    line = command("member.leave", 0, "clerk:li", member_id="m000001", reason="gone")
    with pytest.raises(NotAccepted, match="order of time"):
        replay.one(line)


def test_a_refused_line_is_noticed() -> None:
    line = command("member.leave", 0, "clerk:li", member_id="m000001", reason="gone")
    with pytest.raises(NotAccepted, match="unknown_member"):
        Replay().one(line)


def test_a_cohort_holds_as_many_as_it_says(replay: Replay) -> None:
    tally = replay.tally
    assert {cohort: len(members) for cohort, members in tally.cohorts.items()} == tally.frozen
    assert len(tally.cohorts[BASE]) == sum(name.startswith("member:") for name in replay.states)


def test_the_rule_of_three_low_months_is_exercised(replay: Replay) -> None:
    tally = replay.tally
    members = tally.cohorts[COHORT]
    months = [tally.low[member] for member in members]
    assert months.count(1) > 10
    assert months.count(2) > 5
    assert tally.lost()[1] > 2
    outside = [months for member, months in tally.low.items() if member not in members]
    assert max(outside) > 2


def test_nobody_outside_the_plan_is_lost(replay: Replay) -> None:
    gone, low = replay.tally.lost()
    base = len(replay.tally.cohorts[COHORT])
    assert percent(base - gone - low, base).startswith("98.")


def test_some_bindings_have_run_out_or_ended_early(replay: Replay) -> None:
    bindings = replay.tally.bindings.values()
    assert any(ends_on <= LAST_DAY for _, ends_on in bindings)
    assert any((ends_on - starts_on).days < 100 for starts_on, ends_on in bindings)
    assert len({m for m, _ in replay.tally.bindings}) < len(replay.tally.bindings)


def test_points_are_conserved(replay: Replay) -> None:
    """No lot holds more than it was opened with, and none less than nothing."""
    for name, state in replay.states.items():
        if name.startswith("member:"):
            taken = {number: each.taken for number, each in state["points"].reversals.items()}
            assert all(
                0 <= lot.points <= lot.credited - taken.get(lot.id, 0)
                for lot in state["points"].lots.values()
            )
