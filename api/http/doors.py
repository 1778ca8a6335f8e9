"""The routes of commands, with body, answers and description, made of their rows (api/doors.py).

A body holds what the command says, but for its key, its actor and the ids of the path.
"""

import re
from copy import copy
from functools import cache, partial, reduce
from inspect import Parameter, Signature, getdoc
from itertools import groupby
from operator import attrgetter, or_
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from fastapi import APIRouter, Path
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticUndefined

from api.doors import DOOR_OF, DOORS, PREFIX, Door
from api.http.server.access import Who, needs
from api.http.server.documented import refuses
from api.http.server.editing import Seen, edited
from api.http.server.inputs import DryRun, House, InHouse, WriteActor, WriteKey
from api.http.server.receipts import (
    TRIED,
    WRITE,
    MintedReceipt,
    Receipt,
    Tried,
    receipt_of,
    trial_of,
)
from api.runtime.receipts import disclosed
from domain.access import Principal
from domain.corrections import Correction
from domain.kernel.command import Command
from domain.kernel.values import WHOLE
from ledger.credentials import mint
from ledger.log import receipts

CORRECT = (
    "Take a wrong fact back: it counts no more, and what is right can be told. An answer as of"
    " before still shows it."
)


HIDDEN = cast(Any, SkipJsonSchema)()
"""No schema tells of it: whoever says it all the same is told by the ledger why not."""


