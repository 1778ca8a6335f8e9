"""What fits a field of which nobody says anything: so that a new command, event or part is tried
before a sentence speaks of it."""

import json
import re
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel
from pydantic_core import to_json

from domain.kernel.bounds import bounds_of
from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.values import PROGRAMME, TIER_PATTERN
from tests.domain.scenario import USUAL

STORED = Path(__file__).with_name("stored_events.txt")
M = TypeVar("M", bound=BaseModel)

INSTANT, DAY = "2008-07-15T04:00:00Z", "2008-07-15"
TEXTS = ("x1", "clerk:li", "2008-06", "as asked", "13800000001", "x.y", DAY, INSTANT)
"""One of these fits any pattern of ours."""


def value(name: str, schema: dict[str, Any], known: dict[str, Any]) -> Any:
    """What fits a field of this name and JSON schema, as JSON has it."""
    match schema:
        case {"const": only}:
            return only
        case {"enum": [first, *_]}:
            return first
        case {"anyOf": [first, *_]}:
            return value(name, first, known)
        case {"$ref": ref}:
            return value(name, known[ref.rpartition("/")[2]], known)
        case {"type": "object", "properties": fields}:
            return {field: value(field, inner, known) for field, inner in fields.items()}
        case {"type": "object"}:
            return {}
        case {"type": "array", "prefixItems": items}:
            return [value(name, inner, known) for inner in items]
        case {"type": "array", "items": items}:
            return [value(name, items, known)]
        case {"type": "integer", "minimum": least}:
            return max(least, 1)
        case {"type": "boolean"}:
            return True
        case {"type": "string"}:
            return text(name, schema)
    raise ValueError(f"nothing is usual for {name}: {schema}")


def text(name: str, schema: dict[str, Any]) -> str:
    pattern = re.compile(schema.get("pattern", ""))
    if schema.get("pattern") == TIER_PATTERN:
        return PROGRAMME.tiers[0]
    named = [usual for usual in (USUAL.get(name),) if isinstance(usual, str)]
    return next(each for each in (*named, *TEXTS) if pattern.search(each))


def usual(kind: type[M], whole: bool, **said: Any) -> M:
    """One of this kind with what is said, and what is usual for its other fields: for all of them,
    or only for those that it must have."""
    schema = kind.model_json_schema()
    fields = schema["properties"] if whole else schema.get("required", [])
    known, of = schema.get("$defs", {}), schema["properties"]
    words = {name: value(name, of[name], known) for name in fields if name not in said}
    return kind.model_validate_json(json.dumps(words | said))


def command(kind: type[Command], **said: Any) -> Command:
    """A command that says no more than it must."""
    return usual(kind, False, **{"key": "k1", "actor": "clerk:li", "at": INSTANT, **said})


def event(kind: type[Event]) -> Event:
    """An event with all its fields."""
    return usual(kind, True, key="k1", actor="clerk:li", occurred_at=INSTANT)


def stored() -> dict[str, bytes]:
    """By topic, bytes of an event as the log has them: one of every event that ever was."""
    lines = STORED.read_bytes().splitlines()
    return {topic.decode(): state for topic, _, state in (line.partition(b" ") for line in lines)}


def stored_of(kinds: Iterable[type[Event]]) -> bytes:
    """The same as a file, with a line for each kind that had none."""
    known = stored()
    new = {kind.topic: event(kind) for kind in kinds if kind.topic not in known}
    lines = known | {topic: to_json(made, exclude_none=True) for topic, made in new.items()}
    return b"".join(b"%s %s\n" % (topic.encode(), state) for topic, state in lines.items())


# --------------------------------------------------------------------------------------- parts
LONGEST: dict[type, Any] = {
    datetime: datetime.fromisoformat("2499-12-31T23:59:59.999999+00:00"),
    date: date(2499, 12, 31),
    str: "\U0001f600" * 200,
    int: 10**9,
    bool: False,
}


def longest(part: type[msgspec.Struct]) -> msgspec.Struct:
    """A part of which each field is as long as it may be."""
    most = bounds_of(part)
    fields = {
        each.name: _longest(each.type, most.get(each.name, 0), f"{part.__name__}.{each.name}")
        for each in msgspec.structs.fields(part)
    }
    return part(**fields)


def _longest(kind: Any, most: int, of: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if hasattr(kind, "__metadata__"):
        return _longest(inner[0], most, of)
    if origin is list and most:
        return [_longest(inner[0], 0, of)] * most
    if origin is dict and most:
        one = _longest(inner[1], 0, of)
        return {f"{n:064}": one for n in range(most)}
    if origin is Union or isinstance(kind, type(int | None)):
        return _longest(next(each for each in inner if each is not type(None)), most, of)
    if origin is Literal:
        return max(inner, key=len)
    if origin is tuple:
        return tuple(_longest(each, 0, of) for each in inner)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return longest(kind)
    if kind not in LONGEST:
        raise TypeError(f"say in LONGEST how long {of} may be")
    return LONGEST[kind]
