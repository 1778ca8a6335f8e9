"""The service itself: what it is, whether it is well, and what its problems mean."""

from contextlib import suppress
from functools import partial
from importlib.metadata import version
from typing import Annotated, Any

import psycopg
from anyio import to_thread
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from pydantic import BaseModel

from api import answers
from api.doors import PREFIX, Need
from api.http.pages import page
from api.http.server.access import PUBLIC, needs
from api.http.server.documented import refuses
from api.http.server.inputs import InHouse
from api.runtime import metrics, problems, readiness
from ledger import jobs
from projections import webhooks
from projections.engine import runner

VERSION = version("clubledger")

router = APIRouter(tags=["service"])


class Welcome(BaseModel):
    """What answers here."""

    name: str = "clubledger"
    version: str = VERSION
    api: str = PREFIX
    openapi: str = "/openapi.json"
    problems: str = "/problems"


class Alive(BaseModel):
    """It answers."""

    status: str = "alive"


class Ready(BaseModel):
    """Nothing keeps requests from being sent here."""

    status: str = "ready"


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
@needs(PUBLIC)
async def welcome(request: Request) -> Any:
    """What answers here, and where its description is. A browser is led to the pages."""
    return RedirectResponse(page.FIRST_PAGE, 303) if page.wants_page(request) else Welcome()


@router.get("/openapi.json", response_model=dict[str, Any])
@needs(PUBLIC)
async def described(request: Request) -> Response:
    """This description: every address with its parameters, answers and problems."""
    state = request.app.state
    if not hasattr(state, "described"):
        state.described = JSONResponse(request.app.openapi()).body  # 5 ms, once
    return Response(state.described, media_type="application/json")


@router.get("/livez", response_model=Alive)
@needs(PUBLIC)
async def livez() -> Alive:
    """Whether this process answers. The database is not asked: that it is away is no reason to
    start us anew."""
    return Alive()


@router.get(
    "/readyz",
    response_model=Ready,
    responses=refuses("not_ready"),
    description="Whether requests may be sent here. If not, `reasons` says why, each with a `code`:"
    f" {', '.join(f'`{code}`' for code in readiness.REASONS)}; a sentence, and its numbers.",
)
@needs(PUBLIC)
async def readyz(house: InHouse) -> Ready:
    if reasons := await house.probe():
        said = " ".join(reason.detail for reason in reasons)
        told = [reason.told() for reason in reasons]
        raise problems.DoorProblem("not_ready", said, {"reasons": told})
    return Ready()


@router.get("/metrics", response_class=PlainTextResponse)
@needs(Need("service.read"))
async def prometheus(house: InHouse) -> Response:
    """What all workers have done, and how far the answers are, as Prometheus reads it."""
    said = await to_thread.run_sync(metrics.own)
    lanes, standstills, told = None, list[runner.Standstill](), list[webhooks.WebhookRow]()
    of_jobs: tuple[dict[str, int], float] = {}, 0.0
    with suppress(psycopg.OperationalError, psycopg.InterfaceError):
        standstills = await house.reads.briefly(runner.standstills)
        told = await house.reads.briefly(webhooks.webhooks)
        of_jobs = await house.reads.briefly(jobs.standing)
        lanes = await house.reads.briefly(runner.status)
    said += metrics.of_database(lanes, standstills, told, of_jobs, house.clock.now())
    return Response(said, media_type=metrics.MEDIA_TYPE)


@router.get(f"{PREFIX}/status", response_model=answers.Status)
@needs(Need("service.read"))
async def status(house: InHouse) -> answers.Status:
    """What this installation is, and how far its answers are behind the log."""
    question = partial(answers.status, meta=house.meta, version=VERSION, place=None)
    return await house.reads(question)


@router.get("/problems", response_model=ProblemKinds)
@needs(PUBLIC)
async def all_problems() -> ProblemKinds:
    """Every problem that a request can be answered with."""
    return ProblemKinds(problems=[kind_of(code) for code in problems.codes()])


@router.get("/problems/{code}", response_model=ProblemKind, responses=refuses("unknown_problem"))
@needs(PUBLIC)
async def problem(
    code: Annotated[str, Path(pattern="^[a-z_]{1,64}$", examples=["not_enough_points"])],
) -> ProblemKind:
    """What a problem means; its `type` is this address."""
    if code not in problems.codes():
        raise problems.DoorProblem("unknown_problem")
    return kind_of(code)
