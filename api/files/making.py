"""Lines of facts out of the rows of a table, as a mapping says.

A table is compiled once its header is known. Cells that come again are read once.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from functools import cache
from typing import Any, TypeAlias

import msgspec
from pydantic import TypeAdapter

from api.files import spelling
from api.files.mapping import FactSaid, FieldSaid, Mapping, TableSaid
from api.files.spelling import Spelling, Unspelt
from api.files.turns import BEGINNING_HOUR, ENDING_HOUR, ENDS, missing_time
from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.values import Id
from ledger.lines import Unread

ONLY = "clubledger:facts"
"""The column of a file of rejects that says which facts of a row were rejected."""
KNOWN_CELLS = 20_000
"""So many cells of a column are remembered with what they mean."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(TypeAdapter(Id).json_schema()["pattern"])
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


def _converter(kind: str, name: str, said: FieldSaid, how: Spelling) -> Convert:
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


class _Bad(Exception):
    """(what is told of a row that gives no fact)."""


@dataclass(slots=True)
class _Plan:
    """A field: where it stands and what makes of a cell what goes into the line. What is known of
    cells holds all of that, nothing for an empty one that may be."""

    begins: bytes
    place: int
    name: str
    convert: Convert
    known: dict[str, Written] = field(default_factory=dict)
    if_empty: Written | None = None
    required: bool = False
    time_place: int | None = None


@dataclass(slots=True)
class FactMaker:
    """Makes a line of facts of a row: (its instant in microseconds, the line), nothing, or why it
    cannot be."""

    name: str
    kind: str
    begins: bytes
    constant_at: tuple[bytes, int] | None
    at: _Plan | None
    plans: list[_Plan]
    texts: list[tuple[bytes, str, list[int]]]
    groups: dict[str, list[_Plan]]
    when: list[tuple[int, Callable[[str], bool]]]
    columns: dict[str, str]
    member: int | None

    def make(self, row: Sequence[str]) -> tuple[int, bytes | Unread] | None:
        """The fact of a row, null if the row gives none of this kind."""
        for place, holds in self.when:
            if not holds(row[place]):
                return None
        try:
            return self._made(row)
        except _Bad as bad:
            code, reason, name = bad.args
            member = row[self.member].strip() if self.member is not None else ""
            named = bool(_ID.fullmatch(member)) and not (member.isdigit() and len(member) > 9)
            return 0, Unread(code, reason, name, member if named else None)

    def _made(self, row: Sequence[str]) -> tuple[int, bytes]:
        out = [self.begins]
        if self.at is not None:
            text, micros = self._instant(self.at, row)
            out.append(text)
        else:
            assert self.constant_at is not None
            text, micros = self.constant_at
            out.append(text)
        for plan in self.plans:
            cell = row[plan.place]
            written = plan.known.get(cell)
            if written is None:
                written = self._learnt(plan, cell)
            out.append(written)
        for begins, text_said, places in self.texts:
            out.append(begins)
            out.append(_encode(text_said.format(*[row[place].strip() for place in places])))
        for group, plans in self.groups.items():
            inner = [
                p.begins + self._learnt(p, row[p.place]) for p in plans if row[p.place].strip()
            ]
            if inner:
                out.append(b',"%b":{%b}' % (group.encode(), b",".join(inner)))
        out.append(b"}")
        return micros, b"".join(out)

    def _learnt(self, plan: _Plan, cell: str) -> Written:
        if cell and not cell.isspace():
            written = plan.begins + self._read(plan, cell)
        elif plan.if_empty is not None:
            written = plan.begins + plan.if_empty
        elif plan.required:
            said = f"{self.kind} needs {plan.name}, and its cell is empty"
            raise _Bad("empty_cell", said, plan.name)
        else:
            written = b""
        if len(plan.known) >= KNOWN_CELLS:
            plan.known.clear()
        plan.known[cell] = written
        return written

    def _read(self, plan: _Plan, cell: str) -> Written:
        try:
            return plan.convert(cell)
        except Unspelt as error:
            raise _Bad("misspelt", f"{plan.name}: {error}", plan.name) from None
        except (ValueError, ArithmeticError):
            raise _Bad("misspelt", f"{plan.name}: it cannot be read", plan.name) from None

    def _instant(self, plan: _Plan, row: Sequence[str]) -> tuple[bytes, int]:
        cell = row[plan.place]
        if plan.time_place is not None:
            cell = f"{cell}\n{row[plan.time_place]}"
        written = plan.known.get(cell)
        if written is None:
            written = self._learnt(plan, cell)
        text, _, micros = written.partition(b"\n")
        return text, int(micros)


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


