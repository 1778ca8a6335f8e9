"""Files of reports: TOML with a report, its claims, values from outside and targets.

Each entry is a command, decided here in a world of its own before anything is written or asked.
What is wrong is told by line and entry, and no value is repeated.
"""

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, get_args

from pydantic import ValidationError

from api.runtime import problems
from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.formula import BadFormula
from domain.kernel.refusal import Refusal
from domain.kernel.world import World
from domain.outside import OutsideRecorded
from domain.reports import ClaimValue, CorrectClaim, EnterReport, ReportClaimed
from domain.targets import TargetSet, WayKind
from ledger import commands
from projections import reports
from projections.engine.answer import Answer
from projections.engine.connection import Conn
from projections.figures.claims import Document
from projections.reports import Claim, OutsideValue, Target

MAX_BYTES = 1 << 20
"""Of a file; a report with the most claims takes a fifth of it."""
KINDS = {
    "report": ("report.enter", "report_id"),
    "outside": ("outside.record", "outside_value_id"),
    "target": ("target.set", "target_id"),
    "claim": ("report.claim", "claim_id"),
}
"""What an entry is called in a file: the command it is, and what its `id` is there; in the order
in which they are told."""
WAYS: tuple[WayKind, ...] = get_args(WayKind)
BESIDE = ("command", "key", "actor", "at", "correcting")
"""What a command says that no file does."""
NO_FIELD = ("no_field", "There is no such field here")
NO_NUMBER = ("no_number", "A number as it is printed, such as 98.82, or a day")
_HEADER = re.compile(r"\s*\[{1,2}\s*([a-z]+)\s*\]{1,2}\s*(?:#.*)?$")
_NUMBERS = {"value", *WAYS}
"""What is a text, so that its digits are known, may stand there as a number."""


class Entry(NamedTuple):
    """A table of the file, with the lines on which it and its fields stand."""

    kind: str
    said: Mapping[str, Any]
    line: int | None
    lines: Mapping[str, int]

    @property
    def name(self) -> str:
        """What it is called where it is spoken of."""
        known = self.said.get("id")
        return f"{self.kind} {known}" if _is_id(known) else self.kind


class Wrong(Answer):
    """What is wrong with an entry of a file."""

    line: int | None
    entry: str
    field: str | None
    code: str
    reason: str
    numbers: Mapping[str, Any]


@dataclass
class WrongFile(Exception):
    """A file that cannot be taken, and all that is wrong with it."""

    found: list[Wrong]


class Told(NamedTuple):
    """An entry as a command, and how it stands in the answers once it is taken."""

    entry: Entry
    command: Command
    stands: Answer | None


@dataclass
class ReportFile:
    """A file that was read: every entry, decided in the order in which it will be told."""

    report_id: str
    told: list[Told] = field(default_factory=list)

    @property
    def header(self) -> EnterReport:
        """What it says of the report itself."""
        return next(e.command for e in self.told if isinstance(e.command, EnterReport))

    def of(self, kind: type[Any]) -> list[Any]:
        """The entries of a kind, as they stand in the answers."""
        return [each.stands for each in self.told if isinstance(each.stands, kind)]

    def document(self, conn: Conn) -> Document:
        """Its claims, with all that its formulas may name: here, or told before."""
        outside, targets = self.of(OutsideValue), self.of(Target)
        here = {each.outside_value_id for each in outside} | {each.target_id for each in targets}
        outside += [e for e in reports.outside_values(conn) if e.outside_value_id not in here]
        targets += [e for e in reports.targets(conn) if e.target_id not in here]
        return Document(self.of(Claim), outside, targets)


# ------------------------------------------------------------------------------------- reading
def read(content: bytes, at: datetime, actor: str) -> ReportFile:
    """A file, as commands that happen at this instant. Raises WrongFile."""
    entries = list(_entries(_toml(content), content.decode()))
    wrong: list[Wrong] = []
    made: list[tuple[Entry, Command]] = []
    report_id = next((str(e.said.get("id")) for e in entries if e.kind == "report"), "")
    for entry in entries:
        try:
            made.append((entry, _command(entry, report_id, at, actor)))
        except _WrongFields as fields:
            wrong += fields.found
    if wrong:
        raise WrongFile(wrong)
    return _decided(ReportFile(report_id), made)


