"""A server process of the bench: one of several applications under the settings of `serve`."""

import cProfile
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing import connection, parent_process
from typing import Any

import uvicorn
from fastapi import FastAPI, Response
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.supervisors.multiprocess import Multiprocess

from api.http import create_lanes
from api.http.server.inputs import MemberPath
from api.runtime.settings import Settings
from api.runtime.wiring import settle_in
from bench.peers import stock
from bench.profiling import heaviest
from bench.requests import VisitReceipt, VisitRequest

READY = b'{"visit":1,"payment":"points","points":1,"price_version":1,"spendable_points":1199999}'


def floor(_: str) -> Any:
    """Nothing is decided: the request is read and validated, and an answer is written."""
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.post("/members/{member_id}/visits", response_model=VisitReceipt, status_code=201)
    async def record_visit(member_id: MemberPath, visit: VisitRequest) -> VisitReceipt:
        return VisitReceipt(
            visit=1,
            payment="points",
            points=visit.shown_points,
            price_version=1,
            spendable_points=1_199_999,
            bucket=0,
            position=1,
        )

    @app.post("/bare/members/{member_id}/visits", status_code=201)
    async def record_bare(member_id: MemberPath, visit: VisitRequest) -> Response:
        return Response(READY, status_code=201, media_type="application/json")

    app.router.routes.insert(
        0, Route("/starlette/members/{member_id}/visits", _starlette, methods=["POST"])
    )
    return app


async def _starlette(request: Request) -> Response:
    try:
        VisitRequest.model_validate_json(await request.body())
    except ValueError:
        return Response(status_code=422)
    return Response(READY, status_code=201, media_type="application/json")


def ours(dsn: str, *, follow: bool) -> ASGIApp:
    """The product itself; the answers are folded here or, as in a larger installation, not."""
    return create_lanes(dsn, Settings(), follow=follow)


APPS: dict[str, Callable[[str], ASGIApp]] = {
    "floor": floor,
    "ours": partial(ours, follow=False),
    "followed": partial(ours, follow=True),
    "stock": stock.app,
}


def worker(name: str, dsn: str) -> ASGIApp:
    """One worker, frozen as those of `serve` are; it does not outlive who started it."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow_to_the_end, args=(parent.sentinel,), daemon=True).start()
    app = APPS[name](dsn)
    settle_in()
    return app


class Watched:
    """An application under the profiler, from its first request on: its start is not wanted."""

    def __init__(self, app: ASGIApp, profile: cProfile.Profile) -> None:
        self._app = app
        self._profile: cProfile.Profile | None = profile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._profile is not None and scope["type"] == "http" and scope["method"] == "POST":
            self._profile.enable()
            self._profile = None
        await self._app(scope, receive, send)


def _follow_to_the_end(sentinel: int) -> None:
    connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _end_with_input(server: uvicorn.Server | None) -> None:
    sys.stdin.read()
    if server is None:
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        server.should_exit = True


def main() -> None:
    """Read what to serve from the first line, tell the port, serve until the input ends.

    A profile, if it is asked for, is told at the end.
    """
    asked = json.loads(sys.stdin.readline())
    os.environ.update(asked["environ"])
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    profile = cProfile.Profile()

    def watched() -> ASGIApp:
        return Watched(worker(asked["app"], asked["dsn"]), profile)

    config = uvicorn.Config(
        watched if asked["profile"] else partial(worker, asked["app"], asked["dsn"]),
        factory=True,
        workers=asked["workers"],
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="info",  # at its start alone: the bench counts the workers that are up
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config) if asked["workers"] == 1 else None
    threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    if server is None:
        Multiprocess(config, [listener]).run()
    else:
        server.run([listener])
    if asked["profile"]:
        profile.disable()
        print(json.dumps({"profile": heaviest(profile)}), flush=True)


if __name__ == "__main__":
    main()
