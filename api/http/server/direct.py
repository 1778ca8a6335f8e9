"""Reads go straight to what answers them.

A route and all that it depends on are declared to FastAPI, whose document tells of them; for each
request it works out anew what they declare. Of a GET that is worked out once, from the same
declarations, into steps. What declares anything that no step knows is left to FastAPI.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from copy import copy
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response, params
from fastapi._compat import ModelField, field_annotation_is_sequence, get_missing_field_error
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WRONG = object()
"""In place of what could not be made: something that it needs is wrong."""


class _Other(Exception):
    """A route declares what no step knows."""


class _Parameter(NamedTuple):
    """What is taken of a request, and how it is read; `where` is path, query or header."""

    name: str
    where: str
    alias: str
    field: ModelField
    several: bool
    default: Any

    def read(self, brought: Any) -> tuple[Any, list[dict[str, Any]]]:
        """(the value, what is wrong with it)"""
        said = brought.getlist(self.alias) if self.several else brought.get(self.alias)
        if said is not None and said != []:
            return self.field.validate(said, {}, loc=(self.where, self.alias))
        if self.default is PydanticUndefined:
            return None, [get_missing_field_error((self.where, self.alias))]
        return copy(self.default), []


class _Step(NamedTuple):
    """A call: what it takes of the results of others (None: nothing, but they come first), by their
    number, and of the request. The last of a route is its endpoint."""

    call: Callable[..., Any]
    opens: bool  # something that is closed when the request is over
    needs: tuple[tuple[str | None, int], ...]
    parameters: tuple[_Parameter, ...]
    request: str | None
    response: str | None


@dataclass(frozen=True, slots=True)
class _Way:
    """From a request to its answer."""

    route: RouteContext
    steps: tuple[_Step, ...]
    answer: ModelField
    status: int
    speaks: bool  # whether a step puts headers into the answer

    async def go(self, request: Request, stack: AsyncExitStack) -> Response:
        """The answer. Raises as FastAPI does."""
        brought = {"path": request.path_params, "query": request.query_params}
        beside = self._beside()
        found: list[Any] = []
        errors: list[Any] = []
        for step in self.steps:
            values: dict[str, Any] = {}
            wrong = False
            for name, number in step.needs:
                if found[number] is _WRONG:
                    wrong = True
                elif name is not None:
                    values[name] = found[number]
            for each in step.parameters:
                source = brought.get(each.where, request.headers)
                values[each.name], told = each.read(source)
                if told:
                    errors += told
                    wrong = True
            if step.request is not None:
                values[step.request] = request
            if step.response is not None:
                values[step.response] = beside
            if wrong:
                found.append(_WRONG)
            elif step.opens:
                found.append(await stack.enter_async_context(step.call(**values)))
            else:
                found.append(await step.call(**values))
        if errors:
            raise RequestValidationError(errors)
        said = found[-1]
        return said if isinstance(said, Response) else self._told(said, beside)

    def _beside(self) -> Response | None:
        if not self.speaks:
            return None
        beside = Response()
        del beside.headers["content-length"]
        return beside

    def _told(self, said: Any, beside: Response | None) -> Response:
        value, errors = self.answer.validate(said, {}, loc=("response",))
        if errors:
            raise ResponseValidationError(errors, body=said)
        told = Response(
            self.answer.serialize_json(value), self.status, media_type="application/json"
        )
        if beside is not None:
            told.raw_headers += beside.raw_headers
        return told


class Direct:
    """Answers the reads of an application, and hands on all else."""

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self.app = app
        self._handlers: Mapping[Any, Any] = api.exception_handlers  # which a page may have, too
        self._ways: defaultdict[tuple[int, str], list[_Way | None]] = defaultdict(list)
        for route in iter_route_contexts(api.routes):
            if route.path is not None and "GET" in (route.methods or ()):
                self._ways[_place(route.path)].append(way_of(route))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._way(scope) if scope["type"] == "http" else None
        if found is None:
            await self.app(scope, receive, send)
            return
        way, path_params = found
        scope["path_params"] = path_params
        scope["route"], scope["endpoint"] = way.route.original_route, way.route.endpoint
        request = Request(scope, receive, send)
        started = False

        async def starting(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with AsyncExitStack() as stack:
                answer = await way.go(request, stack)
                await answer(scope, receive, starting)
        except Exception as failure:
            handler = next(filter(None, map(self._handlers.get, type(failure).__mro__)), None)
            if handler is None or started:
                raise
            answer = await handler(request, failure)
            await answer(scope, receive, send)

    def _way(self, scope: Scope) -> tuple[_Way, Mapping[str, str]] | None:
        """What answers a request, and the parameters in its path: of the routes that match the
        first, as ever."""
        path = scope["path"]
        if scope["method"] != "GET" or scope.get("root_path"):
            return None
        for way in self._ways.get(_place(path), ()):
            if way is None:
                return None
            if (match := way.route.path_regex.match(path)) is not None:
                return way, match.groupdict()
        return None


def _place(path: str) -> tuple[int, str]:
    """Under what the routes of a path are found: how many parts it has, and the first two."""
    parts = path.split("/", 3)
    return path.count("/"), "/".join(parts[:3])


def way_of(route: RouteContext) -> _Way | None:
    """The way of a route; None if it declares what is left to FastAPI, as are pages, streams and
    what is no JSON."""
    plain = type(route.original_route) is APIRoute and route.methods == {"GET"}
    usual = plain and isinstance(route.response_class, DefaultPlaceholder)
    literal = "{" not in _place(route.path or "")[1] and ":path}" not in (route.path or "")
    if not usual or not literal or route.response_field is None:
        return None
    steps: list[_Step] = []
    try:
        _add(route.dependant, steps, {})
    except _Other:
        return None
    speaks = any(step.response is not None for step in steps)
    return _Way(route, tuple(steps), route.response_field, route.status_code or 200, speaks)


def _add(wanted: Dependant, steps: list[_Step], places: dict[Any, int]) -> int:
    """Add the steps that something takes, each once; the number of the last."""
    if wanted.call in places and wanted.use_cache:
        return places[wanted.call]
    needs = tuple((each.name, _add(each, steps, places)) for each in wanted.dependencies)
    names = (wanted.websocket_param_name, wanted.http_connection_param_name)
    others = (*names, wanted.background_tasks_param_name, wanted.security_scopes_param_name)
    if wanted.cookie_params or wanted.body_params or wanted.concurrency or any(others):
        raise _Other
    call: Any = wanted.call
    opens = isasyncgenfunction(call)
    if not opens and not iscoroutinefunction(call):
        raise _Other
    step = _Step(
        asynccontextmanager(call) if opens else call,
        opens,
        needs,
        tuple(_parameters(wanted)),
        wanted.request_param_name,
        wanted.response_param_name,
    )
    steps.append(step)
    places[call] = len(steps) - 1
    return len(steps) - 1


def _parameters(wanted: Dependant) -> Iterator[_Parameter]:
    for field in (*wanted.path_params, *wanted.query_params, *wanted.header_params):
        info = field.field_info
        several = field_annotation_is_sequence(info.annotation)
        model = isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
        default = field.get_default()
        choice = info.validation_alias is not None and not isinstance(info.validation_alias, str)
        if model or choice or info.validate_default:
            raise _Other
        assert isinstance(info, params.Param)
        alias = field.validation_alias or field.alias
        if isinstance(info, params.Header) and alias == field.name:
            alias = alias.replace("_", "-") if info.convert_underscores else alias
        yield _Parameter(field.name, info.in_.value, alias, field, several, default)
