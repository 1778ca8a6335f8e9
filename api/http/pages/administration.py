"""Administration: every command as a form that is made of its declaration. What it will do is shown
by a dry run of it, and done by a second press, under the same key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from uuid import uuid4

import orjson
from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ValidationError

from api.doors import DOOR_OF, DOORS, Door, Need
from api.http.doors import carried_out
from api.http.pages import forms, words
from api.http.pages.asking import admitted
from api.http.pages.forms import Field, Said, Wrong
from api.http.pages.measures import titles_of
from api.http.pages.offering import LISTS, SEVERAL, STANDING, TITLED, id_of, offers, row_of
from api.http.pages.page import (
    Fields,
    form,
    language_of,
    next_page,
    page,
    refusal_told,
    router_of_pages,
    sent,
)
from api.http.server.access import SIGNED_IN, Who, needs
from api.http.server.inputs import House, InHouse
from api.http.sessions import INVITED_PATH, SessionPath, end_and_forget
from api.runtime.problems import DoorProblem, of_refusal
from domain.access import HolderId, InviteUser, Principal, UnknownUser
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.kernel.values import Id
from ledger import sessions
from ledger.log import receipts
from projections.access import UserRow, users
from projections.engine.connection import Conn

HOME = "/administration"
COMMAND = f"{HOME}/commands/{{name}}"
ROWS = 100
CHOSEN = {"kind", "level", "scopes", "standing"}
"""Columns of lists that hold one of a few words."""
NOBODY_YET = "nobody:yet"
"""Before it is known who may."""
router = router_of_pages()


# --------------------------------------------------------------------------------------- a form
@dataclass(frozen=True)
class AtForm:
    """Somebody before the form of a command that he may send at all."""

    request: Request
    house: House
    who: Principal
    door: Door

    async def command(self, key: str, values: Mapping[str, Any]) -> Command:
        """The command that this says, in the name of who asks, if he may. Raises ValidationError
        where it says too little or what cannot be."""
        said = orjson.dumps({**values, "key": key, "actor": NOBODY_YET})
        asked = self.door.command.model_validate_json(said)
        actor = await admitted(self.house, self.who, self.door.need, asked.__dict__)
        return asked.model_copy(update={"actor": actor})


async def at_form(request: Request, house: InHouse, who: Who, name: str) -> AtForm:
    """Whoever is asking, before the form of this command."""
    door = DOOR_OF.get(name)
    if door is None:
        raise DoorProblem("not_found")
    if not who.granted(door.scope):
        raise DoorProblem("not_allowed")
    return AtForm(request, house, who, door)


Here = Annotated[AtForm, Depends(at_form)]


class Sent(Fields):
    """What a form says beside the fields of its command."""

    key: Id
    more: str | None = None


@dataclass(frozen=True)
class Filled:
    """A form as it was filled in."""

    sent: Sent
    said: Said
    fields: Sequence[Field]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """What is sent again to have it done."""
        texts = [(name, text) for name, each in self.said.items() for text in each if text]
        return [*texts, ("key", self.sent.key)]


async def _filled(here: AtForm) -> Filled:
    pairs = await sent(here.request, forms.MOST_TEXTS)
    said, fields = forms.said_of(pairs), forms.fields_of(here.door)
    own = {name: texts[0] for name, texts in said.items() if name in Sent.model_fields}
    rest = {name: texts for name, texts in said.items() if name not in own}
    if not {name.partition(".")[0] for name in rest} <= {field.name for field in fields}:
        raise DoorProblem("malformed")
    return Filled(Sent.model_validate(own), rest, fields)


def _new_key() -> str:
    return f"form-{uuid4().hex}"


# ------------------------------------------------------------------------------- what is offered
def _source(field: Field, door: Door) -> str | None:
    """Of what there is something to offer in this field, under the name of an id."""
    creates = next(iter(door.command.writes.values()), None) == field.name
    if creates and field.name not in door.ids:
        return None  # a new one
    return SEVERAL.get(field.name, field.name)


# -------------------------------------------------------------------------------------- showing it
async def _form(
    here: AtForm,
    filled: Filled,
    wrong: Mapping[str, Wrong] | None = None,
    **outcome: Any,
) -> Response:
    """The form as it was filled in, what is wrong beside each field, and what came of it."""
    door, language = here.door, language_of(here.request)
    sources = {field.name: _source(field, door) for field in filled.fields}
    names = {each for each in sources.values() if each}
    known = await here.house.reads(partial(offers, who=here.who, scope=door.scope, names=names))
    known |= {
        name: [(each, "") for each in sorted(every)]
        for name, every in STANDING.items()
        if name in sources
    }
    return page(
        here.request,
        "administration/_form.html" if outcome or "hx-request" in here.request.headers
        else "administration/form.html",
        base=COMMAND.format(name=door.name),
        door=door,
        tries=f"{COMMAND.format(name=door.name)}/try",
        fields=filled.fields,
        said=filled.said,
        key=filled.sent.key,
        lines={
            field.name: forms.lines(field, filled.said, filled.sent.more == field.name)
            for field in filled.fields
        },
        sources={name: source for name, source in sources.items() if source in known},
        offers=known,
        wrong={name: forms.sentence(language, each) for name, each in (wrong or {}).items()},
        **{"problem": None, "trial": None, "receipt": None, **outcome},
    )  # fmt: skip


def _value(language: words.Language, field: Field, value: Any) -> list[str]:
    """A value as a reader has it: a line each."""
    named = partial(words.called, language, "choices")

    def one(name: str, each: Any) -> str:
        box = field.boxes.get(name) or field.boxes[""]
        text = box.write(each)
        if box.kind in ("choice", "yes_no"):
            return named(text)
        return text.replace("T", " ") if box.kind == "instant" else text

    match field.shape:
        case "one":
            return [words.NOTHING if value is None else one("", value)]
        case "choices" | "lines":
            return [one("", each) for each in value] or [words.NOTHING]
        case "table":
            return [f"{named(k)}: {one(k, v)}" for k, v in value.items()] or [words.NOTHING]
        case "entries":
            return [f"{k}: {v}" for k, v in value.items()]
        case "rows":
            return [" ".join(one(k, v) for k, v in row.items()) for row in value]


async def _asked(here: AtForm, filled: Filled) -> tuple[Command, list[tuple[Field, list[str]]]]:
    """(the command, what it says as a reader has it)."""
    values, places = forms.read(filled.fields, filled.said)
    try:
        command = await here.command(filled.sent.key, values)
    except ValidationError as error:
        raise _Wrong(forms.wrong_of(error, filled.fields, places)) from None
    missing = [name for name in here.door.wanted if name not in values]
    if missing:
        raise _Wrong(dict.fromkeys(missing, Wrong("missing", {})))
    language, titles = language_of(here.request), await _titles(here, filled.fields)
    shown = [
        (field, [_titled(titles.get(field.name), each) for each in lines])
        for field in filled.fields
        if field.name in values
        for lines in [_value(language, field, values[field.name])]
    ]
    return command, shown


async def _titles(here: AtForm, fields: Sequence[Field]) -> dict[str, dict[str, str]]:
    """What ids in these fields are called, as far as he may read it."""
    sources = {field.name: _source(field, here.door) for field in fields}
    names = {each for each in sources.values() if each in TITLED}
    if not names:
        return {}
    known = await here.house.reads(
        partial(offers, who=here.who, scope=here.door.scope, names=names)
    )
    return {name: dict(known[each]) for name, each in sources.items() if each in known}


def _titled(titles: Mapping[str, str] | None, said: str) -> str:
    """An id with what it is called behind it."""
    title = titles and titles.get(said)
    return f"{title} · {said}" if title else said


class _Wrong(Exception):
    """The form is not filled in rightly."""

    def __init__(self, inputs: Mapping[str, Wrong]) -> None:
        self.inputs = inputs


# ------------------------------------------------------------------------------------------ routes
@router.get(HOME)
@needs(SIGNED_IN)
async def home(request: Request, who: Who) -> Response:
    """All that he may do."""
    subjects = dict[str, list[Door]]()
    for door in DOORS:
        if who.granted(door.scope):
            subjects.setdefault(door.tag, []).append(door)
    lists = [name for name, question in LISTS.items() if who.granted(question.scope)]
    return page(request, "administration/home.html", subjects=subjects, lists=lists)


@router.get(f"{HOME}/lists/{{name}}")
@needs(SIGNED_IN)
async def list_page(
    request: Request,
    house: InHouse,
    who: Who,
    name: str,
    number: Annotated[int, Query(ge=1, le=1_000, alias="page")] = 1,
) -> Response:
    """What there is of a kind, with what can be done to each."""
    if name not in LISTS:
        raise DoorProblem("not_found")
    question = LISTS[name]
    if not who.granted(question.scope):
        raise DoorProblem("not_allowed")
    rows = await house.reads(lambda conn: getattr(question(conn), name))
    id_field = id_of(question)
    doors = [each for each in DOORS if each.ids[:1] == [id_field] and who.granted(each.scope)]
    last = max(1, -(-len(rows) // ROWS))
    language = language_of(request)
    return page(
        request,
        "administration/list.html",
        name=name,
        columns=[*row_of(question).model_fields],
        rows=[
            (getattr(row, id_field), [_cell(language, *each) for each in row])
            for row in rows[(number - 1) * ROWS : number * ROWS]
        ],
        doors=doors,
        adds=[each for each in DOORS if each.path == question.path and who.granted(each.scope)],
        number=number,
        last=last,
        total=len(rows),
    )


def _cell(language: words.Language, name: str, value: Any) -> str:
    """A value of a row, or of what it holds, as a reader has it."""
    cell = partial(_cell, language, name)
    match value:
        case BaseModel():
            inside = (_cell(language, *each) for each in value)
            return " · ".join(each for each in inside if each != words.NOTHING)
        case Mapping():
            pairs = [f"{_choice(language, name, k)}: {cell(v)}" for k, v in value.items()]
            return "; ".join(pairs) or words.NOTHING
        case list() | tuple():
            return "; ".join(map(cell, value)) or words.NOTHING
        case bool():
            return words.called(language, "choices", str(value).lower())
        case str():
            return _choice(language, name, value) or words.NOTHING
    return str(words.told(name, value))


def _choice(language: words.Language, name: str, value: str) -> str:
    """A text as a reader has it, where it is one of a few."""
    return words.called(language, "choices", value) if name in CHOSEN else value


@router.get(f"{HOME}/users/{{user_id}}")
@needs(Need("access.read"))
async def user_page(
    request: Request, house: InHouse, who: Who, user_id: Annotated[HolderId, Path()]
) -> Response:
    """A user: his roles, and where he is signed in."""
    return page(
        request,
        "administration/user.html",
        user=await house.reads(partial(_user, user_id=user_id)),
        titles=await house.reads(partial(titles_of, names=("club_id", "unit_id"))),
        sessions=await house.reads(partial(sessions.of_user, user_id=user_id)),
        doors=[each for each in DOORS if each.ids[:1] == ["user_id"] and who.granted(each.scope)],
        may_end=bool(who.granted("access.write")),
    )


def _user(conn: Conn, user_id: str) -> UserRow:
    found = next((each for each in users(conn) if each.user_id == user_id), None)
    if found is None:
        raise UnknownUser(user_id)
    return found


class Ending(Fields):
    """Nothing more."""


@router.post(f"{HOME}/users/{{user_id}}/sessions/{{session_id}}/end")
@needs(Need("access.write"))
async def end_session(
    request: Request,
    house: InHouse,
    user_id: Annotated[HolderId, Path()],
    session_id: SessionPath,
) -> Response:
    """End a session of somebody, on a machine that was left behind or lost."""
    await form(request, Ending)
    await end_and_forget(house, user_id, session_id)
    return next_page(f"{HOME}/users/{user_id}")


@router.get(COMMAND)
@needs(SIGNED_IN)
async def command_page(here: Here, of: Annotated[Id | None, Query()] = None) -> Response:
    """The form of a command, for what is named by the first id of its path."""
    fields = forms.fields_of(here.door)
    known = {f.name: f.default for f in fields if f.default not in (None, (), {})}
    if of is not None and here.door.ids:
        known[here.door.ids[0]] = of
    return await _form(here, Filled(Sent(key=_new_key()), forms.write(fields, known), fields))


@router.post(f"{COMMAND}/try")
@needs(SIGNED_IN, by_itself=True)
async def try_it(here: Here) -> Response:
    """What would come of it: nothing is written."""
    filled = await _filled(here)
    if filled.sent.more is not None:
        return await _form(here, filled)
    try:
        command, shown = await _asked(here, filled)
    except _Wrong as wrong:
        return await _form(here, filled, wrong.inputs, problem=_problem(here, forms.INVALID))
    (trial,) = await here.house.ledger.attempt(command)
    if isinstance(trial, Refusal):
        return await _form(here, filled, problem=_problem(here, of_refusal(trial)))
    if isinstance(trial, Exception):
        raise trial
    body = trial.body if trial.first is None else trial.first.body
    return await _form(
        here, filled, trial=trial, shown=shown, body=body, outlook=trial.outlook, pairs=filled.pairs
    )


def _problem(here: AtForm, told: Mapping[str, Any]) -> tuple[str, str, str]:
    return (told["code"], *refusal_told(here.request, told))


@router.post(f"{COMMAND}/do")
@needs(SIGNED_IN, by_itself=True)
async def do_it(here: Here) -> Response:
    """Have it done, as it was shown. Pressed twice it is done once."""
    filled = await _filled(here)
    try:
        command, shown = await _asked(here, filled)
    except _Wrong as wrong:
        return await _form(here, filled, wrong.inputs, problem=_problem(here, forms.INVALID))
    try:
        receipt, token = await carried_out(here.house, command)
    except Refusal as refusal:
        return await _form(here, filled, problem=_problem(here, of_refusal(refusal)))
    return page(
        here.request,
        "administration/_done.html",
        base=COMMAND.format(name=here.door.name),
        door=here.door,
        shown=shown,
        body=_figures(receipt),
        receipt=receipt,
        secrets=_secrets(here, command, receipt, token),
        hides=here.door.mints or command.discloses,
    )


def _figures(receipt: receipts.Receipt) -> dict[str, Any]:
    return {name: value for name, value in receipt.body.items() if name != SECRET}


SECRET = "signing_secret"


def _secrets(
    here: AtForm, command: Command, receipt: receipts.Receipt, token: str | None
) -> list[str]:
    """What is shown this once: a key, a link, the secret by which a webhook signs."""
    if token is not None and isinstance(command, InviteUser):
        scheme = "https" if here.house.settings.tls_in_front else here.request.url.scheme
        token = f"{scheme}://{here.request.url.netloc}{INVITED_PATH}#{token}"
    found = (token, receipt.body.get(SECRET))
    return [each for each in found if each is not None]
