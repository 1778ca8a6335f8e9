"""A file of customers, enrolled line by line: checked first, then carried out, and once alone.

The key of a line is made of the whole file, the campaign, its terms as they were shown, who sends
it, and the line's number. So the same file sent again is answered as before, and changes nothing.
"""

import asyncio
import csv
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO, StringIO
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Request
from fastapi.responses import Response
from pydantic import Field, ValidationError

from api.files import readers, spelling
from api.files.guessing import meaning_of
from api.http.pages import words
from api.http.pages.asking import is_id
from api.http.pages.campaigns import ONE, TO_ENROL, AtCampaign, Here, running
from api.http.pages.page import Fields, form, language_of, refusal_told, router_of_pages
from api.http.server.access import needs
from api.http.server.handlers import last_resort
from api.runtime import problems
from api.runtime.exports import harmless
from api.runtime.problems import DoorProblem
from domain.enrolments import Enrol
from domain.kernel.refusal import Refusal
from domain.kernel.values import Ordinal, local_date
from domain.members import UnknownMember
from ledger.log.receipts import Receipt, Trial

MOST_LINES = 3_000
"""More than that is work for an import, which holds nothing up."""
MOST_CHARACTERS = 60_000
AT_ONCE = 128
SHOWN = 200
"""Lines that a page shows: all of them stand in the results that it offers as a file."""
CARD, PREPAID = "card", ("prepaid", "预存")
"""How the columns may be called, beside what files call members anyway; the sums begin so."""
FILE = f"{ONE}/file"

router = router_of_pages()


class Sent(Fields):
    """The file as text, and the version of the terms that was shown when it was checked."""

    lines: Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS)]
    terms_version: Ordinal | None = None


@dataclass(frozen=True)
class Line:
    """A line of the file: a card, and a prepaid sum unless the terms' least is meant."""

    number: int
    card: str
    prepaid: str


@dataclass(frozen=True)
class Outcome:
    """What came, or would come, of a line; or why nothing did."""

    line: Line
    prepaid_fen: int | None
    receipt: Mapping[str, Any] | None = None
    replayed: bool = False
    problem: Mapping[str, Any] | None = None


# ------------------------------------------------------------------------------------ reading
def lines_of(text: str) -> list[Line]:
    """The lines of a file: two columns, or those that its header names. Raises `invalid`."""
    try:
        rows = _rows(text)
    except readers.Unreadable as error:
        raise _unreadable("lines_unreadable", str(error)) from None
    if not rows:
        raise _unreadable("lines_empty", "It is empty.")
    names = [spelling.plain(cell).lower() for cell in rows[0][1]]
    cards = [n for n, each in enumerate(names) if meaning_of(each) == "member" or each == CARD]
    sums = [n for n, each in enumerate(names) if each.startswith(PREPAID)]
    headed = bool(cards or sums)
    card, prepaid = next(iter(cards), 0), next(iter(sums), 1)
    found = [
        Line(number, spelling.plain(_cell(row, card)), spelling.plain(_cell(row, prepaid)))
        for number, row in rows[1 if headed else 0 :]
    ]
    if not 0 < len(found) <= MOST_LINES:
        count, most = f"{len(found):,}", f"{MOST_LINES:,}"
        detail = f"It holds {count} lines: from 1 to {most} are taken."
        raise _unreadable("lines_many", detail, count=count, most=most)
    return found


def _rows(text: str) -> list[readers.Row]:
    with readers.read("the file", BytesIO(text.encode())) as file:
        if file.kind != "csv":
            raise readers.Unreadable(file.name, "it is no table")
        with closing(readers.sheet_rows(file, MOST_LINES + 2)) as rows:
            return [row for _, row in rows if any(cell.strip() for cell in row[1])]


def _cell(row: Sequence[str], place: int) -> str:
    return row[place] if place < len(row) else ""


def _unreadable(code: str, detail: str, **numbers: str) -> DoorProblem:
    told = {"field": "body.lines", "code": code, "detail": detail, **numbers}
    return problems.invalid([told])


def _wrong(field: str, code: str) -> Mapping[str, Any]:
    """What is wrong with a line."""
    return problems.document("invalid", errors=[{"field": field, "code": code}])


# ------------------------------------------------------------------------------------- asking
async def _commands(
    here: AtCampaign, lines: Sequence[Line], terms_version: int, least_fen: int
) -> list[Enrol | Outcome]:
    """The enrolment of each line, if who sends it may; or what is wrong with it."""
    said = (here.campaign_id, terms_version, here.who.name, *((e.card, e.prepaid) for e in lines))
    digest = sha256(repr(said).encode()).hexdigest()[:32]
    return [await _command(here, each, terms_version, least_fen, digest) for each in lines]


