"""Measures: formulas over sums of rows, one catalogue for all figures.

What is summed are the rows of a query, the *contributions*: each is a member, a visit, a lot, ...
with what it adds to every sum, the days and values that decided, and the events it comes from. So a
figure foots to its rows by its form; it can be filtered and grouped by what they have; and it is
asked in the same words of the live answers, as of any moment, and of what would have been.

A noun's projection says beside its tables which rows it has and which measures are made of them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, TypeAlias

from psycopg.rows import dict_row
from pydantic import BeforeValidator, Field, TypeAdapter

from domain.kernel.formula import Formula, Undefined
from domain.kernel.refusal import Refusal
from domain.kernel.values import Day, Month, start_of
from projections.engine.answer import Answer, Dated, Number
from projections.engine.connection import Conn
from projections.engine.days import end_of, first_whole_month, last_whole_month
from projections.engine.event_tables import counted
from projections.engine.names import ANYBODY, NOBODY, form_of_values, require_known, values_of
from projections.engine.ratio import rounded

MEASURES: dict[str, "Measure"] = {}
"""Every measure by its id. Making one registers it."""
DAY = "yyyymmdd"
"""The unit of a day written as a number: what lies between two of them is counted in days."""

Params: TypeAlias = Mapping[str, Any]
"""What a measure is asked with: `on`, `first`, what it needs, limits, and filters by column."""
_DAY: TypeAdapter[date] = TypeAdapter(Day)
_MONTH: TypeAdapter[str] = TypeAdapter(Month)
_A_DAY, _A_NUMBER = _DAY.json_schema(), {"pattern": "^[0-9]{1,13}$"}
Interval: TypeAlias = Callable[[Mapping[str, int]], tuple[Fraction, Fraction]]


@dataclass
class UnknownMeasure(Refusal):
    """There is no such measure."""

    code = "unknown_measure"


@dataclass
class WrongParameters(Refusal):
    """A measure is asked with what it does not take, or without what it needs."""

    code = "wrong_parameters"
    unknown: list[str]
    missing: list[str]
    unreadable: list[str]
    takes: list[str]


@dataclass(frozen=True, slots=True)
class Events:
    """The events of rows: those of a topic that count and fulfil a condition, found by columns that
    both have beside their bucket. Or those of a query that says `topic` and `position` of each."""

    topic: str
    by: tuple[str, ...] = ("member_id",)
    where: str = "true"
    query: str = ""

    @property
    def source(self) -> str:
        """Those events, in SQL."""
        return self.query or f"(SELECT e.*, '{self.topic}' AS topic FROM {counted(self.topic)} e)"


@dataclass(frozen=True, slots=True)
class Need:
    """An id without which rows have no meaning, and which of them an overview asks for."""

    name: str
    in_overview: str = "true"

    @property
    def table(self) -> str:
        return self.name.removesuffix("_id")


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows that add up.

    `what` they are, for a reader. `text` is their query: a bucket, the columns of `key` that tell
    them apart (none is null), those of `dims` by which they are grouped and filtered, those of
    `decided` that are shown, and of `sums`. It may name `%(on)s`, `%(end)s` (the instant at which
    that day is over), `%(first)s`, `%(start)s`, `%(first_month)s` and `%(last_month)s` (of the
    whole months from `first` to `on`; the last lies before the first where there is none), what
    is needed and what may be said.
    """

    text: str
    key: tuple[str, ...]
    sums: tuple[str, ...]
    what: str
    dims: tuple[str, ...] = ()
    decided: tuple[str, ...] = ()
    events: tuple[Events, ...] = ()
    needs: tuple[Need, ...] = ()
    may: Mapping[str, int | str | None] = field(default_factory=dict)
    """What may be said, else it is this; a text where it is null."""
    once: Mapping[str, str] = field(default_factory=dict)
    """What is said once, not summed, by name: a query of one number."""
    days: bool | tuple[str, ...] = False
    """Whether they are those of the days from `first` to `on`, or as it stands at the end of it; or
    of which sums that holds."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What a contribution shows beside its sums and events."""
        return tuple(dict.fromkeys((*self.key, *self.dims, *self.decided)))


