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

OFFENCES = {
    "Rooms": [
        ("domain", "import ledger"),
        ("domain", "import projections"),
        ("domain", "import api"),
        ("ledger", "import projections"),
        ("ledger", "def late() -> None:\n    import api"),
        ("projections", "from api import cli"),
        ("api", "import bench.ground"),
    ],
    "Rules are pure": [("domain", "from os import environ")],
    "Doors only": [("ledger", "from fastapi import FastAPI")],
    "The kernel knows no noun": [
        ("domain/kernel", "from domain.members import MemberLeft"),
        ("domain/kernel", "from domain.points import lots"),
        ("domain/kernel", "import domain.catalogue"),
    ],
    "Rules are not simulated by themselves": [
        ("domain", "import domain.simulation.replay"),
        ("domain/points", "from domain.catalogue import COMMANDS"),
    ],
    "The engine knows no noun": [
        ("projections/engine", "import projections.members"),
        ("projections/engine", "from domain.points import movements"),
        ("projections/engine", "from projections.figures import claims"),
    ],
    "Answers are not asked about by themselves": [
        ("projections", "import projections.asof.pairs"),
        ("projections", "from projections.audit.audit import compare"),
        ("projections/figures", "import projections.whatif.overlay"),
    ],
    "Nouns know no figures": [("projections", "from projections.figures import claims")],
    "What doors stand on knows no door": [
        ("api/runtime", "from api.http.app import create_app"),
        ("api/runtime", "import api.cli.serving.serve"),
        ("api/http/server", "import api.http.clubs"),
        ("api/cli/terminal", "import api.cli.figures"),
    ],
}
"""By contract: what breaks it, and where."""
CIRCLES = "No circles"
FORBIDDEN = [
    contract
    for contract in SETTINGS["contracts"]
    if contract["type"] == "forbidden"
    and not any("." in module for module in contract["forbidden_modules"])
]


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


@pytest.mark.parametrize("contract", OFFENCES)
def test_the_alarm_rings(copy: Path, contract: str) -> None:
    for number, (room, line) in enumerate(OFFENCES[contract]):
        (copy / room / f"planted_{number}.py").write_text(line + "\n", "utf-8")
    report = lint_imports(copy)
    assert report.returncode == 1, report.stdout + report.stderr
    assert f"{contract} BROKEN" in report.stdout
    for number, (room, _) in enumerate(OFFENCES[contract]):
        assert f"{room.replace('/', '.')}.planted_{number} -> " in report.stdout, report.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("bench/words.py", "import bench.ground"),
        ("ledger/log/arrays.py", "import ledger.importing"),
        ("projections/engine/ratio.py", "import projections.members"),
    ],
)
def test_the_alarm_rings_for_a_circle(copy: Path, file: str, line: str) -> None:
    """Of files, and of rooms that are imported by what they import."""
    with (copy / file).open("a", encoding="utf-8") as end:
        end.write(line + "\n")
    report = lint_imports(copy)
    assert f"{CIRCLES} BROKEN" in report.stdout, report.stdout + report.stderr


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
    heard = {CIRCLES, *OFFENCES, *(each["name"] for each in FORBIDDEN)}
    assert heard == set(CONTRACTS)


def test_the_contracts_name_every_room() -> None:
    rooms = [path.parent.name for path in REPOSITORY.glob("*/__init__.py")]
    assert set(ROOMS) == set(rooms) - {"tests"}
