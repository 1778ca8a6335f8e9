"""Nouns are found, not listed: whatever stands in a room beside what is no noun."""

from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType


def nouns_of(room: ModuleType, *others: str) -> tuple[ModuleType, ...]:
    """The nouns of a room by their names, imported with all that they consist of; `others` are
    what else stands there."""
    prefix = f"{room.__name__}."
    names = [each.name for each in walk_packages(room.__path__, prefix)]
    mine = [import_module(name) for name in names if name.split(".")[1] not in others]
    return tuple(noun for noun in mine if noun.__name__.count(".") == 1)
