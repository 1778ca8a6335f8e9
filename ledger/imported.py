"""What an import did: of each of its files, of the lines that were rejected, and of those that came
late."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from domain.kernel.command import FILE_KEYS
from ledger.database import bucket_of
from ledger.rejects import Rejection


@dataclass(slots=True)
class Taken:
    """A file of an import: its key, the lane of that, and what came of it."""

    key: str
    home: int
    facts: int = 0
    events: int = 0
    rejected: int = 0
    replayed: bool = False


class Late(NamedTuple):
    """A line whose fact is judged by what was left after facts of a later time."""

    file: int
    line: int
    command: str
    stream: str
    at: datetime
    latest: datetime


@dataclass(slots=True)
class Imported:
    """What an import did. `kept` is false when a bad line undid all of it, or it was but tried."""

    files: list[Taken]
    replayed_facts: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    late_facts: int = 0
    late: list[Late] = field(default_factory=list)
    kept: bool = True
    replayed: bool = False
    """All of its files were taken before."""

    @classmethod
    def of(cls, keys: Sequence[str], buckets: int) -> "Imported":
        """An import of these files that has not begun."""
        named = [FILE_KEYS + key for key in keys]
        return cls([Taken(key, bucket_of(key, buckets)) for key in named])

    @property
    def key(self) -> str:
        """Of its first file."""
        return self.files[0].key

    @property
    def counted(self) -> list[Taken]:
        """The files that it was about: those that were new, unless all were taken before."""
        return [each for each in self.files if not each.replayed] or self.files

    @property
    def facts(self) -> int:
        return sum(each.facts for each in self.counted)

    @property
    def events(self) -> int:
        return sum(each.events for each in self.counted)

    @property
    def rejected(self) -> int:
        return sum(each.rejected for each in self.counted)
