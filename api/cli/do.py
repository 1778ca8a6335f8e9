"""`do`: a command of any kind, decided and written at once, or only tried. Its options and its help
are made of the row that its command is."""

import asyncio
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from inspect import Parameter, Signature
from typing import Annotated, Any
from uuid import uuid4

import typer
from pydantic import ValidationError

from api.cli.terminal import output
from api.cli.terminal.examples import summary
from api.cli.terminal.looking import refusable
from api.cli.terminal.options import DataDir, Json, settings_of
from api.doors import DOOR_OF, DOORS
from api.runtime import problems
from api.runtime.failures import CannotOpen, WrongUse
from api.runtime.receipts import disclosed, told_of, tried_of
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.values import PROGRAMME, as_json_means
from ledger import commands, strict_json
from ledger.credentials import mint
from ledger.database import connect
from ledger.log.batcher import Busy, Ledger, Unanswered
from ledger.log.receipts import Receipt, Trial

BESIDE = ("command", "key", "actor")
"""What a command carries that is no field here."""
DESK, ADMINISTRATOR = "clerk:desk", "administrator:console"
"""Who does it, unless that is said."""
Words = Annotated[
    list[str] | None,
    typer.Argument(metavar="FIELD=VALUE", help="The same without dashes.", show_default=False),
]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        help="Its idempotency key: one is made unless it is brought.",
        show_default=False,
    ),
]
Actor = Annotated[str, typer.Option(metavar="ROLE:ID", help="Who does it.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would come of it, and write nothing.")
]


# ------------------------------------------------------------------------------ the line's words
def names() -> list[str]:
    """The commands, in the order of their doors."""
    return [door.name for door in DOORS]


def line_of(name: str) -> Any:
    """The command of the command line that carries it out."""
    kind = COMMANDS.get(name)
    if kind is None:
        near = " or ".join(get_close_matches(name, COMMANDS))
        told = f"perhaps {near} is meant" if near else "`clubledger do --help` lists them"
        raise WrongUse(f"There is no such command: {told}.")
    fields = _fields(kind)
    beside = {
        "words": (Words, None),
        "key": (Key, None),
        "actor": (Actor, ADMINISTRATOR if DOOR_OF[name].scope == "access.write" else DESK),
        "dry_run": (DryRun, False),
        "data_dir": (DataDir, None),
        "as_json": (Json, False),
    }

    def carry_out(**said: Any) -> int:
        words = [f"{field}={_word(said[field])}" for field in fields if said[field] is not None]
        return run(
            settings_of(said["data_dir"]),
            kind,
            [*words, *(said["words"] or ())],
            said["key"],
            said["actor"],
            dry_run=said["dry_run"],
            as_json=said["as_json"],
        )

    asked = sorted(fields, key=lambda field: not kind.model_fields[field].is_required())
    options = {field: (_option(kind, field, fields[field]), None) for field in asked}
    parameters = [
        Parameter(field, Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for field, (hint, default) in {**options, **beside}.items()
    ]
    carry_out.__dict__["__signature__"] = Signature(parameters)
    carry_out.__annotations__ = {each.name: each.annotation for each in parameters}
    line = typer.Typer(add_completion=False, rich_markup_mode=None)
    said = summary(kind)
    line.command(name, help=said, short_help=said, epilog=_example(kind))(carry_out)
    return typer.main.get_command(line)


def _word(said: Any) -> str:
    return json.dumps(said) if isinstance(said, bool) else str(said)


def _fields(kind: type[Command]) -> dict[str, Any]:
    """What it says, by name, each with its JSON schema."""
    schema: dict[str, Any] = kind.model_json_schema()["properties"]
    return {name: each for name, each in schema.items() if name not in BESIDE}


def _option(kind: type[Command], field: str, schema: Mapping[str, Any]) -> Any:
    known = kind.model_fields[field]
    kinds = _kinds(schema)
    said = known.description or ""
    if known.is_required():
        said = f"{said} [required]".strip()
    word = f"--{field.replace('_', '-')}"
    if kinds == {"boolean"}:
        no = f"{word}/--no-{field.replace('_', '-')}"
        return Annotated[bool | None, typer.Option(no, help=said, show_default=False)]
    metavar = _metavar(schema, kinds)
    return Annotated[str | None, typer.Option(word, metavar=metavar, help=said, show_default=False)]


def _kinds(schema: Mapping[str, Any]) -> set[Any]:
    return {each.get("type") for each in schema.get("anyOf", [schema])}


def _metavar(schema: Mapping[str, Any], kinds: set[Any]) -> str:
    for each in schema.get("anyOf", [schema]):
        if each.get("enum") == [*PROGRAMME.tiers]:
            return "TIER"  # those of the ledger, which is not open yet
        if "enum" in each:
            return "|".join(each["enum"])
        if "format" in each:
            return "DAY" if each["format"] == "date" else "INSTANT"
    return "TEXT" if "string" in kinds else "N" if "integer" in kinds else "JSON"


def _example(kind: type[Command]) -> str:
    """As one would type it, a field a line."""
    said = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in kind.example.items()
    ]
    lines = " \\\n    ".join([f"clubledger do {kind.called}", *map(shlex.quote, said)])
    return f"\b\nExample:\n  {lines}"


