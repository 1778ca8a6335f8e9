"""One member as of a moment, from his stream alone: as quick for any moment as for another.

Only what the card shows is read and folded, all events of a name at once, a thousand in a
millisecond. A test holds it against the answers that the SQL folds give as of the same moment.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

from domain.catalogue import CATALOGUE
from domain.kernel.correction import CORRECTED, TakesBack
from domain.kernel.postings import PointsAccount, balances, owned
from domain.kernel.values import local_date
from domain.members import UnknownMember
from domain.points.movements import LotOpened, PointsCarriedOver
from ledger import reading
from ledger.database import bucket_of
from ledger.log import persons, snapshots
from projections.asof.statement import require_joined
from projections.bindings import Binding
from projections.engine import moments
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.moments import Asked
from projections.free_visits import FreeVisits
from projections.members import Member, number_of
from projections.points import Account, Lot

Events: TypeAlias = Sequence[Any]

_OCCURRED_AT = attrgetter("occurred_at")


@dataclass(slots=True)
class _Moved:
    """A lot's credit, and where its points went."""

    credit: Any
    rule: str
    accounts: Counter[PointsAccount] = field(default_factory=Counter)

    @property
    def remaining(self) -> int:
        return owned(self.accounts)

    @property
    def available_from(self) -> datetime:
        found: datetime = self.credit.available_from or self.credit.occurred_at
        return found

    def shown(self) -> Lot:
        return Lot(
            lot=_number(self.credit),
            credited=-self.accounts["outside"],
            remaining=self.remaining,
            earned_at=self.credit.occurred_at,
            available_from=self.available_from,
            expires_at=self.credit.expires_at,
            source=self.credit.source,
            rule=self.rule,
        )


def _number(credit: Any) -> int:
    """The lot that a credit opened."""
    number: int = credit.postings[0].lot
    return number


@dataclass(slots=True)
class _Life:
    """What the card needs of a member's events, or of those of them that had occurred."""

    joined: Any = None
    tier: Any = None
    important: bool = False
    erased: Any = None
    moved: Any = None
    left: dict[int, datetime] = field(default_factory=dict)  # by period
    back: dict[int, datetime] = field(default_factory=dict)  # by the period that had ended
    accounts: Counter[PointsAccount] = field(default_factory=Counter)
    lots: dict[int, _Moved] = field(default_factory=dict)
    visits: dict[int, Any] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    bindings: dict[int, Any] = field(default_factory=dict)
    endings: dict[int, Any] = field(default_factory=dict)

    def on_joined(self, events: Events) -> None:
        self.joined = events[-1]

    def on_tier(self, events: Events) -> None:
        self.tier = _latest(events)

    def on_important(self, events: Events) -> None:
        self.important = _latest(events).important

    def on_erased(self, events: Events) -> None:
        self.erased = events[-1]

    def on_unit(self, events: Events) -> None:
        self.moved = _latest(events)

    def on_left(self, events: Events) -> None:
        self.left = {event.period or 1: event.occurred_at for event in events}

    def on_returned(self, events: Events) -> None:
        self.back = {event.period - 1: event.occurred_at for event in events}
        units = [*events, self.moved] if self.moved else events
        self.moved = max(reversed(units), key=_OCCURRED_AT)

    @property
    def unit_id(self) -> str:
        found: str = (self.moved or self.joined).unit_id
        return found

    @property
    def left_at(self) -> datetime | None:
        """Null while he is on the network, or back."""
        return next((at for period, at in self.left.items() if period not in self.back), None)

    def on_credited(self, events: Events) -> None:
        self.lots |= {_number(event): _Moved(event, event.rule) for event in events}
        self.on_moved(events)

    def on_carried_over(self, events: Events) -> None:
        self.lots |= {_number(e): _Moved(e, PointsCarriedOver.rule) for e in events}
        self.on_moved(events)

    def on_moved(self, events: Events) -> None:
        postings = chain.from_iterable([event.postings for event in events])
        for number, accounts in balances(postings).items():
            self.accounts.update(accounts)
            if lot := self.lots.get(number):
                lot.accounts.update(accounts)

    def on_visits(self, events: Events) -> None:
        self.visits = {event.visit: event for event in events}

    def on_undone(self, events: Events) -> None:
        self.undone = {event.visit for event in events}

    def on_bound(self, events: Events) -> None:
        self.bindings = {event.binding: event for event in events}

    def on_bindings_ended(self, events: Events) -> None:
        self.endings = {event.binding: event for event in events}


def _latest(events: Events) -> Any:
    """The one that happened last; of two at one instant the last told."""
    return max(reversed(events), key=_OCCURRED_AT)


