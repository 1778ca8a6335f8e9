"""Many commands in one request. Each has its own key and its own outcome; none hangs on another."""

import asyncio
import json
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.http.server.handlers import last_resort
from api.http.server.inputs import DEFAULT_ACTOR, House, InHouse, WriteActor
from api.http.server.receipts import told_of
from api.runtime import problems
from domain.catalogue import COMMANDS
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.kernel.values import WHOLE
from ledger import commands

MOST_COMMANDS = 200
"""In one request; 4,096 wait at most, of all requests together."""

router = APIRouter(tags=["commands"])


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


class Outcomes(BaseModel):
    """What came of each command, in the order in which they were sent."""

    outcomes: list[Outcome]


@router.post("/commands", response_model=Outcomes)
async def record_batch(
    request: Request, batch: Batch, house: InHouse, actor: WriteActor = DEFAULT_ACTOR
) -> Response:
    """Carry out commands of any kind, each with a key of its own: some may be refused, the others
    are written. Send all of it again if no answer came: nothing is done twice."""

    async def outcome(place: int, said: dict[str, Any]) -> dict[str, Any]:
        try:
            return await _carried_out(house, _command(place, {"actor": actor, **said}))
        except Refusal as refusal:
            problem = problems.of_refusal(refusal)
        except problems.DoorProblem as found:
            problem = problems.document(found.code, found.detail, **(found.more or {}))
        except Exception as defect:  # noqa: BLE001 - the last resort
            last_resort(request.scope, defect, house.settings.traceback)
            problem = problems.document("internal")
        return _outcome(problem["status"], problem=problem)

    told = asyncio.gather(*(outcome(place, said) for place, said in enumerate(batch.commands)))
    # What waits is decided whoever is there to be told.
    found = {"outcomes": await asyncio.shield(told)}
    return Response(orjson.dumps(found, default=str), media_type="application/json")


async def _carried_out(house: House, command: Command) -> dict[str, Any]:
    receipt = await house.ledger.execute(command)
    return _outcome(201, replayed=receipt.replayed, receipt=told_of(receipt))


def _outcome(
    status: int,
    *,
    replayed: bool = False,
    receipt: dict[str, Any] | None = None,
    problem: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {"status": status, "replayed": replayed, "receipt": receipt, "problem": problem}


def _command(place: int, said: dict[str, Any]) -> Command:
    """The command that this says, or the problem that tells what is wrong with it."""
    try:
        return commands.parse(json.dumps(said))
    except ValidationError as error:
        kind = COMMANDS.get(str(said.get("command")), Command)
        told, left_out = problems.of_command(error, kind, said)
        for each in told:
            each["field"] = f"body.commands.{place}.{each['field']}"
        raise problems.invalid(told, left_out) from None