# ------------------------------------------------------------------------------ what it does
def run(
    settings: Settings,
    kind: type[Command],
    said: Sequence[str],
    key: str | None,
    actor: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Carry it out and tell its receipt, with the key under which it can be asked for again."""
    if key is None:  # One that is empty is none, and refused: whoever brings it counts on it.
        key = f"cli-{uuid4().hex}"
    words = words_of(kind, said)
    with opened(settings) as database, refusable():
        command = command_of(kind, {"key": key, "actor": actor}, words)
        found = asyncio.run(_carried_out(database, command, dry_run))
        if command.discloses and isinstance(found, Receipt):
            with connect(database.dsn) as connection:
                found = disclosed(connection, command, found)
        token = _minted(database, command, found)
        output.demo_clock(database.clock)
    told: dict[str, Any]
    if isinstance(found, Trial):
        told = {"key": key, **tried_of(found)}
        lines = [*_trial_lines(told)]
    else:
        told = {"key": key, "replayed": found.replayed, "receipt": told_of(found)}
        if token is not None:
            told["token"] = token
        lines = [("key", f"{key}{' (answered before)' if found.replayed else ''}")]
    if as_json:
        output.tell(told)
        return 0
    shown = dict(told["receipt"])
    if DOOR_OF[kind.called].mints and isinstance(found, Receipt):
        del shown["secret"]  # its number, of which programs make something, and no reader
        kept = "shown when it was made, and never again"
        lines.append(("token", kept if token is None else f"{token}  (shown this once)"))
    for word, value in [*lines, *shown.items()]:
        output.say(f"{word.replace('_', ' '):<20}{_shown(value)}")
    return 0


async def _carried_out(database: Database, command: Command, dry_run: bool) -> Receipt | Trial:
    async with Ledger(database.dsn, now=database.clock.now, tells_history=True) as ledger:
        try:
            if not dry_run:
                return await ledger.execute(command)
            (trial,) = await ledger.attempt(command)
        except (Busy, Unanswered) as refusal:
            told = f"{refusal.title} --key {command.key}"
            raise CannotOpen(told, {"key": command.key}) from None
    if isinstance(trial, Exception):
        raise trial
    return trial


def _minted(database: Database, command: Any, found: Receipt | Trial) -> str | None:
    """The secret that was made of it, if it has one: told once, as over HTTP."""
    if isinstance(found, Trial) or not DOOR_OF[command.called].mints:
        return None
    with connect(database.dsn) as connection:
        return mint(connection, command.streams()[0], found.body["secret"])


def _trial_lines(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What would come, before what would be answered."""
    yield "tried", "its key was answered before" if told["replayed"] else "nothing is written"
    for each in told["events"]:
        yield "would write", f"{each['topic']} of {each['stream']}"
    yield from told["outlook"].items()


def words_of(kind: type[Command], said: Sequence[str]) -> dict[str, Any]:
    """What is said, by field; in what it is wrong no ledger need say."""
    taken = _fields(kind)
    words: dict[str, Any] = {}
    for each in said:
        name, equals, value = each.partition("=")
        if not equals or name not in taken or name in words:
            raise WrongUse(f"{kind.called} takes {_said(kind, taken)}, each once.")
        words[name] = value_of(name, value, taken[name])
    missing = [
        name for name in taken if name not in words and kind.model_fields[name].is_required()
    ]
    if missing:
        raise WrongUse(f"Say {_said(kind, missing)}.")
    return words


def command_of(kind: type[Command], beside: dict[str, Any], words: dict[str, Any]) -> Command:
    """The command that these words say, in the zone and with the tiers of the open ledger."""
    try:
        return commands.parse(json.dumps({"command": kind.called, **beside, **words}))
    except ValidationError as error:
        told, _ = problems.of_command(error, kind, words)
        raise WrongUse("; ".join(f"{each['field']}: {each['detail']}" for each in told)) from None


def value_of(name: str, value: str, schema: Mapping[str, Any]) -> Any:
    """A text as it is; anything else as JSON means it; nothing is null, where that may be."""
    kinds = _kinds(schema)
    if not value and "null" in kinds:
        return None
    if "string" in kinds:
        return value
    try:
        return as_json_means(strict_json.loads(value.encode()))
    except strict_json.NotStrict as error:
        raise WrongUse(f"{name}: {error}.") from None


def _said(kind: type[Command], names: Any) -> str:
    """The fields, those in brackets that may be left out."""
    required = {name for name in names if kind.model_fields[name].is_required()}
    return " ".join(f"{name}=..." if name in required else f"[{name}=...]" for name in names)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
