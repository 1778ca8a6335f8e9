"""Answers that both doors give, put together from the queries of the projections."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, date, datetime
from typing import Any, TypeVar

import msgspec
from psycopg import Connection

from api import models
from api.clock import Clock
from api.demonstration import assumed, demo_of
from api.exports import Export
from domain.personal import Sealed
from domain.values import PROGRAMME_ZONE, local_date
from ledger import commands as asked
from ledger import persons, reading
from projections import (
    asof,
    bindings,
    campaigns,
    clubs,
    figures,
    members,
    moments,
    past,
    points,
    returns,
    runner,
)
from projections import changes as changing
from projections import doubts as doubting
from projections.moments import Asked, Moment
from projections.schemas import held

Seen = tuple[Moment, changing.State]
D = TypeVar("D", bound=models.Dated)
V = TypeVar("V", bound=models.View)
Card = Callable[[Connection[Any], str], models.Member | None]

SCALED = "scaled"
"""The verdict on a figure of a scaled demo that does not come out as reported for that."""
MAX_SHARED = 20
"""How many members are shown for one phone number."""


def member(conn: Connection[Any], member_id: str, at: datetime) -> models.Member | None:
    """A member's card with points, lots that are left, and bindings."""
    card = members.member(conn, member_id, at)
    if card is None:
        return None
    account = points.account(conn, member_id, at)
    lots, bound = points.lots(conn, member_id), bindings.bindings(conn, member_id)
    return _member(conn, past.Past(card, account, lots, bound), persons.person(conn, member_id))


def member_then(
    conn: Connection[Any], member_id: str, asked: Asked, now: datetime
) -> models.Member | None:
    """The same as of a moment, from his stream."""
    moment = moments.moment(conn, asked, now)
    found = past.member(conn, member_id, moment, moment.at or now)
    if found is None:
        return None
    then = persons.person_then(conn, member_id, dict(moment.positions), moment.effective_at)
    return dated(_member(conn, found, then), moment)


def _member(conn: Connection[Any], found: past.Past, person: persons.Person) -> models.Member:
    card = found.card
    return models.Member(
        member_id=card.member_id,
        name=person.name,
        phone=person.phone,
        number_of=number_of(conn, card.member_id),
        unit_id=card.unit_id,
        unit_title=card.unit_title,
        tier=card.tier,
        tier_since=card.tier_since,
        important=card.important,
        joined_at=card.joined_at,
        left_at=card.left_at,
        visits=card.visits,
        last_visit_at=card.last_visit_at,
        spendable_points=card.spendable_points,
        points=models.Account.model_validate(found.account),
        lots=[models.Lot.model_validate(lot) for lot in found.lots],
        bindings=[models.Binding.model_validate(each) for each in found.bindings],
    )


def number_of(conn: Connection[Any], member_id: str) -> list[str]:
    """The other members whose phone number this id is a spelling of."""
    phone = persons.phone_of(member_id)
    found = [] if phone is None else persons.members_with_phone(conn, phone, MAX_SHARED)
    return [each for each in found if each != member_id]


def members_with_phone(conn: Connection[Any], phone: Sealed, card: Card) -> models.Members:
    """The cards of the members with this number, however it was spelt."""
    ids = persons.members_with_phone(conn, phone, MAX_SHARED)
    cards = (card(conn, member_id) for member_id in ids)
    return models.Members(members=[card for card in cards if card is not None])


def statement(
    conn: Connection[Any], member_id: str, limit: int, before: int | None
) -> models.Statement | None:
    """A page of a member's points, newest first; None if there is no such member."""
    if not reading.history(conn, f"member:{member_id}", after=0, limit=1):
        return None
    lines = points.statement(conn, member_id, limit=limit + 1, before=before)
    page = [models.Entry.model_validate(line) for line in lines[:limit]]
    more = page[-1].stream_version if len(lines) > limit else None
    return models.Statement(member_id=member_id, entries=page, next=more)


