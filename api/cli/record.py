"""`record`: a command of any kind, with its fields as `name=value`, decided and written at once."""

import asyncio
import json
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from api.cli.terminal import output
from api.cli.terminal.looking import refusable
from api.runtime import problems
from api.runtime.failures import CannotOpen, WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened
from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from ledger import commands, strict_json
from ledger.log.batcher import Busy, Ledger, Receipt, Unanswered

BESIDE = ("command", "key", "actor")
"""What a command carries that is no field=value here."""


def run(
    settings: Settings, name: str, said: Sequence[str], key: str | None, actor: str, as_json: bool
) -> int:
    """Carry it out and tell its receipt, with the key under which it can be asked for again."""
    if name not in COMMANDS:
        near = " or ".join(get_close_matches(name, COMMANDS))
        told = f"perhaps {near} is meant" if near else "docs/reference/facts.md lists them"
        raise WrongUse(f"There is no such command: {told}.")
    if key is None:  # One that is empty is none, and refused: whoever brings it counts on it.
        key = f"cli-{uuid4().hex}"
    command = command_of(COMMANDS[name], {"key": key, "actor": actor}, said)
    with opened(settings) as database, refusable():
        receipt = asyncio.run(_carried_out(database, command))
        output.demo_clock(database.clock)
    body = {**receipt.body, "bucket": receipt.bucket, "position": receipt.position}
    if as_json:
        output.tell({"key": key, "replayed": receipt.replayed, "receipt": body})
        return 0
    output.say(f"{'key':<20}{key}{' (answered before)' if receipt.replayed else ''}")
    for word, value in body.items():
        output.say(f"{word.replace('_', ' '):<20}{_shown(value)}")
    return 0


async def _carried_out(database: Database, command: Command) -> Receipt:
    async with Ledger(database.dsn, now=database.clock.now) as ledger:
        try:
            return await ledger.execute(command)
        except (Busy, Unanswered) as refusal:
            told = f"{refusal.title} --key {command.key}"
            raise CannotOpen(told, {"key": command.key}) from None


def command_of(kind: type[Command], beside: dict[str, Any], said: Sequence[str]) -> Command:
    """The command that these words say."""
    taken = {name: schema for name, schema in _taken(kind).items() if name not in BESIDE}
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
    try:
        return commands.parse(json.dumps({"command": kind.called, **beside, **words}))
    except ValidationError as error:
        told, _ = problems.of_command(error, kind, words)
        raise WrongUse("; ".join(f"{each['field']}: {each['detail']}" for each in told)) from None


def _taken(kind: type[Command]) -> dict[str, Any]:
    schema: dict[str, Any] = kind.model_json_schema()["properties"]
    return schema


def value_of(name: str, value: str, schema: dict[str, Any]) -> Any:
    """A text as it is; anything else as JSON has it; nothing is null, where that may be."""
    kinds = {each.get("type") for each in schema.get("anyOf", [schema])}
    if not value and "null" in kinds:
        return None
    if "string" in kinds:
        return value
    try:
        return strict_json.loads(value.encode())
    except strict_json.NotStrict as error:
        raise WrongUse(f"{name}: {error}.") from None


def _said(kind: type[Command], names: Any) -> str:
    """The fields, those in brackets that may be left out."""
    required = {name for name in names if kind.model_fields[name].is_required()}
    return " ".join(f"{name}=..." if name in required else f"[{name}=...]" for name in names)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
