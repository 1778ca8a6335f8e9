"""Lines of facts out of the rows of a table, as a mapping says.

A table is compiled once its header is known. Cells that come again are read once.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import time
from itertools import compress, repeat
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

import msgspec
from pydantic import TypeAdapter

from api.files import spelling
from api.files.cells import Convert, Written, converter, reader_of_instants, told_at
from api.files.mapping import FactSaid, FieldSaid, Mapping, TableSaid
from api.files.spelling import Spelling, Unspelt
from api.runtime.sheets import letters
from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.values import Id
from ledger.lines import Unread

ONLY = "clubledger:facts"
"""The column of a file of rejects that says which facts of a row were rejected."""
KNOWN_CELLS = 20_000
"""So many cells of a column are remembered with what they mean."""
ID = re.compile(TypeAdapter(Id).json_schema()["pattern"])
"""The form of an id."""
_encode = msgspec.json.encode
_FIRST = itemgetter(0)


class _Bad(Exception):
    """(what is told of a row that gives no fact)."""


Rows: TypeAlias = Sequence[Sequence[str]]
_T = TypeVar("_T")


class _Known(dict[str, _T]):
    """What the cells of a column mean, each found out once."""

    def __init__(self, read: Callable[[str], _T]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, cell: str) -> _T:
        meant = self._read(cell)
        if len(self) >= KNOWN_CELLS:
            self.clear()
        self[cell] = meant
        return meant


@dataclass(slots=True)
class _Plan:
    """A field: where it stands, and what makes of its cell what goes into the line."""

    kind: str
    begins: bytes
    place: int
    name: str
    convert: Convert
    if_empty: Written | None = None
    required: bool = False

    def written(self, cell: str) -> Written:
        """What goes into the line: nothing for an empty cell that may be."""
        if not cell or cell.isspace():
            if self.if_empty is not None:
                return self.begins + self.if_empty
            if self.required:
                said = f"{self.kind} needs {self.name}, and its cell is empty"
                raise _Bad("empty_cell", said, self.name)
            return b""
        try:
            return self.begins + self.convert(cell)
        except Unspelt as error:
            raise _Bad("misspelt", f"{self.name}: {error}", self.name) from None
        except (ValueError, ArithmeticError):
            raise _Bad("misspelt", f"{self.name}: it cannot be read", self.name) from None

    def of(self) -> "_Part":
        """What it brings to the line of each row."""
        known, cell = _Known(self.written), itemgetter(self.place)
        return lambda rows: map(known.__getitem__, map(cell, rows))


_Part: TypeAlias = Callable[[Rows], Iterable[Written]]
_Instants: TypeAlias = Callable[[Rows], Iterable[tuple[Written, int]]]


@dataclass(slots=True)
class FactMaker:
    """Makes lines of facts of rows, many at once: column by column."""

    name: str
    kind: str
    begins: bytes
    instants: _Instants | None = None
    parts: list[_Part] = field(default_factory=list)
    when: list[tuple[int, Callable[[str], bool]]] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    member: int | None = None

    def made(self, numbers: Sequence[int], rows: Rows) -> "Made":
        """The facts of rows with these numbers, of those that give one of this kind; _Bad if one of
        them cannot be made."""
        if self.when:
            gives = [all(holds(row[place]) for place, holds in self.when) for row in rows]
            numbers, rows = list(compress(numbers, gives)), list(compress(rows, gives))
        assert self.instants is not None
        instants = list(self.instants(rows))
        pieces = [part(rows) for part in self.parts]
        texts = zip(repeat(self.begins), map(_FIRST, instants), *pieces, repeat(b"}"), strict=False)
        return numbers, [micros for _, micros in instants], [*map(b"".join, texts)]

    def unread(self, bad: _Bad, row: Sequence[str]) -> Unread:
        """Why a row gives no fact."""
        code, reason, name = bad.args
        member = row[self.member].strip() if self.member is not None else ""
        named = bool(ID.fullmatch(member)) and not (member.isdigit() and len(member) > 9)
        return Unread(code, reason, name, member if named else None)


Made: TypeAlias = tuple[Sequence[int], Sequence[int], Sequence[bytes]]
"""Facts: the numbers of their rows, their instants in microseconds, their lines."""


class NoColumn(ValueError):
    """A mapping names a column that the table does not have, or has twice."""


def columns_of(header: Sequence[str]) -> dict[str, int]:
    """Where each column stands. One whose name stands before is called `name#2`, and one without a
    name by its letter."""
    found: dict[str, int] = {}
    seen: dict[str, int] = {}
    for place, cell in enumerate(header):
        name = re.sub(r"\s+", " ", spelling.plain(cell)) or letters(place)
        seen[name] = seen.get(name, 0) + 1
        found[name if seen[name] == 1 else f"{name}#{seen[name]}"] = place
    for name, times in seen.items():
        if times > 1:
            found[f"{name}#1"] = found.pop(name)
    return found


@dataclass
class Table:
    """A table whose header is known."""

    said: TableSaid
    makers: list[FactMaker]
    width: int
    only: int | None

    def facts(self, numbers: Sequence[int], rows: Rows) -> list[Made] | None:
        """Of rows with these numbers, the facts of each kind; null if the rows have to be looked at
        one by one."""
        if self.only is not None or not all(map(str.strip, map("".join, rows))):
            return None
        widths = {*map(len, rows)}
        if widths != {self.width}:
            if max(widths) > self.width:
                return None
            rows = [self._wide(row) for row in rows]
        try:
            return [maker.made(numbers, rows) for maker in self.makers]
        except _Bad:
            return None

    def facts_of(
        self, row: Sequence[str], wanted: Sequence[str] | None = None
    ) -> Iterator[tuple[int, int, bytes | Unread]]:
        """(number of the kind, instant, line of facts or why there is none) of a row; of all kinds,
        or those wanted."""
        row = self._wide(row)
        if len(row) > self.width and any(cell.strip() for cell in row[self.width :]):
            yield 0, 0, Unread("too_many_cells", f"it has more cells than the {self.width} columns")
            return
        if self.only is not None:
            wanted = row[self.only].split()
        for number, maker in enumerate(self.makers):
            if wanted and maker.name not in wanted:
                continue
            try:
                _, instants, texts = maker.made((0,), (row,))
            except _Bad as bad:
                yield number, 0, maker.unread(bad, row)
            else:
                yield from ((number, *each) for each in zip(instants, texts, strict=True))

    def _wide(self, row: Sequence[str]) -> Sequence[str]:
        return row if len(row) >= self.width else [*row, *[""] * (self.width - len(row))]


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
    maker = FactMaker(name, fact.kind, begins)
    texts: list[_Part] = []
    groups: dict[str, list[_Plan]] = {}
    for each, one in said.items():
        _plan(maker, texts, groups, each, one, columns, how)
    maker.parts += [*texts, *(_group(name, plans) for name, plans in groups.items())]
    maker.when = [*_conditions(fact, columns)]
    if "member_id" in said and said["member_id"].column is not None:
        maker.member = _place(said["member_id"].column, columns)
    return maker


def _plan(
    maker: FactMaker,
    texts: list[_Part],
    groups: dict[str, list[_Plan]],
    name: str,
    said: FieldSaid,
    columns: dict[str, int],
    how: dict[str, Any],
) -> None:
    spelt = said.over(how)
    if spelt.get("time"):
        spelt["time"] = time.fromisoformat(spelt["time"])
    written = Spelling(**spelt, day_of_month=said.day_of_month)
    begins = f',"{name}":'.encode()
    if said.value is not None:
        if name == "at":
            at = told_at(reader_of_instants(maker.kind, written)(str(said.value)))
            maker.instants = lambda rows: repeat(at, len(rows))
        return
    if said.text is not None:
        form = re.sub(r"\{[^{}]+\}", "{}", said.text)
        texts.append(_text(begins, form, [_place(each, columns) for each in said.columns()]))
        return
    assert said.column is not None
    place = _place(said.column, columns)
    maker.columns[name] = said.column
    if name == "at":
        convert = reader_of_instants(maker.kind, written)
        empty = None if said.if_empty is None else convert(str(said.if_empty))
        beside = None if said.time_column is None else _place(said.time_column, columns)
        plan = _Plan(maker.kind, b"", place, name, convert, empty, required=True)
        maker.instants = _column_of_instants(plan, beside)
        return
    plan = _Plan(maker.kind, begins, place, name, converter(maker.kind, name, said, written))
    outer, _, inner = name.partition(".")
    if inner:
        plan.begins = f'"{inner}":'.encode()
        groups.setdefault(outer, []).append(plan)
        return
    plan.required = COMMANDS[maker.kind].model_fields[name].is_required()
    if said.if_empty is not None:
        plan.if_empty = _encode(said.if_empty)
    elif "" in said.nothing:
        plan.if_empty = b"null"
    maker.parts.append(plan.of())


def _column_of_instants(plan: _Plan, beside: int | None) -> _Instants:
    """Reads the instant of each row; `beside`: the column of the time of day."""
    known, day = _Known(lambda cell: told_at(plan.written(cell))), itemgetter(plan.place)
    if beside is None:
        return lambda rows: map(known.__getitem__, map(day, rows))
    hour = itemgetter(beside)
    both = "{}\n{}".format
    return lambda rows: map(known.__getitem__, map(both, map(day, rows), map(hour, rows)))


def _text(begins: bytes, form: str, places: list[int]) -> _Part:
    """A text with the cells of columns in it."""

    def written(row: Sequence[str]) -> Written:
        return begins + _encode(form.format(*[row[place].strip() for place in places]))

    return lambda rows: map(written, rows)


def _group(name: str, plans: list[_Plan]) -> _Part:
    """An object of cells that are not empty; none of it if all are."""
    begins, columns = f',"{name}":{{'.encode(), [plan.of() for plan in plans]

    def written(*pieces: Written) -> Written:
        inner = b",".join(filter(None, pieces))
        return begins + inner + b"}" if inner else b""

    return lambda rows: map(written, *[column(rows) for column in columns])


def _require_all(command: type[Command], kind: str, said: dict[str, FieldSaid]) -> None:
    outer = {name.partition(".")[0] for name in said}
    needed = ["at", *(n for n, f in command.model_fields.items() if f.is_required())]
    lacking = [name for name in needed if name not in outer and name != "command"]
    if lacking:
        raise NoColumn(f"{kind} needs {', '.join(lacking)}: the mapping says nothing of it")


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


_HOLDS: dict[str, Callable[[str], bool]] = {
    "filled": lambda cell: bool(cell.strip()),
    "empty": lambda cell: not cell.strip(),
    "positive": lambda cell: spelling.sign(cell) > 0,
    "negative": lambda cell: spelling.sign(cell) < 0,
}
"""What `when` may ask of a column, beside that it holds one of some texts."""
