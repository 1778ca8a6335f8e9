"""Laws of points and visits that hold after every command, in whatever order they come.

A second, simpler account is kept beside the states, of the events alone: what each lot holds, what
each debit took, which visits stand. Wherever the two disagree, one of them is wrong.
"""

from collections import Counter
from copy import copy, deepcopy
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.parts import REMEMBERED
from domain.kernel.postings import MovesPoints
from domain.kernel.refusal import Refusal
from domain.kernel.timeline import LATE_DAYS
from domain.kernel.values import local_date
from domain.points.lots import DEBITS, NotEnoughPoints, soonest_expiring_first
from domain.points.movements import (
    CreditPoints,
    CreditReversed,
    DebitPoints,
    DebitReversed,
    ExpirePoints,
    ExpiryReversed,
    LotOpened,
    PointsDebited,
    PointsExpired,
    ReverseCredit,
    ReverseDebit,
)
from domain.visits import VISITS, RecordVisit, UndoVisit, VisitRecorded, VisitUndone
from tests.domain.scenario import World, do, given, local
from tests.domain.words import HEALTH, MEMBER, price

FREE_VISITS = 2
LAWS = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
FOREVER = datetime.max.replace(tzinfo=UTC)


@dataclass
class Account:
    """What the events say, one by one, without the rules."""

    credits: dict[int, LotOpened] = field(default_factory=dict)
    balance: Counter[int] = field(default_factory=Counter)  # of each lot
    written_off: Counter[int] = field(default_factory=Counter)  # of each lot
    asked_back: Counter[int] = field(default_factory=Counter)  # of each credit
    debits: dict[int, PointsDebited] = field(default_factory=dict)
    standing: set[int] = field(default_factory=set)  # debits that were not reversed
    free: dict[int, int] = field(default_factory=dict)  # free visits that stand: visit -> year

    def enter(self, event: Event) -> None:
        match event:
            case LotOpened():
                self.credits[event.lot] = event
                self.balance[event.lot] += event.points
            case PointsDebited():
                self._paid_in_order(event)
                self.debits[event.debit] = event
                self.standing.add(event.debit)
                self._move(event)
            case PointsExpired():
                for posting in event.postings:
                    expires_at = self.credits[posting.lot].expires_at
                    assert expires_at is not None
                    assert expires_at <= event.occurred_at
                self._move(event)
            case ExpiryReversed():
                for posting in event.postings:
                    assert event.occurred_at == self.credits[posting.lot].expires_at
                self._move(event)
            case DebitReversed():
                self.standing.remove(event.debit)  # once
                was = self.debits[event.debit].postings
                returned = {(p.lot, p.points) for p in event.postings if p.source == "spent"}
                assert returned == {(posting.lot, posting.points) for posting in was}
                assert event.change >= 0, "who gets points back has no fewer than before"
                self._move(event)
            case CreditReversed():
                assert -event.change <= event.asked_points
                self.asked_back[event.lot] += event.asked_points
                assert self.asked_back[event.lot] <= self.credits[event.lot].points
                self._move(event)
            case VisitRecorded(payment="free_visit"):
                self.free[event.visit] = local_date(event.occurred_at).year
            case VisitUndone():
                self.free.pop(event.visit, None)

    def _move(self, event: MovesPoints) -> None:
        for posting in event.postings:
            if posting.source == "spendable":
                self.balance[posting.lot] -= posting.points
                assert self.balance[posting.lot] >= 0
            elif posting.target == "spendable":
                self.balance[posting.lot] += posting.points
            if posting.source == "expired":
                self.written_off[posting.lot] -= posting.points
                assert self.written_off[posting.lot] >= 0
            elif posting.target == "expired":
                self.written_off[posting.lot] += posting.points

    def spendable(self, at: datetime) -> list[int]:
        """Lots with points that can be spent at this instant, whether or not they were written off
        since, in the order of the law."""
        lots = [
            (credit.expires_at or FOREVER, credit.occurred_at, lot)
            for lot, credit in self.credits.items()
            if self.left(lot) and (credit.available_from or credit.occurred_at) <= at
        ]
        return [lot for expires_at, _, lot in sorted(lots) if at < expires_at]

    def spendable_points(self, at: datetime) -> int:
        return sum(map(self.left, self.spendable(at)))

    def left(self, lot: int) -> int:
        return self.balance[lot] + self.written_off[lot]

    def _paid_in_order(self, event: PointsDebited) -> None:
        order = self.spendable(event.occurred_at)
        used = [posting.lot for posting in event.postings]
        assert used == order[: len(used)], "soonest expiring first, and no lot left out"
        for use in event.postings[:-1]:
            assert use.points == self.left(use.lot), "a lot is emptied before the next is used"


