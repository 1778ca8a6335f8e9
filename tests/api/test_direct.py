"""Reads that go straight to what answers them are answered as FastAPI answers them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from api.doors import PREFIX
from api.http.app import create_app
from api.http.server import handlers
from api.http.server.direct import Direct, way_of
from api.runtime.problems import DoorProblem

LEFT = {"/events/stream", "/jobs/{job_id}/events", "/jobs/{job_id}/files/{number}"}
"""Streams, and files that are no JSON."""


def test_every_read_goes_straight() -> None:
    app = create_app("dbname=nowhere")
    straight = {each.path for each in iter_route_contexts(app.routes) if way_of(each) is not None}
    reads = {path for path, here in app.openapi()["paths"].items() if "get" in here}
    of_the_api = {path for path in reads if path.startswith(PREFIX)}
    assert of_the_api - straight == {f"{PREFIX}{path}" for path in LEFT}


# ----------------------------------------------------- a small application, asked in both ways
class Said(BaseModel):
    """What came in."""

    name: str
    words: list[str]
    most: int
    seen: list[str]


async def first(request: Request) -> str:
    if request.query_params.get("refused"):
        raise DoorProblem("not_allowed")
    return str(request.path_params["name"])


async def counted(most: Annotated[int, Query(ge=1, le=9)] = 3) -> int:
    return most


async def opened(
    request: Request, x_seen: Annotated[str | None, Header(pattern="^[a-z]+$")] = None
) -> AsyncIterator[list[str]]:
    seen = ["opened"] + ([x_seen] if x_seen else [])
    yield seen
    request.app.state.closed.append(seen)


def application() -> FastAPI:
    app = FastAPI(dependencies=[Depends(first)])
    app.state.closed = []
    handlers.install(app)

    @app.get("/here/said/{name}", response_model=Said)
    async def said(
        name: Annotated[str, Path(pattern="^[a-z]+$")],
        must: Annotated[int, Query()],
        most: Annotated[int, Depends(counted)],
        seen: Annotated[list[str], Depends(opened)],
        response: Response,
        word: Annotated[list[str], Query()] = ["none"],  # noqa: B006 - FastAPI copies it
    ) -> Any:
        response.headers["Beside"] = f"{must}"
        if "wrong" in word:
            return {"name": name}
        word.append("told")
        return Said(name=name, words=word, most=most, seen=seen)

    return app


async def ask(address: str, headers: dict[str, str], straight: bool) -> tuple[Any, ...]:
    app = application()
    if straight:
        assert any(map(way_of, iter_route_contexts(app.routes)))
        app.add_middleware(Direct, api=app)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        await client.get(address, headers=headers)
        answer = await client.get(address, headers=headers)  # nothing of the first is left
    told = answer.status_code, answer.headers.multi_items(), answer.content
    return *told, app.state.closed


@pytest.mark.parametrize(
    "address",
    [
        "/here/said/ada?must=1",
        "/here/said/ada?must=1&word=b&word=c&most=9",
        "/here/said/ada?must=1&most=10",
        "/here/said/ada?most=0",
        "/here/said/Ada?must=x&most=&word=",
        "/here/said/ada?must=1&refused=yes&most=0",
        "/here/said/ada?must=1&word=wrong",
        "/here/said/a/b?must=1",
        "/here/said/%C3%A4?must=1",
        "/nothing",
    ],
)
@pytest.mark.parametrize("headers", [{}, {"X-Seen": "well"}, {"X-Seen": "NOT"}])
def test_an_answer_is_the_same(address: str, headers: dict[str, str]) -> None:
    usual = asyncio.run(ask(address, headers, straight=False))
    assert asyncio.run(ask(address, headers, straight=True)) == usual
