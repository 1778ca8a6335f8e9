"""Layouts: a table as wide as it may be, and text folded between words.

No cell is ever broken: a name that wraps can neither be read nor copied. What does not fit is left
out instead, in an order that the caller chooses.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

GAP = "  "


@dataclass(frozen=True)
class Column:
    """A column's name, and whether it holds numbers."""

    name: str
    right: bool = False


@dataclass(frozen=True)
class Heading:
    """A line of its own between the rows; it may be as long as it likes."""

    text: str


Row = Sequence[str | Text] | Heading


def lines(columns: Sequence[Column], rows: Sequence[Row]) -> list[Text]:
    """A table, each column as wide as its widest cell."""
    head = [Text(column.name, style="bold") for column in columns]
    cells = [head, *([_text(c) for c in row] for row in rows if not isinstance(row, Heading))]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    return [
        Text(row.text, style="bold") if isinstance(row, Heading) else _line(columns, widths, row)
        for row in (head, *rows)
    ]


def listed(
    columns: Sequence[Column], rows: Sequence[Sequence[str | Text]], room: int
) -> list[Text]:
    """A table if it fits, or one row below the other, without what is empty: no column of a list
    is left out, and none is broken."""
    table = lines(columns, rows)
    if width(table) <= room or not rows:
        return table
    found: list[Text] = []
    names = max(len(column.name) for column in columns) + len(GAP)
    for row in rows:
        told = zip(columns, map(_text, row), strict=True)
        found += [Text(f"{c.name:<{names}}").append_text(cell) for c, cell in told if cell.plain]
        found.append(Text())
    return found


def width(table: Sequence[Text]) -> int:
    """How many columns of a terminal it takes."""
    return max(line.cell_len for line in table)


def folded(text: str, columns: int, indent: str = "", hanging: str | None = None) -> str:
    """A text folded between words; `hanging` is the indent of the lines behind the first."""
    rest = indent if hanging is None else hanging
    room = max(columns - max(len(indent), len(rest)), 20)
    parts = Text(text).wrap(Console(width=room), room)
    return "\n".join(
        (indent if number == 0 else rest) + part.plain.rstrip() for number, part in enumerate(parts)
    )


def _text(cell: str | Text) -> Text:
    return Text(cell) if isinstance(cell, str) else cell


def _line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str | Text]) -> Text:
    line = Text()
    for number, (column, wide, cell) in enumerate(zip(columns, widths, row, strict=True)):
        text = _text(cell)
        pad = " " * (wide - cell_len(text.plain))
        line.append(GAP if number else "")
        line.append_text(Text.assemble(pad, text) if column.right else Text.assemble(text, pad))
    line.rstrip()
    return line
