"""Two demos loaded into one ledger at the same time."""

from pathlib import Path

import pytest

from tests.api.running import SCALE, clubledger, started
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [None, "7"])
def test_of_two_loads_at_once_one_waits_for_the_other(own_ledger: Path, seed: str | None) -> None:
    demo = ("demo", "--no-figures", "--json", "--scale", SCALE)
    both = [
        started(*demo, data_dir=own_ledger),
        started(*demo, *(("--seed", seed) if seed else ()), data_dir=own_ledger),
    ]
    ended = [(*process.communicate(timeout=PATIENCE_S), process.returncode) for process in both]
    codes = sorted(code for _, _, code in ended)
    assert codes == ([0, 3] if seed else [0, 0]), ended
    if seed:
        (refused,) = [err for _, err, code in ended if code == 3]
        assert b"one ledger holds one demo" in refused
    status = clubledger("status", "--json", data_dir=own_ledger).json
    assert (status["demo"]["complete"], status["behind"]) == (True, 0)
