"""Which tests run: nothing is lost by how they are chosen."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.choosing import BOTH, LONGEST, UNCOUNTED, counting, left_out

TESTS = Path(__file__).parents[1]


@dataclass(eq=False)
class Item:
    """As much of a test as the choice asks for."""

    nodeid: str
    callspec: Any

    def get_closest_marker(self, name: str) -> bool:
        return name in self.nodeid


def items_of(name: str, *buckets: int) -> list[Any]:
    return [
        Item(nodeid=f"tests/{name}[{n}-7]", callspec=SimpleNamespace(params={"buckets": n}))
        for n in buckets
    ]


def run(items: list[Any], **how: bool) -> list[int]:
    """With how many buckets they run."""
    gone = left_out(items, **{"slow": False, "both": False, **how})
    return [item.callspec.params["buckets"] for item in items if item not in gone]


@pytest.mark.parametrize("name", BOTH.split())
def test_where_buckets_can_matter_all_run_with_one_and_with_four(name: str) -> None:
    assert run(items_of(f"{name}.py::test_a", 1, 4), slow=True) == [1, 4]
    assert len(run(items_of(f"{name}.py::test_a", 1, 4))) == 1


def test_elsewhere_each_runs_with_one_of_the_two_and_some_with_four() -> None:
    ran = [run(items_of(f"api/test_x.py::test_{n}", 1, 4), slow=True) for n in range(40)]
    assert {*map(tuple, ran)} == {(1,), (4,)}
    assert run(items_of("api/test_x.py::test_a", 1, 4), both=True) == [1, 4]


def test_what_has_no_other_half_runs() -> None:
    for n in range(40):
        assert run(items_of(f"api/test_x.py::test_{n}", 1 + 3 * (n % 2))) == [1 + 3 * (n % 2)]


def test_the_slow_ones_run_when_all_do() -> None:
    items = items_of("api/test_x.py::test_slow", 4)
    assert (run(items), run(items, slow=True)) == ([], [4])


@pytest.mark.parametrize(
    ("name", "counted"), [("api/test_x", True), *((name, False) for name in UNCOUNTED.split())]
)
def test_lines_are_counted_but_of_those_that_are_named(name: str, counted: bool) -> None:
    said: list[str] = []
    counter = SimpleNamespace(pause=lambda: said.append("off"), resume=lambda: said.append("on"))
    plugins = SimpleNamespace(get_plugin=lambda _: SimpleNamespace(cov_controller=counter))
    (item,) = items_of(f"{name}.py::test_a", 1)
    item.config = SimpleNamespace(pluginmanager=plugins)
    with counting(item):
        said.append("runs")
    assert said == (["runs"] if counted else ["off", "runs", "on"])


def test_every_file_that_is_named_is_there() -> None:
    there = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
    for name in LONGEST.split():
        assert f"{name}.py" in there
    for name in (BOTH + UNCOUNTED).split():
        assert [path for path in there if path.startswith((f"{name}.py", name))], name
