"""Advisory locks: one list of numbers, which no two share, and no number beside it."""

import re
from pathlib import Path

from ledger.locks import Lock

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("api", "ledger", "projections")
TAKEN = re.compile(r"(?:advisory_\w*lock\w*\(%s\)\",\s*|session_lock\(\w+, )\(?([\w.]+)")


def test_no_two_locks_share_a_number() -> None:
    assert len({int(lock) for lock in Lock.__members__.values()}) == len(Lock.__members__)


def test_every_lock_is_of_the_list() -> None:
    texts = {path: path.read_text("utf-8") for room in ROOMS for path in _sources(room)}
    taken = {name for text in texts.values() for name in TAKEN.findall(text)}
    named = {f"Lock.{name}" for name in Lock.__members__}
    assert taken - {"key"} == named  # `key` is a Lock: mypy holds that.
    assert {path.name for path, text in texts.items() if "0x636" in text.lower()} == {"locks.py"}


def _sources(room: str) -> list[Path]:
    return list((REPOSITORY / room).rglob("*.py"))