def _reader_of_instants(kind: str, how: Spelling) -> Convert:
    read = _instants(how, missing_time(kind))
    return lambda cell: _written_at(read(cell))


# --------------------------------------------------------------------------------- with its columns
class NoColumn(ValueError):
    """A mapping names a column that the table does not have, or has twice."""


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """Where each column stands. One whose name stands before is called `name#2`, and one without a
    name by its letter."""
    found: dict[str, int] = {}
    seen: dict[str, int] = {}
    for place, cell in enumerate(header):
        name = re.sub(r"\s+", " ", spelling.plain(cell)) or letter(place)
        seen[name] = seen.get(name, 0) + 1
        found[name if seen[name] == 1 else f"{name}#{seen[name]}"] = place
    for name, times in seen.items():
        if times > 1:
            found[f"{name}#1"] = found.pop(name)
    return found


def letter(place: int) -> str:
    """A, B, ... Z, AA: a column by its place."""
    name, place = "", place + 1
    while place:
        place, rest = divmod(place - 1, 26)
        name = chr(65 + rest) + name
    return name


@dataclass
class Table:
    """A table whose header is known."""

    said: TableSaid
    makers: list[FactMaker]
    width: int
    only: int | None

    def facts(
        self, row: Sequence[str], wanted: Sequence[str] | None = None
    ) -> Iterator[tuple[int, int, bytes | Unread]]:
        """(number of the kind, instant, line of facts) of a row; of all kinds, or those wanted."""
        if len(row) < self.width:
            row = [*row, *[""] * (self.width - len(row))]
        elif len(row) > self.width and any(cell.strip() for cell in row[self.width :]):
            yield 0, 0, Unread("too_many_cells", f"it has more cells than the {self.width} columns")
            return
        if self.only is not None:
            wanted = row[self.only].split()
        for number, maker in enumerate(self.makers):
            if wanted and maker.name not in wanted:
                continue
            made = maker.make(row)
            if made is not None:
                yield number, *made


def compiled(mapping: Mapping, said: TableSaid, header: Sequence[str]) -> Table:
    """A table's facts, now that its header is known; NoColumn if it lacks one that is asked for."""
    columns = columns_of(header)
    how = said.over(mapping.over({}))
    makers = [
        _maker(fact, name, columns, how, mapping.missing, said.despite)
        for fact, name in zip(said.fact, said.names(), strict=True)
    ]
    return Table(said, makers, len(header), columns.get(ONLY))


def _maker(
    fact: FactSaid,
    name: str,
    columns: dict[str, int],
    how: dict[str, Any],
    missing: dict[str, Any],
    despite: list[str],
) -> FactMaker:
    command = COMMANDS[fact.kind]
    said = {each: fact.said_of(each) for each in fact.fields}
    for each, value in missing.items():
        if each in command.model_fields and each not in said:
            said[each] = FieldSaid(value=value)
    if despite and "despite" in command.model_fields and "despite" not in said:
        said["despite"] = FieldSaid(value=despite)
    _require_all(command, fact.kind, said)
    constants = {k: s.value for k, s in said.items() if s.value is not None and k != "at"}
    begins = _encode({"command": fact.kind, **constants})[:-1]
    maker = FactMaker(name, fact.kind, begins, None, None, [], [], {}, [], {}, None)
    for each, one in said.items():
        _plan(maker, each, one, columns, how)
    maker.when = [*_conditions(fact, columns)]
    if "member_id" in said and said["member_id"].column is not None:
        maker.member = _place(said["member_id"].column, columns)
    return maker


