"""Facts out of the lines of an import: read by the words of commands, and held against the order of
time."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.kernel.values import MemberId
from ledger import strict_json
from ledger.commands import parse
from ledger.lines import MAX_LINE_BYTES, Line, Unread
from ledger.rejects import Why, why

_MEMBER: TypeAdapter[str] = TypeAdapter(MemberId)


@dataclass
class UndatedFact(Refusal):
    """A fact in an import file needs the time at which it happened: `at`."""

    code = "undated_fact"


@dataclass
class LineTooLong(Refusal):
    """A line of an import file is longer than it may be."""

    code = "line_too_long"
    most_bytes: int


class OutOfOrder(Exception):
    """A line is of an earlier time than the one before it. Nothing of its file was written."""


Fact: TypeAlias = tuple[int, int, bytes, Command, list[str]]
"""A line that can be decided: its file, its number, its bytes, its command and the streams of that.
"""

Place: TypeAlias = Fact | tuple[int, int, bytes, None, str | None]
"""A fact, or a line that is none, and the member that it names, if that is known."""
Bad: TypeAlias = tuple[Place, Why]


class Reading:
    """How lines are read: of an import that must be in the order of time, how far that is."""

    def __init__(self, in_order: bool) -> None:
        self._in_order = in_order
        self._before = datetime.min.replace(tzinfo=UTC)

    def facts(self, chunk: list[Line], left_out: Container[int]) -> tuple[list[Fact], list[Bad]]:
        """(the facts, the lines that are none and why), without those of some files."""
        facts: list[Fact] = []
        bad: list[Bad] = []
        for file, line, raw in chunk:
            if file in left_out:
                continue
            if isinstance(raw, Unread):
                bad.append(((file, line, b"", None, raw.member_id), Why(*raw[:3])))
                continue
            # The mark is of a file that others were joined to.
            text = raw.removeprefix(strict_json.BOM).rstrip(b"\r\n")
            if not text or text.isspace():
                continue
            try:
                command = _fact(text)
            except (ValueError, Refusal) as failure:  # no exception is kept: each holds its frames
                bad.append(((file, line, text, None, _member_of(text)), why(failure)))
                continue
            if self._in_order:
                self._require_order(command)
            facts.append((file, line, text, command, command.streams()))
        return facts, bad

    def _require_order(self, command: Command) -> None:
        assert command.at is not None
        if command.at < self._before:
            raise OutOfOrder
        self._before = command.at


def _member_of(text: bytes) -> str | None:
    """The member that a line names which is no fact, if it can be read so far."""
    if len(text) > MAX_LINE_BYTES:
        return None
    try:
        return _MEMBER.validate_python(strict_json.loads(text)["member_id"])
    except (strict_json.NotStrict, ValidationError, KeyError, TypeError):
        return None


def _fact(text: bytes) -> Command:
    """The command of a line; raises what `why` can tell."""
    if len(text) > MAX_LINE_BYTES:
        raise LineTooLong(MAX_LINE_BYTES)
    try:
        command = parse(text)
    except ValidationError:
        strict_json.check(text)  # what no door takes is told alike by all of them
        raise
    strict_json.check(text, len(command.__pydantic_fields_set__))
    if command.at is None:
        raise UndatedFact
    return command