def _toml(content: bytes) -> Mapping[str, Any]:
    if len(content) > MAX_BYTES:
        raise _whole(f"It is longer than {MAX_BYTES:,} bytes.")
    try:
        found = tomllib.loads(content.decode().removeprefix("\ufeff"), parse_float=Decimal)
    except UnicodeDecodeError:
        raise _whole("It is not in UTF-8.") from None
    except RecursionError:
        raise _whole("It is nested too deeply.") from None
    except tomllib.TOMLDecodeError as error:
        told = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line, column = (int(told[1]), told[2]) if told else (None, "its end")
        raise _whole(f"It is no TOML, at column {column}.", line) from None
    except ValueError:
        raise _whole("It holds a number or a day that cannot be.") from None
    unknown = found.keys() - KINDS.keys()
    if unknown:
        raise _whole(f"It may hold {', '.join(KINDS)}, and nothing else.")
    if not isinstance(found.get("report"), dict):
        raise _whole("It has no [report].")
    return found


def _whole(why: str, line: int | None = None) -> WrongFile:
    return WrongFile(
        [Wrong(line=line, entry="file", field=None, code="file", reason=why, numbers={})]
    )


def _entries(found: Mapping[str, Any], text: str) -> Iterator[Entry]:
    """Every entry, in the order in which it is told. One without a section has that above."""
    places = _places(text)
    for kind in KINDS:
        tables = found.get(kind, [])
        tables = [tables] if kind == "report" else tables
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            raise _whole(f"Each {kind} stands under [[{kind}]].")
        known: Sequence[tuple[int | None, dict[str, int]]] = places[kind]
        if len(known) != len(tables):  # written in another way: then no line is told
            known = [(None, {})] * len(tables)
        section: dict[str, Any] = {}
        for said, (line, lines) in zip(tables, known, strict=True):
            if kind == "claim" and "section" in said:
                section = {"section": said["section"]}
            yield Entry(kind, {**section, **said}, line, lines)


def _places(text: str) -> dict[str, list[tuple[int | None, dict[str, int]]]]:
    """By kind, of each of its tables: its line, and those of its fields."""
    places: dict[str, list[tuple[int | None, dict[str, int]]]] = defaultdict(list)
    fields: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            fields = {}
            places[header[1]].append((number, fields))
        elif "=" in line:
            fields.setdefault(line.partition("=")[0].strip(), number)
    return places


@dataclass
class _WrongFields(Exception):
    found: list[Wrong]


def _command(entry: Entry, report_id: str, at: datetime, actor: str) -> Command:
    name, id_field = KINDS[entry.kind]
    takes = {id_field: "id", "parameters": "with"}  # what is called otherwise in a file
    allowed = COMMANDS[name].model_fields.keys() - {*BESIDE, *takes, "report_id", "ways"}
    allowed |= {*takes.values(), *(WAYS if entry.kind == "target" else ())}
    if wrong := [_wrong(entry, each, *NO_FIELD) for each in entry.said if each not in allowed]:
        raise _WrongFields(wrong)
    words: dict[str, Any] = {"command": name, "actor": actor, "at": at.isoformat()}
    if entry.kind == "claim":
        words["report_id"] = report_id
    ways = [way for way in WAYS if way in entry.said]
    if entry.kind == "target":
        words["ways"] = [{"kind": way, "value": _text(way, entry.said[way])} for way in ways]
    for field_, known in takes.items():
        words |= {field_: _text(known, entry.said[known])} if known in entry.said else {}
    own = {*takes.values(), *WAYS} if entry.kind == "target" else {*takes.values()}
    words |= {each: _text(each, said) for each, said in entry.said.items() if each not in own}
    try:
        return commands.parse(json.dumps(words, default=str))
    except ValidationError as error:
        told, _ = problems.of_command(error, COMMANDS[name], words)
        found = []
        every = (each.get("ctx", {}) for each in error.errors(include_input=False))
        for each, context in zip(told, every, strict=False):
            bounds = {name: value for name, value in context.items() if type(value) is int}
            first, _, rest = each["field"].partition(".")
            if first == "ways":
                place = rest.partition(".")[0]
                first = ways[int(place)] if place.isdigit() else WAYS[0]
            first = takes.get(first, first)
            unreadable = each["code"] == "string_pattern_mismatch" and first in _NUMBERS
            why = NO_NUMBER if unreadable else (each["code"], each["detail"])
            found.append(_wrong(entry, first, *why, bounds))
        raise _WrongFields(found) from None


