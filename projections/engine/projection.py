"""A projection: its tables, and the set-based SQL that folds a window of one lane into them.

Windows compose: folding (0, k] and then (k, n] gives what (0, n] gives. So one text serves to
follow the log, to rebuild the answers, and to check them. Three rules make it so:

- a fold reads its window, its own tables, and nothing else; what lies in other lanes (the terms
  of a campaign, the name of a club) is joined when the answer is asked for. Events of its lane that
  a correction of its window names come with it, with a `sign` of -1;
- tables are named without their schema, which the search path gives: live, shadow or scratch;
- a text does nothing where none of the events it names occurred, so it is left out there.
"""

import re
from itertools import chain
from typing import ClassVar

from domain.kernel.correction import CORRECTED
from ledger import digests
from projections.engine.connection import Conn
from projections.engine.event_tables import TypedTable, Window, typed_tables
from projections.engine.postings import NAME as POSTINGS
from projections.engine.postings import movers
from projections.engine.postings import rows as postings_of

PROJECTIONS: dict[str, type["Projection"]] = {}
"""Every projection by its name, in the order of definition. Defining a class registers it."""

_SOURCE = re.compile(r"\{(\w+)\}")
_TABLE = re.compile(r"CREATE TABLE (\w+)")


class Projection:
    """Subclasses give the texts. `{points_debited}` in a fold is that event's window, `{postings}`
    every posting of the window, a row each."""

    tables: ClassVar[tuple[str, ...]]
    """CREATE TABLE, with the keys that the folds rely on. Every key ends in the lane."""
    indexes: ClassVar[tuple[str, ...]] = ()
    """What only the queries need: made after a rebuild has filled the tables."""
    fold: ClassVar[tuple[str, ...]]

    name: ClassVar[str]
    version: ClassVar[str]
    """A digest of its texts and of the shapes of its events: another one means rebuild."""
    _reads: ClassVar[dict[str, tuple[TypedTable, ...]]]

    def __init_subclass__(cls) -> None:
        cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        if cls.name in PROJECTIONS:
            raise TypeError(f"two projections are called {cls.name}")
        known = {table.name: table for table in typed_tables().values()}
        cls._reads = {}
        for text in cls.fold:
            named = sorted(set(_SOURCE.findall(text)))
            sources = {POSTINGS: tuple(movers().values())}
            sources |= {name: (table,) for name, table in known.items()}
            unknown = [name for name in named if name not in sources]
            if unknown or not named:
                raise TypeError(f"a fold of {cls.name} names no known event: {unknown or text}")
            tables = list(dict.fromkeys(chain.from_iterable(sources[name] for name in named)))
            correctable = [table for table in tables if table.named_by is not None]
            tables += dict.fromkeys(table.corrections for table in correctable)
            cls._reads[text] = tuple(tables)
        shapes = sorted({table.shape for tables in cls._reads.values() for table in tables})
        texts = (*cls.tables, *cls.indexes, *cls.fold, *shapes)
        cls.version = digests.of_text(*texts)
        PROJECTIONS[cls.name] = cls

    @classmethod
    def topics(cls) -> set[str]:
        """The events it reads."""
        return {table.topic for tables in cls._reads.values() for table in tables}

    @classmethod
    def table_names(cls) -> list[str]:
        """Its tables, for whoever compares them."""
        return [name for text in cls.tables for name in _TABLE.findall(text)]

    @classmethod
    def create(cls, conn: Conn, *, bare: bool = False) -> None:
        """Make its empty tables in the first schema of the search path."""
        for text in cls.tables:
            conn.execute(text)
            if "PRIMARY KEY" not in text:  # a nullable column in it: a row is known by the whole
                (name,) = _TABLE.findall(text)
                conn.execute(f"ALTER TABLE {name} REPLICA IDENTITY FULL")
        if not bare:
            cls.index(conn)

    @classmethod
    def index(cls, conn: Conn) -> None:
        """Make what the queries need."""
        for text in cls.indexes:
            conn.execute(text)

    @classmethod
    def folds(cls, window: Window, occurred: set[str]) -> list[str]:
        """The texts that fold a window in which these topics occurred."""
        found, corrections = [], occurred & {event.topic for event in CORRECTED.values()}
        for text, tables in cls._reads.items():
            if topics := {table.topic for table in tables} & occurred:
                sources = {table.name: table.source(window, bool(corrections)) for table in tables}
                if moved := topics & movers().keys():
                    sources[POSTINGS] = postings_of(window, moved)
                found.append(text.format_map(sources))
        return found

    @classmethod
    def fold_window(cls, conn: Conn, window: Window) -> None:
        """Fold a window of typed events into the tables of the search path, which has both."""
        for text in cls.folds(window, cls.topics()):
            conn.execute(text)