@dataclass(frozen=True, eq=False)
class Measure:
    """A formula over the sums of rows; see the module."""

    id: str
    title: str
    zh: str
    unit: str
    rows: Rows
    formula: Formula
    digits: int = 0
    at_least: tuple[tuple[str, int, str], ...] = ()
    """Without which there is no value: a formula, how much it must be, and what is said."""
    interval: Interval | None = None
    """The 95% interval of the value, from the sums."""
    given: tuple[str, ...] = ()
    """What may be said that its sums hang on, so that an answer tells what it was."""
    note: str = ""

    def __post_init__(self) -> None:
        if self.id in MEASURES:
            raise TypeError(f"two measures are called {self.id}")
        if unknown := set(self.sums) - {*self.rows.sums, *self.rows.once}:
            raise TypeError(f"{self.id} speaks of {sorted(unknown)}, which are not summed")
        if unknown := set(self.given) - self.usual.keys():
            raise TypeError(f"{self.id} hangs on {sorted(unknown)}, which have no usual value")
        MEASURES[self.id] = self

    @cached_property
    def sums(self) -> tuple[str, ...]:
        """The sums that it is made of."""
        said = [Formula(text) for text, *_ in self.at_least]
        return tuple(dict.fromkeys(name for each in (self.formula, *said) for name in each.names))

    @property
    def added(self) -> tuple[str, ...]:
        """Those of them that rows add up to."""
        return tuple(name for name in self.sums if name in self.rows.sums)

    @property
    def needs(self) -> tuple[str, ...]:
        return tuple(need.name for need in self.rows.needs)

    @property
    def takes(self) -> tuple[str, ...]:
        """All that it may be asked with."""
        days = ("first", "on") if self.days else ("on",)
        return (*days, *self.needs, *self.rows.may, *self.rows.dims)

    @property
    def usual(self) -> dict[str, str]:
        """What is taken for what may be said and is not."""
        return {name: str(value) for name, value in self.rows.may.items() if value is not None}

    @property
    def days(self) -> bool:
        """Whether it is of days, or as it stands at the end of one."""
        of = self.rows.days
        return of if isinstance(of, bool) else not set(of).isdisjoint(self.sums)

    def value(self, sums: Mapping[str, int]) -> tuple[Fraction | None, str | None]:
        """(its value, exactly; why there is none)."""
        try:
            for text, least, why in self.at_least:
                if Formula(text).value(sums) < least:
                    return None, why
            return self.formula.value(sums), None
        except Undefined as undefined:
            return None, str(undefined)


def catalogue() -> list[Measure]:
    """Every measure: by what its id begins with, then as its noun says them."""
    return sorted(MEASURES.values(), key=lambda each: each.id.partition(".")[0])


def measure(
    measure_id: str, title: str, zh: str, unit: str, rows: Rows, formula: str, **more: Any
) -> Measure:
    """A measure of the catalogue."""
    return Measure(measure_id, title, zh, unit, rows, Formula(formula), **more)


class Described(Answer):
    """An entry of the catalogue."""

    measure_id: str
    title: str
    zh: str
    unit: str = Field(examples=["%", "customers"])
    digits: int
    formula: str = Field(description="over the sums of its contributions")
    needs: list[str] = Field(description="parameters that must be said")
    takes: list[str] = Field(description="all parameters; those in `by` also group")
    usual: dict[str, str] = Field(description="what is taken for those that are not said")
    by: list[str]
    rows: str = Field(description="what its contributions are")
    note: str


class Input(Answer):
    """A sum that went into a value."""

    name: str
    value: int


class Group(Answer):
    """The same of a part of the rows; a key is null where they have none."""

    key: dict[str, str | None]
    value: Number | None
    inputs: list[Input]
    why: str | None


