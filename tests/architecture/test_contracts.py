"""The doors between the rooms hold, and each alarm rings when somebody climbs through a window."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
ROOMS: list[str] = SETTINGS["root_packages"]
CONTRACTS: list[str] = [contract["name"] for contract in SETTINGS["contracts"]]

OFFENCES = [
    ("domain", "import ledger", "Rooms"),
    ("domain", "import projections", "Rooms"),
    ("domain", "import api", "Rooms"),
    ("ledger", "import projections", "Rooms"),
    ("ledger", "def late() -> None:\n    import api", "Rooms"),
    ("projections", "from api import cli", "Rooms"),
    ("domain", "from os import environ", "Rules are pure"),
    ("ledger", "from fastapi import FastAPI", "Doors only"),
]
FORBIDDEN = [contract for contract in SETTINGS["contracts"] if contract["type"] == "forbidden"]


def lint_imports(where: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The rooms and their contracts, to be broken into."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for room in ROOMS:
        shutil.copytree(
            REPOSITORY / room, tmp_path / room, ignore=lambda _, names: _all_but_python(names)
        )
    return tmp_path


def _all_but_python(names: list[str]) -> list[str]:
    return [name for name in names if "." in name and not name.endswith(".py")]


def test_the_rooms_keep_their_contracts() -> None:
    report = lint_imports(REPOSITORY)
    assert report.returncode == 0, report.stdout + report.stderr
    for name in CONTRACTS:
        assert f"{name} KEPT" in report.stdout


def test_a_copy_of_the_rooms_keeps_them_too(copy: Path) -> None:
    """Otherwise the alarms below could ring for something that was broken before."""
    report = lint_imports(copy)
    assert report.returncode == 0, report.stdout + report.stderr


@pytest.mark.parametrize(("room", "line", "contract"), OFFENCES)
def test_the_alarm_rings(copy: Path, room: str, line: str, contract: str) -> None:
    (copy / room / "planted.py").write_text(line + "\n", "utf-8")
    report = lint_imports(copy)
    assert report.returncode == 1, report.stdout + report.stderr
    assert f"{contract} BROKEN" in report.stdout


@pytest.mark.parametrize("contract", FORBIDDEN, ids=lambda contract: contract["name"])
def test_the_alarm_rings_for_every_module_that_is_forbidden(
    copy: Path, contract: dict[str, Any]
) -> None:
    room, modules = contract["source_modules"][0], contract["forbidden_modules"]
    (copy / room / "planted.py").write_text("".join(f"import {each}\n" for each in modules))
    report = lint_imports(copy)
    assert report.returncode == 1, report.stdout + report.stderr
    assert f"{contract['name']} BROKEN" in report.stdout
    for line, module in enumerate(modules, start=1):
        assert f"{room}.planted -> {module} (l.{line})" in report.stdout, report.stdout


def test_every_contract_has_an_alarm_that_was_heard() -> None:
    heard = {contract for _, _, contract in OFFENCES} | {each["name"] for each in FORBIDDEN}
    assert heard == set(CONTRACTS)


def test_the_contracts_name_every_room() -> None:
    rooms = [path.parent.name for path in REPOSITORY.glob("*/__init__.py")]
    assert set(ROOMS) == set(rooms) - {"bench", "tests"}