class Points(RuleBasedStateMachine):
    """One member, one club, and a clock that only goes on; some things are told late."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.account = Account()
        self.now = local("2008-12-20 12:00")

    @initialize()
    def begin(self) -> None:
        day_and_night = HEALTH.model_copy(update={"opens_minute": 0, "closes_minute": 1440})
        prices = (
            price(points=7, companion_points=3, free_visits={"gold": FREE_VISITS}),
            price(points=0, companion_points=3, service_id="tea"),
        )
        self.world = given(MEMBER, day_and_night, prices).world

    def copied(self) -> "Points":
        """Another to which the same has happened; what happens to one changes not the other."""
        other = Points()
        world, account = self.world, self.account
        other.world = replace(world, states=deepcopy(world.states), log=[*world.log])
        other.account = Account(*(copy(getattr(account, each.name)) for each in fields(account)))
        other.now = self.now
        return other

    def ask(self, command: Command) -> Refusal | None:
        try:
            outcome = self.world.execute(command)
        except Refusal as refusal:
            return refusal
        for _, event in outcome.events:
            self.account.enter(event)
        return None

    @rule(hours=st.sampled_from([0, 1, 5, 24, 24 * 8, 24 * 33]), minutes=st.integers(0, 59))
    def time_passes(self, hours: int, minutes: int) -> None:
        self.now += timedelta(hours=hours, minutes=minutes)

    @rule(
        points=st.integers(1, 30),
        pending_days=st.sampled_from([0, 0, 0, 3]),
        days=st.one_of(st.none(), st.integers(4, 40)),
        days_ago=st.sampled_from([0, 0, 0, 20]),
    )
    def credit(self, points: int, pending_days: int, days: int | None, days_ago: int) -> None:
        at = self.now - timedelta(days=days_ago)
        available_from = at + timedelta(days=pending_days)
        expires_at = None if days is None else at + timedelta(days=days)
        said = {"available_from": available_from, "expires_at": expires_at}
        assert self.ask(do(CreditPoints, at, points=points, **said)) is None

    @rule(points=st.integers(1, 60), days_ago=st.sampled_from([0, 0, 0, 2, 35]))
    def debit(self, points: int, days_ago: int) -> None:
        at = self.now - timedelta(days=days_ago)
        spendable = self.account.spendable_points(at)
        refusal = self.ask(do(DebitPoints, at, points=points))
        if points > spendable:
            assert refusal == NotEnoughPoints(points, spendable)
        else:
            assert refusal is None

    @rule(
        service_id=st.sampled_from(["room", "room", "tea"]),
        companions=st.integers(0, 2),
        payment=st.sampled_from(["auto", "points", "free_visit"]),
        confirm_repeat=st.booleans(),
        days_ago=st.sampled_from([0, 0, 0, 1, 12, 35]),
    )
    def visit(self, days_ago: int, **said: Any) -> None:
        at = self.now - timedelta(days=days_ago)
        before = self.account.spendable_points(at)
        refusal = self.ask(do(RecordVisit, at, **said))
        if isinstance(refusal, NotEnoughPoints):
            assert refusal.spendable_points == before < refusal.needed_points

    @precondition(lambda self: self.world.member.visits.made)
    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        made = self.world.member.visits.made
        number = data.draw(st.integers(max(1, made - 40), made), "visit")
        told = {visit.id: visit for visit in VISITS.opened(self.world.member.visits.latest)}
        debit = told[number].debit if number in told else None
        refusal = self.ask(do(UndoVisit, self.now, visit=number, actor="supervisor:wang"))
        if refusal is None:
            assert debit is None or debit not in self.account.standing, "its points are back"

    @precondition(lambda self: self.account.debits)
    @rule(data=st.data())
    def reverse_debit(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.account.debits)), "debit")
        refusal = self.ask(do(ReverseDebit, self.now, debit=number))
        if self.account.debits[number].visit is not None:
            assert refusal is not None, "a visit is undone as a whole"

    @precondition(lambda self: self.account.credits)
    @rule(data=st.data(), points=st.integers(1, 20), others=st.booleans())
    def reverse_credit(self, data: st.DataObject, points: int, others: bool) -> None:
        lot = data.draw(st.sampled_from(sorted(self.account.credits)), "lot")
        policy = "other_lots" if others else "forgive"
        self.ask(do(ReverseCredit, self.now, lot=lot, points=points, policy=policy))

    @rule()
    def sweep(self) -> None:
        assert self.ask(do(ExpirePoints, self.now)) is None
        for lot, credit in self.account.credits.items():
            if credit.expires_at is not None and credit.expires_at <= self.now:
                assert not self.account.balance[lot]

    @invariant()
    def points_are_conserved(self) -> None:
        moving = [event for _, event in self.world.log if isinstance(event, MovesPoints)]
        total = sum(event.change for event in moving)
        assert total == sum(lot.points for lot in self.world.member.points.lots.values())

    @invariant()
    def each_lot_holds_what_its_events_say(self) -> None:
        held = {lot.id: lot.points for lot in self.world.member.points.lots.values()}
        assert all(points >= 0 for points in held.values())
        assert {lot: n for lot, n in held.items() if n} == dict(+self.account.balance)
        for one in self.world.member.points.lots.values():
            assert one.expired == self.account.written_off[one.id]
        for lot, each in self.world.member.points.reversals.items():
            assert each.asked == self.account.asked_back[lot]
            assert each.asked <= self.world.member.points.lots[lot].credited

    @invariant()
    def lots_stand_soonest_expiring_first(self) -> None:
        lots = self.world.member.points.lots
        assert list(lots.values()) == sorted(lots.values(), key=soonest_expiring_first)
        assert all(lot.id == number for number, lot in lots.items())

    @invariant()
    def the_snapshot_is_bounded(self) -> None:
        member = self.world.member
        assert len(member.points.debits) <= REMEMBERED
        assert len(member.visits.latest) <= REMEMBERED
        needed = {lot for debit in DEBITS.opened(member.points.debits) for lot in debit.lots}
        for lot in member.points.lots.values():
            kept = lot.points or lot.expired  # for 400 days
            assert kept or lot.id in needed or lot.id in member.points.reversals

    @invariant()
    def nobody_has_more_free_visits_than_were_granted(self) -> None:
        for year, used in Counter(self.account.free.values()).items():
            assert used <= FREE_VISITS
            assert self.world.member.visits.free_visits.get(f"health/room/{year}", used) == used

    def teardown(self) -> None:
        self.world.check()


def test_laws_of_points_hold_whatever_happens() -> None:
    run_state_machine_as_test(Points, settings=LAWS)


LIVED: list[tuple[type[Command], dict[str, Any]]] = [
    (CreditPoints, {"points": 10}),
    (CreditPoints, {"points": 5, "lapses": 8}),
    (DebitPoints, {"points": 10}),
    (RecordVisit, {"confirm_repeat": True}),
]
UNDONE: list[tuple[type[Command], dict[str, Any]]] = [
    (ReverseCredit, {"lot": 1, "points": 1}),
    (ReverseCredit, {"lot": 2, "points": 1, "policy": "other_lots"}),
    (ReverseDebit, {"debit": 1}),
    (UndoVisit, {"visit": 1, "actor": "supervisor:wang"}),
]


def test_whatever_is_decided_can_be_applied() -> None:
    """Every short life that nobody tidies up: each event of a command finds what it relies on,
    also when those before it in the same command have dropped what was there when it was
    decided."""
    steps = list(product(LIVED, (0, 33)))
    machine = Points()
    machine.begin()
    machine.credit(points=10, pending_days=0, days=None, days_ago=0)
    live(machine, [steps, steps, steps, list(product(UNDONE, (0, 33)))])


def live(machine: Points, to_come: list[list[Any]]) -> None:
    """Every life that goes on from here, each by one of these steps after the other."""
    if not to_come:
        machine.each_lot_holds_what_its_events_say()
        return
    for (kind, said), days in to_come[0]:
        other = machine.copied()
        other.time_passes(hours=24 * days, minutes=1)
        lapses = said.get("lapses")
        words = {name: value for name, value in said.items() if name != "lapses"}
        if lapses is not None:
            words["expires_at"] = other.now + timedelta(days=lapses)
        other.ask(do(kind, other.now, **words))
        live(other, to_come[1:])


def test_a_heavy_user_does_not_grow_the_state() -> None:
    """What the machine seldom reaches: far more than the snapshot remembers."""
    machine = Points()
    machine.begin()
    for n in range(80):
        machine.time_passes(hours=5, minutes=n % 60)
        machine.credit(points=20, pending_days=0, days=20, days_ago=0)
        machine.debit(points=3, days_ago=0)
        machine.visit(
            days_ago=0, service_id="room", companions=0, payment="points", confirm_repeat=True
        )
        machine.points_are_conserved()
        machine.each_lot_holds_what_its_events_say()
        machine.the_snapshot_is_bounded()
    assert len(machine.world.member.visits.latest) == REMEMBERED
    assert len(machine.world.member.points.debits) == REMEMBERED
    machine.time_passes(hours=24 * 60, minutes=0)
    machine.sweep()
    machine.credit(points=20, pending_days=0, days=20, days_ago=0)
    machine.debit(points=1, days_ago=0)
    assert [lot.id for lot in machine.world.member.points.lots.values() if lot.points] == [81]
    machine.time_passes(hours=24 * LATE_DAYS, minutes=0)
    machine.credit(points=20, pending_days=0, days=20, days_ago=0)
    machine.debit(points=1, days_ago=0)
    assert list(machine.world.member.points.lots) == [81, 82]
    machine.teardown()
