"""Bounds: no state grows without a limit, and no command costs more than what it touches.

The cost is counted in steps of the interpreter, not in seconds: four times as much to touch must
not cost sixteen times as many.
"""

import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest
from msgspec import Raw, Struct
from msgspec.json import Encoder

from domain import clubs
from domain.access import AddUser, DefineRole, GrantRole, Held, User
from domain.bindings import Bindings, StartBinding
from domain.campaigns import ChangeTerms
from domain.catalogue import PARTS
from domain.clubs import (
    MAX_PRICES,
    Club,
    DeclareEmergency,
    EndEmergency,
    HoldActivity,
    Price,
    Service,
)
from domain.cohorts import IncludeInCohort, OpenCohort
from domain.enrolments import Enrolment, Offer, OfferCampaign, Participation
from domain.kernel.bounds import AtMost, TooMany, bounds_of
from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.parts import MAX_PART_BYTES, REMEMBERED
from domain.kernel.values import MAX_TIERS
from domain.members import (
    BILLS_REMEMBERED,
    Bills,
    ChangeTier,
    LeaveNetwork,
    MarkImportant,
    Membership,
    MoveToUnit,
    ReturnToNetwork,
)
from domain.points.lots import MAX_LOTS, Debit, Lot, Points, Reversal
from domain.points.movements import (
    CreditPoints,
    DebitPoints,
    ExpirePoints,
    ReverseCredit,
    ReverseDebit,
)
from domain.units import OpenUnit
from domain.visits import MAX_VISITS, AttendActivity, Attendance, UndoVisit, Visit, Visited, Visits
from tests.domain import usual
from tests.domain.scenario import World, do, given, local
from tests.domain.words import (
    CLUB,
    EAST,
    HEALTH,
    MEMBER,
    NOON,
    campaign,
    claim,
    enrol,
    enter,
    price,
    visit,
)

encode = Encoder().encode
CHOICES = Path(__file__).parents[2] / "docs" / "reference" / "choices.md"
COLLECTIONS = (list, dict, tuple, set, frozenset)


# ------------------------------------------------------------------------------ what is declared
def collections(kind: type[Any], seen: set[type[Any]]) -> Iterator[tuple[str, int | None]]:
    """(part.field, its bound) of each collection in a part and in the structures in it."""
    if kind in seen:
        return
    seen.add(kind)
    for name, hint in get_type_hints(kind, include_extras=True).items():
        bounds = [
            each.entries for each in getattr(hint, "__metadata__", ()) if type(each) is AtMost
        ]
        for part in parts(hint):
            if (get_origin(part) or part) in COLLECTIONS:
                yield f"{kind.__name__}.{name}", bounds[0] if bounds else None
            elif isinstance(part, type) and issubclass(part, Struct):
                yield from collections(part, seen)


def parts(hint: Any) -> Iterator[Any]:
    yield hint.__origin__ if get_origin(hint) is Annotated else hint
    for each in get_args(hint):  # of an annotated one what stands in it, too: kernel/latest.py
        yield from parts(each)


def declared() -> dict[str, int | None]:
    seen: set[type[Any]] = set()
    return dict(found for part in PARTS.values() for found in collections(part.type, seen))


class Planted(Struct):
    loose: dict[str, int]
    nested: "list[Lot] | None"
    bound: Annotated[list[str], AtMost(3)]


def test_the_walk_sees_what_has_no_bound() -> None:
    found = dict(collections(Planted, set()))
    assert found == {"Planted.loose": None, "Planted.nested": None, "Planted.bound": 3}
    assert bounds_of(Planted) == {"bound": 3}


def test_every_collection_of_a_part_has_a_bound() -> None:
    assert not [name for name, bound in declared().items() if bound is None]


