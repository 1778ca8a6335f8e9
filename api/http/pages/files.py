"""Bringing files: a mapping is proposed, every line is checked, then they are taken in; each by a
job, which takes the files that are brought for it. Rejected lines come back as files to mend.

The files that one press of a button brings make one job, however often their form is sent; and what
was taken before is not taken again.
"""

from collections.abc import Mapping
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import PlainTextResponse, Response

from api.doors import DOOR_OF
from api.files.kinds import KINDS
from api.http.jobs import JobPath, Offset
from api.http.pages import telling, words
from api.http.pages.measures import (
    event_address,
    group_key,
    in_words_of,
    input_word_of,
    valued,
)
from api.http.pages.page import (
    AUDIT,
    FIGURES,
    Fields,
    language_of,
    page,
    require_own_page,
    router_of_pages,
    sent,
)
from api.http.server.access import SIGNED_IN, Who, needs
from api.http.server.inputs import House, InHouse
from api.jobs import face
from api.jobs.face import JobState
from api.jobs.importing import Brought, Files, GuessMapping, ImportFiles, MappingText
from api.runtime.problems import DoorProblem
from domain.access import Principal
from ledger import jobs
from ledger.jobs import Conn
from projections.engine.measure import DAY, MEASURES
from projections.whatif.differences import WhatIf

BASE = "/files"
SHOWN = 20
"""Jobs of a page."""
CHANGED = "jobs-changed"
"""What a page is told that shows one's jobs, when one has begun or ended."""
BROUGHT = {DOOR_OF[each.kind].need.scope for each in KINDS}
"""What is written by what files bring: who has none of it has all of their lines rejected."""
FILE = "file"
"""The field that names a file that was brought: its id, a space, and what it is called."""

router = router_of_pages()


class Pressed(Fields):
    """What is to be done with files, and what was said about them."""

    step: Literal["guess", "check", "import"]
    files: Files
    mapping: MappingText | None = None
    keep_good: bool = False

    def asked(self) -> GuessMapping | ImportFiles:
        """As a job is asked. Without a mapping the job goes by the one that it proposes."""
        if self.step == "guess":
            return GuessMapping(kind="guess", files=self.files)
        return ImportFiles(
            kind="import",
            files=self.files,
            mapping=self.mapping,
            guess=self.mapping is None,
            check=self.step == "check",
            keep_good=self.keep_good,
        )

    @property
    def key(self) -> str:
        """Of the job: files are brought for one alone."""
        those = " ".join([self.step, *(each.file_id for each in self.files)])
        return f"files-{sha256(those.encode()).hexdigest()[:32]}"


async def _pressed(request: Request) -> Pressed:
    said: dict[str, Any] = {"files": []}
    for name, value in await sent(request):
        if name == FILE:
            file_id, _, called = value.partition(" ")
            said["files"].append(Brought(file_id=file_id, name=called))
        elif value.strip():
            said[name] = value
    return Pressed.model_validate(said)


# ----------------------------------------------------------------------------------- what it tells
def mend_of(language: words.Language, rejection: Mapping[str, Any]) -> str:
    """What would mend it."""
    return words.known(language, "mends", rejection["code"], "otherwise")


