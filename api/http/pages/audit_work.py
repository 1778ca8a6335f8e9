"""The auditor's longer work: what became of the figures from one moment to another and which rows
make them differ, whether the answers are what the events give, whether the ledger is well.

What takes long is a job, asked as `POST /v1/jobs` takes it and followed as those of files are.
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from typing import Annotated, Any

import orjson
from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import Json

from api import answers
from api.doors import Need
from api.http import figures
from api.http.pages import files
from api.http.pages.asking import new_key
from api.http.pages.audit import audit_page
from api.http.pages.measures import group_key, valued
from api.http.pages.page import AUDIT, FIGURES, Fields, form, router_of_pages
from api.http.server.access import SIGNED_IN, Who, needs
from api.http.server.inputs import InHouse
from api.jobs import face
from api.jobs.kinds import AskedJob
from projections.asof.changes import Changes
from projections.engine.measure import DAY, MEASURES, MeasureChange

router = router_of_pages()
Told = Annotated[str | None, Query(max_length=1000)]


class Pressed(Fields):
    """A job, as the API is asked for it, and the key of the page that asks."""

    key: str
    asked: Json[AskedJob]


def pressing(page: str, kind: str, **asked: Any) -> str:
    """What a button sends that begins this job: once, however often it is pressed on its page."""
    said = orjson.dumps({"kind": kind, **asked}, option=orjson.OPT_SORT_KEYS)
    key = f"{page}-{sha256(said).hexdigest()[:16]}"
    return orjson.dumps({"key": key, "asked": said.decode()}).decode()


# --------------------------------------------------------------------------------- two moments
@router.get(f"{AUDIT}/compare")
@needs(Need("figures.read"))
async def compare(
    request: Request,
    house: InHouse,
    who: Who,
    known_before: Annotated[Told, Query(alias="from")] = None,
    known_after: Annotated[Told, Query(alias="to")] = None,
    before: Annotated[Told, Query(alias="from_effective")] = None,
    after: Annotated[Told, Query(alias="to_effective")] = None,
) -> Response:
    """What became of the figures from one moment to another, and by how many events of which kind:
    what `GET /v1/changes` answers. Of each figure a job tells the rows that make it differ."""
    found: Changes | None = None
    if known_before is not None:
        found = await figures.changes(house, known_before, known_after, before, after)
    asked = {"from": known_before, "from_effective": before}
    asked |= {"to": known_after, "to_effective": after}
    return audit_page(
        request, who, "audit/compare.html",
        found=found, asked=asked, figures=FIGURES, measures=MEASURES,
        valued=valued, group_key=group_key, day=DAY,
        was={"known_at": known_before, "effective_at": before},
        now={"known_at": known_after, "effective_at": after},
        rows_of=found and _rows_of(found, known_before, known_after, before, after),
    )  # fmt: skip


def _rows_of(
    found: Changes,
    known_before: str | None,
    known_after: str | None,
    before: str | None,
    after: str | None,
) -> Callable[[MeasureChange], str]:
    """What asks for the rows that make a measure differ, between these very moments."""
    key = new_key("audit")
    # `now` goes on: what is asked of the rows is what was known when the page was made.
    moments: dict[str, Any] = {
        "before": {"known_at": known_before, "effective_at": before},
        "after": {"known_at": known_after or found.after.cursor, "effective_at": after},
    }

    def told(of: MeasureChange) -> str:
        params = {**of.params, **group_key(of.key)}
        return pressing(key, "changed_rows", measure_id=of.measure_id, params=params, **moments)

    return told


# ---------------------------------------------------------------------------------------- jobs
@router.post(f"{AUDIT}/jobs")
@needs(SIGNED_IN)
async def start_job(request: Request, house: InHouse, who: Who) -> Response:
    """Begin a job; how it stands is asked at its own page."""
    pressed = await form(request, Pressed)
    begin = partial(face.start, who=who, asked=pressed.asked.root, key=pressed.key)
    job, _ = await house.reads.briefly(begin)
    return await files.told(request, house, who, job.job_id, False, "files/_job.html")


@router.get(f"{AUDIT}/health")
@needs(Need("service.read"))
async def health(request: Request, house: InHouse, who: Who) -> Response:
    """Whether the ledger is well and its answers are up to date, as `GET /v1/status` tells it; and
    the jobs that prove the answers right, make them anew, and write the log to a file."""
    ask = partial(answers.status, meta=house.meta, version=version("clubledger"), place=None)
    return audit_page(
        request, who, "audit/health.html",
        state=await house.reads(ask), reasons=await house.probe(),
        pressing=partial(pressing, new_key("audit")),
        rebuilds=bool(who.granted("service.write")),
    )  # fmt: skip