def test_the_documentation_tells_the_bounds() -> None:
    rows = re.findall(r"^\| `(\w+\.\w+)` \| ([0-9,]+) \|", CHOICES.read_text("utf-8"), re.MULTILINE)
    told = {name: int(most.replace(",", "")) for name, most in rows}
    assert told == {name: most for name, most in declared().items() if name not in HELD_BY_TYPE}


# ---------------------------------------------------------------------------- what holds a bound
def offered(n: int) -> OfferCampaign:
    return do(OfferCampaign, NOON, campaign_id=f"c{n}")


def bound(n: int) -> StartBinding:
    day = date(2009, 1, 1) + timedelta(days=n)
    return do(StartBinding, NOON, policy="handset", starts_on=day, ends_on=day + timedelta(days=1))


def drawn(n: int) -> Command:
    return campaign(campaign_id=f"c{n}", control_bp=1, closes_on=date(2400, 1, 1))


def cohort(n: int) -> OpenCohort:
    return do(
        OpenCohort, "2008-01-01 09:00", cohort_id=f"c{n}", purpose="retention", criterion="x",
        taken_on=date(2008, 1, 1),
    )  # fmt: skip


def free(n: int) -> Command:
    granted = {"gold": 1}
    return price(service_id=f"s{n}", free_visits=granted, tier_points={})


def named(n: int) -> DefineRole:
    return do(DefineRole, NOON, role_id=f"desk{chr(97 + n)}", scopes={})


HELD_BY_REFUSAL: dict[str, tuple[Callable[[int], Any], Callable[[int], Command]]] = {
    "Points.lots": (
        lambda n: (),
        lambda n: do(CreditPoints, NOON, points=1),
    ),
    "Inclusions.cohorts": (cohort, lambda n: do(IncludeInCohort, NOON, cohort_id=f"c{n}")),
    "Attendance.attended": (
        lambda n: do(HoldActivity, "2008-07-14 12:00", activity_id=f"a{n}"),
        lambda n: do(AttendActivity, NOON, activity_id=f"a{n}"),
    ),
    "Visits.free_visits": (
        free,
        lambda n: visit(service_id=f"s{n}", payment="free_visit", confirm_repeat=True),
    ),
    "Visits.visited": (
        lambda n: (
            HEALTH.model_copy(update={"club_id": f"c{n}"}),
            price(club_id=f"c{n}", points=0, tier_points={}),
        ),
        lambda n: visit(club_id=f"c{n}"),
    ),
    "Participation.offered": (drawn, offered),
    "Report.claims": (
        lambda n: () if n else enter(),
        lambda n: claim(claim_id=f"c{n}"),
    ),
    "Participation.enrolled": (drawn, lambda n: enrol(campaign_id=f"c{n}")),
    "Bindings.bindings": (lambda n: (), bound),
    "Membership.absences": (
        lambda n: do(ReturnToNetwork, minute(2 * n)) if n else (),
        lambda n: do(LeaveNetwork, minute(2 * n + 1)),
    ),
    "Points.reversals": (
        lambda n: do(CreditPoints, "2008-07-01 12:00", points=2),
        lambda n: do(ReverseCredit, NOON, lot=n + 1, points=1),
    ),
    "User.roles": (
        lambda n: (named(n), () if n else do(AddUser, NOON)),
        lambda n: do(GrantRole, NOON, role_id=f"desk{chr(97 + n)}"),
    ),
    "Club.services": (lambda n: (), lambda n: price(service_id=f"s{n}")),
    "Club.activities": (lambda n: (), lambda n: do(HoldActivity, NOON, activity_id=f"a{n}")),
}
"""Collections that a command would make too large: what it needs, and the n-th of the command."""


def minute(n: int) -> datetime:
    return local(NOON) + timedelta(minutes=n)


def tier(n: int) -> Command:
    return do(ChangeTier, minute(n), tier="gold" if n % 2 else "silver")


def mark(n: int) -> Command:
    return do(MarkImportant, minute(n), important=n % 2 == 0)


