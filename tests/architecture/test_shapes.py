"""An answer has one shape: no class of the doors or of the answers has the fields of another."""

import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from api.doors import QUESTIONS
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


def parts(answer: type[Any]) -> Iterator[type[Any]]:
    """An answer, and those that its fields hold."""
    yield answer
    for field in answer.model_fields.values():
        for kind in _kinds(field.annotation):
            yield from parts(kind)


def _kinds(annotation: Any) -> Iterator[type[Any]]:
    if isinstance(annotation, type) and issubclass(annotation, Answer):
        yield annotation
    for inner in get_args(annotation):
        yield from _kinds(inner)


def unseen(answers: Iterable[type[Any]], doors: str) -> set[str]:
    """The answers that no door shows, by a question that is a row or by their name."""
    answers = set(answers)
    named = {each for each in answers if re.search(rf"\b{each.__name__}\b", doors)}
    shown = named | {question.answer for question in QUESTIONS}
    known = {part for each in shown for part in parts(each)}
    return {each.__name__ for each in answers - known}


def answers() -> list[type[Any]]:
    found = [each for each in classes() if issubclass(each, Answer)]
    return [each for each in found if each.__module__.startswith("projections.")]


DOORS = "".join(path.read_text("utf-8") for path in sorted((ROOT / "api").rglob("*.py")))


def test_every_answer_is_shown_at_some_door() -> None:
    assert unseen(answers(), DOORS) == set()


def test_the_alarm_rings_for_an_answer_that_no_door_shows() -> None:
    class Planted(Answer):
        """What nobody asks."""

        lent: int

    assert "Planted" in unseen([*answers(), Planted], DOORS)


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
