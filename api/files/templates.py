"""An empty sheet for a kind of fact: a row that explains the columns, a header, and the mapping
that takes it in once it is filled."""

import csv
import io
from collections.abc import Iterator
from typing import Any, NamedTuple

from api.files.cells import nullable, shape_of
from api.runtime.failures import NotFound
from domain.catalogue import COMMANDS

EXPLAINED, HEADER = 1, 2
"""The rows of a template."""
WIDTH = 22
_FORMS = {
    "instant": "a day, with its time if it is known: 2025-03-01 09:30",
    "day": "a day: 2025-03-01",
    "month": "a month: 2025-03",
    "money": "yuan: 1,234.50",
    "share": "a share: 12.5%",
    "minutes": "a time of day: 08:30",
    "whole": "a whole number",
    "boolean": "yes or no",
    "text": "text",
}


class Column(NamedTuple):
    """A column of a template."""

    name: str
    explained: str
    required: bool


def columns_of(kind: str) -> list[Column]:
    """The columns for a kind of fact: what it needs first."""
    if kind not in COMMANDS:
        raise NotFound(f"There is no kind of fact {kind}; they are {', '.join(sorted(COMMANDS))}.")
    found = [column for name in COMMANDS[kind].model_fields for column in _columns(kind, name)]
    return sorted(
        found, key=lambda column: (not column.required, column.name not in ("at", "actor"))
    )


def _columns(kind: str, name: str) -> Iterator[Column]:
    if name == "command":
        return
    shape, schema = shape_of(kind, name)
    field = COMMANDS[kind].model_fields[name]
    required = field.is_required() or name == "at"
    needed = "needed" if required else "may be empty"
    if shape == "table":
        inner = schema.get("propertyNames", {}).get("enum", ())
        yield from (Column(f"{name}.{each}", f"of {each}; may be empty", False) for each in inner)
        return
    if shape == "list" and "$ref" in schema.get("items", {}):
        return  # lists of tables are told as JSON Lines
    form = _FORMS.get(shape, "")
    if shape == "choice":
        form = f"one of {', '.join(schema['enum'])}"
    elif shape == "list":
        several = schema.get("items", {}).get("enum")
        form = (
            f"some of {', '.join(several)}, with ; between"
            if several
            else "several, with ; between"
        )
    elif name.endswith("_id"):
        form = "an id: letters, digits, . _ -"
    elif name == "actor":
        form = "who did it: role:id, such as clerk:li"
    elif name == "key":
        form = "a number of its own, by which it is done once"
    if nullable(kind, name):
        form += "; none is written as -"
    yield Column(name, f"{form}; {needed}", required)


def mapping_of(kind: str, file: str) -> str:
    """The mapping that takes the filled sheet in."""
    lines = [
        f"# Takes in {file} as `--template {kind}` made it, once it is filled.",
        "[[table]]",
        f"files = {_quoted(file)}",
        f"header = {HEADER}",
        "",
        "[[table.fact]]",
        f"kind = {_quoted(kind)}",
        "[table.fact.fields]",
    ]
    for column in columns_of(kind):
        name = _quoted(column.name) if "." in column.name else column.name
        value = _quoted(column.name)
        if nullable(kind, column.name.partition(".")[0]):
            value = f'{{ column = {value}, nothing = ["-"] }}'
        lines.append(f"{name} = {value}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_csv(kind: str) -> bytes:
    """The sheet as CSV, with the mark by which spreadsheets know UTF-8."""
    columns, text = columns_of(kind), io.StringIO()
    rows = [[column.explained for column in columns], [column.name for column in columns]]
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8-sig")


def as_xlsx(kind: str) -> bytes:
    """The sheet as a workbook: what is explained is wrapped, the header stands still."""
    import xlsxwriter  # type: ignore[import-untyped]

    made = io.BytesIO()
    book: Any = xlsxwriter.Workbook(made, {"in_memory": True, "strings_to_formulas": False})
    sheet = book.add_worksheet(kind[:31])
    wrapped = book.add_format({"text_wrap": True, "valign": "top", "italic": True})
    bold, text = book.add_format({"bold": True}), book.add_format({"num_format": "@"})
    for place, column in enumerate(columns_of(kind)):
        shape, _ = shape_of(kind, column.name.partition(".")[0])
        plain = shape in ("text", "month", "instant")  # else a spreadsheet rounds long numbers
        sheet.set_column(place, place, WIDTH, text if plain else None)
        sheet.write_string(EXPLAINED - 1, place, column.explained, wrapped)
        sheet.write_string(HEADER - 1, place, column.name, bold)
    sheet.set_row(EXPLAINED - 1, 60)
    sheet.freeze_panes(HEADER, 0)
    book.close()
    return made.getvalue()
