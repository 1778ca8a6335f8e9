"""Entering a report by its file: what would come of it is shown first, then it is told, entry by
entry, as the commands that it is made of."""

import asyncio
from collections.abc import Sequence
from functools import partial
from hashlib import sha256
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field

from api import answers
from api.doors import DOOR_OF
from api.http.pages import words
from api.http.pages.figures import gauges_of
from api.http.pages.measures import TITLED, titles_of
from api.http.pages.page import (
    FIGURES,
    Fields,
    form,
    language_of,
    link,
    next_page,
    page,
    router_of_pages,
)
from api.http.pages.reports import SHOWN
from api.http.server.access import Who, needs
from api.http.server.inputs import House, InHouse
from api.runtime import report_files
from api.runtime.problems import DoorProblem, of_refusal
from api.runtime.report_files import MAX_BYTES, ReportFile, WrongFile
from domain.access import Principal
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.kernel.values import Id, Text
from domain.reports import EnterReport
from ledger.log.batcher import CommandFailed
from projections.engine.connection import Conn

router = router_of_pages()
ENTER = f"{FIGURES}/enter"
OF_ENTERING = DOOR_OF[EnterReport.called].need
AT_ONCE = 100
"""Commands that wait together: what is told of one report keeps nobody else out."""


class Entering(Fields):
    """The text of a file, and why what was entered otherwise before is wrong."""

    content: Annotated[str, Field(min_length=1, max_length=MAX_BYTES)]
    correcting: Text | None = None
    key: Id


@router.get(ENTER)
@needs(OF_ENTERING)
async def enter_page(request: Request) -> Response:
    """Where a file is brought."""
    return page(request, "figures/enter.html", base=FIGURES, new_key=new_key)


def new_key() -> str:
    """The key of a form."""
    return f"enter-{uuid4().hex}"


@router.post(f"{ENTER}/try")
@needs(OF_ENTERING)
async def try_file(request: Request, house: InHouse, who: Who) -> Response:
    """What is wrong with it; or what it would change, and how its claims stand against the ledger.
    Nothing is written."""
    asked = await form(request, Entering)
    try:
        file = await _read(house, who, asked)
    except WrongFile as wrong:
        return _wrong(request, wrong)
    shown, titles = await house.reads(partial(_checked, meta=house.meta, file=file))
    plan = await house.reads(partial(report_files.plan, file=file, correcting=asked.correcting))
    commands = await _admitted(house, who, asked.key, plan.commands)
    refused = await _refused(house, language_of(request), commands)
    sections: dict[str, list[Any]] = {}
    for each in shown.figures:
        sections.setdefault(each.section, []).append(each)
    return page(
        request,
        "figures/_tried_file.html",
        base=FIGURES,
        asked=asked,
        plan=plan,
        entry_called=partial(_entry_called, language_of(request)),
        needs_reason=bool(plan.changed or plan.gone) and asked.correcting is None,
        refused=refused,
        report=shown,
        entered=None,
        sections=sections,
        gauges=gauges_of(shown.targets),
        titles=titles,
        rows_too=True,
        **SHOWN,
    )


@router.post(f"{ENTER}/do")
@needs(OF_ENTERING)
async def enter_file(request: Request, house: InHouse, who: Who) -> Response:
    """Tell what the file says and the ledger does not. Sent again, nothing is told twice."""
    asked = await form(request, Entering)
    try:
        file = await _read(house, who, asked)
    except WrongFile as wrong:
        return _wrong(request, wrong)
    plan = await house.reads(partial(report_files.plan, file=file, correcting=asked.correcting))
    if (plan.changed or plan.gone) and asked.correcting is None:
        raise DoorProblem("invalid")
    commands = await _admitted(house, who, asked.key, plan.commands)
    places: dict[int, int] = {}
    for begin in range(0, len(commands), AT_ONCE):
        those = commands[begin : begin + AT_ONCE]
        for receipt in await asyncio.gather(*map(house.execute, those)):
            places[receipt.bucket] = max(places.get(receipt.bucket, 0), receipt.position)
    # It is told: that the answers do not hold it yet is for the next page to say. The first lane is
    # that of the report, where it is new.
    waits = next((f"{bucket}:{position}" for bucket, position in places.items()), None)
    return next_page(link(f"{FIGURES}/reports/{file.report_id}", {"wait_for": waits}))


def _wrong(request: Request, wrong: WrongFile) -> Response:
    """All that is wrong with a file, by line and entry."""
    language = language_of(request)
    return page(
        request, "figures/_wrong_file.html", wrong=wrong.found,
        entry_called=partial(_entry_called, language),
        reason=lambda each: words.reason(language, each.model_dump()),
    )  # fmt: skip


def _entry_called(language: words.Language, entry: str) -> str:
    """An entry of a file as readers have it: of what kind it is, and its id."""
    kind, _, known = entry.partition(" ")
    return f"{words.named(language, f'entry:{kind}')} {known}".rstrip()


def _keyed(command: Command, key: str) -> Command:
    """With the key of its form and its words: what is sent again is the same."""
    own = sha256(command.asked()).hexdigest()[:16]
    return command.model_copy(update={"key": f"{key}-{own}"})


async def _read(house: House, who: Principal, asked: Entering) -> ReportFile:
    """The file, decided in a world of its own. Raises WrongFile."""
    actor = await house.access.admit(who, OF_ENTERING, {})
    read = partial(report_files.read, asked.content.encode(), house.clock.now(), actor)
    return await asyncio.to_thread(read)


def _checked(
    conn: Conn, meta: dict[str, str], file: ReportFile
) -> tuple[answers.ReportAnswer, dict[str, dict[str, str]]]:
    return answers.checked(conn, meta, file), titles_of(conn, TITLED)


async def _admitted(
    house: House, who: Principal, key: str, commands: Sequence[Command]
) -> list[Command]:
    """In his name, if he may each of them; each happens when it is told, under a key of its own."""
    made = []
    for each in commands:
        actor = await house.access.admit(who, DOOR_OF[each.called].need, each.__dict__)
        made.append(_keyed(each.model_copy(update={"actor": actor, "at": None}), key))
    return made


async def _refused(
    house: House, language: words.Language, commands: Sequence[Command]
) -> list[tuple[str, str]]:
    """What of it would be refused now, in words."""
    found: list[tuple[str, str]] = []
    for trial in await house.ledger.attempt(*commands) if commands else ():
        if isinstance(trial, CommandFailed):
            raise trial
        if isinstance(trial, Refusal):
            found.append(words.refusal(language, of_refusal(trial)))
    return list(dict.fromkeys(found))
