"""Forms of commands, made of what these declare: fields, types, bounds, choices and defaults.

A form sends texts by name, and what a command says is read from them: of a list `tiers` the texts
of that name, or `clubs.0`, `clubs.1` (empty ones are none); of a list of things `costs.0.item`; of
a mapping a text a key, `free_visits.gold`, or where keys are free `parameters.0.key` and `.value`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeAlias

from pydantic import TypeAdapter, ValidationError

from api.doors import Door
from api.http.pages import words
from domain.kernel.values import PROGRAMME, Month

Said: TypeAlias = Mapping[str, Sequence[str]]
"""What a form sends: texts by name."""
Place: TypeAlias = tuple[str | int, ...]
"""Where in a command's JSON a value stands."""
MOST_TEXTS = 1_000
"""Of one form: a list of topics has 200."""
INVALID = {"code": "invalid"}
NOT_ASKED = {"command", "key", "actor", "despite"}
"""The form's own, who sends it, and what only histories may say."""
LINES = 3
"""Empty ones of a list, to begin with, and as many more when they are asked for."""
AWAY = "away"
"""What is sent of a value that is taken away, where leaving it empty says that it stays."""
YES_NO = ("true", "false")
_MONTH = TypeAdapter(Month).json_schema()["pattern"]
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_HUNDREDTHS = re.compile(r"(-?[0-9]{1,15})(?:\.([0-9]{1,2}))?")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-5][0-9])")
_LOCAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?")

Kind: TypeAlias = Literal[
    "text", "whole", "hundredths", "minute", "day", "instant", "month", "choice", "yes_no"
]


class Box(NamedTuple):
    """What takes one value: how it is written and read, and within which bounds."""

    kind: Kind = "text"
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None
    longest: int | None = None

    def read(self, text: str) -> Any:
        """The value, as JSON has it; the text itself if it is none, for the command to refuse."""
        match self.kind:
            case "yes_no":
                return {"true": True, "false": False}.get(text, text)
            case "whole" if _WHOLE.fullmatch(bare := text.replace(",", "")):
                return int(bare)
            case "hundredths" if found := _HUNDREDTHS.fullmatch(text.replace(",", "")):
                return int(found[1] + (found[2] or "").ljust(2, "0"))
            case "minute" if found := _CLOCK.fullmatch(text):
                return int(found[1]) * 60 + int(found[2])
            case "instant" if _LOCAL.fullmatch(text):
                return _with_zone(text)
        return text

    def write(self, value: Any) -> str:
        """The text that is read as this value."""
        match value:
            case bool():
                return YES_NO[not value]
            case int() if self.kind == "hundredths":
                return f"{Decimal(value) / 100:.2f}"
            case int() if self.kind == "minute":
                return f"{value // 60:02}:{value % 60:02}"
        if self.kind == "instant":
            return f"{datetime.fromisoformat(value).astimezone(PROGRAMME.zone):%Y-%m-%dT%H:%M:%S}"
        return str(value)


