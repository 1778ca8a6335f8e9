"""The auditor's pages of the log: what happened event by event, what one event says and which
command wrote it.

They show what `GET /v1/events` answers, and nothing is decided here.
"""

from contextlib import nullcontext
from functools import partial
from typing import Annotated, Any, NamedTuple

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import Field

from api import log
from api.doors import PREFIX, Need
from api.http.pages import telling
from api.http.pages.asking import OF_ONE, AtPage
from api.http.pages.measures import TITLED, titles_of
from api.http.pages.offering import offers
from api.http.pages.page import (
    AUDIT,
    Fields,
    form,
    language_of,
    link,
    next_page,
    page,
    router_of_pages,
)
from api.http.server.access import Who, needs
from api.http.server.inputs import AsOf, House, InHouse, Limit, Position
from api.runtime.problems import DoorProblem
from domain.access import Principal, Scope
from domain.catalogue import KINDS
from domain.kernel.values import ONE_LINE
from ledger import reading
from projections.asof import member as past
from projections.engine import views
from projections.engine.connection import Conn
from projections.engine.moments import Asked
from projections.engine.views import VIEWS
from projections.members import Member

router = router_of_pages()
SCOPE: Scope = "log.read"
OF_THE_LOG = Need(SCOPE)
Kind = Annotated[str | None, Query(pattern=f"^({'|'.join(KINDS)})$")]
StreamId = Annotated[str | None, Query(pattern=ONE_LINE, max_length=200)]
A_DAY_S = 86_400
MOST_PRICES = 1_000


class Finding(Fields):
    """Whose timeline is looked for."""

    said: Annotated[str, Field(min_length=1, max_length=100)]


# ------------------------------------------------------------------------------------- words
def titles_told(conn: Conn) -> telling.Titles:
    """By what events call what they speak of."""
    prices = views.page(conn, VIEWS["services"], {}, MOST_PRICES).rows
    services = {f"{each.club_id}/{each.service_id}": each.title for each in prices}
    return {**titles_of(conn, TITLED), "service_id": services}


def audit_page(
    request: Request,
    who: Principal,
    template: str,
    titles: telling.Titles = telling.NO_TITLES,
    **values: Any,
) -> Response:
    """A page of this console, with what events are told by."""
    language = language_of(request)
    return page(
        request, template,
        base=AUDIT, kinds=KINDS,
        reads_log=bool(who.granted("log.read")), reads_figures=bool(who.granted("figures.read")),
        reads_service=bool(who.granted("service.read")),
        reads_lists=bool(who.granted("lists.read")),
        may_suppose=bool(who.granted("whatif.ask")),
        topic=partial(telling.topic, language),
        sentence=partial(telling.sentence, language, titles=titles),
        field=partial(telling.field, language),
        value=partial(telling.value, language),
        **values,
    )  # fmt: skip


def late(event: log.Event) -> bool:
    """Whether the log learnt of it a day or more after it happened."""
    return (event.recorded_at - event.occurred_at).total_seconds() >= A_DAY_S


class Then(NamedTuple):
    """How somebody or something stood."""

    last: int
    """How many events there are."""
    event: log.Event | None
    """The one after which; null: as of a moment that was named by its times."""
    card: Member | None
    """Of a member, if who asks may see it."""


async def _then(
    house: House, who: Principal, stream: str, until: int | None, asked: Asked | None
) -> Then:
    """After an event of a stream, else as of a moment, else after its last event."""
    last = await house.reads(partial(reading.last_version, stream=stream))
    one: log.Event | None = None
    if asked is None or until is not None:
        until = min(until or last, last)
        told = await house.reads(partial(log.history, stream=stream, after=until - 1, limit=1))
        (one,) = log.History.model_validate_json(told or b"").events
        asked = Asked({one.bucket: one.position}, one.recorded_at)
    kind, _, member_id = stream.partition(":")
    if kind != "member":
        return Then(last, one, None)
    now = house.clock.now()
    find = partial(past.member_then, member_id=member_id, asked=asked, now=now)
    card = await house.reads.within(nullcontext, find)
    seen = card is not None and await house.access.may(who, OF_ONE, card)
    return Then(last, one, card if seen else None)


# ------------------------------------------------------------------------------------ routes
@router.get(AUDIT)
@needs(OF_THE_LOG)
async def timeline(
    request: Request,
    house: InHouse,
    who: Who,
    asked: AsOf,
    kind: Kind = None,
    stream_id: StreamId = None,
    after: Position = 0,
    limit: Limit = 50,
    until: Annotated[int | None, Query(ge=1, le=2**62)] = None,
) -> Response:
    """What happened to somebody or something, oldest first, straight from the log; and how it stood
    after one of its events, or as of a moment."""
    found: log.History | None = None
    then: Then | None = None
    if kind and stream_id:
        stream = f"{kind}:{stream_id.strip()}"
        question = partial(log.history, stream=stream, after=after, limit=limit)
        told = await house.reads(question)
        found = None if told is None else log.History.model_validate_json(told)
        if found is not None:
            then = await _then(house, who, stream, until, asked)
    return audit_page(
        request, who, "audit/timeline.html", titles=await house.reads(titles_told),
        offers=await house.reads(partial(offers, who=who, scope=SCOPE, names=TITLED)),
        may_see=bool(who.granted("members.read")), api=PREFIX,
        kind=kind, stream_id=stream_id, after=after, found=found, late=late,
        then=then, until=until,
        kept={"kind": kind, "stream_id": stream_id, "limit": limit if limit != 50 else None},
    )  # fmt: skip


@router.post(f"{AUDIT}/members")
@needs(OF_ONE, by_itself=True)
async def find_member(request: Request, house: InHouse, who: Who) -> Response:
    """The timeline of the member whom this card, number or name means, or those who may be meant:
    found as at a desk, among whom he may see. Sent, since no address names a person."""
    asked = await form(request, Finding)
    found = await AtPage(request, house, who).meant_by(asked.said)
    each = [(one, timeline_of("member", one.member_id)) for one in found]
    if len(each) == 1:
        return next_page(each[0][1])
    return page(request, "audit/_members.html", members=each)


def timeline_of(kind: str, stream_id: str) -> str:
    """The page of what happened to somebody or something."""
    return link(AUDIT, {"kind": kind, "stream_id": stream_id})


@router.get(f"{AUDIT}/events/{{bucket}}/{{position}}")
@needs(OF_THE_LOG)
async def event(
    request: Request,
    house: InHouse,
    who: Who,
    bucket: Annotated[int, Path(ge=0, le=63)],
    position: Annotated[int, Path(ge=1, le=2**62)],
) -> Response:
    """What one event says: when it happened and was recorded, by whom, and by which command."""
    found = await house.reads(partial(_event, bucket=bucket, position=position))
    if found is None:
        raise DoorProblem("not_found", f"The log holds no event {bucket}:{position}.")
    told, commands, last = found
    return audit_page(
        request, who, "audit/event.html", titles=await house.reads(titles_told),
        event=told, commands=commands, last=last, late=late,
    )  # fmt: skip


def _event(
    conn: Conn, bucket: int, position: int
) -> tuple[log.Event, list[log.Command], int] | None:
    """An event, the commands under its key, and the last position of its bucket."""
    told = log.log_page(conn, bucket, position - 1, 1)
    found = None if told is None else log.LogPage.model_validate_json(told)
    if found is None or not found.events:
        return None
    (one,) = found.events
    return one, log.commands(conn, one.key).commands, found.log_end
