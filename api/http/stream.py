"""The log as server-sent events: whoever follows it is told of each event as it comes.

The id of an event is the place in every lane behind which the stream goes on. A client that comes
again with it in `Last-Event-ID`, as browsers do by themselves, misses nothing and gets nothing
twice.
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from api import log
from api.doors import PREFIX, Need
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.inputs import House, InHouse
from api.http.server.streaming import MEDIA_TYPE, Stream, block, followed
from api.runtime.problems import DoorProblem

AT_ONCE = 500
"""So many events of each lane are read at once."""
_PLACES = r"^[0-9]{1,2}:[0-9]{1,18}(,[0-9]{1,2}:[0-9]{1,18}){0,63}$"

router = APIRouter(prefix=PREFIX, tags=["log"])
WHOLE_LOG = Need("log.read")


@router.get(
    "/events/stream",
    response_class=Response,
    dependencies=[Depends(followed)],
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
    return Log(house, places)


class Log(Stream):
    """What comes behind these places."""

    def __init__(self, house: House, places: Mapping[int, int]) -> None:
        super().__init__(house, WHOLE_LOG)
        self.places = dict(places)

    async def found(self) -> list[bytes]:
        """What is behind the places, some of each lane."""
        ends = await self.house.reads.log_ends()
        behind = {lane: place for lane, place in self.places.items() if place < ends[lane]}
        if not behind:
            return []
        question = partial(log.log_behind, places=behind, limit=AT_ONCE)
        return [self._block(each) for each in await self.house.reads.briefly(question)]

    def _block(self, event: log.Followed) -> bytes:
        self.places[event.bucket] = event.position
        place = ",".join(f"{bucket}:{position}" for bucket, position in self.places.items())
        return block(place, event.topic, event.said)