def move(n: int) -> Command:
    return do(MoveToUnit, minute(n), unit_id="west" if n % 2 else "east")


def switch(n: int) -> Command:
    return do(EndEmergency, minute(n)) if n % 2 else do(DeclareEmergency, minute(n))


def terms(n: int) -> Command:
    return do(
        ChangeTerms, minute(n), prepaid_min_fen=n, gift_bp=0, months_bound=0, min_monthly_fen=0
    )


TIMELINES: dict[str, tuple[int, Callable[[int], Command]]] = {
    "Membership.tiers": (1, tier),
    "Membership.important": (0, mark),
    "Membership.moves": (0, move),
    "Club.emergency": (0, switch),
    "Campaign.terms": (1, terms),
    "Unit.titles": (1, lambda n: do(OpenUnit, minute(n), title=f"unit {n}")),
    "Service.prices": (1, lambda n: price(minute(n), points=n)),
}
"""How many values each of them begins with, and what puts in the n-th after that."""
YEARS_LATER = 2 * 365 * 24 * 60
HELD_BY_TRIMMING = {
    "Points.debits", "Reversal.claims", "Visits.latest", "Visited.seconds", "Admissions.latest",
}  # fmt: skip
"""The latest few; test_laws, test_visits and test_corrections have more than that."""
HELD_BY_TYPE = {
    "Club.tiers",
    "Campaign.tiers",
    "Campaign.excludes",
    "Enrolment.excludes",
    "Price.tier_points",
    "Price.free_visits",
    "Webhook.topics",
    "Webhook.clubs",
    "Webhook.campaigns",
    "Webhook.replays",
    "Bindings.forgotten",
    "Role.scopes",
    "ApiKey.clubs",
    "ApiKey.units",
    "Held.clubs",
    "Held.units",
}
"""The command that brings them cannot bring more."""
HELD_BY_ANOTHER = {"Debit.lots"}
"""Each of them is one of Points.lots."""


def test_every_bound_is_held_by_something() -> None:
    held = {*HELD_BY_REFUSAL, *TIMELINES, *HELD_BY_TRIMMING, *HELD_BY_TYPE, *HELD_BY_ANOTHER}
    assert held == declared().keys()


