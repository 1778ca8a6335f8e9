"""The auditor's lists: what was corrected, what is in doubt, what broke a rule."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import Field

from api import log
from api.doors import PREFIX, Need
from api.http.pages.audit import audit_page, titles_told
from api.http.pages.measures import event_address
from api.http.pages.page import AUDIT, router_of_pages
from api.http.server.access import Who, needs
from api.http.server.inputs import AsOf, Awaited, InHouse, Limit, place_of
from domain.kernel.values import ONE_LINE
from projections import corrections as correcting
from projections import exceptions as excepting
from projections.audit import doubts as doubting
from projections.engine import views
from projections.engine.answer import Dated, Moment
from projections.engine.connection import Conn
from projections.engine.views import VIEWS

router = router_of_pages()
OF_LISTS = Need("lists.read")
Place = Annotated[str | None, Query(pattern="^[0-9]{1,2}:[0-9]{1,18}$")]
Line = Annotated[str | None, Query(pattern=ONE_LINE, max_length=views.CHARACTERS)]


# ------------------------------------------------------------------------- in doubt, exceptions
def _open(name: str, ask: Callable[[Conn, int, tuple[int, int] | None], Any]) -> None:
    """The page of a list in the order of the log."""

    @router.get(f"{AUDIT}/{name}")
    @needs(OF_LISTS)
    async def listed(
        request: Request,
        house: InHouse,
        who: Who,
        wait_for: Awaited,
        asked: AsOf,
        after: Place = None,
        limit: Limit = 50,
    ) -> Response:
        def question(conn: Conn, _: Moment | None) -> Any:
            return ask(conn, limit, place_of(after))

        found = await house.ask(question, wait_for, asked)
        return audit_page(
            request, who, f"audit/{name}.html", found=getattr(found, name),
            moment_of=found.moment, after=after, next=found.next and "{}:{}".format(*found.next),
        )  # fmt: skip


_open("doubts", doubting.page)
_open("exceptions", lambda conn, limit, after: excepting.page(conn, excepting.ALL, limit, after))


# ---------------------------------------------------------------------------------- corrections
CHOICES = (
    ",".join((correcting.CORRECTED, correcting.REVERSED)),
    *correcting.KINDS,
    ",".join(correcting.KINDS),
)
"""Which kinds are shown: those that somebody decided on, one of all, or all."""


class Corrected(Dated):
    """A page of what was corrected."""

    rows: list[Any]
    next: str | None = Field(description="what the next page is `after`")


@router.get(f"{AUDIT}/corrections")
@needs(OF_LISTS)
async def corrections(
    request: Request,
    house: InHouse,
    who: Who,
    wait_for: Awaited,
    asked: AsOf,
    kind: Annotated[str, Query(pattern=f"^({'|'.join(CHOICES)})$")] = CHOICES[0],
    first: Line = None,
    last: Line = None,
    member_id: Line = None,
    actor: Line = None,
    after: Line = None,
    limit: Limit = 50,
) -> Response:
    """What was taken back, reversed or told late: by whom, when and why, what counted before, and
    what was told in its place."""
    of = VIEWS["corrections"]
    said = {"kind": kind, "first": first, "last": last, "member_id": member_id, "actor": actor}
    views.read(of, said)  # before anything is waited for

    def question(conn: Conn, _: Moment | None) -> Corrected:
        rows, next_ = views.page(conn, of, said, limit, after)
        return Corrected(rows=rows, next=next_)

    found = await house.ask(question, wait_for, asked)
    places = {
        (row.bucket, place)
        for row in found.rows
        for place in (row.position, row.fact_position, row.anew_position)
        if place is not None
    }
    told: dict[tuple[int, int], log.Event] = {}
    if places and who.granted("log.read"):
        told = await house.reads(partial(log.events_at, places=places))
    return audit_page(
        request, who, "audit/corrections.html", titles=await house.reads(titles_told),
        rows=found.rows, moment_of=found.moment, told=told,
        choices=CHOICES, said=said, after=after, next=found.next,
        all_of_it=f"{PREFIX}/lists/{of.name}", event_address=event_address,
    )  # fmt: skip
