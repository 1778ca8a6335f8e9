"""`jobs`: what people have started over HTTP, looked at and ended where the ledger is. Who may use
this machine is its administrator, and sees everybody's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.cli.terminal import output
from api.cli.terminal.files import Target
from api.cli.terminal.looking import refusable
from api.jobs import face
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger import jobs
from ledger.database import connect
from ledger.jobs import Conn, Job


def listed(settings: Settings, limit: int, as_json: bool) -> int:
    """Show the newest."""
    with _asked(settings) as conn:
        found = jobs.newest(conn, None, limit)
        told = [_told(each, face.plain(each)) for each in found]
    if as_json:
        output.tell({"jobs": told})
        return 0
    if not found:
        output.say("There is no job.")
        return 0
    rows = [
        (each.job_id, each.kind, each.state, each.owner, output.local(each.made_at), _far(each))
        for each in found
    ]
    output.say_rows(("job", "kind", "state", "of", "made at", "how far"), rows)
    return 0


def show(settings: Settings, job_id: str, as_json: bool) -> int:
    """Show one, with what it came to."""
    with _asked(settings) as conn:
        job = jobs.get(conn, None, job_id)
        state = face.shown(conn, job)
    if as_json:
        output.tell(_told(job, state))
        return 0
    output.say(f"{job.job_id}: {job.kind} of {job.owner}, {job.state} {_far(job)}".rstrip())
    if state.problem is not None:
        output.say(f"{state.problem.code}: {state.problem.detail}")
    for name, said in (state.result or state.so_far or {}).items():
        if isinstance(said, int | str):
            output.say(f"{name}: {output.number(said) if isinstance(said, int) else said}")
    files = [(str(each.number), each.name, output.number(each.bytes)) for each in state.files]
    if files:
        output.say_rows(("file", "name", "bytes"), files, right=("bytes",))
    return 0


def cancel(settings: Settings, job_id: str, as_json: bool) -> int:
    """Have it end."""
    with _asked(settings) as conn:
        job = jobs.cancel(conn, None, job_id)
        state = face.shown(conn, job)
    if as_json:
        output.tell(_told(job, state))
    else:
        output.say("cancelled" if job.ended else "It ends at its next step.")
    return 0


def download(
    settings: Settings, job_id: str, number: int, to: Path, force: bool, as_json: bool
) -> int:
    """Write a file of it: whole, or not at all."""
    target = Target(to, force)
    target.check_place()
    with _asked(settings) as conn:
        made = face.file(conn, None, job_id, number)
        with target.file() as out:
            for block in face.blocks(conn, made):
                out.write(block)
    if as_json:
        output.tell(
            {"file": str(to), "name": made.name, "bytes": made.bytes, "sha256": made.sha256}
        )
    else:
        output.say(f"{made.name} is in {to}: {made.bytes:,} bytes")
    return 0


@contextmanager
def _asked(settings: Settings) -> Iterator[Conn]:
    with opened(settings) as database, refusable(), connect(database.dsn) as conn:
        yield conn


def _told(job: Job, state: face.JobState) -> dict[str, Any]:
    return {"owner": job.owner, **state.model_dump(mode="json")}


def _far(job: Job) -> str:
    if job.ended or not job.stage:
        return ""
    of = f" of {job.total:,}" if job.total else ""
    return f"{job.stage}: {job.done:,}{of}"
