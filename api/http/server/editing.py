"""What several people may change at once: an answer tells its version (`ETag`), and who changes it
may say which one he saw (`If-Match`, RFC 9110). Then of two the second is told, and nothing lost.

The version is that of the stream: of an answer that is folded, the one that it holds.
"""

from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Header, Response

from api.doors import Door
from ledger.reading import last_version
from projections.engine.connection import Conn
from projections.engine.schemas import version_held

ETAG_HEADER, MATCH_HEADER = "ETag", "If-Match"
EDITED = ("campaign", "club", "report", "role")
"""What has an address of its own, and is changed by more than one who cannot see each other. Of a
member there is more news than changes, and who is admitted says what he was shown."""
LIVE = ("role",)
"""Of these, what is answered is read from the log."""
TAGGED: dict[str, Any] = {
    ETAG_HEADER: {
        "description": "its version, to be sent as `If-Match` with a change of it",
        "schema": {"type": "string", "pattern": '^"[0-9]{1,18}"$'},
    }
}


def edited(door: Door) -> bool:
    """Whether who sends this command may say which version he saw."""
    return next(iter(door.command.writes)) in EDITED


def tag(conn: Conn, kind: str, of: str) -> str:
    """The `ETag` of what is answered in this transaction."""
    stream = f"{kind}:{of}"
    version = last_version(conn, stream) if kind in LIVE else version_held(conn, stream)
    return f'"{version}"'


def tagged(response: Response, said: str) -> None:
    """Tell it."""
    response.headers[ETAG_HEADER] = said


async def _seen(
    if_match: Annotated[
        str | None,
        Header(
            alias=MATCH_HEADER,
            pattern='^"[0-9]{1,18}"$',
            description="the `ETag` of what is changed, as it was seen: refused"
            " (`changed_since`) if it is another by now",
            examples=['"1"'],
        ),
    ] = None,
) -> int | None:
    return None if if_match is None else int(if_match.strip('"'))


Seen: TypeAlias = Annotated[int | None, Depends(_seen)]
