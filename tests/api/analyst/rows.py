"""Rows of files, and what happens by each: told if the rules take it."""

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from tests.api.analyst.house import FIRST, LAST, SHEETS, house
from tests.api.analyst.people import Member

MAPPING = Path(__file__).with_name("mapping.toml")
"""What the analyst says her files mean, but for those that --guess tells."""


@dataclass
class Row:
    """A line of a file, and the facts that it gives."""

    file: str
    cells: tuple[str, ...]
    facts: list["Fact"] = field(default_factory=list)
    told: bool = False

    def fact(self, when: datetime, turn: int, happens: Callable[[], bool]) -> "Fact":
        """One more: `happens` tells whether the rules take it, and does it."""
        self.facts.append(Fact(when, turn, happens, self))
        return self.facts[-1]


@dataclass(frozen=True)
class Fact:
    when: datetime
    turn: int
    happens: Callable[[], bool]
    row: Row


class Told:
    """Everybody, and the rows that tell of them; drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.members: dict[str, Member] = {}
        self.rows: list[Row] = []
        self.faults: list[tuple[Row, str]] = []
        self.lines: dict[int, int] = {}

    def _row(self, file: str, *cells: Any) -> Row:
        row = Row(file, tuple("" if each is None else str(each) for each in cells))
        self.rows.append(row)
        return row

    def _fault(self, code: str, file: str, *cells: Any) -> None:
        """A row that is wrong; nothing comes of it."""
        self.faults.append((self._row(file, *cells), code))

    def _day(self, first: date = FIRST, last: date = LAST) -> date:
        return first + timedelta(days=self.draw.randint(0, (last - first).days))

    def _live(self, rows: Iterable[Row] | None = None) -> None:
        """Let all of it happen in the order of time; rows that give nothing are not told."""
        facts = [fact for row in (self.rows if rows is None else rows) for fact in row.facts]
        for fact in sorted(facts, key=lambda each: (each.when, each.turn)):
            fact.row.told = fact.happens() or fact.row.told

    def _of(
        self, member_id: str, happens: Callable[[Member], bool], when: datetime
    ) -> Callable[[], bool]:
        """What happens to a member who is on the network then, else nothing."""

        def happening() -> bool:
            member = self.members.get(member_id)
            return member is not None and member.on_network(when) and happens(member)

        return happening

    def write(self, where: Path) -> None:
        """The files of the branch; rows in no order."""
        wrong = {id(row) for row, _ in self.faults}
        for name, sheet in SHEETS.items():
            rows = [row for row in self.rows if row.file == name and (row.told or id(row) in wrong)]
            self.draw.shuffle(rows)
            rows.sort(key=lambda row: id(row) in wrong)  # told twice: the second is wrong
            self.lines.update((id(row), line) for line, row in enumerate(rows, 2))
            text = io.StringIO()
            writer = csv.writer(text, delimiter=sheet.separator, lineterminator="\r\n")
            writer.writerows([sheet.header, *(row.cells for row in rows)])
            (where / name).write_bytes(text.getvalue().encode(sheet.encoding))
        told = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in house())
        (where / "house.jsonl").write_text(told, "utf-8")
        (where / "branch.toml").write_bytes(MAPPING.read_bytes())

    def rejections(self) -> set[tuple[str, int, str]]:
        """(file, line, code) of what is to be rejected."""
        return {(row.file, self.lines[id(row)], code) for row, code in self.faults}