# -------------------------------------------------------------------------------------- bodies
class Body(BaseModel):
    """What a request says, which with its path and headers is a command."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)
    asks_for: ClassVar[type[Command]]
    example: ClassVar[dict[str, Any]]

    def command(self, **beside: Any) -> Command:
        """The command, kept as it was asked: with the fields that were sent."""
        fields = self.__dict__
        return self.asks_for(**beside, **{name: fields[name] for name in self.model_fields_set})


class CorrectionBody(Body):
    """The same, which says by its `fact` which command it is."""

    def command(self, **beside: Any) -> Command:
        fields = {name: self.__dict__[name] for name in self.model_fields_set - {"fact"}}
        return self.asks_for(**beside, **fields)


@cache
def body_of(door: Door) -> type[Body]:
    """The body of a request to this door."""
    kind, fields, told = door.command, dict[str, Any](), dict[str, Any]()
    if issubclass(kind, Correction):
        fields["fact"] = (Literal[kind.fact.topic], ...)
        told["fact"] = kind.fact.topic
    fields |= {
        name: _field(known, name in door.wanted, name == "despite")
        for name, known in kind.model_fields.items()
        if name not in (*door.ids, "command", "key", "actor")
    }
    told |= {name: said for name, said in kind.example.items() if name in fields}
    base: type[Body] = CorrectionBody if "fact" in fields else Body
    body: type[Body] = create_model(
        f"{kind.__name__}Request",
        __base__=base,
        __doc__=kind.__doc__,
        __cls_kwargs__={"json_schema_extra": {"examples": [told]}},
        **fields,
    )
    body.asks_for, body.example = kind, told
    return body


def _field(known: FieldInfo, wanted: bool, hidden: bool) -> tuple[Any, FieldInfo]:
    """A field of a command as requests have it. What is hidden is refused by the ledger."""
    annotation: Any = (
        Annotated[known.annotation, *known.metadata] if known.metadata else known.annotation
    )
    field = copy(known)
    field.metadata = []
    if wanted:  # then it is not null either
        annotation = next(each for each in get_args(annotation) if each is not type(None))
        field.default = PydanticUndefined
    if hidden:
        annotation = Annotated[annotation, HIDDEN]
    return Annotated[annotation, WHOLE] if _holds_numbers(annotation) else annotation, field


def _holds_numbers(annotation: Any) -> bool:
    """Whether whole numbers or lists may be in it, which JSON means otherwise than Python."""
    if annotation is int or get_origin(annotation) in (tuple, dict):
        return True
    return any(map(_holds_numbers, get_args(annotation)))


def _one_of(doors: tuple[Door, ...]) -> type[BaseModel]:
    """The body of a request to an address: that of its door, or of one of several."""
    bodies = [body_of(door) for door in doors]
    if len(bodies) == 1:
        return bodies[0]
    of: Any = Annotated[reduce(or_, bodies), Field(discriminator="fact")]
    return create_model(
        f"{doors[0].ids[0].removesuffix('_id').capitalize()}CorrectionRequest",
        __base__=RootModel[of],
        __doc__="Which fact was wrong, by its name, and why it is taken back.",
        __cls_kwargs__={"json_schema_extra": {"examples": [body.example for body in bodies]}},
    )


# -------------------------------------------------------------------------------------- routes
@cache
def receipt_model(receipt: Any, mints: bool = False) -> type[Receipt]:
    """The answer to a command, of its receipt and the place in the log."""
    held = get_type_hints(receipt, include_extras=True)
    if not held:
        return Receipt
    base: type[Receipt] = MintedReceipt if mints else Receipt
    fields: dict[str, Any] = {name: (kind, ...) for name, kind in held.items()}
    return create_model(receipt.__name__, __base__=base, __doc__=receipt.__doc__, **fields)


def _open(router: APIRouter, doors: tuple[Door, ...]) -> None:
    """The route to the doors of one address."""
    first, kind = doors[0], doors[0].command
    body, several = _one_of(doors), len(doors) > 1

    @needs(first.need, by_itself=True)
    async def record(
        house: House,
        who: Principal,
        key: str,
        actor: str | None,
        dry_run: bool,
        said: Any,
        seen: int | None = None,
        **ids: Any,
    ) -> Response:
        asked: Body = said.root if several else said
        need = DOOR_OF[asked.asks_for.called].need
        named = await house.access.admit(who, need, {**asked.__dict__, **ids}, actor, key)
        command = asked.command(key=key, actor=named, **ids)
        if dry_run:
            return trial_of(*await house.ledger.attempt(command, seen=seen))
        return receipt_of(*await carried_out(house, command, seen))

    annotations = {
        **{name: _in_path(doors, name) for name in first.ids},
        "said": body,
        "house": InHouse,
        "who": Who,
        "key": WriteKey,
        "actor": WriteActor,
        "dry_run": DryRun,
        **({"seen": Seen} if edited(first) else {}),
    }
    parameters = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=None if name == "actor" else Parameter.empty,
            annotation=annotation,
        )
        for name, annotation in annotations.items()
    ]
    record.__dict__["__signature__"] = Signature(parameters)  # which FastAPI goes by
    codes = dict.fromkeys(each.code for door in doors for each in door.command.refuses)
    router.add_api_route(
        first.path,
        record,
        methods=["POST"],
        name=_name_of(first),
        description=CORRECT if first.tag == "corrections" else getdoc(kind),
        tags=[first.tag],
        status_code=201,
        response_model=receipt_model(cast(Any, kind.answers), first.mints),
        responses={**WRITE, 200: {**TRIED[200], "model": Tried}, **refuses(*codes)},
    )


async def carried_out(
    house: House, command: Command, seen: int | None = None
) -> tuple[receipts.Receipt, str | None]:
    """(what was written, with what it is asked to show; the secret that was made of it, if any)."""
    receipt = await house.execute(command, seen)
    if command.discloses:
        receipt = await house.reads.briefly(partial(disclosed, command=command, receipt=receipt))
    mints = DOOR_OF[command.called].mints
    return receipt, await _minted(house, command, receipt) if mints else None


async def _minted(house: House, command: Any, receipt: Any) -> str | None:
    """The secret that was made of it: told once. Who sends the same again is told it if it could
    not be made the first time."""
    number = receipt.body["secret"]
    made = partial(mint, holder=command.streams()[0], number=number)
    return await house.reads.briefly(made)


def _in_path(doors: tuple[Door, ...], name: str) -> Any:
    """An id of the path, as it is in each of the examples of the body, in their order."""
    known = doors[0].command.model_fields[name]
    said = [door.command.example[name] for door in doors]
    told = Path(description=known.description, examples=said)
    return Annotated[known.annotation, *known.metadata, told]


def _name_of(door: Door) -> str:
    """The name of the operation: that of its command."""
    if door.tag == "corrections":
        stream = door.ids[0].removesuffix("_id")
        return "correct" if stream == "member" else f"correct_{stream}"
    return re.sub("(?<=.)(?=[A-Z])", "_", door.command.__name__).lower()


router = APIRouter(prefix=PREFIX)
for _, _doors in groupby(DOORS, attrgetter("path")):
    _open(router, tuple(_doors))
