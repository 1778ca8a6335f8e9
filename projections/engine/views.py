"""Views: lists of what there is, a row each, declared once.

A noun's projection says beside its tables which views it has: their columns in words, their query,
their order and by what they are filtered. Pages at both doors, files, the public schema
(`public.py`) and the reference are made of that. A view is asked of the live answers and as of any
moment alike, since its query names tables without their schema.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row, tuple_row
from pydantic import Field, TypeAdapter, create_model

from domain.kernel.values import PROGRAMME, Day, Month, start_of
from projections.engine.answer import Answer
from projections.engine.connection import Conn, streaming
from projections.engine.days import end_of
from projections.engine.measure import WrongParameters
from projections.engine.names import ANYBODY, NOBODY, form_of_values, require_known, values_of

VIEWS: dict[str, "View"] = {}
"""Every view by its name. Making one registers it."""

TYPES: dict[str, Any] = {
    "text": str,
    "bigint": int,
    "smallint": int,
    "boolean": bool,
    "date": date,
    "timestamptz": datetime,
    "text[]": list[str],
    "jsonb": dict[str, Any],
}
"""What a column may be."""

USUAL = {
    "bucket": "the lane of the log",
    "position": "where the lane holds the event",
    "member_id": "whose",
    "unit_id": "the unit at that time",
    "tier": "the tier at that time; null: none",
    "occurred_at": "when it happened",
    "actor": "who did it, as role:id",
    "desk": "at which desk",
    "club_id": "the club",
    "service_id": "the service of the club",
    "campaign_id": "the campaign",
    "cohort_id": "the cohort",
    "title": "what it is called",
}
"""What columns are, unless a view says otherwise."""

_LINE = re.compile(r"(\w+) ([\w\[\]]+)(\?)?(?:: (.+))?")
_DAY_OF = re.compile(r"{day of ([^}]+)}")
FIRST, LAST = "first", "last"
"""The days of what a list holds, by its column of days."""
AT_LEAST = "_at_least"
_DAY: TypeAdapter[date] = TypeAdapter(Day)
_MONTH: TypeAdapter[str] = TypeAdapter(Month)
_A_MONTH = _MONTH.json_schema()["pattern"].strip("^$")
_MONTHS = {"pattern": f"^{_A_MONTH}(,{_A_MONTH})*$"}
_BOOLEANS = {"true": True, "false": False}
_A_DAY, _A_NUMBER = _DAY.json_schema(), {"pattern": "^-?[0-9]{1,15}$"}
_A_BOOLEAN = {"enum": [*_BOOLEANS]}
CHARACTERS = 1_000
"""So long may a filter be."""


class Column(NamedTuple):
    """A column: its type in SQL, and what it is."""

    name: str
    type: str
    nullable: bool
    about: str


class Filter(NamedTuple):
    """What a list can be asked for."""

    name: str
    about: str
    condition: str
    read: Callable[[str], Any]
    form: Mapping[str, Any] = MappingProxyType({})
    """How it is written, as a schema says it."""


@dataclass(frozen=True, eq=False)
class View:
    """A view; see the module."""

    name: str
    about: str
    text: str
    """Its query, with the columns in their order. `{day of x}` is the programme's day of an instant
    in sessions of strangers, too, who have another zone."""
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """In which order it is listed: columns that tell all rows apart, none of them null."""
    same: tuple[str, ...] = ()
    """Columns that are asked for by value."""
    least: tuple[str, ...] = ()
    """Numbers of which a least one is asked for."""
    day: str | None = None
    """The day or instant by which days are asked for."""
    within: Mapping[str, str] = field(default_factory=dict)
    """Ids of something else, by name: a condition with `ANY (%(name)s)`."""

    def __post_init__(self) -> None:
        if self.name in VIEWS:
            raise TypeError(f"two views are called {self.name}")
        VIEWS[self.name] = self

    @property
    def sql(self) -> str:
        """Its query."""
        return _DAY_OF.sub(rf"timezone('{PROGRAMME.zone.key}', \1)::date", self.text)

    @cached_property
    def row(self) -> type[Answer]:
        """A row as an answer."""
        fields: dict[str, Any] = {
            each.name: (
                TYPES[each.type] | None if each.nullable else TYPES[each.type],
                Field(description=each.about),
            )
            for each in self.columns
        }
        name = "".join(part.title() for part in self.name.split("_"))
        return create_model(f"{name}Row", __base__=Answer, __doc__=self.about, **fields)

    @cached_property
    def filters(self) -> dict[str, Filter]:
        """What it can be asked for, by name."""
        types = {each.name: each for each in self.columns}
        found = [_same(types[name], values_of(name, self.name)) for name in self.same]
        found += [_within(name, text) for name, text in self.within.items()]
        found += [_least(name) for name in self.least]
        if self.day is not None:
            found += _days(types[self.day])
        return {each.name: each for each in found}


def _same(column: Column, values: Sequence[str]) -> Filter:
    nothing = f", `{NOBODY}` for none, `{ANYBODY}` for any" if column.nullable else ""
    about = f"only these: {column.about}; several by commas{nothing}"
    if column.type == "boolean":
        return Filter(column.name, f"`true` or `false`: {column.about}",
                      f"v.{column.name} = %({column.name})s", _boolean, _A_BOOLEAN)  # fmt: skip
    condition = f"v.{column.name} = ANY (%({column.name})s)"
    if column.nullable:
        condition = (
            f"({condition} OR v.{column.name} IS NULL AND '{NOBODY}' = ANY (%({column.name})s)"
            f" OR v.{column.name} IS NOT NULL AND '{ANYBODY}' = ANY (%({column.name})s))"
        )
    if column.name == "month":
        return Filter(column.name, about, condition, _months, _MONTHS)
    form = form_of_values(values, *((NOBODY, ANYBODY) if column.nullable else ()))
    return Filter(column.name, about, condition, _several, form)


def _within(name: str, condition: str) -> Filter:
    what = name.removesuffix("_id")
    return Filter(name, f"only those in this {what}; several by commas", condition, _several)


def _least(name: str) -> Filter:
    condition = f"v.{name} >= %({name}{AT_LEAST})s"
    about = f"{name.replace('_', ' ')} at least this"
    return Filter(f"{name}{AT_LEAST}", about, condition, _whole, _A_NUMBER)


def _days(column: Column) -> list[Filter]:
    """By a day, or by an instant of it."""
    dated = column.type == "date"
    first = _DAY.validate_python if dated else lambda text: start_of(_DAY.validate_python(text))
    last = _DAY.validate_python if dated else lambda text: end_of(_DAY.validate_python(text))
    until = "<=" if dated else "<"
    return [
        Filter(FIRST, f"from this day on: {column.about}",
               f"v.{column.name} >= %({FIRST})s", first, _A_DAY),
        Filter(LAST, f"up to this day: {column.about}",
               f"v.{column.name} {until} %({LAST})s", last, _A_DAY),
    ]  # fmt: skip


def _several(text: str) -> list[str]:
    if not text or len(text) > CHARACTERS or "\0" in text:
        raise ValueError
    return text.split(",")


def _months(text: str) -> list[str]:
    return [_MONTH.validate_python(each) for each in _several(text)]


def _boolean(text: str) -> bool:
    return _BOOLEANS[text]


def _whole(text: str) -> int:
    if not re.fullmatch(_A_NUMBER["pattern"], text):
        raise ValueError
    return int(text)


def view(name: str, about: str, text: str, columns: str, **more: Any) -> View:
    """A view of the catalogue. `columns`: a line each, `name type: what it is`, with a `?` behind
    the type where it may be null."""
    found = []
    for line in columns.strip().splitlines():
        told = _LINE.fullmatch(line.strip())
        if told is None or told[2] not in TYPES:
            raise TypeError(f"no column of {name}: {line}")
        found.append(Column(told[1], told[2], told[3] is not None, told[4] or USUAL[told[1]]))
    return View(name, about, text, tuple(found), **more)


def catalogue() -> list[View]:
    """Every view, by its name: in whichever order the nouns were met."""
    return [VIEWS[name] for name in sorted(VIEWS)]


# ------------------------------------------------------------------------------------- asking
class Page(NamedTuple):
    """Some rows, and behind what the next ones are; null at the end."""

    rows: list[Any]
    next: str | None


def read(of: View, said: Mapping[str, str | None]) -> dict[str, Any]:
    """What is asked for, as the query is given it. Raises WrongParameters."""
    given, unreadable = {}, []
    wanted = {name: value for name, value in said.items() if value is not None}
    unknown = sorted(wanted.keys() - of.filters.keys())
    for name in wanted.keys() - set(unknown):
        try:
            given[name] = of.filters[name].read(wanted[name])
        except (ValueError, KeyError):
            unreadable.append(name)
    if FIRST in given and LAST in given and wanted[LAST] < wanted[FIRST]:
        unreadable.append(LAST)
    if unknown or unreadable:
        raise WrongParameters(unknown, [], sorted(unreadable), list(of.filters))
    return given


def page(
    conn: Conn,
    of: View,
    said: Mapping[str, str | None],
    limit: int = 50,
    after: str | None = None,
) -> Page:
    """Rows in the order of their key; `after` is the `next` of the page before."""
    given = read(of, said)
    require_known(conn, _named(of, given), of.name)
    cursor = conn.cursor(row_factory=class_row(of.row))
    try:
        text, known = _listed(of, given, after), behind(of.key, after)
        found = cursor.execute(text, {**given, **known, "limit": limit + 1}).fetchall()
    except psycopg.DataError:  # no such place in this list
        raise WrongParameters([], [], ["after"], []) from None
    shown = found[:limit]
    return Page(shown, _place(of, shown[-1]) if len(found) > limit else None)


@contextmanager
def whole(conn: Conn, of: View, said: Mapping[str, str | None]) -> Iterator[Iterator[Answer]]:
    """All rows, fetched as they are asked for. Only within a transaction."""
    given = read(of, said)
    require_known(conn, _named(of, given), of.name)
    names, made = [each.name for each in of.columns], of.row.model_construct
    with streaming(conn, tuple_row) as cursor:
        found = cursor.execute(_listed(of, given, None), {**given, "limit": None})
        yield (made(**dict(zip(names, row, strict=True))) for row in found)


def _named(of: View, given: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        name: given[name] for name in (*of.same, *of.within) if isinstance(given.get(name), list)
    }


def _listed(of: View, given: Mapping[str, Any], after: str | None) -> str:
    conditions = [of.filters[name].condition for name in given]
    key = ", ".join(f"v.{name}" for name in of.key)
    if after is not None:
        conditions.append(f"({key}) > ({', '.join(f'%(after_{name})s' for name in of.key)})")
    columns = ", ".join(f"v.{each.name}" for each in of.columns)
    return (
        f"SELECT {columns} FROM ({of.sql}) v WHERE {' AND '.join(conditions) or 'true'}"
        f" ORDER BY {key} LIMIT %(limit)s"
    )


def _place(of: View, row: Answer) -> str:
    return "~".join(str(getattr(row, name)) for name in of.key)


def behind(key: Sequence[str], after: str | None) -> dict[str, str]:
    """What a query is given that goes on behind a row: its key, by column. Raises
    WrongParameters."""
    if after is None:
        return {}
    parts = after.split("~")
    if len(parts) != len(key) or "\0" in after:
        raise WrongParameters([], [], ["after"], [])
    return {f"after_{name}": part for name, part in zip(key, parts, strict=True)}
