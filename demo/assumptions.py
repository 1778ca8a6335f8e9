"""What was chosen because the report is silent, read from the one list of it."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Assumption:
    """A chosen value, why it was chosen, and the figures (`section.figure`) that rest on it."""

    id: str
    value: Any
    why: str
    affects: tuple[str, ...]


def _load() -> dict[str, Assumption]:
    text = files("demo").joinpath("assumptions.toml").read_text("utf-8")
    return {
        name: Assumption(name, entry["value"], entry["why"], tuple(entry["affects"]))
        for name, entry in tomllib.loads(text).items()
    }


ASSUMPTIONS: dict[str, Assumption] = _load()
"""Every assumption by its id."""

ASSUMED: dict[str, tuple[str, ...]] = {
    figure: tuple(name for name, entry in ASSUMPTIONS.items() if figure in entry.affects)
    for figure in sorted({figure for entry in ASSUMPTIONS.values() for figure in entry.affects})
}
"""The assumptions that a figure rests on, by the figure's id."""


def assumed(name: str) -> Any:
    """The chosen value."""
    return ASSUMPTIONS[name].value