async def _command(
    here: AtCampaign, line: Line, terms_version: int, least_fen: int, digest: str
) -> Enrol | Outcome:
    try:
        fen = spelling.money(line.prepaid, spelling.Spelling()) if line.prepaid else least_fen
    except spelling.Unspelt:
        return Outcome(line, None, problem=_wrong("prepaid_yuan", "money"))
    if not is_id(line.card):
        return Outcome(line, fen, problem=_wrong("card", "no_card"))
    try:
        return await here.asked(
            Enrol,
            member_id=line.card,
            campaign_id=here.campaign_id,
            prepaid_fen=fen,
            shown_terms_version=terms_version,
            key=f"enrolments-{digest}-{line.number}",
        )
    except DoorProblem as problem:
        return Outcome(line, fen, problem=problems.document(problem.code, problem.detail))
    except UnknownMember as unknown:
        return Outcome(line, fen, problem=problems.of_refusal(unknown))
    except ValidationError:  # a sum that no command takes
        return Outcome(line, None, problem=_wrong("prepaid_yuan", "money"))


async def _tried(here: AtCampaign, asked: Iterable[Enrol]) -> list[Receipt | Trial | Exception]:
    return [*await here.house.ledger.attempt(*asked)]


async def _executed(here: AtCampaign, asked: Sequence[Enrol]) -> list[Receipt | Trial | Exception]:
    """Carried out some at a time: a desk waits behind some of them, not behind all."""
    came: list[Receipt | Trial | Exception] = []
    for first in range(0, len(asked), AT_ONCE):
        some = (_one(here, each) for each in asked[first : first + AT_ONCE])
        came += await asyncio.shield(asyncio.gather(*some))
    return came


async def _one(here: AtCampaign, asked: Enrol) -> Receipt | Exception:
    try:
        return await here.house.execute(asked)
    except Exception as failure:  # noqa: BLE001 - told as its outcome
        return failure


def _outcome(
    here: AtCampaign, line: Line, asked: Enrol, came: Receipt | Trial | Exception
) -> Outcome:
    fen = asked.prepaid_fen
    match came:
        case Receipt():
            return Outcome(line, fen, came.body, came.replayed)
        case Trial():
            return Outcome(line, fen, came.body, came.first is not None)
        case Refusal():
            return Outcome(line, fen, problem=problems.of_refusal(came))
    last_resort(here.request.scope, came, here.house.settings.traceback)
    return Outcome(line, fen, problem=problems.document("internal"))


# ------------------------------------------------------------------------------------- telling
def _told(request: Request, outcome: Outcome) -> str:
    """What came of a line, in a sentence."""
    if outcome.problem is not None:
        return " ".join(refusal_told(request, outcome.problem))
    return words.say(language_of(request), "done_before") if outcome.replayed else ""


def results(request: Request, outcomes: Iterable[Outcome]) -> str:
    """All lines with what came of them, as a file."""
    language = language_of(request)
    out = StringIO()
    write = csv.writer(out)
    names = ("line", "card", "prepaid_yuan", "state", "place", "is_given", "why")
    write.writerow([words.say(language, name) for name in names])
    for each in outcomes:
        body = each.receipt or {}
        gift = "" if "gift_fen" not in body else words.yuan(body["gift_fen"])
        outcome = words.say(language, "not_taken" if each.problem else "taken")
        cells = (each.line.number, each.line.card, each.line.prepaid, outcome)
        told = (body.get("place", ""), gift, _told(request, each))
        write.writerow(map(harmless, (*cells, *told)))
    return out.getvalue()


async def _answer(here: AtCampaign, only_tried: bool) -> Response:
    asked = await form(here.request, Sent)
    campaign = await here.house.reads(running(here))
    version = asked.terms_version or campaign.terms_version
    lines = await to_thread.run_sync(lines_of, asked.lines)
    commands = await _commands(here, lines, version, campaign.prepaid_min_fen)
    able = [each for each in commands if isinstance(each, Enrol)]
    came = iter(await (_tried if only_tried else _executed)(here, able))
    outcomes = [
        _outcome(here, line, each, next(came)) if isinstance(each, Enrol) else each
        for line, each in zip(lines, commands, strict=True)
    ]
    refused = [each for each in outcomes if each.problem is not None]
    taken = [each for each in outcomes if each.problem is None]
    return here.page(
        "campaigns/_lines.html",
        asked=asked,
        version=version,
        only_tried=only_tried,
        refused=[(each, _told(here.request, each)) for each in refused[:SHOWN]],
        refusals=len(refused),
        taken=[each for each in taken if not each.replayed],
        replayed=[each for each in taken if each.replayed],
        results=results(here.request, outcomes),
    )


# -------------------------------------------------------------------------------------- routes
@router.get(FILE)
@needs(TO_ENROL, by_itself=True)
async def file_page(here: Here) -> Response:
    """Where a file is brought."""
    campaign = await here.house.reads(running(here))
    on = local_date(here.house.clock.now())
    return here.page("campaigns/file.html", campaign=campaign, on=on, most=MOST_LINES)


@router.post(f"{FILE}/check")
@needs(TO_ENROL, by_itself=True)
async def check(here: Here) -> Response:
    """What would come of each line."""
    return await _answer(here, only_tried=True)


@router.post(f"{FILE}/enrolments")
@needs(TO_ENROL, by_itself=True)
async def enrol_all(here: Here) -> Response:
    """Enrol every line that may be, with what came of each."""
    return await _answer(here, only_tried=False)
