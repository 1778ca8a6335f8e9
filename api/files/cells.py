"""Cells: what a field of a fact is, and what makes of a cell what goes into the line."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time
from functools import cache
from typing import Any, TypeAlias

import msgspec

from api.files import spelling
from api.files.mapping import FieldSaid
from api.files.spelling import Spelling, Unspelt
from api.files.turns import BEGINNING_HOUR, ENDING_HOUR, ENDS, missing_time
from domain.catalogue import COMMANDS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.encode

Written: TypeAlias = bytes
Convert: TypeAlias = Callable[[str], Written]


@cache
def _schema(kind: str) -> dict[str, Any]:
    return COMMANDS[kind].model_json_schema()


def shape_of(kind: str, name: str) -> tuple[str, dict[str, Any]]:
    """(what a field is, its schema): instant, day, month, money, share, minutes, whole, boolean,
    choice, list, table or text."""
    schema = _schema(kind)["properties"][name]
    for each in schema.get("anyOf", ()):
        if each.get("type") != "null":
            schema = each
    if "$ref" in schema:
        schema = _schema(kind)["$defs"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "integer":
        ends = {"_fen": "money", "_bp": "share", "_minute": "minutes"}
        return next((s for end, s in ends.items() if name.endswith(end)), "whole"), schema
    if schema.get("format") in ("date-time", "date"):
        return ("instant" if schema["format"] == "date-time" else "day"), schema
    if schema.get("pattern", "").endswith("-(0[1-9]|1[0-2])$"):
        return "month", schema
    if "enum" in schema:
        return "choice", schema
    known = {"boolean": "boolean", "array": "list", "object": "table"}
    return known.get(schema.get("type", ""), "text"), schema


def nullable(kind: str, name: str) -> bool:
    """Whether null means something: that something is taken away, or there is none."""
    field = COMMANDS[kind].model_fields[name]
    schema = _schema(kind)["properties"][name]
    return field.is_required() and any(e.get("type") == "null" for e in schema.get("anyOf", ()))


def converter(kind: str, name: str, said: FieldSaid, how: Spelling) -> Convert:
    """What makes JSON of a cell."""
    outer, _, inner = name.partition(".")
    shape, schema = shape_of(kind, outer)
    if inner:
        values = schema.get("additionalProperties")
        whole = isinstance(values, dict) and values.get("type") == "integer"
        shape = "text" if not whole else "money" if outer.endswith("_fen") else "whole"
    words = {spelling.plain(word): _encode(value) for word, value in said.words.items()}
    nothing = {spelling.plain(word) for word in said.nothing}
    read = _reader(shape, schema, how, ENDING_HOUR if outer in ENDS else BEGINNING_HOUR)
    if not words and not nothing and not said.absolute:
        return lambda cell: _encode(read(cell))

    def convert(cell: str) -> Written:
        text = spelling.plain(cell)
        if text in words:
            return words[text]
        if text in nothing:
            return b"null"
        if said.words and shape in ("text", "choice") and text not in schema.get("enum", ()):
            raise Unspelt("a word that `words` does not tell the meaning of")
        value = read(cell)
        return _encode(abs(value) if said.absolute and isinstance(value, int) else value)

    return convert


def _reader(shape: str, schema: dict[str, Any], how: Spelling, hour: time) -> Callable[[str], Any]:
    if shape == "choice":
        choices = schema["enum"]

        def choose(cell: str) -> str:
            if (text := spelling.plain(cell).lower()) in choices:
                return text
            raise Unspelt(f"none of {', '.join(choices)}: `words` says which it means")

        return choose
    if shape == "day":
        days = spelling.reader_of_days(how)
        return lambda cell: days(cell)[0].isoformat()
    if shape == "instant":
        instants = _instants(how, hour)
        return lambda cell: instants(cell).isoformat()
    if shape == "list":
        return lambda cell: [each for each in re.split(r"[\s,;|/、，；]+", cell.strip()) if each]
    if shape == "table":
        return msgspec.json.decode
    readers: dict[str, Callable[[str], Any]] = {
        "month": spelling.reader_of_months(how),
        "money": lambda cell: spelling.money(cell, how),
        "share": lambda cell: spelling.basis_points(cell, how),
        "minutes": lambda cell: spelling.minutes(cell, how),
        "whole": lambda cell: spelling.whole(cell, how),
        "boolean": spelling.yes_or_no,
    }
    return readers.get(shape, str.strip)


def micros_of(instant: datetime) -> int:
    """Microseconds since 1970."""
    gone = instant - _EPOCH
    return (gone.days * 86_400 + gone.seconds) * 1_000_000 + gone.microseconds


def _written_at(instant: datetime) -> bytes:
    return b',"at":"%b"\n%d' % (instant.isoformat().encode(), micros_of(instant))


def _instants(how: Spelling, hour: time) -> Callable[[str], datetime]:
    """Reads an instant: with its offset, or of the programme's zone; of a day alone that hour,
    unless the mapping says another. The time of day may stand in a line of its own."""
    if how.day_of_month is None:
        days = spelling.reader_of_days(how)
    else:
        days = spelling.reader_of_days_of_months(how, how.day_of_month)
    missing = how.time or hour

    def read(cell: str) -> datetime:
        day, _, beside = cell.partition("\n")
        if not beside and (told := spelling.with_offset(day)) is not None:
            return told
        on, at = days(day)
        if beside.strip():
            at = spelling.read_time(beside)
        return spelling.instant(on, missing) if at is None else spelling.told_instant(on, at)

    return read


def reader_of_instants(kind: str, how: Spelling) -> Convert:
    read = _instants(how, missing_time(kind))
    return lambda cell: _written_at(read(cell))


def told_at(written: Written) -> tuple[Written, int]:
    """(what goes into the line, its microseconds) of what a reader of instants made."""
    text, _, micros = written.partition(b"\n")
    return text, int(micros)