def _texts(params: Any) -> Any:
    return {name: str(value) for name, value in params.items()}


class Measured(Dated):
    """What a measure comes to with its parameters."""

    measure_id: str
    title: str
    zh: str
    unit: str
    digits: int
    params: Annotated[dict[str, str], BeforeValidator(_texts)]
    usual: dict[str, str] = Field(description="what its sums hang on and nobody said, as taken")
    first: date | None = Field(description="of the days from here to `on`; null: at its end")
    on: date
    formula: str
    value: Number | None = Field(description="rounded half up; null is not computable: see `why`")
    low: Number | None = Field(None, description="95% interval, where there is one")
    high: Number | None = None
    inputs: list[Input]
    why: str | None
    groups: list[Group] = Field(default=[], description="by what was asked for, in its order")
    exact: Any = Field(None, exclude=True)  # Fraction | None

    def sums(self) -> dict[str, int]:
        """Its inputs by name."""
        return {each.name: each.value for each in self.inputs}


def described(of: Measure) -> Described:
    """A measure for a reader."""
    return Described(
        measure_id=of.id,
        title=of.title,
        zh=of.zh,
        unit=of.unit,
        digits=of.digits,
        formula=of.formula.text,
        needs=list(of.needs),
        takes=list(of.takes),
        usual=of.usual,
        by=list(of.rows.dims),
        rows=of.rows.what,
        note=of.note,
    )


class MeasureChange(Answer):
    """A measure that comes out otherwise; null where it is not computable."""

    measure_id: str
    title: str
    unit: str
    params: dict[str, str]
    key: dict[str, str | None] = Field(description="of a part of its rows; empty: of all of them")
    before: Number | None
    after: Number | None
    difference: Number | None = Field(description="between days, in days")


def changes(was: Iterable[Measured], now: Iterable[Measured]) -> list[MeasureChange]:
    """What of an overview comes out otherwise in the other, in their order."""
    before, after = _lines(was), _lines(now)
    found = []
    for place in {**before, **after}:
        one, other = before.get(place), after.get(place)
        if one is None or other is None or one[1] != other[1]:
            of, key = (one or other or (None,))[0], dict(place[2])
            assert of is not None
            values = [None if each is None else each[1] for each in (one, other)]
            found.append(
                MeasureChange(
                    measure_id=of.measure_id,
                    title=of.title,
                    unit=of.unit,
                    params=of.params,
                    key=key,
                    before=values[0],
                    after=values[1],
                    difference=difference(of.unit, *values),
                )
            )
    return found


_Line: TypeAlias = tuple[str, frozenset[tuple[str, str]], tuple[tuple[str, str | None], ...]]


def _lines(of: Iterable[Measured]) -> dict[_Line, tuple[Measured, Decimal | None]]:
    found: dict[_Line, tuple[Measured, Decimal | None]] = {}
    for each in of:
        said = frozenset(each.params.items())
        found[each.measure_id, said, ()] = each, each.value
        for group in each.groups:
            found[each.measure_id, said, tuple(group.key.items())] = each, group.value
    return found


def difference(unit: str, before: Decimal | None, after: Decimal | None) -> Decimal | None:
    """How much more the second is than the first, if there are both; between days, in days."""
    if before is None or after is None:
        return None
    if unit == DAY:
        return Decimal((day_of(after) - day_of(before)).days)
    return after - before


def day_of(value: Decimal) -> date:
    """The day that such a number writes."""
    return date.fromisoformat(str(value))


