"""The same answers folded in plain Python, an event at a time: the second opinion.

It shares nothing with the SQL but the names of tables and columns; each noun says beside its SQL
how it folds its events here. Tests compare the two over histories that nobody thought of; an
auditor may do so over a sample.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from domain.kernel.correction import TakesBack
from domain.kernel.event import Event

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """An event with its place in the log."""

    bucket: int
    position: int
    stream: str
    event: Event

    @property
    def id(self) -> str:
        return self.stream.partition(":")[2]


Fold = Callable[..., None]
"""(fold, the event's place, the event); and -1 where it is taken back."""
FOLDS: dict[type[Any], Fold] = {}


def folded(kind: type[Any]) -> Callable[[Fold], Fold]:
    """Says how an event, or whatever is of this kind, is folded."""

    def register(fold: Fold) -> Fold:
        assert kind not in FOLDS, f"{kind.__name__} is folded twice"
        FOLDS[kind] = fold
        return fold

    return register


def folds_of(event: type[Event]) -> list[Fold]:
    """None, if no answer asks for it."""
    return [FOLDS[kind] for kind in event.__mro__ if kind in FOLDS]


class ReferenceFold:
    """All tables: by name, the rows by their key.

    `gaps`: events were left out, so that one may speak of a row that is not there; it changes none.
    """

    def __init__(self, *, gaps: bool = False) -> None:
        self.tables: dict[str, dict[tuple[Any, ...], Row]] = {}
        self.gaps = gaps
        self.of_members: dict[tuple[str, str], list[Row]] = {}
        """By what and member: rows in an order of their own, for as long as the member's events
        are taken."""
        self.known = set[tuple[str, ...]]()
        """Whatever a fold must know again."""
        # What can be corrected, by stream, topic and name.
        self._told: dict[tuple[str, str, str], Stored] = {}
        import_module("projections.engine.catalogue")  # all nouns have said how they fold

    def take(self, table: str) -> list[Row]:
        """The rows of a table, which are then forgotten: what keeps a long log in little memory."""
        found = self.rows(table)
        self.tables.pop(table, None)
        self.of_members.clear()  # Whoever takes rows is done with the members they are about.
        self._told.clear()
        return found

    def rows(self, table: str) -> list[Row]:
        """The rows of a table."""
        return list(self.tables.get(table, {}).values())

    def fold(self, log: Iterable[Stored]) -> "ReferenceFold":
        """Take events in the order of their lanes."""
        for stored in log:
            self._take_in(stored)
            if stored.event.named_by is not None:
                self._told[stored.stream, stored.event.topic, stored.event.named] = stored
        return self

    def _take_in(self, stored: Stored, *sign: int) -> None:
        for fold in folds_of(type(stored.event)):
            fold(self, stored, stored.event, *sign)

    def take_back(self, at: Stored, event: TakesBack) -> None:
        """Undo what the fact that it names has done."""
        wrong = self._told.pop((at.stream, event.fact, event.which), None)
        assert wrong or self.gaps, f"{event.fact} {event.which} is corrected and was never told"
        if wrong:
            self._take_in(wrong, -1)

    def add(self, table: str, key: tuple[Any, ...], **row: Any) -> Row:
        assert key not in self.tables.setdefault(table, {}), f"two rows of {table} for {key}"
        return self.tables[table].setdefault(key, row)

    def row(self, table: str, *key: Any) -> Row:
        if self.gaps and key not in self.tables.get(table, {}):
            return defaultdict(int)
        return self.tables[table][key]

    def sum(self, table: str, key: Row, **amounts: int) -> None:
        rows = self.tables.setdefault(table, {})
        row = rows.setdefault(tuple(key.values()), {**key, **dict.fromkeys(amounts, 0)})
        for name, amount in amounts.items():
            row[name] += amount

    def latest(self, row: Row, since: str, event: Event, **values: Any) -> None:
        """Take in what holds from then on, unless a later value is known."""
        if not row[since] or row[since] <= event.occurred_at:
            row.update({since: event.occurred_at, **values})


folded(TakesBack)(ReferenceFold.take_back)