def _by_reason(language: words.Language, result: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """(why, what would mend it, how many lines) of each kind of reason, the most frequent first; in
    the words of its first line."""
    first: dict[str, Mapping[str, Any]] = {}
    for each in result.get("rejections", ()):
        first.setdefault(each["code"], each)
    found = []
    for code, count in result.get("rejected_by_code", {}).items():
        one = first.get(code, {"code": code, "reason": code})
        found.append((words.reason(language, one), mend_of(language, one), count))
    return found


def _found(conn: Conn, who: Principal, job_id: str) -> tuple[JobState, dict[str, Any]]:
    state = face.state(conn, who, job_id)  # refuses what is not his
    return state, jobs.asked_of(conn, job_id)


async def told(
    request: Request, house: House, who: Principal, job_id: str, just_begun: bool, template: str
) -> Response:
    """How a job of any kind stands, and what it came to."""
    job, asked = await house.reads.briefly(partial(_found, who=who, job_id=job_id))
    language = language_of(request)
    result = job.result or {}
    supposed = WhatIf.model_validate(result) if job.kind == "what_if" and result else None
    problem = job.problem and job.problem.model_dump(mode="json", exclude_none=True)
    shown = page(
        request,
        template,
        base=BASE,
        job=job,
        names=[each["name"] for each in asked.get("files", ())],
        asked=asked,
        measures=MEASURES,
        figures=FIGURES,
        day=DAY,
        valued=valued,
        group_key=group_key,
        value=partial(telling.value, language),
        reason=partial(words.reason, language),
        in_words=in_words_of(request),
        input_word=input_word_of(request),
        event_address=event_address,
        sums_at=lambda found: {each["name"]: each["value"] for each in found["inputs"]},
        signed="{:+,}".format,
        audit=AUDIT,
        checked=bool(asked.get("check")),
        taking=job.kind == "import",
        result=result,
        mapping=words.commented(language, result.get("mapping") or ""),
        supposed=supposed,
        just_begun=just_begun,
        wrong=problem and words.refusal(language, problem),
        detail=problem and words.detail(language, problem),
        reasons=_by_reason(language, result),
        rejections=[
            (each, words.reason(language, each), mend_of(language, each))
            for each in result.get("rejections", ())
        ],
    )
    if job.ended_at or request.method == "POST":
        shown.headers["HX-Trigger"] = CHANGED
    return shown


# ----------------------------------------------------------------------------------------- routes
@router.get(BASE)
@needs(SIGNED_IN)
async def files_page(
    request: Request,
    house: InHouse,
    who: Who,
    after: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")] = None,
) -> Response:
    """Where files are brought, and one's own jobs, the newest first."""
    find = partial(face.newest, who=who, limit=SHOWN + 1, before=after)
    found = await house.reads.briefly(find)
    return page(
        request,
        "files/files.html",
        base=BASE,
        may_bring=any(who.granted(scope or "") for scope in BROUGHT),
        changed=CHANGED,
        running=any(not each.ended_at for each in found[:SHOWN]),
        jobs=found[:SHOWN],
        after=after,
        next=found[SHOWN - 1].job_id if len(found) > SHOWN else None,
        part_bytes=house.settings.max_body_bytes,
        most=jobs.MOST_FILES,
        most_mebibytes=jobs.MOST_BYTES >> 20,
    )


@router.post(f"{BASE}/parts")
@needs(SIGNED_IN)
async def bring_part(
    request: Request,
    house: InHouse,
    who: Who,
    file_id: Annotated[str | None, Query(pattern="^[0-9a-f]{16}$")] = None,
    offset: Offset = 0,
) -> Response:
    """A part of a file, behind what is here of it; without an id a file begins. Answers the id."""
    require_own_page(request)
    content = await request.body()
    if not content:
        raise DoorProblem("malformed", "The request has no body.")
    if file_id is None:
        bring = partial(jobs.bring, owner=who.name, content=content)
        file_id, _ = await house.reads.briefly(bring)
    else:
        add = partial(jobs.add, owner=who.name, file_id=file_id, offset=offset, content=content)
        await house.reads.briefly(add)
    return PlainTextResponse(file_id)


@router.post(f"{BASE}/jobs")
@needs(SIGNED_IN)
async def start_job(request: Request, house: InHouse, who: Who) -> Response:
    """Have a mapping proposed, or the files checked, or taken in."""
    pressed = await _pressed(request)
    begin = partial(face.start, who=who, asked=pressed.asked(), key=pressed.key)
    job, _ = await house.reads.briefly(begin)
    return await told(request, house, who, job.job_id, True, "files/_job.html")


@router.get(f"{BASE}/jobs/{{job_id}}")
@needs(SIGNED_IN)
async def job_page(request: Request, house: InHouse, who: Who, job_id: JobPath) -> Response:
    """How a job stands, and what it came to."""
    return await told(request, house, who, job_id, False, "files/job.html")


@router.get(f"{BASE}/jobs/{{job_id}}/state")
@needs(SIGNED_IN)
async def job_state(
    request: Request, house: InHouse, who: Who, job_id: JobPath, just_begun: bool = False
) -> Response:
    """The same as a part of a page; `just_begun`: beside the files that it was begun with."""
    return await told(request, house, who, job_id, just_begun, "files/_job.html")


@router.post(f"{BASE}/jobs/{{job_id}}/cancel")
@needs(SIGNED_IN)
async def cancel_job(
    request: Request, house: InHouse, who: Who, job_id: JobPath, just_begun: bool = False
) -> Response:
    """Let a job end at its next step: nothing of it is written."""
    require_own_page(request)
    await house.reads.briefly(partial(face.cancel, who=who, job_id=job_id))
    return await told(request, house, who, job_id, just_begun, "files/_job.html")