# ------------------------------------------------------------------------------------ asking
@dataclass(frozen=True, slots=True)
class Question:
    """A measure with its parameters filled in."""

    measure: Measure
    said: dict[str, Any]
    on: date
    first: date
    filters: dict[str, list[str]]

    @property
    def given(self) -> dict[str, Any]:
        """What the query is given."""
        rows = self.measure.rows
        return {
            **rows.may,
            **{name: each for name, each in self.said.items() if name not in rows.dims},
            "on": self.on,
            "end": end_of(self.on),
            "first": self.first,
            "start": start_of(self.first),
            "first_month": f"{first_whole_month(self.first):%Y-%m}",
            "last_month": f"{last_whole_month(self.on):%Y-%m}",
            **{f"in_{name}": wanted for name, wanted in self.filters.items()},
        }

    @property
    def named(self) -> dict[str, list[str]]:
        """What it is asked of: what it needs, what may be said, and its filters."""
        words = {name: [each] for name, each in self.said.items() if isinstance(each, str)}
        return {**words, **self.filters}

    @property
    def condition(self) -> str:
        """The filters, in SQL."""
        parts = ["true"]
        for name, wanted in self.filters.items():
            values = [each for each in wanted if each not in (NOBODY, ANYBODY)]
            ways = [f"r.{name} = ANY (%(in_{name})s)"] if values else []
            ways += [f"r.{name} IS NULL"] * (NOBODY in wanted)
            ways += [f"r.{name} IS NOT NULL"] * (ANYBODY in wanted)
            parts.append(f"({' OR '.join(ways)})")
        return " AND ".join(parts)

    @property
    def source(self) -> str:
        return f"({self.measure.rows.text}) r WHERE {self.condition}"


def question(measure_id: str, params: Params, on: date) -> Question:
    """A measure with its parameters read. Raises UnknownMeasure and WrongParameters."""
    found = MEASURES.get(measure_id)
    if found is None:
        raise UnknownMeasure
    said, unreadable = {}, []
    for name, value in params.items():
        if name in found.takes and value is not None:
            try:
                said[name] = _read(found, name, value)
            except ValueError:
                unreadable.append(name)
    on, first = said.pop("on", on), said.pop("first", None)
    unknown = sorted(name for name in params if name not in found.takes)
    missing = [name for name in found.needs if name not in said and name not in unreadable]
    if first is not None and first > on:
        unreadable.append("first")
    if unknown or missing or unreadable:
        raise WrongParameters(unknown, missing, unreadable, list(found.takes))
    filters = {name: said[name].split(",") for name in found.rows.dims if name in said}
    return Question(found, said, on, first or on.replace(month=1, day=1), filters)


DAYS = {
    "on": "the day at whose end it is asked: else today, or that of the moment",
    "first": "with `on`, the days of which it is; else the first day of that year",
}
"""What every measure may be asked with, and what it is."""


def form_of(name: str) -> Mapping[str, Any]:
    """How a parameter is written at every measure that takes it, as a schema says it."""
    if name in DAYS:
        return _A_DAY
    if form := form_of_values(values_of(name), NOBODY, ANYBODY):
        return form
    usual = [each.rows.may.get(name) for each in MEASURES.values() if name in each.takes]
    return _A_NUMBER if all(isinstance(each, int) for each in usual) else {}


def _read(found: Measure, name: str, value: Any) -> Any:
    if name in DAYS:
        return _DAY.validate_python(value)
    known = found.rows.may.get(name)
    if isinstance(known, int):
        if not re.fullmatch(_A_NUMBER["pattern"], str(value)):
            raise ValueError(name)
        return int(value)
    text = str(value)
    if not text or len(text) > 1000 or "\0" in text:
        raise ValueError(name)
    if name == "month":
        return ",".join(map(_MONTH.validate_python, text.split(",")))
    return text


def measured(
    conn: Conn, measure_id: str, params: Params, on: date, by: Sequence[str] = ()
) -> Measured:
    """What a measure comes to, in all and by these columns of its rows.

    `on` is the day unless `params` say another. Raises UnknownMeasure, WrongParameters and what is
    unknown.
    """
    asked = question(measure_id, params, on)
    if wrong := [name for name in by if name not in asked.measure.rows.dims]:
        raise WrongParameters(wrong, [], [], list(asked.measure.rows.dims))
    require_known(conn, asked.named)
    return next(_answers(conn, [asked.measure], asked, [tuple(dict.fromkeys(by))]))


