"""The express lane: the few routes with a queue waiting, before the framework's machinery.

A request that is in order is answered here. Anything else (another path, a header too few, a body
that is not valid) goes on to the route of the same path with its body unread, so that there is
one place that says what is wrong, and one document that describes both.
"""

from collections.abc import Mapping
from time import perf_counter

import orjson
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.types import Message, Receive, Scope, Send

from api.doors import DOORS, Need
from api.http.doors import Body, body_of
from api.http.server import tracing
from api.http.server.access import Access
from api.http.server.handlers import as_response, carried, last_resort
from api.http.server.inputs import ACTOR_HEADER, KEY_HEADER, PREFER_HEADER, House
from api.http.server.receipts import REPLAYED_HEADER
from api.runtime import problems
from api.runtime.receipts import told_of
from api.runtime.rights import at_the_door
from domain.kernel.command import NO_KEY, Command
from domain.kernel.refusal import Refusal
from ledger import strict_json

_JSON = b"application/json"
_KEY, _ACTOR = KEY_HEADER.lower().encode(), ACTOR_HEADER.lower().encode()
_PREFER, _WHO = PREFER_HEADER.lower().encode(), b"authorization"
_CODING = b"content-encoding"
_WANTED = {
    *(_KEY, _ACTOR, _PREFER, _WHO),
    *(b"content-type", b"content-length", _CODING, tracing.HEADER, tracing.TRACE),
}
_REPLAYED = (REPLAYED_HEADER.lower().encode(), b"true")


HOT = {
    tuple(door.address.split("/")[part] for part in (1, 2, 4)): (
        *(door.address, door.ids[0], body_of(door), door.need),
    )
    for door in DOORS
    if door.hot
}
"""By what stands before and after the id of a path: the route, the id's field, the body's model,
and what who asks needs. Who is not known here yet, or whose right hangs on what is stored, is
handed on."""


class Express:
    """Answers hot requests, and hands on all others."""

    def __init__(self, app: FastAPI, *, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        parts = scope["path"].split("/")
        hot = HOT.get((parts[1], parts[2], parts[4])) if len(parts) == 5 else None
        headers = _headers(scope) if hot and not scope["query_string"] else None
        if hot is None or headers is None or self._too_long(headers):
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        route = hot[0]
        house: House = self.app.state.house
        first = await receive()
        command = None
        if not first.get("more_body"):
            command = _command(house.access, hot, parts[3], headers, first)
        if command is None:
            await self.app(scope, _again(first, receive), send)
            return
        request_id = scope[tracing.KEY] = tracing.id_of(
            headers.get(tracing.HEADER), headers.get(tracing.TRACE)
        )
        try:
            receipt = await house.execute(command)
        except Refusal as refusal:
            answer = as_response(problems.of_refusal(refusal))
        except Exception as defect:  # noqa: BLE001 - the last resort
            answer = last_resort(scope, defect, house.settings.traceback)
        else:
            said = orjson.dumps(told_of(receipt))
            answered = [
                (b"content-length", b"%d" % len(said)),
                (b"content-type", _JSON),
                (tracing.HEADER, request_id),
                *carried(house.clock),
            ]
            if receipt.replayed:
                answered.append(_REPLAYED)
            tracing.answered(request_id, "POST", route, 201, began)
            await send({"type": "http.response.start", "status": 201, "headers": answered})
            await send({"type": "http.response.body", "body": said})
            return
        tracing.answered(request_id, "POST", route, answer.status_code, began)
        answer.raw_headers += [(tracing.HEADER, request_id), *carried(house.clock)]
        await answer(scope, receive, send)

    def _too_long(self, headers: Mapping[bytes, bytes]) -> bool:
        length = headers.get(b"content-length", b"")
        return not length.isdigit() or int(length) > self.max_body_bytes


def _headers(scope: Scope) -> dict[bytes, bytes] | None:
    """The headers that matter, or None if they are not as they should be."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _WANTED:
            if name in found:
                return None
            found[name] = value
    plain = found.get(b"content-type") == _JSON and found.keys().isdisjoint((_PREFER, _CODING))
    return found if plain and _KEY in found else None


def _command(
    access: Access,
    hot: tuple[str, str, type[Body], Need],
    path_id: str,
    headers: Mapping[bytes, bytes],
    message: Message,
) -> Command | None:
    """The command that is asked for, if the request is in order and who asks may."""
    _, field, body, need = hot
    who = access.at_once(headers.get(_WHO))
    if who is None:
        return None
    try:
        key = headers[_KEY].decode("latin-1")
        named = headers[_ACTOR].decode("latin-1") if _ACTOR in headers else None
        asked = body.model_validate_json(message["body"])
        strict_json.check(message["body"], len(asked.model_fields_set))
        actor = at_the_door(who, need, asked.__dict__, named)
        if actor is None:
            return None
        command = asked.command(key=key, actor=actor, **{field: path_id})
        return None if command.key == NO_KEY else command
    except (ValidationError, KeyError, strict_json.NotStrict, problems.DoorProblem):
        return None


def _again(first: Message, receive: Receive) -> Receive:
    """What was read is there once more."""
    unread: list[Message] = [first]

    async def replayed() -> Message:
        return unread.pop() if unread else await receive()

    return replayed
