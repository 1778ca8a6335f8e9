"""An answer has one shape: no class of the doors or of the answers has the fields of another."""

import importlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from projections.engine.answer import Answer, Dated
from projections.points import Entry

ROOT = Path(__file__).parents[2]
FEW = 2
"""Fields that two ideas may have in common."""


def classes() -> Iterator[type[Any]]:
    """Whatever has fields in the rooms of answers and doors."""
    for room in ("projections", "api"):
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            module = importlib.import_module(name.removesuffix(".__init__"))
            for each in vars(module).values():
                if isinstance(each, type) and each.__module__ == module.__name__:
                    yield each


def told_twice(among: Iterable[type[Any]]) -> list[set[str]]:
    """An answer and whatever else has its fields, beside the moment that it is as of."""
    known: dict[frozenset[str], set[type[Any]]] = defaultdict(set)
    for each in among:
        if issubclass(each, BaseModel):
            names = each.model_fields.keys() - Dated.model_fields.keys()
        else:
            names = {field.name for field in fields(each)} if is_dataclass(each) else set()
        if len(names) > FEW:
            known[frozenset(names)].add(each)
    return [
        {f"{each.__module__}.{each.__qualname__}" for each in those}
        for those in known.values()
        if len(those) > 1 and any(issubclass(each, Answer) for each in those)
    ]


def test_no_shape_is_written_twice() -> None:
    assert told_twice(classes()) == []


def test_the_alarm_rings() -> None:
    @dataclass
    class Line:
        stream_version: int
        bucket: int
        position: int
        occurred_at: str
        topic: str
        points: int
        balance: int
        rule: str
        lots: str
        text: str
        actor: str

    (those,) = told_twice([Entry, Line])
    assert len(those) == 2
