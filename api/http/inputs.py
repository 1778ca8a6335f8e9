"""What requests bring: path ids, headers, pages; and the installation they are asked of."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias

from fastapi import Depends, Header, Path, Query, Request

from api.clock import Clock
from api.http.reads import Reads
from api.models import Figures
from api.problems import DoorProblem
from api.settings import Settings
from domain.command import NO_KEY
from domain.values import Actor, Id, Key, Ordinal
from ledger.ledger import Ledger

DEFAULT_ACTOR = "clerk:desk"
KEY_HEADER, ACTOR_HEADER = "Idempotency-Key", "Clubledger-Actor"


@dataclass
class KnownFigures:
    """All figures as they were at some positions: seconds of work on a full year, done once for
    all who ask meanwhile, by one of the connections."""

    positions: dict[int, int] = field(default_factory=dict)
    found: Figures | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class House:
    """What one worker of the server holds: opened at its start, closed at its end."""

    settings: Settings
    meta: dict[str, str]
    clock: Clock
    ledger: Ledger
    reads: Reads
    files: Reads  # for whole lists, which take long
    figures: KnownFigures = field(default_factory=KnownFigures)


async def house(request: Request) -> House:
    """The installation that this worker serves."""
    found: House = request.app.state.house
    return found


async def _key(
    key: Annotated[
        Key | None,
        Header(
            alias=KEY_HEADER,
            description="Yours, one for each intent. Sent again with the same request it changes"
            " nothing and gets the first answer; with another request it is refused.",
        ),
    ] = None,
) -> str:
    if key in (None, NO_KEY):  # The ledger writes a key that is not there as NO_KEY.
        raise DoorProblem("key_missing")
    return key


WaitFor = Annotated[
    str | None,
    Query(
        pattern=r"^([0-9]{1,2}:)?[0-9]{1,18}$",
        description="`<bucket>:<position>` of a receipt: answer once that is taken in"
        " (at most 2 s, else 504). The bucket may be left out if it is 0.",
        examples=["0:1234567"],
    ),
]


async def _position(wait_for: WaitFor = None) -> tuple[int, int] | None:
    if wait_for is None:
        return None
    bucket, _, position = wait_for.rpartition(":")
    return int(bucket or 0), int(position)


InHouse: TypeAlias = Annotated[House, Depends(house)]
WriteKey: TypeAlias = Annotated[str, Depends(_key)]
Awaited: TypeAlias = Annotated[tuple[int, int] | None, Depends(_position)]
WriteActor: TypeAlias = Annotated[
    Actor,
    Header(
        alias=ACTOR_HEADER,
        description="Who does it, as `role:id`. Taken on trust: there is no sign-in yet.",
        examples=["clerk:li", "supervisor:wang"],
    ),
]
PathId: TypeAlias = Annotated[Id, Path(examples=["health"])]
VisitNumber: TypeAlias = Annotated[Ordinal, Path(description="the n-th visit of the member")]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1000, description="how many at most")]
Position: TypeAlias = Annotated[int, Query(ge=0, le=2**62)]