def _text(name: str, value: Any) -> Any:
    """A value as JSON has it: a number as it is printed, a day as ISO 8601."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if is_number and (name in _NUMBERS or isinstance(value, Decimal)):
        return str(value)
    if isinstance(value, dict):
        return {each: str(said) if type(said) is int else said for each, said in value.items()}
    return value


def _wrong(
    entry: Entry, name: str, code: str, reason: str, numbers: Mapping[str, Any] | None = None
) -> Wrong:
    """What is wrong with a field, by the name and the line that it has in the file."""
    line = entry.lines.get(name, entry.line)
    told = name if _is_id(name) else None
    return Wrong(
        line=line, entry=entry.name, field=told, code=code, reason=reason, numbers=numbers or {}
    )


def _is_id(known: Any) -> bool:
    return isinstance(known, str) and bool(re.fullmatch(r"[A-Za-z0-9._-]{1,64}", known))


# ------------------------------------------------------------------------------------ deciding
def _decided(file: ReportFile, made: Sequence[tuple[Entry, Command]]) -> ReportFile:
    """Every command decided after those before it, in a world that holds nothing else."""
    world, wrong = World(), list[Wrong]()
    for entry, command in made:
        try:
            events = [event for _, event in world.execute(command).events]
        except Refusal as refusal:
            reason = problems.of_refusal(refusal)["detail"]
            field_ = "formula" if isinstance(refusal, BadFormula) else None
            line = entry.lines.get(field_ or "", entry.line)
            said = {"code": refusal.code, "numbers": refusal.numbers(), "reason": reason}
            wrong.append(Wrong(line=line, entry=entry.name, field=field_, **said))
        else:
            file.told.append(Told(entry, command, standing(command, events[-1])))
    if wrong:
        raise WrongFile(wrong)
    return file


def standing(command: Command, event: Event) -> Answer | None:
    """How what was told stands in the answers; of a report itself nothing is said here."""
    said = event.model_dump(exclude={"occurred_at", "actor", "key"})
    ids = {
        name: getattr(command, name)
        for name in ("outside_value_id", "target_id")
        if hasattr(command, name)
    }
    match event:
        case ReportClaimed():
            return Claim(**said)
        case OutsideRecorded():
            return OutsideValue(**ids, **said)
        case TargetSet():
            return Target(**ids, **said)
    return None


# ------------------------------------------------------------------------------------ entering
@dataclass
class Plan:
    """What is to be written so that the ledger says what a file does."""

    commands: list[Command] = field(default_factory=list)
    new: int = 0
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    same: int = 0


def plan(conn: Conn, file: ReportFile, correcting: str | None) -> Plan:
    """The commands of a file that say what is not told yet; what was told otherwise is corrected,
    and a claim that is not there any more is taken back, for this reason."""
    known = _known(conn, file.report_id)
    found = Plan()
    for entry, command, stands in file.told:
        before = known.pop((entry.kind, _id_of(command)), None)
        now = _header(command) if isinstance(command, EnterReport) else stands
        if before is None:
            found.new += 1
            found.commands.append(command)
        elif before == now:
            found.same += 1
        else:
            found.changed.append(entry.name)
            found.commands.append(command.model_copy(update={"correcting": correcting}))
    first = file.told[0].command
    for kind, name in known:
        if kind == "claim":
            found.gone.append(f"claim {name}")
            said: dict[str, Any] = {"claim_id": name, "report_id": file.report_id}
            found.commands.append(
                CorrectClaim(**said, reason=correcting or "-", actor=first.actor, at=first.at)
            )
    return found


def _known(conn: Conn, report_id: str) -> dict[tuple[str, str], Any]:
    """What stands in the ledger, by kind and id; of claims those of this report."""
    found: dict[tuple[str, str], Any] = {}
    report = reports.report(conn, report_id)
    if report is not None:
        found["report", report_id] = _header(report)
        found |= {("claim", each.claim_id): each for each in report.claims}
    found |= {("outside", each.outside_value_id): each for each in reports.outside_values(conn)}
    found |= {("target", each.target_id): each for each in reports.targets(conn)}
    return found


def _header(said: Any) -> tuple[Any, ...]:
    return said.title, said.source, said.dated_on, said.first, said.last


def _id_of(command: Command) -> str:
    if isinstance(command, ClaimValue):
        return command.claim_id
    return command.streams()[0].partition(":")[2]


def lines(commands_: Sequence[Command]) -> list[bytes]:
    """Commands as the lines of an import."""
    return [command.asked() for command in commands_]