def statement_export(
    conn: Connection[Any], meta: Mapping[str, str], member_id: str
) -> Export | None:
    """A member's whole statement as a file; None if there is no such member."""
    if not reading.history(conn, f"member:{member_id}", after=0, limit=1):
        return None
    return Export(
        f"statement-{member_id}",
        {"member_id": member_id, **_standing(conn, meta)},
        models.Entry,
        _shown(models.Entry, points.whole_statement(conn, member_id)),
    )


@contextmanager
def _shown(kind: type[V], opened: AbstractContextManager[Iterator[Any]]) -> Iterator[Iterator[V]]:
    """The same rows as views."""
    with opened as rows:
        yield map(kind.model_validate, rows)


def club(conn: Connection[Any], club_id: str) -> models.ClubCard | None:
    """A club with its services and the prices in force."""
    found = next((each for each in clubs.clubs(conn) if each.club_id == club_id), None)
    if found is None:
        return None
    prices = [models.Price.model_validate(price) for price in clubs.prices(conn, club_id)]
    return models.ClubCard(**dict(models.Club.model_validate(found)), services=prices)


def club_use(
    conn: Connection[Any],
    club_id: str,
    first: date,
    last: date,
    by: Sequence[str],
    today: date,
    moment: Moment | None = None,
) -> models.ClubUse | None:
    """Use of a club on these days; months that begin after today are not counted."""
    came = clubs.reception(conn, club_id, first, last, today)
    if came is None:
        return None
    dimensions: Any = ("club_id", *(name for name in by if name != "club_id"))
    rows = clubs.use(conn, first, last, dimensions, club_id=club_id)
    told = models.ClubUse(
        club_id=club_id,
        first=first,
        last=last,
        visits=came.visits,
        companions=came.companions,
        points=came.points,
        free_visits=came.free_visits,
        distinct_members=came.distinct_members,
        months_open=came.months_open,
        monthly_visits=models.Mean.model_validate(came.mean),
        rows=[models.Use.model_validate(row) for row in rows],
    )
    return dated(told, moment)


def campaign(
    conn: Connection[Any], campaign_id: str, until: date, moment: Moment | None = None
) -> models.CampaignFigures | None:
    """A campaign, what it came to, and its return where that can be computed."""
    found = campaigns.campaign(conn, campaign_id, until)
    if found is None:
        return None
    brought = returns.campaign_return(conn, campaign_id, until)
    if isinstance(brought, returns.NotComputable):
        returned = models.Return(value=None, reason=brought.reason)
    else:
        returned = models.Return.model_validate(brought)
    told = models.CampaignFigures(
        **dict(models.Campaign.model_validate(found)),
        mean_prepaid_fen=models.Mean.model_validate(found.mean_prepaid),
        cost_fen=found.cost_fen,
        cost_per_participant_fen=models.Mean.model_validate(found.cost_per_participant),
        take_up=models.Rate.model_validate(found.take_up),
        campaign_return=returned,
    )
    return dated(told, moment)


def dated(found: D, moment: Moment | None) -> D:
    """The answer with the moment that it is as of."""
    return found if moment is None else found.model_copy(update={"moment": _moment(moment)})


def _moment(moment: Moment) -> models.Moment:
    return models.Moment(
        known_at=moment.known_at, effective_at=moment.effective_at, positions=moment.cursor
    )


def all_figures(
    conn: Connection[Any], meta: Mapping[str, str], moment: Moment | None = None
) -> models.Figures:
    """Every figure of the report; what differs in a scaled demo says so, and is no fault."""
    demo = demo_of(meta)
    found = figures.figures(conn) if moment is None else asof.all_figures(conn, moment)
    told = [_figure(figure, demo) for figure in found]
    clock = local(Clock.of(meta).now())
    return dated(models.Figures(demo=demo, clock=clock, figures=told), moment)