def _with_zone(text: str) -> str:
    """A local time of the programme's zone, with its offset."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=PROGRAMME.zone).isoformat()
    except ValueError:
        return text


class Field(NamedTuple):
    """A field of a command as a form asks for it. `boxes`: that of the value, or of each of a list,
    under no name; those of each thing of a list, or of each key of a mapping, by name."""

    name: str
    shape: Literal["one", "choices", "lines", "rows", "table", "entries"]
    boxes: Mapping[str, Box]
    required: bool
    nullable: bool
    default: Any = None
    can_go: bool = False
    """Whether null takes away what is there, and leaving it out does not."""

    @property
    def box(self) -> Box:
        """The only one."""
        return self.boxes[""]

    @property
    def own_name(self) -> str:
        """Its name in what it is a field of: of several things there are `0.points`, `1.points`."""
        return self.name.rpartition(".")[2]

    # ---------------------------------------------------------------------------- what was said
    def read(self, said: Said) -> Iterator[tuple[Any, dict[Place, str]]]:
        """(value, the name of the input of each place in it), if it was said at all."""
        empty_is_said = self.required and not self.nullable and self.shape not in ("one", "rows")
        value: Any
        places: dict[Place, str] = {}
        match self.shape:
            case "one":
                text = _first(said, self.name)
                if self.can_go and _first(said, f"{self.name}.{AWAY}"):
                    yield None, {}
                elif text:
                    yield self.box.read(text), {}
                elif self.required and self.nullable:
                    yield None, {}
                return
            case "choices":
                value = [each for each in said.get(self.name, ()) if each]
            case "table":
                filled = ((key, _first(said, f"{self.name}.{key}")) for key in self.boxes)
                value = {key: self.boxes[key].read(text) for key, text in filled if text}
                places = {(key,): f"{self.name}.{key}" for key in value}
            case "lines":
                lines = [(n, _first(said, f"{self.name}.{n}")) for n in self.numbers(said)]
                kept = [(n, self.box.read(text)) for n, text in lines if text]
                value = [each for _, each in kept]
                places = {(place,): f"{self.name}.{n}" for place, (n, _) in enumerate(kept)}
            case "rows" | "entries":
                value, places = self._read_rows(said)
        if value or empty_is_said:
            yield value, places

    def _read_rows(self, said: Said) -> tuple[Any, dict[Place, str]]:
        rows, places = list[dict[str, Any]](), dict[Place, str]()
        for n in self.numbers(said):
            texts = {key: _first(said, f"{self.name}.{n}.{key}") for key in self.boxes}
            row = {key: self.boxes[key].read(text) for key, text in texts.items() if text}
            if row:
                at: Any = row.get("key", "") if self.shape == "entries" else len(rows)
                places |= {(at, key): f"{self.name}.{n}.{key}" for key in self.boxes}
                places |= {(at,): f"{self.name}.{n}.value"} if self.shape == "entries" else {}
                rows.append(row)
        if self.shape == "entries":
            return {row.get("key", ""): row.get("value", "") for row in rows}, places
        return rows, places

    def numbers(self, said: Said) -> list[int]:
        """The numbers of the lines of a list that were sent."""
        begins = re.compile(rf"{re.escape(self.name)}\.([0-9]{{1,4}})(\..*)?")
        return sorted({int(found[1]) for each in said if (found := begins.fullmatch(each))})

    def write(self, value: Any) -> dict[str, list[str]]:
        """The texts that are read as this value."""
        match self.shape:
            case "one" if value is None:
                return {f"{self.name}.{AWAY}": ["1"]} if self.can_go else {}
            case "one":
                return {self.name: [self.box.write(value)]}
            case "choices":
                return {self.name: [*value]}
            case "table":
                return {f"{self.name}.{k}": [self.boxes[k].write(v)] for k, v in value.items()}
            case "lines":
                return {f"{self.name}.{n}": [self.box.write(v)] for n, v in enumerate(value)}
            case "entries":
                value = [{"key": key, "value": each} for key, each in value.items()]
        return {
            f"{self.name}.{n}.{key}": [self.boxes[key].write(each)]
            for n, row in enumerate(value)
            for key, each in row.items()
        }


def _first(said: Said, name: str) -> str:
    return next(iter(said.get(name, ())), "").strip()


# ------------------------------------------------------------------------------ made of a command
def fields_of(door: Door) -> list[Field]:
    """What is asked for at this door: first the ids of its path, last when it happened."""
    schema = door.command.model_json_schema()
    names = [name for name in schema["properties"] if name not in {*NOT_ASKED, "at", *door.ids}]
    wanted = {*schema["required"], *door.wanted}
    return fields_in(schema, (*door.ids, *names, "at"), wanted, door.command.marks_sealed)


def fields_in(
    schema: Any, names: Iterable[str], wanted: Collection[str], marks: bool = False
) -> list[Field]:
    """These properties of a schema, of which some are wanted; `marks`: null takes a value away."""
    defs = schema.get("$defs", {})
    return [_field(name, schema["properties"][name], defs, name in wanted, marks) for name in names]


def _field(name: str, told: Any, defs: Any, required: bool, marks: bool) -> Field:
    options = told.get("anyOf", [told])
    nullable = {"type": "null"} in options
    schema = _resolved(next(each for each in options if each != {"type": "null"}), defs)
    default = told.get("default")
    if schema.get("type") == "array":
        item = _resolved(schema["items"], defs)
        if "properties" in item:
            rows = {key: _box(key, _resolved(of, defs)) for key, of in item["properties"].items()}
            return Field(name, "rows", rows, required, nullable, default or ())
        shape: Any = "choices" if "enum" in item else "lines"
        return Field(name, shape, {"": _box(name, item)}, required, nullable, default or ())
    if schema.get("type") == "object":
        if keys := schema.get("propertyNames", {}).get("enum"):
            each = _box(name, _resolved(schema["additionalProperties"], defs))
            table = dict.fromkeys(keys, each)
            return Field(name, "table", table, required, nullable, default or {})
        free = {"key": Box(longest=schema["propertyNames"]["maxLength"]), "value": Box()}
        return Field(name, "entries", free, required, nullable, default or {})
    can_go = marks and nullable and not required and name != "at"
    return Field(name, "one", {"": _box(name, schema)}, required, nullable, default, can_go)


def _resolved(schema: Any, defs: Any) -> Any:
    return defs[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


_FORMATS: dict[str, Kind] = {"date": "day", "date-time": "instant"}
_UNITS: dict[str, Kind] = {"fen": "hundredths", "bp": "hundredths", "minute": "minute"}


def _box(name: str, schema: Any) -> Box:
    """How a value of this schema is said."""
    bounds = schema.get("minimum"), schema.get("maximum"), schema.get("maxLength")
    if "enum" in schema:
        return Box("choice", tuple(schema["enum"]))
    if schema["type"] == "boolean":
        return Box("yes_no", YES_NO)
    if schema["type"] == "integer":
        unit = name.partition("_per_")[0].rpartition("_")[2]
        return Box(_UNITS.get(unit, "whole"), (), *bounds)
    if schema.get("pattern") == _MONTH:
        return Box("month")
    return Box(_FORMATS.get(schema.get("format", ""), "text"), (), *bounds)


# ------------------------------------------------------------------------------------ a whole form
def said_of(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """What was sent, by name."""
    said = dict[str, list[str]]()
    for name, text in pairs:
        said.setdefault(name, []).append(text)
    return said


def read(fields: Iterable[Field], said: Said) -> tuple[dict[str, Any], dict[Place, str]]:
    """(what the command says, the name of the input of each place in it)."""
    values, places = dict[str, Any](), dict[Place, str]()
    for field in fields:
        for value, inside in field.read(said):
            values[field.name] = value
            places |= {(field.name, *place): name for place, name in inside.items()}
    return values, places


def write(fields: Iterable[Field], values: Mapping[str, Any]) -> dict[str, list[str]]:
    """The texts that are read as this."""
    said = dict[str, list[str]]()
    for field in fields:
        if field.name in values:
            said |= field.write(values[field.name])
    return said


def lines(field: Field, said: Said, more: bool = False) -> int:
    """How many lines of a list are shown; `more`: some more are asked for."""
    known = field.numbers(said)
    return (known[-1] + 1 if known else LINES) + (LINES if more else 0)


class Wrong(NamedTuple):
    """What is wrong at an input: the code of it, and the bounds that it breaks."""

    code: str
    bounds: Mapping[str, Any]


def sentence(language: words.Language, wrong: Wrong) -> str:
    """What is wrong at an input."""
    said = words.known(language, "errors", wrong.code)
    return said.format_map(wrong.bounds) if said else words.refusal(language, INVALID)[0]


def wrong_of(
    error: ValidationError, fields: Sequence[Field], places: Mapping[Place, str]
) -> dict[str, Wrong]:
    """What is wrong, by the name of the input; of what stands in none, by its field."""
    boxes, found = {field.name: field for field in fields}, dict[str, Wrong]()
    for each in error.errors(include_url=False, include_input=False):
        place = tuple(part for part in each["loc"] if part != "[key]")
        inputs = (places[place[:n]] for n in range(len(place), 1, -1) if place[:n] in places)
        name = str(place[0]) if place else ""
        field, context = boxes.get(name), each.get("ctx", {})
        numbers: dict[str, Any] = {k: of for k, of in context.items() if isinstance(of, int)}
        box = field and (field.boxes.get(str(place[-1])) or field.boxes.get(""))
        if box and each["type"] in ("greater_than_equal", "less_than_equal"):
            numbers = {key: box.write(of) for key, of in numbers.items()}
        found.setdefault(next(inputs, name), Wrong(each["type"], numbers))
    return found