def overview(
    conn: Conn, on: date, groups: bool = False, said: Params = MappingProxyType({})
) -> Iterator[Measured]:
    """Every measure on a day, of each id that it needs and the ledger knows; a query a kind of
    rows. `groups`: by each column of the rows, too; `said`: where it may be said."""
    for rows in dict.fromkeys(each.rows for each in catalogue()):
        of = [each for each in catalogue() if each.rows is rows]
        by = [(name,) for name in rows.dims] if groups else [()]
        may = {*rows.may, *(("first",) if rows.days else ())}
        more = {name: value for name, value in said.items() if name in may}
        first = next((each for each in of if each.days), of[0])
        for each in known(conn, rows.needs):
            yield from _answers(conn, of, question(first.id, {**each, **more}, on), by)


def known(conn: Conn, needs: Sequence[Need]) -> list[dict[str, str]]:
    """Every way in which the ledger knows what is needed."""
    found: list[dict[str, str]] = [{}]
    for need in needs:
        text = f"SELECT {need.name} FROM {need.table} WHERE {need.in_overview} ORDER BY 1"
        ids = [name for (name,) in conn.execute(text).fetchall()]
        found = [{**each, need.name: name} for each in found for name in ids]
    return found


def _answers(
    conn: Conn, of: Sequence[Measure], asked: Question, by: Sequence[tuple[str, ...]]
) -> Iterator[Measured]:
    """These measures, all of the same rows: their sums are taken in one query."""
    names = list(dict.fromkeys(name for each in of for name in each.added))
    once = asked.measure.rows.once
    dims = list(dict.fromkeys(name for columns in by for name in columns))
    sets = ", ".join(f"({', '.join(f'r.{name}' for name in each)})" for each in {(), *by})
    text = (
        f"SELECT {''.join(f'r.{name}, ' for name in dims)}"
        f"{''.join(f'GROUPING(r.{name}) AS no_{name}, ' for name in dims)}"
        f"{''.join(f'coalesce(({query}), 0) AS {name}, ' for name, query in once.items())}"
        f"{', '.join(f'coalesce(sum(r.{name}), 0) AS {name}' for name in names)}"
        f" FROM {asked.source}"
        f" GROUP BY GROUPING SETS ({sets})"
        f" ORDER BY {', '.join(f'r.{name} NULLS LAST' for name in dims) or '1'}"
    )
    cursor = conn.cursor(row_factory=dict_row)
    found = cursor.execute(text, asked.given).fetchall()
    for each in of:
        yield _measured(each, asked, dims, found)


def _measured(
    of: Measure, asked: Question, dims: Sequence[str], rows: Iterable[Mapping[str, Any]]
) -> Measured:
    groups, total = [], dict.fromkeys(of.sums, 0)
    for row in rows:
        sums = {name: int(row[name]) for name in of.sums}
        key = {name: row[name] for name in dims if not row[f"no_{name}"]}
        if not key:
            total = sums
            continue
        value, why = of.value(sums)
        groups.append(Group(key=key, value=_shown(value, of.digits), inputs=_inputs(sums), why=why))
    value, why = of.value(total)
    low, high = (None, None) if value is None or of.interval is None else of.interval(total)
    return Measured(
        measure_id=of.id,
        title=of.title,
        zh=of.zh,
        unit=of.unit,
        digits=of.digits,
        params=asked.said,
        usual={name: of.usual[name] for name in of.given if name not in asked.said},
        first=asked.first if of.days else None,
        on=asked.on,
        formula=of.formula.text,
        value=_shown(value, of.digits),
        low=_shown(low, of.digits),
        high=_shown(high, of.digits),
        inputs=_inputs(total),
        why=why,
        groups=groups,
        exact=value,
    )


def _shown(value: Fraction | None, digits: int) -> Decimal | None:
    return None if value is None else rounded(value, digits)


def _inputs(sums: Mapping[str, int]) -> list[Input]:
    return [Input(name=name, value=value) for name, value in sums.items()]
