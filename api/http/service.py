"""The service itself: what it is, whether it is well, and what its problems mean."""

import os
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

from api import answers
from api.http.server.documented import refuses
from api.http.server.inputs import InHouse
from api.runtime import metrics, problems
from ledger import reading
from projections.engine import runner

VERSION = version("clubledger")

router = APIRouter(tags=["service"])


class Welcome(BaseModel):
    """What answers here."""

    name: str = "clubledger"
    version: str = VERSION
    openapi: str = "/openapi.json"
    problems: str = "/problems"


class Health(BaseModel):
    """It answers, and so does its database."""

    status: str = "ok"
    clock: str = Field(examples=["2009-01-05T09:00:00+08:00"])
    demo_clock: bool


class ProblemKind(BaseModel):
    """A kind of problem: what it means, its status, and the numbers that come with it."""

    code: str
    title: str
    status: int
    members: list[str]


class ProblemKinds(BaseModel):
    """Every kind of problem."""

    problems: list[ProblemKind]


def kind_of(code: str) -> ProblemKind:
    """What is known of a code."""
    return ProblemKind(
        code=code,
        title=problems.title_of(code),
        status=problems.status_of(code),
        members=problems.members_of(code),
    )


@router.get("/", response_model=Welcome)
async def welcome() -> Welcome:
    """What answers here, and where its description is."""
    return Welcome()


@router.get("/openapi.json", response_model=dict[str, Any])
async def described(request: Request) -> Response:
    """This description: every address with its parameters, answers and problems."""
    state = request.app.state
    if not hasattr(state, "described"):
        state.described = JSONResponse(request.app.openapi()).body  # 5 ms, once
    return Response(state.described, media_type="application/json")


@router.get("/health", response_model=Health, responses=refuses("unavailable"))
async def health(house: InHouse) -> Health:
    """Whether the service and its database answer."""
    await house.reads.briefly(reading.total)
    return Health(clock=house.clock.stamp(), demo_clock=house.clock.is_demo)


class Ready(BaseModel):
    """The service answers, and its answers are not standing still."""

    status: str = "ready"


@router.get(
    "/ready",
    response_model=Ready,
    responses=refuses("answers_stand_still", "writes_fail", "unavailable"),
)
async def ready(house: InHouse) -> Ready:
    """Whether requests may be sent here: writes go through, and the answers do not stand still."""
    await house.probe()
    for still in await house.reads.briefly(runner.standstills):
        said = (
            f"The event at position {still.position} of bucket {still.bucket} ({still.topic})"
            " cannot be taken."
        )
        raise problems.DoorProblem("answers_stand_still", said, asdict(still))
    return Ready()


@router.get("/metrics", response_class=PlainTextResponse)
async def prometheus(house: InHouse) -> Response:
    """How far the answers are and how this worker's writes go, as Prometheus reads it."""
    said = metrics.of_worker(house.ledger.trouble, os.getpid())
    try:
        lanes = await house.reads.briefly(runner.status)
        standstills = await house.reads.briefly(runner.standstills)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        said += metrics.of_database(answers=False)  # What a worker knows of itself is told still.
    else:
        said += metrics.of_database(answers=True)
        said += metrics.text(lanes, standstills, house.clock.now())
    return Response(said, media_type=metrics.MEDIA_TYPE)


@router.get("/status", response_model=answers.Status)
async def status(house: InHouse) -> answers.Status:
    """What this installation is, and how far its answers are behind the log."""
    question = partial(answers.status, meta=house.meta, version=VERSION, place=None)
    return await house.reads(question)


@router.get("/problems", response_model=ProblemKinds)
async def all_problems() -> ProblemKinds:
    """Every problem that a request can be answered with."""
    return ProblemKinds(problems=[kind_of(code) for code in problems.codes()])


@router.get("/problems/{code}", response_model=ProblemKind, responses=refuses("unknown_problem"))
async def problem(
    code: Annotated[str, Path(pattern="^[a-z_]{1,64}$", examples=["not_enough_points"])],
) -> ProblemKind:
    """What a problem means; its `type` is this address."""
    if code not in problems.codes():
        raise problems.DoorProblem("unknown_problem")
    return kind_of(code)
