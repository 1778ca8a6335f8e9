"""The log as server-sent events: whoever follows it is told of each event as it comes.

The id of an event is the place in every lane behind which the stream goes on. A client that comes
again with it in `Last-Event-ID`, as browsers do by themselves, misses nothing and gets nothing
twice.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Depends, Header, Query, Response
from starlette.types import Receive, Scope, Send

from api import log
from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.downloads import taken
from api.http.server.front import STOPPING
from api.http.server.handlers import HEADED
from api.http.server.inputs import House, InHouse
from api.runtime.problems import DoorProblem
from ledger.log.batcher import Busy

LOOK_AGAIN_S = 0.25
"""How often it is looked for new events."""
STILL_HERE_S = 15.0
"""After so long without an event a comment is sent, so that nothing between closes the line."""
AT_ONCE = 500
"""So many events of each lane are read at once."""
MEDIA_TYPE = "text/event-stream"
_PLACES = r"^[0-9]{1,2}:[0-9]{1,18}(,[0-9]{1,2}:[0-9]{1,18}){0,63}$"

router = APIRouter(prefix=PREFIX, tags=["log"])
WHOLE_LOG = Need("log.read")


async def _turn(house: InHouse) -> AsyncIterator[None]:
    """A worker holds only so many streams."""
    async with house.following:
        yield


@router.get(
    "/events/stream",
    response_class=Response,
    dependencies=[Depends(_turn)],
    responses={
        200: {
            "description": f"Events without end, each as `{PREFIX}/events` has it under its topic.",
            "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        },
        **refuses("not_found", "busy"),
    },
)
@needs(WHOLE_LOG)
async def follow(
    house: InHouse,
    after: Annotated[
        str | None,
        Query(
            pattern=_PLACES,
            description="behind these places of the log, `<bucket>:<position>` by commas; from now"
            " on, if it is left out",
            examples=["0:0"],
        ),
    ] = None,
    last_event_id: Annotated[
        str | None,
        Header(pattern=_PLACES, description="the `id` of the last event that came: goes before"),
    ] = None,
) -> Response:
    """Every event as it comes, from a place in the log on. A lane that is not named is followed
    from its beginning."""
    named = last_event_id or after
    places = await house.reads.log_ends()
    if named is not None:
        parts = [each.split(":") for each in named.split(",")]
        said = {int(bucket): int(position) for bucket, position in parts}
        if any(position > places.get(bucket, -1) for bucket, position in said.items()):
            raise DoorProblem("not_found", "The log has no such place.")
        places = {bucket: said.get(bucket, 0) for bucket in places}
    return Stream(house, places)


class Stream(Response):
    """What comes behind these places, for as long as somebody takes it, who may, and the server
    serves."""

    media_type = MEDIA_TYPE

    def __init__(self, house: House, places: Mapping[int, int]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self.house = house
        self.places = dict(places)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; given up where nothing of it is taken for a while."""
        start: dict[str, Any] = {"type": "http.response.start", "status": 200}
        await taken(send, {**start, "headers": self.raw_headers})
        if scope.get(HEADED):
            await send({"type": "http.response.body", "body": b""})
            return
        quiet_s = STILL_HERE_S  # A first word at once: it is open.
        try:
            while not scope["state"].get(STOPPING) and self.house.access.stands(scope, WHOLE_LOG):
                found = await self._found()
                block = b"".join(map(self._block, found))
                quiet_s = 0.0 if block else quiet_s + LOOK_AGAIN_S
                if not block and quiet_s >= STILL_HERE_S:
                    block, quiet_s = b": still here\n\n", 0.0
                if block:
                    await taken(send, {**_BODY, "body": block})
                if not found:
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError:
            return  # Nobody takes it.
        except (psycopg.Error, Busy):
            pass  # It ends here, and is gone on with from its last id.
        await send({"type": "http.response.body", "body": b""})

    async def _found(self) -> list[log.Followed]:
        """What is behind the places, some of each lane."""
        ends = await self.house.reads.log_ends()
        behind = {lane: place for lane, place in self.places.items() if place < ends[lane]}
        if not behind:
            return []
        return await self.house.reads.briefly(partial(log.log_behind, places=behind, limit=AT_ONCE))

    def _block(self, event: log.Followed) -> bytes:
        self.places[event.bucket] = event.position
        place = ",".join(f"{bucket}:{position}" for bucket, position in self.places.items())
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (
            place.encode(),
            event.topic.encode(),
            event.said,
        )


_BODY = {"type": "http.response.body", "more_body": True}
