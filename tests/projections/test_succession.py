"""Two versions of the program on one ledger: the one that came first makes the answers no more."""

import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ledger.database import connect
from ledger.locks import Lock, held
from projections.engine import runner
from projections.engine.catalogue import PROJECTIONS
from projections.engine.runner import Folded, OtherVersion
from projections.engine.schemas import recorded, try_session_lock
from tests.api.running import REPOSITORY, environment
from tests.patience import eventually
from tests.projections.histories import lay
from tests.projections.workings import a_newer_version_comes, busy, following


def as_newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process becomes another version, until `monkeypatch.undo()`."""
    monkeypatch.setattr(PROJECTIONS["units"], "version", "newer")


def of_units(conn: Any) -> set[str]:
    return {version for name, _, version in recorded(conn) if name == "units"}


def test_each_made_anew_what_the_other_had_made(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner.project(ledger_dsn)
    with connect(ledger_dsn) as conn:
        before = of_units(conn)
        as_newer(monkeypatch)
        assert runner.project(ledger_dsn).rebuilt
        monkeypatch.undo()
        for fold in (runner.project, lambda dsn: runner.follow(dsn, threading.Event())):
            with pytest.raises(OtherVersion, match="A newer version of clubledger"):
                fold(ledger_dsn)
        assert of_units(conn) == {"newer"}

        assert runner.rebuild(ledger_dsn).rebuilt, "whoever wants to go back says so"
        assert runner.project(ledger_dsn) == Folded(0, rebuilt=False)
        assert of_units(conn) == before
        as_newer(monkeypatch)
        with pytest.raises(OtherVersion):
            runner.project(ledger_dsn)
        assert of_units(conn) == before


def test_one_that_folds_leaves_when_a_newer_version_comes(ledger_dsn: str) -> None:
    with following(ledger_dsn) as died, connect(ledger_dsn) as conn:
        assert eventually(lambda: held(conn, Lock.RUNNER))
        a_newer_version_comes(conn)
        assert eventually(lambda: bool(died))
        assert isinstance(died[0], OtherVersion)
        assert eventually(lambda: not held(conn, Lock.RUNNER))


def test_one_that_has_much_to_fold_leaves_in_the_midst_of_it(
    installed: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It folded window after window, whose answers the newer one makes anew: who called that was
    told after a while to end this one."""
    dsn = installed(1)
    monkeypatch.setattr(runner, "WINDOW_EVENTS", 20)
    with connect(dsn) as conn:
        lay(conn, busy(1).log)
        told: list[runner.Progress] = []

        def reached(at: runner.Progress) -> None:
            if not told:
                a_newer_version_comes(conn)
            told.append(at)

        with pytest.raises(OtherVersion):
            runner.project(dsn, reached)
        assert [each.done for each in told] == [20]


def test_who_waits_for_a_program_that_knows_of_no_other_version_is_told_so(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for ever."""
    runner.project(ledger_dsn)
    monkeypatch.setattr(runner, "OTHERS_S", 0)
    with connect(ledger_dsn) as older:
        assert try_session_lock(older, Lock.RUNNER)
        as_newer(monkeypatch)
        with pytest.raises(OtherVersion, match="end it first"):
            runner.project(ledger_dsn)


FIRST = """
import importlib, sys
importlib.import_module(sys.argv[1])
from domain.catalogue import PARTS
from ledger.log.snapshots import part_version
from projections.engine.schemas import versions
print(sorted(versions().items()), [(part, part_version(part)) for part in sorted(PARTS)])
"""


def test_whatever_is_imported_first_it_is_the_same_version() -> None:
    """What is made of all events was made in the order in which they were met."""
    first = ("domain.catalogue", "domain.bindings", "domain.visits", "projections.whatif.overlay")
    told = {
        subprocess.run(
            [sys.executable, "-c", FIRST, each],
            capture_output=True,
            check=True,
            cwd=REPOSITORY,
            env=environment(),
        ).stdout
        for each in first
    }
    assert len(told) == 1
