"""Many commands in one request. Each has its own key and its own outcome; none hangs on another."""

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.doors import DOOR_OF, PREFIX
from api.http.doors import carried_out
from api.http.server.access import SIGNED_IN, Who, needs
from api.http.server.handlers import last_resort
from api.http.server.inputs import DryRun, House, InHouse, WriteActor
from api.http.server.receipts import APPLIED_HEADER, DRY_RUN, Tried
from api.runtime import problems
from api.runtime.receipts import told_of, tried_of
from domain.access import Principal
from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.kernel.values import WHOLE
from domain.persons import UnmaskMember
from ledger import commands
from ledger.log.receipts import Receipt, Trial

Written = tuple[Receipt, str | None]
"""What was written, and the secret that was made of it, if any."""
NOBODY_YET = "nobody:yet"
"""Before it is known who may."""
MOST_COMMANDS = 200
"""In one request; 4,096 wait at most, of all requests together."""

router = APIRouter(prefix=PREFIX, tags=["commands"])


class Batch(BaseModel):
    """Commands, decided in this order, each as if it had been sent alone."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={
            "examples": [
                {
                    "commands": [
                        {"command": name, "key": f"desk-{n}", **COMMANDS[name].example}
                        for n, name in enumerate(("points.credit", "visit.record"), start=1)
                    ]
                }
            ]
        },
    )

    commands: Annotated[
        list[Annotated[dict[str, Any], WHOLE]], Field(min_length=1, max_length=MOST_COMMANDS)
    ] = Field(
        description="each as a line of an import: `command`, its `key`, its fields; `at` and"
        " `actor`, if they are not now and who sends it"
    )


class Outcome(BaseModel):
    """What came of one command."""

    status: int = Field(description="with which it would have been answered alone")
    replayed: bool = Field(description="its key was answered before: nothing more was written")
    receipt: dict[str, Any] | None = Field(description="null if it was not carried out")
    problem: problems.Problem | None = Field(description="why it was not")
    tried: Tried | None = Field(description="what would come of it, if it was only tried")


class Outcomes(BaseModel):
    """What came of each command, in the order in which they were sent."""

    outcomes: list[Outcome]


@router.post("/commands", response_model=Outcomes)
@needs(SIGNED_IN, by_itself=True)
async def record_batch(
    request: Request,
    batch: Batch,
    house: InHouse,
    who: Who,
    dry_run: DryRun,
    actor: WriteActor = None,
) -> Response:
    """Carry out commands of any kind, each with a key of its own: some may be refused, the others
    are written. Send all of it again if no answer came: nothing is done twice. Only tried, each is
    decided as if those before it had been carried out."""
    asked = [
        await _asked(house, who, place, actor, said) for place, said in enumerate(batch.commands)
    ]
    came: Sequence[Written | Trial | Exception]
    if dry_run:
        came = await _attempted(house, asked)
    else:  # What waits is decided whoever is there to be told.
        came = await asyncio.shield(asyncio.gather(*(_executed(house, each) for each in asked)))
    found = {"outcomes": [_outcome(request, house, each) for each in came]}
    headers = {APPLIED_HEADER: DRY_RUN} if dry_run else None
    said = orjson.dumps(found, default=str)
    return Response(said, headers=headers, media_type="application/json")


async def _executed(house: House, asked: Command | Exception) -> Written | Exception:
    if isinstance(asked, Exception):
        return asked
    try:
        if isinstance(asked, UnmaskMember):  # one by one is shown who somebody is
            return await house.execute(asked), None
        return await carried_out(house, asked)
    except Exception as failure:  # noqa: BLE001 - told as its outcome
        return failure


async def _attempted(house: House, asked: Sequence[Command | Exception]) -> list[Trial | Exception]:
    trials = iter(await house.ledger.attempt(*[x for x in asked if isinstance(x, Command)]))
    return [next(trials) if isinstance(each, Command) else each for each in asked]


def _outcome(request: Request, house: House, came: Written | Trial | Exception) -> dict[str, Any]:
    found: dict[str, Any] = {"replayed": False, "receipt": None, "problem": None, "tried": None}
    match came:
        case (Receipt() as receipt, token):
            told = told_of(receipt) | ({} if token is None else {"token": token})
            return {**found, "status": 201, "replayed": receipt.replayed, "receipt": told}
        case Trial():
            tried = tried_of(came)
            return {**found, "status": 200, "replayed": tried["replayed"], "tried": tried}
        case Refusal():
            problem = problems.of_refusal(came)
        case problems.DoorProblem():
            problem = problems.document(came.code, came.detail, **(came.more or {}))
        case _:
            last_resort(request.scope, came, house.settings.traceback)
            problem = problems.document("internal")
    return {**found, "status": problem["status"], "problem": problem}


async def _asked(
    house: House, who: Principal, place: int, actor: str | None, said: dict[str, Any]
) -> Command | Exception:
    """The command that this says, if who sends it may; or what is wrong with it."""
    named: dict[str, Any] = {"actor": actor or NOBODY_YET, **said}
    try:
        asked = commands.parse(json.dumps(named))
        need, for_whom = DOOR_OF[asked.called].need, said.get("actor", actor)
        found = await house.access.admit(who, need, asked.__dict__, for_whom, asked.key)
        return asked.model_copy(update={"actor": found})
    except problems.DoorProblem as problem:
        return problem
    except ValidationError as error:
        kind = COMMANDS.get(str(said.get("command")), Command)
        told, left_out = problems.of_command(error, kind, said)
        for each in told:
            each["field"] = f"body.commands.{place}.{each['field']}"
        return problems.invalid(told, left_out)
    except Exception as defect:  # noqa: BLE001 - its outcome alone is one
        return defect
