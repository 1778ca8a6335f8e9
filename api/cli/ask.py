"""`ask`: a question that is a row (api/doors.py), with its words as `name=value`."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from api.cli.terminal import output
from api.cli.terminal.looking import looking, refusable, say_moment
from api.doors import QUESTION_OF, Question
from api.runtime.failures import WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from projections.engine.answer import Answer, Dated, dated
from projections.engine.moments import Asked


def run(
    settings: Settings, name: str, said: Sequence[str], asked: Asked | None, as_json: bool
) -> int:
    """Ask it and show what is answered."""
    question = QUESTION_OF.get(name)
    if question is None:
        raise WrongUse(f"There is no such question; there are {', '.join(QUESTION_OF)}.")
    if asked is not None and not issubclass(question.answer, Dated):
        raise WrongUse(f"{name} is answered as of now alone.")
    words = words_of(question, said)
    with (
        opened(settings) as database,
        looking(database, asked) as (connection, moment),
        refusable(),
    ):
        found = question(connection, **words)
    if isinstance(found, Dated):
        found = dated(found, moment)
        say_moment(found.moment)
    if as_json:
        output.tell(found)
    else:
        show(found)
    return 0


def words_of(question: Question, said: Sequence[str]) -> dict[str, Any]:
    """What was said, each word as its type has it."""
    taken, words = question.words, dict[str, Any]()
    for each in said:
        name, equals, value = each.partition("=")
        if not equals or name not in taken or name in words:
            takes = f"{_said(taken)}, each once" if taken else "nothing"
            raise WrongUse(f"{question.name} takes {takes}.")
        try:
            words[name] = TypeAdapter(taken[name]).validate_python(value)
        except ValidationError as error:
            raise WrongUse(f"{name}: {error.errors()[0]['msg']}.") from None
    missing = [name for name in taken if name not in words]
    if missing:
        raise WrongUse(f"Say {_said(missing)}.")
    return words


def _said(names: Iterable[str]) -> str:
    return " ".join(f"{name}=..." for name in names)


def show(answer: Answer) -> None:
    """An answer as lines, and what it lists as tables."""
    listed = {}
    for name, value in answer:
        if isinstance(value, list | tuple) and value and isinstance(value[0], Answer):
            listed[name] = value
        elif name != "moment":
            output.say(f"{name.replace('_', ' '):<20}{value_of(value)}")
    for rows in listed.values():
        told = [[value_of(value) for _, value in row] for row in rows]
        output.say_rows([*type(rows[0]).model_fields], told)


def value_of(value: Any) -> str:
    """A value for a reader, as other commands tell it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return output.local(value)
        case list() | tuple():
            return ", ".join(map(value_of, value))
        case BaseModel():
            return value_of(dict(value))
        case dict():
            return ", ".join(f"{name} {value_of(each)}" for name, each in value.items())
    return str(value)