_AT = ("occurred_at",)
_LOT = ("postings", "available_from", "expires_at", "source", *_AT)
_TAKES: dict[str, tuple[Callable[[_Life, Events], None], tuple[str, ...]]] = {
    "member.joined": (_Life.on_joined, ("unit_id", *_AT)),
    "tier.changed": (_Life.on_tier, ("tier", *_AT)),
    "member.marked_important": (_Life.on_important, ("important", *_AT)),
    "member.erased": (_Life.on_erased, _AT),
    "member.moved": (_Life.on_unit, ("unit_id", *_AT)),
    "member.left": (_Life.on_left, ("period", *_AT)),
    "member.returned": (_Life.on_returned, ("period", "unit_id", *_AT)),
    "points.credited": (_Life.on_credited, ("rule", *_LOT)),
    "points.carried_over": (_Life.on_carried_over, _LOT),
    **{
        topic: (_Life.on_moved, ("postings",))
        for topic, event in CATALOGUE.items()
        if "postings" in event.model_fields and not issubclass(event, LotOpened)
    },
    "visit.recorded": (_Life.on_visits, ("visit", "club_id", "service_id", "payment", *_AT)),
    "visit.undone": (_Life.on_undone, ("visit",)),
    "binding.started": (
        _Life.on_bound,
        ("binding", "policy", "campaign_id", "starts_on", "ends_on"),
    ),
    "binding.ended": (_Life.on_bindings_ended, ("binding", "ended_on", "cause")),
}
"""The events that the card shows something of, and what it needs of them.

They are folded name by name, in this order: credits before whatever moves the points of their lots.
"""


WRONG = {event.topic for event in CORRECTED.values()}
"""The events that take others back."""
_PRICE = ("service_id", "price_version", "free_visits", *_AT)
_BESIDE = (
    "originator_id IN (SELECT 'unit:' || (convert_from(state, 'UTF8')::json ->> 'unit_id')"
    " FROM ledger.stored_events WHERE originator_id = %(stream)s"
    " AND topic IN ('member.joined', 'member.moved', 'member.returned'))",
    f"originator_id LIKE 'club:%%' AND topic IN ('service.priced', '{CORRECTED['club'].topic}')",
)
"""What the card shows of others: the units that he was in, the prices of the clubs."""


def member_then(conn: Conn, member_id: str, asked: Asked, now: datetime) -> Member | None:
    """A member as of the moment that is meant; null if there is none. Raises NotKnownThen."""
    moment = moments.moment(conn, asked, now)
    found = member(conn, member_id, moment, moment.at or now)
    if found is None:
        with suppress(UnknownMember):
            require_joined(conn, member_id, moment)
    return found


def member(conn: Conn, member_id: str, moment: Moment, at: datetime) -> Member | None:
    """A member as of a moment, spendable points at an instant; null if he had not joined."""
    known = dict(moment.positions)
    stream = f"member:{member_id}"
    who = persons.Whom(member_id, bucket_of(stream, len(known)))
    found = reading.lives(conn, stream, known, _BESIDE, (persons.TOLD,), **who._asdict())
    lived, units, clubs, told = found
    life, stored = _Life(), _by_topic(lived)
    for topic, (take, wanted) in _TAKES.items():
        if events := _held(stored, topic, wanted, moment):
            take(life, events)
    if life.joined is None:
        return None
    unit = [each for each in units if each[0] == f"unit:{life.unit_id}"]
    opened = _held(_by_topic(unit), "unit.opened", ("title", *_AT), moment)
    person = persons.NOBODY
    if "member.erased" not in stored:
        person = persons.person_then(who, told, len(lived), moment.effective_at)
    account, came = _account(life, at), _visits(life)
    tier = life.tier and life.tier.tier
    prices = _prices(clubs, moment, at) if tier else {}  # without one there are no free visits
    left = [lot.shown() for lot in life.lots.values() if lot.remaining > 0]
    return Member(
        moment=moment,
        member_id=member_id,
        name=person.name,
        phone=person.phone,
        number_of=number_of(conn, member_id),
        unit_id=life.unit_id,
        unit_title=_latest(opened).title if opened else None,
        tier=tier,
        tier_since=life.tier and life.tier.occurred_at,
        important=life.important,
        joined_at=life.joined.occurred_at,
        left_at=life.left_at,
        erased_at=life.erased and life.erased.occurred_at,
        visits=len(came),
        last_visit_at=max(map(_OCCURRED_AT, came), default=None),
        spendable_points=account.spendable,
        points=account,
        lots=sorted(left, key=_in_order_of_spending),
        bindings=[_binding(life, number) for number in sorted(life.bindings)],
        free_visits=_free_visits(came, prices, tier, at),
    )


def _visits(life: _Life) -> Events:
    return [visit for number, visit in life.visits.items() if number not in life.undone]