def _figure(figure: figures.Figure, demo: models.Demo | None) -> models.Figure:
    shown = models.Figure.model_validate(figure)
    if demo is None:
        return shown
    scaled = demo.scale != "1" and shown.verdict == figures.DIFFERS
    verdict = SCALED if scaled else shown.verdict
    return shown.model_copy(update={"verdict": verdict, "assumed": assumed(figure.figure_id)})


def explanation(
    conn: Connection[Any],
    meta: Mapping[str, str],
    figure_id: str,
    limit: int,
    after: tuple[int, int] | None = None,
    moment: Moment | None = None,
) -> models.Explanation | None:
    """A figure, its formula, its inputs and a page of the events behind it."""
    on = None if moment is None else asof.report_day(moment)
    found = figures.explain(conn, figure_id, on, limit=limit, after=after)
    if found is None:
        return None
    told = models.Explanation(
        figure=_figure(found.figure, demo_of(meta)),
        inputs=[models.Input.model_validate(each) for each in found.inputs],
        events=[models.EventRef.model_validate(each) for each in found.events],
        next=found.next,
    )
    return dated(told, moment)


def seen(conn: Connection[Any], moment: Moment) -> Seen:
    """What `changes` needs of a moment, on the answers as of it."""
    return moment, changing.state(conn, moment)


def changes(conn: Connection[Any], before: Seen, after: Seen) -> models.Changes:
    """What changed from one moment to another, on the live answers."""
    found = changing.changes(conn, before[0], after[0], (before[1], after[1]))
    return models.Changes(
        before=_moment(before[0]),
        after=_moment(after[0]),
        figures=[models.FigureChange.model_validate(each) for each in found.figures],
        sums=[models.SumChange.model_validate(each) for each in found.measures],
        events=[models.Between.model_validate(each) for each in found.events],
        foots=found.foot,
    )


def figures_export(found: models.Figures, positions: Mapping[int, int]) -> Export:
    """All figures as a file: as they are at these positions, unless they are as of a moment."""
    held_then = found.moment.positions if found.moment else _said(positions)
    about = found.model_dump(mode="json", exclude={"figures"}) | {"positions": held_then}
    return Export("figures", about, models.Figure, nullcontext(iter(found.figures)))


def evidence_export(
    conn: Connection[Any],
    meta: Mapping[str, str],
    figure_id: str,
    moment: Moment | None = None,
) -> Export | None:
    """All events behind a figure as a file; None if there is no such figure."""
    found = explanation(conn, meta, figure_id, limit=1, moment=moment)
    if found is None:
        return None
    on = None if moment is None else asof.report_day(moment)
    about = found.model_dump(mode="json", exclude={"events", "next"})
    return Export(
        f"figure-{figure_id}",
        about | _standing(conn, meta),
        models.EventRef,
        _shown(models.EventRef, figures.events(conn, figure_id, on)),
    )


def _standing(conn: Connection[Any], meta: Mapping[str, str]) -> dict[str, Any]:
    """The positions that the answers hold, and the clock when they were asked."""
    return {"clock": local(Clock.of(meta).now()), "positions": _said(held(conn))}


def _said(positions: Mapping[int, int]) -> str:
    return ",".join(f"{bucket}:{position}" for bucket, position in positions.items())


def doubts(
    conn: Connection[Any],
    limit: int,
    after: tuple[int, int] | None = None,
    moment: Moment | None = None,
) -> models.Doubts:
    """A page of the facts in doubt."""
    found = doubting.doubts(conn, limit + 1, after)
    page = [models.Doubt.model_validate(each) for each in found[:limit]]
    more = (page[-1].bucket, page[-1].position) if len(found) > limit else None
    return dated(models.Doubts(doubts=page, next=more), moment)


