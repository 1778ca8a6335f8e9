"""Downloads: the whole of a list as a file, on the address that shows its pages."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import Annotated, Any, BinaryIO, TypeAlias

from fastapi import Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from psycopg import Connection

from api.exports import FORMATS, DoesNotFit, Export
from api.http.inputs import House
from api.problems import DoorProblem

BLOCK_BYTES = 1 << 16
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


async def _format(
    request: Request,
    format: Annotated[  # noqa: A002 - its name over HTTP
        str | None,
        Query(
            pattern=f"^({'|'.join(FORMATS)})$",
            description="all of it as a file, whatever page is asked for; so does `Accept` with"
            " the file's media type",
            examples=["csv"],
        ),
    ] = None,
) -> str | None:
    return format or _accepted(request.headers.get("accept", ""))


def _accepted(header: str) -> str | None:
    """The format that a client would rather have than JSON, by its Accept header."""
    wanted: dict[str, float] = {}
    for part in header.split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        try:
            wanted[media_type] = float(quality)
        except ValueError:
            continue
    usual = max((wanted.get(each, 0.0) for each in (JSON, "application/*", "*/*")), default=0.0)
    best = max(FORMATS, key=lambda name: wanted.get(FORMATS[name].media_type, 0.0))
    return best if wanted.get(FORMATS[best].media_type, 0.0) > usual else None


Wanted: TypeAlias = Annotated[str | None, Depends(_format)]


async def download(
    house: House,
    wanted: str,
    question: Callable[[Connection[Any]], Export | None],
    wait_for: tuple[int, int] | None,
) -> Response | None:
    """The export as a file, written in full before its first byte is sent; None if there is none.

    Some at a time, on connections of their own: the pages never wait for the files.
    """

    def written(conn: Connection[Any]) -> tuple[str, BinaryIO] | None:
        export = question(conn)
        if export is None:
            return None
        with ExitStack() as stack:
            file = stack.enter_context(TemporaryFile())
            FORMATS[wanted].write(export, file)
            stack.pop_all()  # Whoever sends it closes it.
        return f"{export.safe_name}.{wanted}", file

    await house.reads.reach(wait_for)
    try:
        made = await house.files(written)
    except DoesNotFit as large:
        raise DoorProblem("too_large_a_sheet", str(large), {"most": large.most}) from large
    if made is None:
        return None
    name, file = made
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(file.tell()),
    }
    return StreamingResponse(_blocks(file), headers=headers, media_type=FORMATS[wanted].media_type)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while block := file.read(BLOCK_BYTES):
            yield block
