"""How whatever goes wrong becomes a problem: no value that was sent, no text of an exception."""

import logging
import traceback
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import orjson
import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.server import tracing
from api.http.server.attending import attended
from api.http.server.inputs import sends_json
from api.runtime import problems
from api.runtime.clock import Clock
from domain.kernel.refusal import Refusal
from ledger import strict_json
from ledger.trouble import Once, cause_of

log = logging.getLogger("clubledger")
_NEW = Once()

CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "not_json"}
HEADED = "clubledger.head"
"""In the scope of a GET that was a HEAD, for an answer that has no end of its own."""
CLOCK_HEADER = b"clubledger-clock"
_AS_IT_IS = (b"", b"identity")
_CARRIED = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


def install(app: FastAPI) -> None:
    """Give the application every handler."""
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)


def as_response(problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response; busy ones say when to come again."""
    known = dict(headers or {})
    if problem["status"] in (429, 503):
        known.setdefault("Retry-After", str(problem.get("retry_after_s", 1)))
    if problem["status"] == 401:
        known["WWW-Authenticate"] = 'Bearer realm="clubledger"'
    return Response(
        orjson.dumps(problem, default=str),
        status_code=problem["status"],
        media_type=problems.MEDIA_TYPE,
        headers=known,
    )


async def _refused(_: Request, refusal: Refusal) -> Response:
    return as_response(problems.of_refusal(refusal))


async def _door(_: Request, problem: problems.DoorProblem) -> Response:
    return as_response(problems.document(problem.code, problem.detail, **(problem.more or {})))


async def _http(request: Request, error: HTTPException) -> Response:
    code = CODES.get(error.status_code, "malformed" if error.status_code < 500 else "internal")
    headers = dict(error.headers or {})
    if "Allow" in headers:  # of one route, where the address may have several
        headers["Allow"] = ", ".join(_taken_by(request.app, request.scope["route"]))
    numbers: Any = error.detail  # text, if it is not ours
    told = numbers if isinstance(numbers, dict) else {}
    return as_response(problems.document(code, **told), headers)


def _taken_by(app: FastAPI, route: Any) -> list[str]:
    """The methods that an address takes, by the document; of a page, that has no part in it, those
    of its route."""
    methods = set(map(str.upper, app.openapi()["paths"].get(route.path, route.methods)))
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


async def _away(_: Request, error: Exception) -> Response:
    cause = cause_of(error)
    if _NEW(cause):
        log.error("The database does not answer: %s", cause)
    return as_response(problems.document("unavailable"))


async def _invalid(request: Request, error: RequestValidationError | ValidationError) -> Response:
    found: Sequence[Mapping[str, Any]] = error.errors()
    body = error.body if isinstance(error, RequestValidationError) else None
    if any(each["type"] == "json_invalid" for each in found):
        return as_response(problems.document("malformed", _why_no_json(body)))
    if found and found[0]["loc"] == ("body",) and not sends_json(request):
        return as_response(problems.document("not_json"))
    told = problems.of_errors(found, _known(request.scope.get("route")), {"body": body})
    return await _door(request, problems.invalid(told, len(found) - len(told)))


def _why_no_json(body: Any) -> str | None:
    """Where a body is none, in the words in which what is parsed but not strict is refused."""
    try:  # Python reads halves of surrogate pairs as UTF-8, which they are not
        strict_json.check(body.encode(errors="surrogatepass") if isinstance(body, str) else b"{}")
    except strict_json.NotStrict as wrong:
        return problems.cannot_be_read(wrong)
    return None


def _known(route: Any) -> set[str]:
    """The names of a route's schema: all that may be told of where something is wrong."""
    known = {"body", "query", "header", "path"}
    if (needs := getattr(route, "dependant", None)) is not None:
        known.update(each.alias for each in get_flat_params(needs))
        for field in needs.body_params:
            known |= problems.names_of(field.field_info.annotation)
    return known


HANDLERS: dict[type[Exception], Any] = {
    Refusal: _refused,
    problems.DoorProblem: _door,
    RequestValidationError: _invalid,
    ValidationError: _invalid,
    HTTPException: _http,
    psycopg.OperationalError: _away,
    psycopg.InterfaceError: _away,
}
"""Who makes a problem of what was raised, as a program reads it."""


class Doorway:
    """Around everything: the length of a body, the headers of each answer, HEAD, the last resort.

    HEAD is asked as GET, so that its headers are the same, and its body is kept back.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, show_traceback: bool) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self._too_large: Any = {"most_bytes": max_body_bytes}
        self.show_traceback = show_traceback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        started = False
        read_bytes = 0
        is_head = scope["method"] == "HEAD"
        sent = dict(scope["headers"])
        request_id = tracing.id_of(sent.get(tracing.HEADER), sent.get(tracing.TRACE))
        scope[tracing.KEY] = request_id
        if is_head:
            scope = {**scope, "method": "GET", HEADED: True}

        async def measured() -> Message:
            nonlocal read_bytes
            message = await receive()
            read_bytes += len(message.get("body", b""))
            if read_bytes > self.max_body_bytes:
                raise HTTPException(413, self._too_large)
            return message

        async def headed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                tracing.answered(request_id, *tracing.known(scope), message["status"], began)
                own = (tracing.HEADER, request_id)
                said = {name for name, _ in message["headers"]}
                beside = [each for each in carried(_clock_of(scope)) if each[0] not in said]
                message["headers"] = [*message["headers"], own, *beside]
            elif is_head and message["type"] == "http.response.body":
                if message.get("more_body"):
                    return
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        for name, value in scope["headers"]:
            problem = None
            if name == b"content-length" and int(value) > self.max_body_bytes:
                problem = problems.document("too_large", **self._too_large)
            elif name == b"content-encoding" and value.lower() not in _AS_IT_IS:
                problem = problems.document("coding_not_taken")
            if problem is not None:
                await as_response(problem)(scope, receive, headed)
                return
        try:
            await attended(self.app, scope, measured, headed)
        except Exception as defect:  # noqa: BLE001 - the last resort
            answer = last_resort(scope, defect, self.show_traceback)
            if not started:
                await answer(scope, receive, headed)


def last_resort(scope: Scope, defect: BaseException, show_traceback: bool) -> Response:
    """Say in the log where it broke, and nothing of it to who asked.

    The message may hold what somebody sent, so it stays out of both.
    """
    asked = scope[tracing.KEY].decode("ascii")
    told = {"told": {"request_id": asked}}
    if show_traceback:
        log.error("A defect, request %s", asked, exc_info=defect, extra=told)
    else:
        cause = defect.__cause__ or defect
        frames = traceback.extract_tb(cause.__traceback__)[-3:]
        way = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
        route = getattr(scope.get("route"), "path", "?")
        kind, method = type(cause).__name__, scope["method"]
        said = "A defect: %s at %s, on %s %s, request %s"
        log.error(said, kind, way, method, route, asked, extra=told)
    return as_response(problems.document("internal"))


def carried(clock: Clock | None) -> list[tuple[bytes, bytes]]:
    """The headers that every answer carries."""
    if clock is None or not clock.is_demo:
        return _CARRIED
    return [*_CARRIED, (CLOCK_HEADER, clock.stamp().encode())]


def _clock_of(scope: Scope) -> Clock | None:
    house = getattr(scope["app"].state, "house", None) if "app" in scope else None
    clock: Clock | None = getattr(house, "clock", None)
    return clock
