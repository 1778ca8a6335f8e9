"""A mapping proposed for files: what their columns are called and what stands in them.

It says how sure it is of what it proposes and what it could not tell. What can be read in two ways
is left to whoever reads it: the mapping is used as it is, and refuses such cells until somebody
decides.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.files import spelling, words
from api.files.cells import shape_of
from api.files.kinds import KINDS, MADE, Kind
from api.files.making import ID, columns_of
from api.files.readers import File, require_narrow, sheet_rows
from api.files.spelling import DAYS, MONTHS, Spelling, Unspelt
from domain.catalogue import COMMANDS
from domain.kernel.values import PROGRAMME

SAMPLE = 2_000
"""Rows of each table that are looked at."""
HEADERS = 10
"""The header is one of so many first rows."""
MOST_WORDS = 60
"""So many different words of a column are told one by one."""
_HOURS = re.compile(r"(?:上午|下午|晚上|晚|早上)?[0-9]{1,2}[:：时点][0-9:：分秒]{0,8}")
"""The time of a day, without the day."""
_MEANING = {name: meaning for meaning, names in words.NAMES.items() for name in names}


@dataclass
class Column:
    """A column of a sample: what it may mean, and what stands in it, with the numbers of rows."""

    name: str
    meaning: str | None
    cells: list[tuple[int, str]] = field(default_factory=list)

    @property
    def texts(self) -> list[str]:
        """What stands in it, without what is empty."""
        return [cell for _, cell in self.cells]

    def distinct(self) -> list[str]:
        """Its different words."""
        return list(dict.fromkeys(spelling.plain(cell) for cell in self.texts))


@dataclass
class Sheet:
    """A table of which the first rows were looked at."""

    file: str
    sheet: str | None
    header: int
    columns: dict[str, Column]  # by meaning; of two that mean the same, the first
    others: list[Column]
    rows: int


def mapping_for(files: Sequence[File], titles: Iterable[tuple[str, str, str]] = ()) -> str:
    """A mapping for these files, as TOML. A ledger has `titles`: (what it is of, id, title)."""
    sheets = [sheet for file in files if file.kind != "jsonl" for sheet in _sheets(file)]
    ids = _Ids(sheets, titles)
    out = [
        "# Proposed by `clubledger import --guess`: read it, correct it, then import with --check.",
        "# How each column is read is said beside it; what could not be told begins with ?.",
        "",
        "[missing]  # what stands for what the files do not say",
        'actor = "system:import"',
    ]
    for sheet in sheets:
        out += ["", *_table(sheet, ids)]
    for file in files:
        if file.kind == "jsonl":
            out += ["", f"# {file.name} holds facts, a line each: it needs no mapping."]
    return "\n".join(out) + "\n"


# -------------------------------------------------------------------------------------- looking
def meaning_of(name: str) -> str | None:
    """What a column of this name means, if that is known."""
    bare = re.sub(r"[(\[].*?[)\]]", "", spelling.plain(name).lower())
    return _MEANING.get(re.sub(r"[\s_\-./:#*]+", "", bare))


def _sheets(file: File) -> Iterator[Sheet]:
    rows: dict[str | None, list[list[str]]] = {}
    with closing(sheet_rows(file, SAMPLE + HEADERS)) as known:
        for sheet, (number, row) in known:
            require_narrow(file.name, number, row)
            rows.setdefault(sheet, []).append(row)
    for sheet, found in rows.items():
        if any(any(cell.strip() for cell in row) for row in found):
            yield _sheet(Path(file.name).name, sheet, found)


def _sheet(file: str, sheet: str | None, rows: list[list[str]]) -> Sheet:
    def known(row: Sequence[str]) -> tuple[int, int]:
        return sum(meaning_of(cell) is not None for cell in row), sum(map(bool, row))

    scores = [known(row) for row in rows[:HEADERS]]
    header = max(range(len(scores)), key=lambda n: (scores[n][0], scores[n][1], -n))
    named = _named(file, sheet)
    columns: dict[str, Column] = {}
    others: list[Column] = []
    for name, place in columns_of(rows[header]).items():
        # A column without a name has its letter, which means nothing: AT, BY, KEY.
        meaning = meaning_of(name.partition("#")[0]) if rows[header][place].strip() else None
        if named == "unit" and meaning in ("unit", "name"):
            meaning = "title" if meaning == "name" else "id"
        cells = [
            (number, row[place])
            for number, row in enumerate(rows[header + 1 :], start=header + 2)
            if place < len(row) and row[place].strip()
        ]
        column = Column(name, meaning, cells)
        if meaning == "member" and meaning in columns and not _ids_in(columns[meaning]):
            others.append(columns.pop(meaning))  # that one tells names
        if meaning is None or meaning in columns:
            others.append(column)
        else:
            columns[meaning] = column
    if "time" in columns and {"instant", "visited", "day"}.isdisjoint(columns):
        said = columns["time"].cells
        if not any(_HOURS.fullmatch(cell.strip()) for _, cell in said):
            columns["instant"] = columns.pop("time")  # with its day, by any name
    if "instant" in columns and not {"visited", "day"}.isdisjoint(columns):
        said = columns["instant"].cells
        if "time" not in columns and all(_HOURS.fullmatch(cell.strip()) for _, cell in said):
            columns["time"] = columns.pop("instant")  # the time of the day beside it, by any name
    if named != "unit":
        generic = {"id", "title"} & columns.keys() if "member" in columns else ()
        others += [columns.pop(each) for each in sorted(generic)]
    return Sheet(file, sheet, header + 1, columns, others, len(rows) - header - 1)


def _ids_in(column: Column) -> bool:
    return all(ID.fullmatch(cell.strip()) for cell in column.texts)


def _named(file: str, sheet: str | None) -> str | None:
    name = f"{file} {sheet or ''}".lower()
    return next((of for of, said in words.TABLES.items() if any(w in name for w in said)), None)


class _Ids:
    """Ids for what the files call by a name: those that a file of ids and titles gives, else those
    of a ledger, where one alone is called so, else ones that are made up here, the same in all
    tables."""

    def __init__(self, sheets: Iterable[Sheet], titles: Iterable[tuple[str, str, str]]) -> None:
        called: dict[tuple[str, str], set[str]] = {}
        for of, each, title in titles:
            called.setdefault((of, spelling.plain(title)), set()).add(each)
        self._ids = {(of, each) for (of, _), those in called.items() for each in those}
        self._known = {name: each for name, (each, *more) in called.items() if not more}
        for sheet in sheets:
            named = _named(sheet.file, sheet.sheet)
            if named and "id" in sheet.columns and "title" in sheet.columns:
                ids, names = (dict(sheet.columns[each].cells) for each in ("id", "title"))
                for row, title in names.items():
                    if row in ids and ID.fullmatch(ids[row].strip()):
                        self._known[named, spelling.plain(title)] = ids[row].strip()

    def is_one(self, meaning: str, name: str) -> bool:
        """Whether it is an id itself, and not what something else is called."""
        return bool(ID.fullmatch(name)) and self._known.get((meaning, name), name) == name

    def of(self, meaning: str, name: str) -> tuple[str, bool]:
        """(its id, whether it was made up)."""
        if (meaning, name) in self._ids:
            return name, False
        if (meaning, name) in self._known:
            return self._known[meaning, name], False
        number = sum(of == meaning for of, _ in self._known) + 1
        while (meaning, made := f"{meaning}-{number}") in self._ids:
            number += 1
        return self._known.setdefault((meaning, name), made), True


# ------------------------------------------------------------------------------------ proposing
def _table(sheet: Sheet, ids: _Ids) -> list[str]:
    facts = [lines for kind in KINDS if _gives(sheet, kind) for lines in _facts(sheet, kind, ids)]
    place = sheet.file if sheet.sheet is None else f"{sheet.file}, sheet {sheet.sheet}"
    out = [f"# {place}: {sheet.rows:,} rows looked at, the header is row {sheet.header}."]
    out += [f"# ? {_quoted(c.name)} is not used: its meaning is not known." for c in sheet.others]
    used = {m for kind in KINDS if _gives(sheet, kind) for m in (*kind.fields.values(), *kind.at)}
    for meaning, column in sheet.columns.items():
        if meaning not in used and meaning not in ("time", "actor", "key", "arm"):
            out.append(f"# ? {_quoted(column.name)} is not used in any fact proposed here.")
    head = ["[[table]]", f"files = {_quoted(sheet.file)}"]
    if sheet.sheet is not None:
        head.append(f"sheet = {_quoted(sheet.sheet)}")
    if sheet.header != 1:
        head.append(f"header = {sheet.header}")
    if not any(line and not line.startswith("#") for fact in facts for line in fact):
        out.append("# ? No kind of fact was surely found: say which in [[table.fact]].")
        head = [f"# {line}" for line in head]
    out += head
    for fact in facts:
        out += ["", *fact]
    return out


def _gives(sheet: Sheet, kind: Kind) -> bool:
    has = sheet.columns
    return all(each in has for each in kind.needs) and not any(each in has for each in kind.without)


def _facts(sheet: Sheet, kind: Kind, ids: _Ids) -> Iterator[list[str]]:
    """A kind of fact; of points that go both ways, two."""
    if kind.fields.get("points") == "points":
        signs = {spelling.sign(cell) for cell in sheet.columns["points"].texts}
        if -1 in signs:
            debit = Kind(
                "points.debit",
                {"member_id": "member", "points": "points", "reason": "source"},
                kind.at,
                when="points",
            )
            yield _fact(sheet, debit, ids, sign="negative")
            if 1 in signs:
                yield _fact(sheet, kind, ids, sign="positive")
            return
    yield _fact(sheet, kind, ids)


def _fact(sheet: Sheet, kind: Kind, ids: _Ids, sign: str = "") -> list[str]:
    doubts: list[str] = []
    lines = ["[[table.fact]]", f"kind = {_quoted(kind.kind)}"]
    if kind.when is not None:
        lines.append(f"when = {_when(sheet, kind, sign)}")
    lines.append("[table.fact.fields]")
    command = COMMANDS[kind.kind]
    fields = dict(kind.fields) | {n: n for n in ("actor", "key") if n in sheet.columns}
    for name, meaning in fields.items():
        column = sheet.columns.get(meaning)
        required = command.model_fields[name].is_required()
        if name == "actor" and column and not all(map(_is_actor, column.texts)):
            lines += [f"# ? {_quoted(column.name)} is who did it, and not written as role:id."]
        elif name == "key" and column is not None:
            lines += _key(kind.kind, column)
        elif column is not None:
            lines += _field(kind.kind, name, meaning, column, ids, absolute=sign == "negative")
        elif name in kind.constants:
            lines.append(f"{name} = {{ value = {_quoted(kind.constants[name])} }}")
        elif name in MADE and required:
            lines.append(f"{name} = {{ value = {_quoted(MADE[name])} }}  # no column says it")
        elif name == "desk":
            lines.append(f'{name} = {{ value = "desk" }}  # no column says it')
        elif required and name != "actor":
            doubts.append(f"no column says {name}")
    told = {field for field, each in command.model_fields.items() if each.is_required()}
    doubts += [f"no column says {n}" for n in sorted(told - {"command", "actor", *MADE, *fields})]
    for name in sorted({"source", "rule", "reason"} & set(command.model_fields) - set(fields)):
        if command.model_fields[name].is_required():
            value = kind.constants.get(name, MADE[name])
            lines.append(f"{name} = {{ value = {_quoted(value)} }}  # no column says it")
    lines += _at(sheet, kind, doubts)
    if doubts:
        why = [f"# ? {kind.kind} is left out until it is said: {', '.join(doubts)}."]
        return why + [f"# {line}" for line in lines]
    return lines


def _key(kind: str, column: Column) -> list[str]:
    """A number of a file's own is no key of a whole ledger: another file has it, too, or another
    fact of the same row."""
    if {"{", "}"} & set(column.name):
        return []
    text = _quoted(f"{kind}-{{{column.name}}}")
    note = "? unique with the kind before it, unless another system counts alike"
    return [*_notes(column, [note]), f"key = {{ text = {text} }}"]


def _when(sheet: Sheet, kind: Kind, sign: str) -> str:
    assert kind.when is not None
    column = sheet.columns[kind.when]
    if kind.when == "important":
        yes = [each for each in column.distinct() if _is_yes(each)]
        return f"{{ {_quoted(column.name)} = {json.dumps(yes, ensure_ascii=False)} }}"
    if kind.when in ("points", "balance"):
        return f"{{ {_quoted(column.name)} = {_quoted(sign or 'positive')} }}"
    empty = [each for each in column.distinct() if each.lower() in words.EMPTY_VALUES]
    if empty:
        filled = [each for each in column.distinct() if each not in empty]
        return f"{{ {_quoted(column.name)} = {json.dumps(filled, ensure_ascii=False)} }}"
    return _quoted(column.name)


def _at(sheet: Sheet, kind: Kind, doubts: list[str]) -> list[str]:
    meaning = next((each for each in kind.at if each in sheet.columns), None)
    if meaning is None:
        doubts.append('no column says when: at = { value = "2025-01-01" }')
        return []
    column = sheet.columns[meaning]
    if meaning == "month":
        how, notes = _ways(column, MONTHS, spelling.reader_of_months, "months")
        said = {"column": _quoted(column.name), **how, "day_of_month": '"last"', "time": '"20:00"'}
        notes.append("a bill is dated to the evening of its month's last day")
        return [*_notes(column, notes), f"at = {_inline(said)}"]
    how, notes = _ways(column, DAYS, spelling.reader_of_days, "days")
    said = {"column": _quoted(column.name), **how}
    if "time" in sheet.columns and meaning != "instant":
        said["time_column"] = _quoted(sheet.columns["time"].name)
    if meaning not in kind.at[:1] and kind.kind == "tier.change":
        notes.append(f"? that the tier held from {column.name} on is a guess")
    return [*_notes(column, notes), f"at = {_inline(said)}"]


def _field(
    kind: str, name: str, meaning: str, column: Column, ids: _Ids, absolute: bool
) -> list[str]:
    shape, schema = shape_of(kind, name)
    said: dict[str, str] = {"column": _quoted(column.name)}
    notes: list[str] = []
    if shape == "day":
        how, notes = _ways(column, DAYS, spelling.reader_of_days, "days")
        said |= how
    elif shape == "month":
        how, notes = _ways(column, MONTHS, spelling.reader_of_months, "months")
        said |= how
    elif shape in ("money", "whole"):
        how, notes = _number(column, shape)
        said |= how
        if absolute:
            said["absolute"] = "true"
    elif shape == "choice":
        how, notes = _choices(column, schema["enum"])
        said |= how
    elif shape == "boolean":
        unread = _unread(column, spelling.yes_or_no)
        if unread:
            notes.append(f"? {_rows(unread)} say neither yes nor no: `words` says what they mean")
    elif meaning in ("unit", "club", "service", "campaign", "cohort", "desk"):
        how, notes = _ids_of(column, meaning, ids)
        said |= how
    elif meaning == "member":
        bad = [row for row, cell in column.cells if not ID.fullmatch(cell.strip())]
        if bad:
            notes.append(f"? {_rows(bad)} hold no id of ASCII letters and digits")
        elif len(set(column.texts)) == len(column.texts):
            notes.append("each of its rows another")
    value = said["column"] if len(said) == 1 else _inline(said)
    return [*_notes(column, notes), f"{name} = {value}"]


def _notes(column: Column, notes: Sequence[str]) -> list[str]:
    said = f"# {column.name}: {len(column.cells):,} filled"
    sure = [each for each in notes if not each.startswith("?")]
    doubts = [each[1:].strip() for each in notes if each.startswith("?")]
    return [
        "; ".join([said, *sure]) + ("." if not doubts else ";"),
        *(f"# ? {each}." for each in doubts),
    ]


def _ways(
    column: Column,
    ways: dict[str, str],
    reader: Callable[[Spelling], Callable[[str], Any]],
    what: str,
) -> tuple[dict[str, str], list[str]]:
    """(how days or months are written, what is said of it). Two ways that fit are no answer."""
    iso = next(iter(ways))
    unread = _unread(column, reader(Spelling()))
    if not unread:
        return {}, [f"all read as {iso}"]
    fits = [way for way in ways if not _unread(column, reader(_spelt(what, way)))]
    if len(fits) == 1:
        return {what: _quoted(fits[0])}, [f"all read as {fits[0]}, and in no other way"]
    if fits:
        both = " and as ".join(fits)
        return {}, [f"? all can be read as {both}: say which, {what} = {_quoted(fits[0])}"]
    best = min(ways, key=lambda way: len(_unread(column, reader(_spelt(what, way)))))
    rest = _unread(column, reader(_spelt(what, best)))
    how = {} if best == iso else {what: _quoted(best)}
    return how, [f"? {_rows(rest)} cannot be read as {best}, the most can"]


def _spelt(what: str, way: str) -> Spelling:
    return Spelling(days=(way,)) if what == "days" else Spelling(months=(way,))


def _number(column: Column, shape: str) -> tuple[dict[str, str], list[str]]:
    read = spelling.money if shape == "money" else spelling.whole
    how: dict[str, str] = {}
    notes: list[str] = []
    money: Any = "yuan"
    if shape == "money":
        name = spelling.plain(column.name).lower()
        if "fen" in name or re.search(r"\(分\)|分$", name):
            money, how["money"] = "fen", '"fen"'
        notes.append(f"{'fen' if money == 'fen' else 'yuan with decimals'}, by its name")
    unread = _unread(column, lambda cell: read(cell, Spelling(money=money)))
    if unread and not _unread(column, lambda cell: read(cell, Spelling(money=money, decimal=","))):
        how["decimal"] = '","'
        notes.append("a comma before decimals")
    elif unread:
        notes.append(f"? {_rows(unread)} hold no {'money' if shape == 'money' else 'whole number'}")
    return how, notes


def _choices(column: Column, choices: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    meant: dict[str, str] = {}
    unknown: list[str] = []
    for word in column.distinct():
        low = word.lower()
        if low in choices or low in words.EMPTY_VALUES:
            continue
        found = [c for c in choices if any(each in low for each in _called(c))]
        if found:
            meant[word] = found[0]
        else:
            unknown.append(word)
    notes = [f"read by its words as {', '.join(dict.fromkeys(meant.values()))}"] if meant else []
    known = ", ".join(choices)
    notes += [
        f"? {_quoted(word)} is surely none of {known}: say what in `words`"
        for word in unknown[:MOST_WORDS]
    ]
    return ({"words": _inline_words(meant)} if meant else {}), notes


def _called(choice: str) -> Iterator[str]:
    """What files call a value of ours, a tier by the titles that the ledger gives it, too."""
    yield from words.VALUES.get(choice, ())
    yield from (title.lower() for title in PROGRAMME.titles.get(choice, ()))


def _ids_of(column: Column, meaning: str, ids: _Ids) -> tuple[dict[str, str], list[str]]:
    names = column.distinct()
    if all(ids.is_one(meaning, name) for name in names):
        return {}, ["ids as they are"]
    if len(names) > MOST_WORDS:
        return {}, [f"? it holds {len(names):,} names and no ids: say in words which is which"]
    found = {name: ids.of(meaning, name) for name in names}
    made = [name for name, (_, new) in found.items() if new]
    notes = [f"? the ids of {', '.join(made)} are made up"] if made else ["by titles"]
    return {"words": _inline_words({name: each for name, (each, _) in found.items()})}, notes


def _unread(column: Column, read: Callable[[str], Any]) -> list[int]:
    unread = []
    known: dict[str, bool] = {}
    for row, cell in column.cells:
        if cell not in known:
            try:
                found = read(cell)
                day = found[0] if isinstance(found, tuple) else None
                known[cell] = day is None or 1980 <= day.year < 2100
            except (Unspelt, ValueError, ArithmeticError):
                known[cell] = False
        if not known[cell]:
            unread.append(row)
    return unread


def _rows(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:5]))
    return f"row{'s' if len(rows) > 1 else ''} {shown}{' and more' if len(rows) > 5 else ''}"


def _is_yes(cell: str) -> bool:
    return cell.lower() in spelling.YES


def _is_actor(cell: str) -> bool:
    return re.fullmatch(r"[a-z]{1,16}:[A-Za-z0-9._@-]{1,64}", cell.strip()) is not None


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _inline(said: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{name} = {value}" for name, value in said.items()) + " }"


def _inline_words(meant: dict[str, str]) -> str:
    return "{ " + ", ".join(f"{_quoted(w)} = {_quoted(m)}" for w, m in meant.items()) + " }"
