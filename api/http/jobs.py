"""Jobs: files that are brought for them, jobs that are started, followed and cancelled, and what
they came to. A job belongs to who started it, and nobody else knows of it.
"""

from base64 import b64encode
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import Field
from starlette.types import Receive, Scope, Send

from api.doors import PREFIX
from api.http.server.access import SIGNED_IN, Who, needs
from api.http.server.documented import refuses
from api.http.server.downloads import taken
from api.http.server.inputs import House, InHouse, Limit, WriteActor, WriteKey
from api.http.server.paging import NEXT, Pages
from api.http.server.receipts import REPLAYED_HEADER
from api.http.server.streaming import MEDIA_TYPE as EVENTS
from api.http.server.streaming import Stream, block, followed
from api.jobs import face, kinds
from api.jobs.face import JobState
from api.runtime.problems import DoorProblem
from api.runtime.rights import signed
from domain.access import Principal
from ledger import jobs
from projections.engine.answer import Answer

router = APIRouter(prefix=PREFIX, tags=["jobs"])
OCTETS = "application/octet-stream"

JobPath = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["0123456789abcdef"])]
FilePath = JobPath
Number = Annotated[int, Path(ge=1, le=1000, examples=[1])]
Offset = Annotated[
    int, Query(ge=0, le=jobs.MOST_BYTES, description="how many bytes of it were sent before")
]
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {OCTETS: {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
    }
}


class BroughtFile(Answer):
    """A file that waits for the job that takes it."""

    file_id: str = Field(examples=["0123456789abcdef"])
    bytes: int = Field(description="how much of it is here")
    kept_s: int = Field(description="how long it waits, from when it was begun")


class Jobs(Answer):
    """One's own jobs with their files, without results and problems."""

    jobs: list[JobState]
    next: str | None = NEXT


# ----------------------------------------------------------------------------------------- files
@router.post(
    "/files",
    status_code=201,
    response_model=BroughtFile,
    openapi_extra=BODY,
    responses=refuses("too_many_files", "malformed", "too_large"),
)
@needs(SIGNED_IN)
async def bring_file(request: Request, house: InHouse, who: Who) -> Response:
    """Bring a file for a job: as it is, whatever it is; of one that is longer than a body may be,
    the beginning. It is kept encrypted, and waits an hour for its job."""
    content = await _content(request)
    file_id, length = await house.reads.briefly(
        partial(jobs.bring, owner=who.name, content=content)
    )
    told = _brought(file_id, length)
    location = {"Location": f"{request.url.path}/{file_id}"}
    return Response(told.model_dump_json(), 201, location, "application/json")


@router.post(
    "/files/{file_id}/parts",
    response_model=BroughtFile,
    openapi_extra=BODY,
    responses=refuses("unknown_file", "wrong_offset", "too_many_files", "malformed", "too_large"),
)
@needs(SIGNED_IN)
async def bring_part(
    request: Request, file_id: FilePath, house: InHouse, who: Who, offset: Offset
) -> BroughtFile:
    """The next part of a file. Sent again it is refused, with how much is here."""
    content = await _content(request)
    add = partial(jobs.add, owner=who.name, file_id=file_id, offset=offset, content=content)
    return _brought(file_id, await house.reads.briefly(add))


@router.delete("/files/{file_id}", status_code=204, responses=refuses("unknown_file"))
@needs(SIGNED_IN)
async def drop_file(file_id: FilePath, house: InHouse, who: Who) -> None:
    """Delete a file that no job has taken."""
    await house.reads.briefly(partial(jobs.drop, owner=who.name, file_id=file_id))


async def _content(request: Request) -> bytes:
    content = await request.body()
    if not content:
        raise DoorProblem("malformed", "The request has no body.")
    return content


def _brought(file_id: str, length: int) -> BroughtFile:
    return BroughtFile(file_id=file_id, bytes=length, kept_s=int(jobs.UNUSED.total_seconds()))


# ------------------------------------------------------------------------------------------ jobs
@router.post(
    "/jobs",
    status_code=202,
    response_model=JobState,
    responses=refuses(
        *("not_allowed", "too_many_jobs", "unknown_file", "bad_mapping", "never_excused"),
        *("not_found", "unknown_measure", "wrong_parameters"),
    ),
)
@needs(SIGNED_IN)
async def start_job(
    request: Request,
    asked: kinds.AskedJob,
    house: InHouse,
    who: Who,
    key: WriteKey,
    actor: WriteActor = None,
) -> Response:
    """Start a job: it waits for its turn, and goes on whoever asks. It does what who started it may
    do, line by line, for as long as he may. Its state is at `Location`."""
    if actor is not None:
        signed(who, actor)
    begin = partial(face.start, who=who, asked=asked.root, key=key, actor=actor)
    found, before = await house.reads.briefly(begin)
    headers = {"Location": f"{request.url.path}/{found.job_id}"}
    if before:
        headers[REPLAYED_HEADER] = "true"
    return Response(found.model_dump_json(), 202, headers, "application/json")


