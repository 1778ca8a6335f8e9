"""The mapping: which kinds of fact the rows of a table are, and which column is which field.

It is a file in TOML, held against the commands: what it may say of a field is what the field is.
"""

import re
import tomllib
from collections.abc import Callable
from datetime import time as clock
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from api.files import spelling
from api.runtime.failures import WrongUse
from domain.catalogue import COMMANDS

MOST_BYTES = 1_048_576
"""Nobody writes so long a mapping: what is longer is another file."""


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def _known(ways: Any) -> Callable[[Any], tuple[str, ...]]:
    def check(said: Any) -> tuple[str, ...]:
        names = (said,) if isinstance(said, str) else tuple(said or ())
        found = tuple(re.sub("[/.]", "-", name.lower()) for name in names)
        unknown = [name for name in found if name not in ways]
        if unknown:
            raise ValueError(f"{unknown[0]} is none of {', '.join(ways)}")
        return found

    return check


def _time(said: str) -> str:
    try:
        clock.fromisoformat(said)
    except ValueError:
        raise ValueError("a time is written as 09:00") from None
    return said


Days = Annotated[str | list[str], AfterValidator(_known(spelling.DAYS))]
Months = Annotated[str | list[str], AfterValidator(_known(spelling.MONTHS))]
TimeOfDay = Annotated[str, AfterValidator(_time)]


class Spelt(_Said):
    """How values are written; of a field, else of its table, else of all."""

    days: Days | None = None
    months: Months | None = None
    money: Literal["yuan", "fen"] | None = None
    decimal: Literal[".", ","] | None = None
    time: TimeOfDay | None = None

    def over(self, outer: dict[str, Any]) -> dict[str, Any]:
        """What it says, and of the rest what is said further out."""
        return outer | {k: v for k in Spelt.model_fields if (v := getattr(self, k)) is not None}


class FieldSaid(Spelt):
    """Where a field comes from: a column, a constant, or a text with columns in it."""

    column: str | None = None
    value: Any = None
    text: str | None = None
    words: dict[str, str | int | bool] = {}
    nothing: list[str] = []
    if_empty: Any = None
    time_column: str | None = None
    day_of_month: int | Literal["last"] | None = None
    absolute: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> "FieldSaid":
        said = [name for name in ("column", "value", "text") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError("one of `column`, `value` and `text` is said")
        return self

    def columns(self) -> list[str]:
        """The columns that it takes."""
        if self.text is not None:
            return re.findall(r"\{([^{}]+)\}", self.text)
        return [each for each in (self.column, self.time_column) if each is not None]


When: TypeAlias = str | list[str] | dict[str, str | list[str]]


class FactSaid(_Said):
    """A kind of fact that the rows of a table give."""

    kind: str
    when: When = []
    fields: dict[str, str | FieldSaid]

    @model_validator(mode="after")
    def _of_a_command(self) -> "FactSaid":
        command = COMMANDS.get(self.kind)
        if command is None:
            raise ValueError(f"there is no kind of fact {self.kind}")
        for name in self.fields:
            if name.partition(".")[0] not in command.model_fields or name == "command":
                raise ValueError(f"{self.kind} has no field {name}")
        return self

    def said_of(self, name: str) -> FieldSaid:
        """What is said of a field; a bare text names its column."""
        said = self.fields[name]
        return FieldSaid(column=said) if isinstance(said, str) else said


class TableSaid(Spelt):
    """Some files, or a sheet of them, and the facts that their rows give."""

    files: str
    sheet: str | None = None
    header: Annotated[int, Field(ge=0, le=1000)] = 1
    separator: Annotated[str, Field(pattern=r'^[^"\r\n]$')] | None = None
    despite: list[str] = []
    fact: Annotated[list[FactSaid], Field(min_length=1)]

    def names(self) -> list[str]:
        """What its facts are called: by their kind, and a number where there are several of one."""
        kinds = [each.kind for each in self.fact]
        seen = [kinds[: n + 1].count(kind) for n, kind in enumerate(kinds)]
        return [kind if n == 1 else f"{kind}#{n}" for kind, n in zip(kinds, seen, strict=True)]


class Mapping(Spelt):
    """What is said of all files."""

    missing: dict[str, Any] = {}
    table: list[TableSaid] = []

    def of(self, file: str, sheet: str | None) -> TableSaid | None:
        """What is said of a table."""
        found = [
            each
            for each in self.table
            if fnmatchcase(file, each.files)
            and (sheet is None or fnmatchcase(sheet, each.sheet or "*"))
        ]
        if len(found) > 1:
            raise WrongUse(
                f"Two tables of the mapping are for {file}{f' {sheet}' if sheet else ''}:"
                " let the `files` or `sheet` of one of them name fewer."
            )
        return found[0] if found else None


_SCALARS = ("str", "int", "bool")


def _clearest(error: ValidationError) -> tuple[list[int | str], str]:
    """(where, what) is wrong first. Of what may be a text or a table it is the one that was meant:
    that which was understood the furthest."""
    found = error.errors(include_url=False, include_input=False)
    forms = [name for name in found[0]["loc"] if _is_form(name)]
    if forms:
        begins = found[0]["loc"][: found[0]["loc"].index(forms[0])]
        alike = [each for each in found if each["loc"][: len(begins)] == begins]
        found = [max(alike, key=lambda each: (len(each["loc"]), each["type"] == "value_error"))]
    place = [name for name in found[0]["loc"] if not _is_form(name)]
    return place, found[0]["msg"].removeprefix("Value error, ")


def _is_form(name: int | str) -> bool:
    """Whether it is one of what a value may be, as pydantic calls them, and no name of ours."""
    return isinstance(name, str) and (name in _SCALARS or "[" in name)


def load(content: bytes, name: str = "the mapping") -> Mapping:
    """A mapping from what a file holds; what is wrong with it is told by its place."""
    if len(content) > MOST_BYTES:
        raise WrongUse(f"{name} is longer than {MOST_BYTES:,} bytes.")
    try:
        return Mapping.model_validate(tomllib.loads(content.decode().removeprefix("\ufeff")))
    except UnicodeDecodeError:
        raise WrongUse(f"{name} is not UTF-8.") from None
    except RecursionError:
        raise WrongUse(f"{name} is nested too deeply.") from None
    except tomllib.TOMLDecodeError as error:
        told = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        where = f", at line {told[1]}, column {told[2]}" if told else ""
        raise WrongUse(f"{name} is no TOML{where}.") from None
    except ValidationError as error:
        loc, why = _clearest(error)
        place = ".".join(str(n + 1) if isinstance(n, int) else n for n in loc)
        raise WrongUse(f"{name}, {place or 'as a whole'}: {why}.") from None
    except ValueError:  # what TOML's readers leave to Python: a number of 5,000 digits
        raise WrongUse(f"{name} holds a number that cannot be.") from None