def _plan(
    maker: FactMaker, name: str, said: FieldSaid, columns: dict[str, int], how: dict[str, Any]
) -> None:
    spelt = said.over(how)
    if spelt.get("time"):
        spelt["time"] = time.fromisoformat(spelt["time"])
    written = Spelling(**spelt, day_of_month=said.day_of_month)
    begins = f',"{name}":'.encode()
    if said.value is not None:
        if name == "at":
            convert = _reader_of_instants(maker.kind, written)
            text, _, micros = convert(str(said.value)).partition(b"\n")
            maker.constant_at = text, int(micros)
        return
    if said.text is not None:
        names = said.columns()
        form = re.sub(r"\{[^{}]+\}", "{}", said.text)
        maker.texts.append((begins, form, [_place(each, columns) for each in names]))
        return
    assert said.column is not None
    place = _place(said.column, columns)
    maker.columns[name] = said.column
    if name == "at":
        convert = _reader_of_instants(maker.kind, written)
        empty = None if said.if_empty is None else convert(str(said.if_empty))
        beside = None if said.time_column is None else _place(said.time_column, columns)
        maker.at = _Plan(b"", place, name, convert, {}, empty, True, beside)
        return
    plan = _Plan(begins, place, name, _converter(maker.kind, name, said, written))
    outer, _, inner = name.partition(".")
    if inner:
        plan.begins = f'"{inner}":'.encode()
        maker.groups.setdefault(outer, []).append(plan)
        return
    plan.required = COMMANDS[maker.kind].model_fields[name].is_required()
    if said.if_empty is not None:
        plan.if_empty = _encode(said.if_empty)
    elif "" in said.nothing:
        plan.if_empty = b"null"
    maker.plans.append(plan)


def _require_all(command: type[Command], kind: str, said: dict[str, FieldSaid]) -> None:
    outer = {name.partition(".")[0] for name in said}
    needed = ["at", *(n for n, f in command.model_fields.items() if f.is_required())]
    lacking = [name for name in needed if name not in outer and name != "command"]
    if lacking:
        raise NoColumn(f"{kind} needs {' and '.join(lacking)}: the mapping says nothing of it")


def _place(name: str, columns: dict[str, int]) -> int:
    plain = re.sub(r"\s+", " ", spelling.plain(name))
    if plain in columns:
        return columns[plain]
    if f"{plain}#1" in columns:
        raise NoColumn(f"the column {name} stands there twice: it is {name}#1 or {name}#2")
    raise NoColumn(f"there is no column {name}")


def _conditions(
    fact: FactSaid, columns: dict[str, int]
) -> Iterator[tuple[int, Callable[[str], bool]]]:
    when = fact.when
    if not isinstance(when, dict):
        when = dict.fromkeys([when] if isinstance(when, str) else when, "filled")
    for name, what in when.items():
        yield _place(name, columns), _condition(what)


def _condition(what: str | list[str]) -> Callable[[str], bool]:
    if isinstance(what, str) and what in _HOLDS:
        return _HOLDS[what]
    texts = {spelling.plain(each) for each in ([what] if isinstance(what, str) else what)}
    return lambda cell: spelling.plain(cell) in texts


def _sign(cell: str) -> int:
    try:
        value = spelling.number(cell)
    except Unspelt:
        return 0
    return (value > 0) - (value < 0)


_HOLDS: dict[str, Callable[[str], bool]] = {
    "filled": lambda cell: bool(cell.strip()),
    "empty": lambda cell: not cell.strip(),
    "positive": lambda cell: _sign(cell) > 0,
    "negative": lambda cell: _sign(cell) < 0,
}
"""What `when` may ask of a column, beside that it holds one of some texts."""