def _prices(clubs: Events, moment: Moment, at: datetime) -> dict[tuple[str, str], Any]:
    """By club and service the price in force at an instant, of those that the moment holds."""
    found: dict[tuple[str, str], Any] = {}
    for club, lived in groupby(clubs, itemgetter(0)):
        for price in _told_prices(tuple(lived)):
            held = moment.effective_at is None or price.occurred_at <= moment.effective_at
            if held and price.occurred_at <= at:
                found[club.removeprefix("club:"), price.service_id] = price
    return found


@lru_cache(maxsize=1_000)
def _told_prices(lived: tuple[tuple[str, str, bytes], ...]) -> Events:
    """A club's prices, as they came to be in force. Every card asks for the same ones."""
    prices = snapshots.reader("service.priced", _PRICE)(_by_topic(lived)["service.priced"])
    return sorted(prices, key=attrgetter("occurred_at", "price_version"))


def _free_visits(
    came: Events, prices: Mapping[tuple[str, str], Any], tier: Any, at: datetime
) -> list[FreeVisits]:
    year = local_date(at).year
    used = Counter(
        (visit.club_id, visit.service_id)
        for visit in came
        if visit.payment == "free_visit" and local_date(visit.occurred_at).year == year
    )
    granted = {service: price.free_visits.get(tier, 0) for service, price in prices.items()}
    return [
        FreeVisits(
            club_id=club_id,
            service_id=service_id,
            year=year,
            granted=most,
            used=gone,
            left=max(most - gone, 0),
        )
        for club_id, service_id in sorted(granted.keys() | used.keys())
        if (most := granted.get((club_id, service_id), 0)) + (gone := used[club_id, service_id])
    ]


def _by_topic(lived: Sequence[tuple[str, str, bytes]]) -> dict[str, list[bytes]]:
    """A stream's events without those that were wrong: oldest first under each name."""
    stored = defaultdict[str, list[bytes]](list)
    wrong = taken_back(lived) if any(topic in WRONG for _, topic, _ in lived) else set()
    for number, (_, topic, state) in enumerate(lived):
        if number not in wrong:
            stored[topic].append(state)
    if unknown := sorted(stored.keys() - CATALOGUE.keys()):
        raise LookupError(f"no event has this name: {', '.join(unknown)}")
    return stored


def taken_back(lived: Sequence[tuple[str, str, bytes]]) -> set[int]:
    """Which of these events of a stream, oldest first, a later one corrects."""
    told, wrong = dict[tuple[str, str], int](), set()
    for number, (_, topic, state) in enumerate(lived):
        if topic in WRONG:
            event = snapshots.event_of(topic, state)
            assert isinstance(event, TakesBack)
            if (place := told.get((event.fact, event.which))) is not None:
                wrong.add(place)
        elif topic in CATALOGUE and CATALOGUE[topic].named_by is not None:
            told[topic, snapshots.event_of(topic, state).named] = number
    return wrong


def _held(
    stored: Mapping[str, Sequence[bytes]], topic: str, wanted: tuple[str, ...], moment: Moment
) -> Events:
    """The events of a name that had occurred by the moment, so much of them as is wanted."""
    if topic not in stored:
        return ()
    until = moment.effective_at
    if until is None:
        return snapshots.reader(topic, wanted)(stored[topic])
    events = snapshots.reader(topic, tuple(dict.fromkeys((*wanted, *_AT))))(stored[topic])
    return [each for each in events if each.occurred_at <= until]


def _account(life: _Life, at: datetime) -> Account:
    spendable = pending = lapsed = 0
    for lot in life.lots.values():
        if lot.available_from > at:
            pending += lot.remaining
        elif lot.credit.expires_at and lot.credit.expires_at <= at:
            lapsed += lot.remaining
        else:
            spendable += lot.remaining
    return Account(
        credited=-life.accounts["outside"],
        debited=life.accounts["spent"],
        expired=life.accounts["expired"],
        reversed=life.accounts["reversed"],
        balance=owned(life.accounts),
        spendable=spendable,
        pending=pending,
        lapsed=lapsed,
    )


def _binding(life: _Life, number: int) -> Binding:
    bound, ending = life.bindings[number], life.endings.get(number)
    ended_on, cause = (ending.ended_on, ending.cause) if ending else (None, None)
    for period, left_at in sorted(life.left.items()):
        back_at = life.back.get(period)
        if back_at is None or local_date(back_at) > bound.starts_on:
            if local_date(left_at) < (ended_on or bound.ends_on):
                ended_on, cause = local_date(left_at), "left"
            break
    return Binding(
        binding=number,
        policy=bound.policy,
        campaign_id=bound.campaign_id,
        starts_on=bound.starts_on,
        ends_on=bound.ends_on,
        ended_on=ended_on,
        cause=cause,
    )


def _in_order_of_spending(lot: Lot) -> tuple[bool, datetime, datetime, int]:
    return lot.expires_at is None, lot.expires_at or lot.earned_at, lot.earned_at, lot.lot
