"""Rows that should be the same: counted by table, and those that are not paired by their keys."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, Field

from projections.engine.answer import Answer
from projections.engine.connection import Conn

Row = Mapping[str, Any]
Kind = Literal["changed", "missing", "extra", "unlike"]


class Value(Answer):
    """What a column holds, and what it should; null where there is no such row."""

    column: str
    live: Any
    expected: Any


class Difference(Answer):
    """A row that is not what it should be."""

    table: str
    kind: Kind = Field(
        description="changed; missing; extra: there without reason; unlike: the table is not there"
        " or has other columns"
    )
    key: dict[str, Any]
    values: list[Value] = Field(description="the columns that differ")


class Tally(Answer):
    """How many rows of a table were looked at, and how many differ in which way."""

    model_config = ConfigDict(frozen=False)

    table: str
    rows: int = 0
    changed: int = 0
    missing: int = 0
    extra: int = 0
    unlike: int = 0
    unchecked: int = Field(
        0, description="snapshots folded by earlier rules: nothing relies on them"
    )

    @property
    def different(self) -> int:
        return self.changed + self.missing + self.extra + self.unlike


class Comparison(Answer):
    """What was held against what."""

    against: str = Field(description="replay; snapshots; second opinion")
    different: int = Field(description="rows that differ, listed or not")
    tables: list[Tally]
    differences: list[Difference] = Field(description="the first of them")


@dataclass(slots=True)
class Comparing:
    """What is held against what: all of it counted, the first so many differences listed."""

    against: str
    limit: int
    tables: dict[str, Tally] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)

    def found(self) -> Comparison:
        """What came of it."""
        tallies = list(self.tables.values())
        return Comparison(
            against=self.against,
            different=sum(tally.different for tally in tallies),
            tables=tallies,
            differences=self.differences,
        )

    def tally(self, table: str) -> Tally:
        return self.tables.setdefault(table, Tally(table=table))

    def differs(self, table: str, key: Row, live: Row | None, expected: Row | None) -> None:
        """Take note of a row that is not the same on both sides."""
        tally = self.tally(table)
        if live is None:
            tally.missing += 1
        elif expected is None:
            tally.extra += 1
        else:
            tally.changed += 1
        self.lists(table, key, live, expected)

    def lists(self, table: str, key: Row, live: Row | None, expected: Row | None) -> None:
        """List a row that was counted elsewhere, if there is room for it."""
        if len(self.differences) >= self.limit:
            return
        kind: Kind = "missing" if live is None else "extra" if expected is None else "changed"
        one, other = live or {}, expected or {}
        values = [
            Value(column=name, live=one.get(name), expected=other.get(name))
            for name in {**one, **other}
            if name not in key and one.get(name) != other.get(name)
        ]
        self.differences.append(Difference(table=table, kind=kind, key=dict(key), values=values))

    def is_unlike(self, table: str) -> None:
        """Take note of a table whose rows cannot be compared at all."""
        self.tally(table).unlike += 1
        if len(self.differences) < self.limit:
            self.differences.append(Difference(table=table, kind="unlike", key={}, values=[]))

    def rows(
        self, table: str, key: list[str], live: Iterable[Row], expected: Iterable[Row]
    ) -> None:
        """Compare rows that fit into memory."""
        found = {tuple(row[name] for name in key): row for row in live}
        wanted = {tuple(row[name] for name in key): row for row in expected}
        self.tally(table).rows += len(wanted)
        for place in {**wanted, **found}:
            one, other = found.get(place), wanted.get(place)
            if one != other:
                self.differs(table, dict(zip(key, place, strict=True)), one, other)


@dataclass(frozen=True, slots=True)
class Shape:
    """The columns of a table, and those of its key. JSON is compared as it is spelled."""

    columns: tuple[tuple[str, str], ...]
    key: list[str]

    @property
    def selected(self) -> str:
        """All columns, in SQL, with types that can be compared."""
        cast = {"json": "::text"}
        return ", ".join(f'"{name}"{cast.get(kind, "")} AS "{name}"' for name, kind in self.columns)


def shape(conn: Conn, table: str) -> Shape:
    """The shape of a table, empty if it is not there. The key is that of its unique index."""
    found = conn.execute(
        """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod),
            EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique
                AND a.attnum = ANY (i.indkey::int2[]))
        FROM pg_attribute a
        WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY a.attnum
        """,
        (table,),
    ).fetchall()
    return Shape(
        tuple((name, kind) for name, kind, _ in found), [name for name, _, keyed in found if keyed]
    )


def compare_tables(conn: Conn, into: Comparing, live: str, expected: str) -> None:
    """Compare two tables in the database, of whatever size."""
    wanted = shape(conn, expected)
    if shape(conn, live).columns != wanted.columns:
        into.is_unlike(live)
        return
    count, digest = _digest(conn, expected, wanted)
    into.tally(live).rows += count
    if (count, digest) != _digest(conn, live, wanted):
        _list_rows(conn, into, live, expected, wanted)


def _digest(conn: Conn, table: str, of: Shape) -> tuple[int, Any]:
    """How many rows, and the sum of their hashes: equal tables agree in both in any order."""
    found = conn.execute(
        f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM (SELECT {of.selected}"
        f" FROM {table}) t"
    ).fetchone()
    assert found is not None  # an aggregate without GROUP BY has a row
    return found[0], found[1]


def _list_rows(conn: Conn, into: Comparing, live: str, expected: str, of: Shape) -> None:
    """Rows that one side has more often than the other, paired by their keys."""
    key = ", ".join(f'"{name}"' for name in of.key)
    one, other = (
        f"SELECT jsonb_build_array({key}) AS key, to_jsonb(t) AS said FROM ("
        f"SELECT {of.selected} FROM {a} EXCEPT ALL SELECT {of.selected} FROM {b}) t"
        for a, b in ((live, expected), (expected, live))
    )
    room = max(into.limit - len(into.differences), 0)
    pairs = conn.execute(
        f"""
        SELECT key, l.said, e.said, count(*) OVER (), count(l.said) OVER (), count(e.said) OVER ()
        FROM ({one}) l FULL JOIN ({other}) e USING (key)
        ORDER BY key LIMIT {room + 1:d}
        """
    ).fetchall()
    tally = into.tally(live)
    for key_values, was, should_be, total, known, wanted in pairs:
        tally.missing, tally.extra = total - known, total - wanted
        tally.changed = total - tally.missing - tally.extra
        into.lists(live, dict(zip(of.key, key_values, strict=True)), was, should_be)