def bound_to_five(name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The field that is bounded, with a bound of 5, so that it is soon reached."""
    kind, _, field = name.partition(".")
    if kind == "Service":
        monkeypatch.setattr(clubs, "MAX_PRICES", 5)
    else:
        state = PARTS[kind.lower()].type
        monkeypatch.setitem(bounds_of(state), field, 5)
    return field


@pytest.mark.parametrize("name", HELD_BY_REFUSAL)
def test_what_would_go_past_a_bound_is_refused_with_the_number(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more command of any other kind is fine."""
    needs, command = HELD_BY_REFUSAL[name]
    field = bound_to_five(name, monkeypatch)
    club = CLUB[:1] if name == "Club.services" else CLUB
    if name == "Visits.free_visits":
        club = CLUB[:1]
    scenario = given(MEMBER, club)
    for n in range(5):
        scenario.and_given(needs(n), command(n))
    scenario.and_given(needs(5))
    scenario.when(command(5)).then_refused(TooMany(field, 5, 5))


@pytest.mark.parametrize("name", TIMELINES)
def test_a_timeline_holds_so_many_values_and_forgets_what_no_late_fact_asks_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prices of all services of a club count together."""
    held, command = TIMELINES[name]
    field = bound_to_five(name, monkeypatch)
    scenario = given(MEMBER, EAST, CLUB, campaign(), [command(n) for n in range(5 - held)])
    scenario.when(command(5 - held)).then_refused(TooMany(field, 5, 5))
    scenario.when(command(YEARS_LATER + 5 - held))
    assert scenario.and_given(command(YEARS_LATER + 6 - held)).outcome


def test_what_has_ended_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bounds_of(Bindings), "bindings", 2)
    full = given(MEMBER, bound(0), bound(1))
    full.when(bound(2)).then_refused(TooMany("bindings", 2, 2))
    day = date(2010, 3, 1)
    later = do(StartBinding, "2010-02-20 12:00", policy="handset", starts_on=day,
               ends_on=day + timedelta(days=1))  # fmt: skip
    assert len(full.when(later).member.bindings.bindings) == 1

    monkeypatch.setitem(bounds_of(Points), "lots", 1)
    lapses = do(CreditPoints, NOON, points=1, expires_at=local("2008-07-16 12:00"))
    full = given(MEMBER, lapses)
    full.when(do(CreditPoints, NOON, points=1)).then_refused(TooMany("lots", 1, 1))
    full.and_given(do(CreditPoints, "2008-07-17 12:00", points=1))
    assert list(full.member.points.lots) == [2]


# ------------------------------------------------------------------------------- how long it gets
LONG_ID, LONG_TEXT = "i" * 64, "𠮷" * 200
MOMENT = datetime(2008, 7, 15, 12, 0, 0, 123_456, UTC)
DAY = date(2008, 7, 15)
BILLION = 1_000_000_000
HALF = BILLION // 2  # of a lot, and the other half has expired
TEN = range(BILLION, 2 * BILLION)
"""Numbers of ten digits, no two alike."""


def as_kept(one: Struct) -> Raw:
    return Raw(encode(one))


def the_longest_points() -> Points:
    most, points = bounds_of(Points), Points()
    for number in TEN[:MAX_LOTS]:
        points.lots[number] = Lot(
            number, HALF, BILLION, MOMENT, MOMENT + timedelta(days=1), HALF, MOMENT
        )
    for number in TEN[: most["reversals"]]:
        claims = dict.fromkeys(TEN[: bounds_of(Reversal)["claims"]], BILLION)
        points.reversals[number] = Reversal(MOMENT, BILLION, BILLION, claims, BILLION)
    share = MAX_LOTS // REMEMBERED + 2  # each lot in one of them, and each one's last in two
    for n in range(REMEMBERED):
        lots = dict.fromkeys(TEN[n * share : (n + 1) * share], BILLION)
        points.debits.append(as_kept(Debit(BILLION, MOMENT, lots, BILLION)))
    return points


def the_longest_visits() -> Visits:
    key = f"{LONG_ID}/{LONG_ID}/2008"
    last = Visit(BILLION, MOMENT, LONG_ID, LONG_ID, LONG_ID, BILLION, key)
    keys = (f"{n:064}/{LONG_ID}/2008" for n in range(bounds_of(Visits)["free_visits"]))
    clubs = (f"{n:064}" for n in range(bounds_of(Visits)["visited"]))
    visited = {club: Visited([BILLION * 10], BILLION * 10) for club in clubs}
    more = MAX_VISITS - len(visited)
    visited["0" * 64] = Visited([BILLION * 10] * (more + 1), BILLION * 10)
    return Visits([as_kept(last)] * REMEMBERED, BILLION, dict.fromkeys(keys, BILLION), visited)


def the_longest_participation() -> Participation:
    most = bounds_of(Participation)
    enrolment = Enrolment(DAY, BILLION, BILLION**2, BILLION, ["family_plan"] * 4, DAY)
    return Participation(
        dict.fromkeys((f"{n:064}" for n in range(most["enrolled"])), enrolment),
        dict.fromkeys((f"{n:064}" for n in range(most["offered"])), Offer(DAY, MOMENT)),
        DAY,
    )


def the_longest_attendance() -> Attendance:
    keys = (f"{n:064}/{LONG_ID}" for n in range(bounds_of(Attendance)["attended"]))
    return Attendance(dict.fromkeys(keys, MOMENT), DAY)


def the_longest_club() -> Club:
    most = bounds_of(Club)
    tiers = [f"{n:t>16}" for n in range(MAX_TIERS)]
    by_tier = dict.fromkeys(tiers, BILLION)
    club = Club(LONG_TEXT, DAY, 1440, 1440, tiers, True)
    club.emergency = [(MOMENT, False)] * most["emergency"]
    dear = (MOMENT, Price(BILLION, BILLION, by_tier, BILLION, by_tier))
    share = MAX_PRICES // most["services"] + 1
    for n in range(most["services"]):
        club.services[f"{n:064}"] = Service(BILLION, [dear] * share)
    club.activities = dict.fromkeys((f"{n:064}" for n in range(most["activities"])), MOMENT)
    return club


def the_longest_user() -> User:
    ids = [f"{n:064}" for n in range(bounds_of(Held)["clubs"])]
    roles = (f"{n:016}" for n in range(bounds_of(User)["roles"]))
    return User(MOMENT, MOMENT, {role: Held(ids, ids) for role in roles}, 2**31, MOMENT)


LONGEST: dict[str, Callable[[], Any]] = {
    "bills": lambda: Bills(BILLION, 2**BILLS_REMEMBERED - 1, BILLION),
    "points": the_longest_points,
    "visits": the_longest_visits,
    "attendance": the_longest_attendance,
    "participation": the_longest_participation,
    "club": the_longest_club,
    "user": the_longest_user,
}
"""Those that need not hold the longest of all that a field of theirs may be, each in each place."""


@pytest.mark.parametrize("name", PARTS)
def test_the_longest_part_is_as_long_as_is_said(name: str) -> None:
    part = LONGEST[name]() if name in LONGEST else usual.longest(PARTS[name].type)
    kind: type = type(part)
    assert kind is PARTS[name].type
    for field, most in bounds_of(kind).items():
        assert len(getattr(part, field)) == most
    assert len(encode(part)) <= MAX_PART_BYTES


# ----------------------------------------------------------------------------------- what it costs
def steps(act: Callable[[], Any]) -> int:
    """How many steps the interpreter takes."""
    taken = 0

    def look(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal taken
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        taken += event == "opcode"
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        act()
    finally:
        sys.settrace(before)
    return taken


CREDITED = datetime(2008, 1, 1, tzinfo=UTC)
LAPSES = datetime(2008, 8, 1, tzinfo=UTC)


def rich(n: int, *, lapse: bool = True, spent: bool = False) -> World:
    """A member with n lots of one point, which lapse at different times or never; all of them spent
    if that is said."""
    world = given(MEMBER, CLUB).world
    credit = do(CreditPoints, "2008-01-01 09:00", points=1)
    for lot in range(n):
        expires = LAPSES + timedelta(seconds=(lot * 7919) % n) if lapse else None
        events = credit.model_copy(update={"expires_at": expires}).decide(
            CREDITED, world.member.membership, world.member.points
        )
        for event in events:
            event.apply(world.member.points)
    if spent:
        carried_out(world, do(DebitPoints, NOON, points=n))
    return world


def carried_out(world: World, command: Command) -> list[Event]:
    """As the ledger does it, without the laws of a world."""
    outcome = super(World, world).execute(command)
    outcome.receipt()
    return [event for _, event in outcome.events]


def paid_visit(n: int) -> World:
    world = rich(n)
    carried_out(world, price("2008-06-02 09:30", points=n, tier_points={}))
    carried_out(world, visit(shown_points=n))
    return world


def priced(n: int) -> World:
    world = rich(n)
    carried_out(world, price("2008-06-02 09:30", points=n, tier_points={}))
    return world


AFTER = "2008-08-10 12:00"
COSTS: dict[str, tuple[Callable[[int], World], Callable[[int], Command]]] = {
    "a debit over all lots": (rich, lambda n: do(DebitPoints, NOON, points=n)),
    "a debit that is reversed": (
        lambda n: rich(n, spent=True),
        lambda n: do(ReverseDebit, "2008-07-20 12:00", debit=1),
    ),
    "a debit that is reversed when its lots have lapsed": (
        lambda n: rich(n, spent=True),
        lambda n: do(ReverseDebit, AFTER, debit=1),
    ),
    "all lots lapse": (rich, lambda n: do(ExpirePoints, AFTER)),
    "all lots lapse before a credit": (rich, lambda n: do(CreditPoints, AFTER, points=1)),
    "a credit is taken back from all others": (
        lambda n: _spent_first(rich(n), n),
        lambda n: do(ReverseCredit, NOON, lot=n + 1, points=n, policy="other_lots"),
    ),
    "a debit after the one that is too old to be reversed": (
        lambda n: _more(rich(n, spent=True)),
        lambda n: do(DebitPoints, "2008-09-30 12:00", points=1),
    ),
    "a visit that all lots pay": (priced, lambda n: visit(shown_points=n)),
    "a visit that is undone when its lots have lapsed": (
        paid_visit,
        lambda n: do(UndoVisit, AFTER, visit=1, actor="supervisor:wang"),
    ),
}


def _more(world: World) -> World:
    carried_out(world, do(CreditPoints, NOON, points=100))
    return world


def _spent_first(world: World, n: int) -> World:
    """A credit of as many points as the others have, half of it spent on its own."""
    soon = LAPSES - timedelta(days=1)
    carried_out(world, do(CreditPoints, "2008-01-02 09:00", points=n, expires_at=soon))
    carried_out(world, do(DebitPoints, "2008-07-01 09:00", points=n // 2))
    return world


@pytest.mark.parametrize("name", COSTS)
def test_no_command_costs_more_than_what_it_touches(name: str) -> None:
    world_of, command_of = COSTS[name]
    few, many = 100, 400
    cost = []
    for n in (few, many):
        world, command = world_of(n), command_of(n)
        cost.append(steps(lambda: carried_out(world, command)))  # noqa: B023 - at once
    assert cost[0] > few, "it touches them"
    assert cost[1] < 6 * cost[0], f"{cost[1] / cost[0]:.1f} times as many for 4 times as much"


@pytest.mark.parametrize("command", [
    do(DebitPoints, NOON, points=1),
    do(CreditPoints, NOON, points=1),
    do(ExpirePoints, NOON),
    do(ReverseCredit, NOON, lot=1, points=1),
    visit(shown_points=1),
], ids=lambda command: command.command)  # fmt: skip
def test_lots_that_a_command_does_not_touch_cost_next_to_nothing(command: Command) -> None:
    """Nobody in the same batch waits for the lots of a member who has many: what is told of them
    all, the points that can be spent, is one sum."""
    cost = []
    for n in (100, 400):
        world = rich(n)
        carried_out(world, price("2008-06-02 09:30", points=1, tier_points={}))
        cost.append(steps(lambda: carried_out(world, command)))  # noqa: B023 - at once
    assert cost[1] - cost[0] < 25 * 300, f"{cost[1] - cost[0]} steps more for 300 lots more"


def test_a_long_history_is_folded_in_one_pass() -> None:
    """Not each event by a look at all that is there."""
    cost = []
    for n in (100, 400):
        world = rich(n, lapse=False)
        debits = [
            event for _ in range(n) for event in carried_out(world, do(DebitPoints, NOON, points=1))
        ]
        lots = [
            e
            for lot in range(n)
            for e in do(CreditPoints, NOON, points=1).decide(
                local(NOON), Membership(joined_at=CREDITED), Points(lots_opened=lot)
            )
        ]
        account = Points()

        def fold() -> None:
            for event in (*lots, *debits):  # noqa: B023 - at once
                event.apply(account)  # noqa: B023

        cost.append(steps(fold))
    assert cost[1] < 6 * cost[0], f"{cost[1] / cost[0]:.1f} times as many for 4 times as much"
