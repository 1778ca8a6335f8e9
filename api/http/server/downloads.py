"""Downloads: the whole of a list as a file, on the address that shows its pages."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO, TypeAlias

from anyio import to_thread
from fastapi import Depends, Query, Request
from fastapi.responses import Response
from starlette.types import Message, Receive, Scope, Send

from api.http.server.access import Who
from api.http.server.inputs import House, WriteActor
from api.runtime.exports import FORMATS, DoesNotFit, Export
from api.runtime.problems import DoorProblem
from api.runtime.rights import signed
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.moments import Asked

log = logging.getLogger("clubledger")

BLOCK_BYTES = 1 << 16
PATIENCE_S = 60.0
"""How long a download may stand still before it is given up."""
JSON = "application/json"

DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer; or all of it as a file, if that is asked for.",
        "content": {
            each.media_type: {"schema": {"type": "string", "format": "binary"}}
            for each in FORMATS.values()
        },
    }
}
"""What the documentation of such an address says of its answer."""


@dataclass
class Download:
    """A format that is asked for, and what is to be done when the request is over, however."""

    format: str
    after: ExitStack
    by: str


async def _download(
    request: Request,
    who: Who,
    by: WriteActor = None,
    format: Annotated[  # noqa: A002 - its name over HTTP
        str | None,
        Query(
            pattern=f"^({'|'.join(FORMATS)})$",
            description="all of it as a file, whatever page is asked for; so does `Accept` with"
            " the file's media type",
            examples=["csv"],
        ),
    ] = None,
) -> AsyncIterator[Download | None]:
    wanted = format or _accepted(request.headers.get("accept", ""))
    with ExitStack() as after:
        yield None if wanted is None else Download(wanted, after, signed(who, by))


def media_types(header: str) -> dict[str, float]:
    """How much a client would like each media type, by its Accept header."""
    wanted: dict[str, float] = {}
    for part in header.split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            wanted[media_type] = float(quality)
        except ValueError:
            continue
    return wanted


def _accepted(header: str) -> str | None:
    """The format that a client would rather have than JSON, by its Accept header."""
    wanted = media_types(header)
    usual = max((wanted.get(each, 0.0) for each in (JSON, "application/*", "*/*")), default=0.0)
    best = max(FORMATS, key=lambda name: wanted.get(FORMATS[name].media_type, 0.0))
    return best if wanted.get(FORMATS[best].media_type, 0.0) > usual else None


Wanted: TypeAlias = Annotated[Download | None, Depends(_download)]


async def download(
    house: House,
    wanted: Download,
    question: Callable[[Conn, Moment | None], Export],
    wait_for: tuple[int, int] | None = None,
    asked: Asked | None = None,
    ask: Callable[..., Awaitable[str]] | None = None,
) -> Response:
    """The export as a file, written in full before its first byte is sent.

    They come some at a time, on connections of their own: no page waits. `ask` is how the house is
    asked, as of a moment too: by the answers that are folded for it, unless told otherwise.
    """
    await house.sending.take()
    wanted.after.callback(house.sending.give_back)
    file: BinaryIO = wanted.after.enter_context(TemporaryFile())  # noqa: SIM115 - closed there
    form = FORMATS[wanted.format]

    def written(conn: Conn, moment: Moment | None) -> str:
        export = question(conn, moment)
        form.write(export, file)
        return f"{export.safe_name}.{wanted.format}"

    try:
        name = await (ask or house.ask)(written, wait_for, asked, house.files)
    except DoesNotFit as large:
        raise DoorProblem("too_large_a_sheet", str(large), {"most": large.most}) from large
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(file.tell()),
    }
    return Sent(file, headers, form.media_type)


class Sent(Response):
    """A file, block after block, for as long as somebody reads it."""

    def __init__(self, file: BinaryIO, headers: dict[str, str], media_type: str) -> None:
        super().__init__(headers=headers, media_type=media_type)
        self.file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; given up where nothing of it is taken for a while."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        self.file.seek(0)
        try:
            await taken(send, start)
            while block := await to_thread.run_sync(self.file.read, BLOCK_BYTES):
                await taken(send, {"type": "http.response.body", "body": block, "more_body": True})
        except TimeoutError:
            log.warning("A download was given up: nobody read it for %d s.", PATIENCE_S)
            return
        await send({"type": "http.response.body", "body": b""})


async def taken(send: Send, message: Message) -> None:
    """Send it. Raises TimeoutError where it is not taken for a while."""
    async with asyncio.timeout(PATIENCE_S):
        await send(message)