class _Told(msgspec.Struct, gc=False):
    """An event as pages tell it: `models.Event`, made where a page has a thousand of them."""

    bucket: int
    position: int
    stream: str
    stream_version: int
    topic: str
    occurred_at: str
    recorded_at: datetime
    actor: str
    key: str
    state: dict[str, Any]


class _Page(msgspec.Struct):
    """`models.LogPage`, or without a bucket `models.History`."""

    events: list[_Told]
    bucket: int | msgspec.UnsetType
    log_end: int | msgspec.UnsetType
    next: int | None


def log_page(conn: Connection[Any], bucket: int, after: int, limit: int) -> bytes | None:
    """A page of the log, a `models.LogPage` in JSON; None if there is no such bucket."""
    end = reading.log_end(conn, bucket)
    if end is None:
        return None
    found = reading.log(conn, bucket, after, limit)
    last = found[-1].position if found else after
    if found:  # They may have come after the end was read.
        end = max(end, last)
    return msgspec.json.encode(_Page(_events(found), bucket, end, last))


def history(conn: Connection[Any], stream: str, after: int, limit: int) -> bytes | None:
    """A page of the events of one stream, oldest first, a `models.History` in JSON; None if
    there is no such stream."""
    found = reading.history(conn, stream, after, limit + 1)
    if not found and not after:
        return None
    more = found[limit - 1].version if len(found) > limit else None
    page = _Page(_events(found[:limit]), msgspec.UNSET, msgspec.UNSET, more)
    return msgspec.json.encode(page)


def commands(conn: Connection[Any], key: str) -> models.Commands:
    """What was asked under a key, what was answered, and the events that came of it."""
    found = asked.of_key(conn, key)
    return models.Commands(commands=[_command(each) for each in found])


def _command(taken: asked.Answered) -> models.Command:
    response = taken.response
    return models.Command(
        key=taken.kept.key,
        asked=msgspec.json.decode(taken.kept.asked),
        decided_at=taken.kept.at,
        answered=None if response is None else msgspec.json.decode(response),
        events=[models.Event.model_validate(each) for each in _events(taken.events)],
    )


def _events(found: Iterable[reading.Stored]) -> list[_Told]:
    return [_told(stored) for stored in found]


def _told(stored: reading.Stored) -> _Told:
    state: dict[str, Any] = msgspec.json.decode(stored.state)
    occurred_at, actor, key = state.pop("occurred_at"), state.pop("actor"), state.pop("key")
    return _Told(
        *(stored.bucket, stored.position, stored.stream, stored.version, stored.topic),
        *(occurred_at, stored.recorded_at.astimezone(UTC), actor, key, state),
    )


def status(
    conn: Connection[Any], meta: Mapping[str, str], version: str, place: str | None
) -> models.Status:
    """What this installation is and how far its answers are."""
    clock = Clock.of(meta)
    now = clock.now()
    lanes = [
        models.Lane(
            bucket=lane.bucket,
            log_end=lane.log_end,
            position=lane.position,
            lag=lane.lag,
            lag_s=lane.lag_s(now),
        )
        for lane in runner.status(conn)
    ]
    server = conn.info.server_version
    return models.Status(
        version=version,
        database=place,
        server=f"{server // 10_000}.{server % 10_000}",
        clock=local(now),
        demo_clock=clock.is_demo,
        demo=demo_of(meta),
        buckets=len(lanes),
        events=sum(lane.log_end for lane in lanes),
        behind=sum(lane.lag for lane in lanes),
        behind_s=max((lane.lag_s for lane in lanes), default=0.0),
        standstills=[models.Standstill.model_validate(each) for each in runner.standstills(conn)],
        lanes=lanes,
    )


def this_year(now: datetime) -> tuple[date, date]:
    """From the first day of the programme's year to today."""
    today = local_date(now)
    return today.replace(month=1, day=1), today


def local(instant: datetime) -> datetime:
    """This second by the programme's clock."""
    return instant.astimezone(PROGRAMME_ZONE).replace(microsecond=0)
