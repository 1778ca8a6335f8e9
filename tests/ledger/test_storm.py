"""The storm, in a short form; `--storm-seconds 600` makes it a long one."""

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ledger.storm import blow, prepare


@pytest.mark.parametrize("buckets", [1, 4])
def test_whatever_is_killed_and_cut_every_answer_was_true(
    buckets: int,
    installed: Callable[[int], str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    seconds = request.config.getoption("--storm-seconds")
    seed = request.config.getoption("--storm-seed") or random.SystemRandom().randrange(10_000)
    dsn = installed(buckets)
    prepare(dsn)
    sys.stdout.write(f"seed {seed}, {buckets} buckets\n")  # pytest shows it when this fails
    storm = blow(dsn, seed, seconds, workers=3, place=tmp_path)
    sys.stdout.write(f"{storm}\n")
    assert storm.acknowledged > 100
    assert storm.harms
