"""The service itself: what it is, whether it is well, and what its problems mean."""

from functools import partial
from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from api import answers, models, problems
from api.http.documented import refuses
from api.http.inputs import InHouse
from ledger import reading

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


@router.get("/health", response_model=Health, responses=refuses("unavailable"))
async def health(house: InHouse) -> Health:
    """Whether the service and its database answer."""
    await house.reads.briefly(reading.total)
    return Health(clock=house.clock.stamp(), demo_clock=house.clock.is_demo)


@router.get("/status", response_model=models.Status)
async def status(house: InHouse) -> models.Status:
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
