"""Jobs as doors see them: started, looked at, cancelled, and what they came to. Pages ask the same
functions as HTTP does; each is asked on a connection in autocommit, and says whose job it is about.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.jobs.kinds import KINDS, require_may
from api.runtime.problems import Problem
from domain.access import Principal
from ledger import jobs
from ledger.jobs import Conn, Job, MadeFile, UnknownFile
from projections.engine.answer import Answer


class JobFile(Answer):
    """A file that a job has made."""

    number: int
    name: str = Field(examples=["reasons.jsonl"])
    media_type: str = Field(examples=["application/jsonl"])
    bytes: int
    sha256: str = Field(description="of its bytes, in hexadecimal digits")


class JobState(Answer):
    """How a job stands."""

    job_id: str = Field(examples=["0123456789abcdef"])
    kind: str = Field(examples=["import"])
    state: str = Field(
        description=f"{', '.join(jobs.STATES)}: the last three are for good", examples=["running"]
    )
    version: int = Field(description="counts what was told of it: the `id` of its events")
    attempt: int = Field(
        description="how often it was begun: more than once, if a process died meanwhile"
    )
    cancel_asked: bool = Field(description="it is to end at its next step")
    made_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None
    kept_until: datetime | None = Field(description="when it and its files are deleted")
    stage: str = Field(description="what it does just now", examples=["importing"])
    done: int = Field(description="of the stage: lines, events, tables")
    total: int = Field(description="about how many that are; 0 if it is not known")
    result: dict[str, Any] | None = Field(None, description="what it came to, by its kind")
    problem: Problem | None = Field(None, description="why it failed")
    so_far: dict[str, Any] | None = Field(
        None, description="how far it was when it was cancelled or failed; nothing was written"
    )
    files: list[JobFile] = Field([], description="that it has made")


def start(
    conn: Conn, who: Principal, asked: BaseModel, *, key: str, actor: str | None = None
) -> tuple[JobState, bool]:
    """(how it stands, whether it was started before under this key). `asked` is one of the models
    that `kinds.KINDS` name. Raises DoorProblem and refusals."""
    said = asked.model_dump(mode="json")
    require_may(who, asked)
    KINDS[said["kind"]].require(asked)
    files = tuple(each["file_id"] for each in said.get("files", ()))
    job, before = jobs.start(conn, who.name, said["kind"], said, key=key, actor=actor, files=files)
    return shown(conn, job), before


def state(conn: Conn, who: Principal, job_id: str) -> JobState:
    """A job, with what it came to. Raises UnknownJob."""
    return shown(conn, jobs.get(conn, who.name, job_id))


def news(conn: Conn, who: Principal, job_id: str, version: int) -> JobState | None:
    """A job, if anything was told of it since this version."""
    job = jobs.get(conn, who.name, job_id)
    return shown(conn, job) if job.version > version else None


def newest(
    conn: Conn, who: Principal, limit: int = 50, before: str | None = None
) -> list[JobState]:
    """His jobs, the newest first, with their files; what else each came to is told of it alone."""
    return listed(conn, jobs.newest(conn, who.name, limit, before))


def cancel(conn: Conn, who: Principal, job_id: str) -> JobState:
    """Let it end at its next step. Raises UnknownJob, JobEnded."""
    return shown(conn, jobs.cancel(conn, who.name, job_id))


def file(conn: Conn, who: Principal | None, job_id: str, number: int) -> MadeFile:
    """A file that it has made, whosever it is where nobody asks. Raises UnknownJob, UnknownFile."""
    jobs.get(conn, who.name if who else None, job_id)
    for each in jobs.made(conn, [job_id])[job_id]:
        if each.number == number:
            return each
    raise UnknownFile("")


def blocks(conn: Conn, made: MadeFile) -> Iterator[bytes]:
    """What it holds, block by block."""
    return jobs.content(conn, made.file_id)


def shown(conn: Conn, job: Job) -> JobState:
    """With what it came to, which does not change any more. What has ended since `job` was read
    is told by the next look: half of it would be no state."""
    if not job.ended:
        return plain(job)
    told = jobs.told_of(conn, job.job_id) or {}
    (found,) = listed(conn, [job])
    return found.model_copy(
        update={
            **{name: told.get(name) for name in ("result", "so_far")},
            "problem": Problem(**told["problem"]) if "problem" in told else None,
        }
    )


def listed(conn: Conn, found: Sequence[Job]) -> list[JobState]:
    """Jobs with the files that they have made, without what else they came to."""
    made = jobs.made(conn, [job.job_id for job in found if job.ended])
    names = JobFile.model_fields
    return [
        plain(job).model_copy(
            update={
                "files": [
                    JobFile(**{name: getattr(each, name) for name in names})
                    for each in made.get(job.job_id, ())
                ]
            }
        )
        for job in found
    ]


def plain(job: Job) -> JobState:
    """A job without what it came to."""
    kept_until = None if job.ended_at is None else job.ended_at + jobs.KEPT
    known = {name: getattr(job, name) for name in Job._fields if name in JobState.model_fields}
    return JobState(**known, kept_until=kept_until)
