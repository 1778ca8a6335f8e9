"""The hostile hour, in two minutes."""

import sys

import pytest

from tests.hostile.__main__ import told
from tests.hostile.hour import live

MINUTES, SEED = 1.8, 2026
"""With its beginning and its end some two minutes; `make hostile` takes an hour."""


@pytest.mark.slow
@pytest.mark.timeout(1_200)  # what hangs is found by the hour itself, 60 s each time
def test_whatever_is_done_to_it_nothing_is_lost_and_nothing_hangs() -> None:
    said = sys.stdout.write
    report = live(SEED, MINUTES, lambda what: said(what + "\n"), in_order=True)
    sys.stdout.write(told(report))  # pytest shows it when this fails
    assert report.written > 100
    assert not report.faults, told(report)