@router.get("/jobs", response_model=Jobs, responses=refuses("unknown_job"))
@needs(SIGNED_IN)
async def list_jobs(house: InHouse, who: Who, pages: Pages, limit: Limit = 50) -> Jobs:
    """One's own jobs, the newest first. They are kept for a day after they have ended."""
    find = partial(face.newest, who=who, limit=limit + 1, before=pages.after)
    found = await house.reads.briefly(find)
    following = found[limit - 1].job_id if len(found) > limit else None
    return Jobs(jobs=found[:limit], next=pages.named(following))


@router.get("/jobs/{job_id}", response_model=JobState, responses=refuses("unknown_job"))
@needs(SIGNED_IN)
async def job_state(job_id: JobPath, house: InHouse, who: Who) -> JobState:
    """How a job stands, and what it came to."""
    return await house.reads.briefly(partial(face.state, who=who, job_id=job_id))


@router.post(
    "/jobs/{job_id}/cancel",
    response_model=JobState,
    responses=refuses("unknown_job", "job_ended"),
)
@needs(SIGNED_IN)
async def cancel_job(job_id: JobPath, house: InHouse, who: Who) -> JobState:
    """Let a job end at its next step. An import is written whole or not at all, so nothing of it
    is; what is committed by then has succeeded."""
    return await house.reads.briefly(partial(face.cancel, who=who, job_id=job_id))


@router.get(
    "/jobs/{job_id}/files/{number}",
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {OCTETS: {"schema": {"type": "string", "format": "binary"}}},
        },
        **refuses("unknown_job", "unknown_file", "busy"),
    },
)
@needs(SIGNED_IN)
async def job_file(job_id: JobPath, number: Number, house: InHouse, who: Who) -> Response:
    """A file that a job has made, with its name and digest."""
    find = partial(face.file, who=who, job_id=job_id, number=number)
    return MadeFile(house, await house.reads.briefly(find))


class MadeFile(Response):
    """A file, chunk after chunk, for as long as somebody reads it."""

    def __init__(self, house: House, made: jobs.MadeFile) -> None:
        digest = b64encode(bytes.fromhex(made.sha256)).decode()
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(made.name, safe='')}",
            "Content-Length": str(made.bytes),
            "Repr-Digest": f"sha-256=:{digest}:",
        }
        super().__init__(headers=headers, media_type=OCTETS)
        self.house, self.made = house, made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; given up where nothing of it is taken for a while."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await taken(send, start)
        for number in range(self.made.chunks):
            find = partial(jobs.chunk, file_id=self.made.file_id, number=number)
            found = await self.house.files.briefly(find)
            await taken(send, {"type": "http.response.body", "body": found, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    dependencies=[Depends(followed)],
    responses={
        200: {
            "description": "How the job stands, each time that something is told of it: `progress`,"
            " and `ended`, with which the stream ends.",
            "content": {EVENTS: {"schema": {"type": "string"}}},
        },
        204: {"description": "It has ended, and that was told: nothing more comes."},
        **refuses("unknown_job", "busy"),
    },
)
@needs(SIGNED_IN)
async def follow_job(
    job_id: JobPath,
    house: InHouse,
    who: Who,
    last_event_id: Annotated[
        int | None, Header(ge=0, le=2**62, description="the `id` of the last event that came")
    ] = None,
) -> Response:
    """How a job goes on, as server-sent events. The `id` of an event is the job's `version`: who
    comes again with it is told what is new since then."""
    found = await house.reads.briefly(partial(face.state, who=who, job_id=job_id))
    if last_event_id is not None and found.ended_at and found.version <= last_event_id:
        return Response(status_code=204)
    return JobEvents(house, who, job_id, last_event_id or 0)


class JobEvents(Stream):
    """How a job goes on."""

    def __init__(self, house: House, who: Principal, job_id: str, version: int) -> None:
        super().__init__(house, SIGNED_IN)
        self._who, self._job_id, self._version = who, job_id, version

    async def found(self) -> list[bytes]:
        """How it stands, if that is news."""
        find = partial(face.news, who=self._who, job_id=self._job_id, version=self._version)
        found = await self.house.reads.briefly(find)
        if found is None:
            return []
        self._version, self.over = found.version, found.ended_at is not None
        said = orjson.dumps(found.model_dump(mode="json"))
        return [block(found.version, "ended" if self.over else "progress", said)]
