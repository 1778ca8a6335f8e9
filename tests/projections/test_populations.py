"""Whom and which days an answer counts: rows foot to totals, part and whole of a rate are the same
people, what comes after the asked date counts for nothing, and who has left is not there.

Laws over histories that nobody thought of, and the cases that once broke them.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.kernel.event import Event
from domain.kernel.values import add_months, local_date
from ledger.database import connect
from projections import bindings, campaigns, visits
from projections.asof import member as past
from projections.engine import runner
from projections.engine.connection import Conn
from projections.engine.contributions import contributions
from projections.engine.measure import measured
from projections.engine.moments import Asked, moment
from projections.engine.ratio import Mean, Rate
from projections.engine.reference import Stored
from projections.visits import DIMENSIONS
from tests.projections.doubting import counted
from tests.projections.histories import DAY, STEPS, World, furnished, history, lay, on
from tests.projections.measuring import sums
from tests.projections.tables import emptied, looking
from tests.projections.workings import CARELESS

EXAMPLES = settings(max_examples=12, suppress_health_check=CARELESS, deadline=None)
SPANS = st.tuples(DAY, DAY).map(sorted)
FIRST, LAST = date(2008, 1, 1), date(2008, 12, 31)


def told(conn: Conn, dsn: str, log: Iterable[Stored]) -> None:
    """The answers hold this log and nothing else."""
    emptied(conn)
    lay(conn, log)
    runner.project(dsn)


@pytest.fixture
def answers(installed: Callable[[int], str]) -> Iterator[Callable[[World], Conn]]:
    dsn = installed(1)
    with looking(connect(dsn)) as conn:

        def of(world: World) -> Conn:
            told(conn, dsn, world.log)
            return conn

        yield of


# ---------------------------------------------------------------------------------------- laws
def test_rows_of_use_foot_to_the_totals_of_the_same_days(installed: Callable[[int], str]) -> None:
    dsn = installed(4)
    with looking(connect(dsn)) as conn:

        @EXAMPLES
        @given(steps=STEPS, spans=st.lists(SPANS, min_size=4, max_size=4))
        def foot(steps: list[Any], spans: list[list[date]]) -> None:
            world = history(steps, 4)
            told(conn, dsn, world.log)
            for first, last in spans:
                for club in ("health", "lounge"):
                    came = visits.club_use(conn, club, first, last)
                    assert came is not None
                    total = (came.visits, came.companions, came.points, came.free_visits)
                    assert total == visited(world, club, first, last)
                    for by in DIMENSIONS:
                        rows = visits.use(conn, first, last, (by,), club)
                        sums = [(r.visits, r.companions, r.points, r.free_visits) for r in rows]
                        assert tuple(map(sum, zip(*sums, strict=True))) == (total if sums else ())
                        assert bool(sums) == bool(came.visits)

        foot()


def visited(world: World, club: str, first: date, last: date) -> tuple[int, ...]:
    """Visits, companions, points and free visits, counted from the log."""
    undone = {(s.stream, s.event.visit) for s in world.log if s.event.topic == "visit.undone"}  # type: ignore[attr-defined]
    came: list[Any] = [
        s.event
        for s in counted(world.log)
        if s.event.topic == "visit.recorded"
        and (s.stream, s.event.visit) not in undone  # type: ignore[attr-defined]
        and s.event.club_id == club  # type: ignore[attr-defined]
        and first <= local_date(s.event.occurred_at) <= last
    ]
    free = sum(event.payment == "free_visit" for event in came)
    return len(came), sum(e.companions for e in came), sum(e.points for e in came), free


def day_of(event: Event) -> date:
    """The day from which an event counts: of what corrects or dates another fact, that day."""
    about: Any = event
    match event.topic:
        case "visit.undone":
            return local_date(about.visited_at)
        case "activity.attended":
            return local_date(about.held_at)
        case "binding.started":
            return about.starts_on  # type: ignore[no-any-return]
        case "binding.ended":
            return about.ended_on  # type: ignore[no-any-return]
        case "bill.issued":
            return date.fromisoformat(f"{about.month}-01")
        case "cohort.opened" | "cohort.included" | "cohort.frozen":
            return date.min  # of the cohort's own day
        case "unit.opened":
            return date.min  # a name, and names are those of now
    return local_date(event.occurred_at)


def everything_at(conn: Conn, until: date) -> dict[str, Any]:
    """Every answer that is asked at a date."""
    year = until.replace(month=1, day=1)
    found: dict[str, Any] = {
        "campaigns": campaigns.campaigns(conn, until),
        "binding": measured(conn, "bindings.rate", {"cohort_id": "base"}, until, ["unit_id"]),
        "retention": measured(conn, "retention.rate", {"cohort_id": "kept"}, until),
        "tiers": measured(conn, "members.vips", {}, until, ["unit_id", "tier"]),
        "growth": measured(conn, "members.growth", {"first": year}, until),
        "on_net": measured(conn, "members.on_net_rate", {}, until),
        "use": visits.use(conn, year, until, DIMENSIONS),
        "emergencies": measured(
            conn, "clubs.emergency_people", {"first": year}, until, ["club_id"]
        ),
    }
    for name in ("plain", "drawn"):
        found[f"{name} return"] = campaigns.campaign_figures(conn, name, until)
    for club in ("health", "lounge"):
        found[club] = visits.club_use(conn, club, year, until, today=until)
    return found


def test_what_comes_after_the_asked_date_changes_no_answer(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    with looking(connect(dsn)) as conn:

        @EXAMPLES
        @given(steps=STEPS, until=DAY)
        def hold(steps: list[Any], until: date) -> None:
            """Corrections are left out: what is unsaid counts on no day, whenever that was said."""
            said = [([it for it in all_ if ".correct" not in it[0]], *at) for all_, *at in steps]
            world = history(said, 1)
            unsaid = {day_of(s.event) for s in world.log if s.event.corrects}
            assume(until + timedelta(days=1) not in unsaid)  # Each history ends with some.
            told(conn, dsn, world.log)
            found = everything_at(conn, until)
            before = World()
            for stored in world.log:
                if day_of(stored.event) <= until:
                    before.fold(stored.stream, stored.event)
            told(conn, dsn, before.log)
            assert everything_at(conn, until) == found

        hold()


def test_part_and_whole_of_a_rate_are_the_same_people(installed: Callable[[int], str]) -> None:
    dsn = installed(4)
    with looking(connect(dsn)) as conn:

        @EXAMPLES
        @given(steps=STEPS, until=DAY)
        def hold(steps: list[Any], until: date) -> None:
            world = history(steps, 4)
            told(conn, dsn, world.log)
            for found in campaigns.campaigns(conn, until):
                offered, enrolled = drawn(world, found.campaign_id, until)
                assert found.take_up == Rate.of(len(offered & enrolled.keys()), len(offered))
                walked_in = enrolled.keys() - offered
                assert (found.participants, found.walk_in_participants) == (
                    len(enrolled),
                    len(walked_in),
                )
                assert found.gift_fen == sum(enrolled.values())
                assert found.walk_in_gift_fen == sum(enrolled[m] for m in walked_in)
                taken = sums(conn, "campaigns.participants", until, campaign_id=found.campaign_id)
                assert taken == {"participants": found.participants}
            base, bound = bound_of(world, until)
            rate = sums(conn, "bindings.rate", until, cohort_id="base")
            assert rate == {"base": len(base), "bound": len(bound)}
            kept = sums(conn, "retention.rate", until, cohort_id="kept")
            assert kept["base"] >= kept["left"] + kept["low"]

        hold()


def drawn(world: World, campaign: str, until: date) -> tuple[set[str], dict[str, int]]:
    """Who was offered a campaign, and the gift of each who enrolled, by a day."""
    of_it: list[tuple[str, Any]] = [
        (s.stream, s.event)
        for s in counted(world.log)
        if s.event.topic in ("campaign.offered", "campaign.enrolled")
        and s.event.campaign_id == campaign  # type: ignore[attr-defined]
        and local_date(s.event.occurred_at) <= until
    ]
    offered = {m for m, e in of_it if e.topic == "campaign.offered" and e.arm == "offered"}
    return offered, {m: e.gift_fen for m, e in of_it if e.topic == "campaign.enrolled"}


def bound_of(world: World, day: date) -> tuple[set[str], set[str]]:
    """Who stands in the base, and who of them was on the network and bound on a day."""
    base, active, gone = set[str](), dict[tuple[str, int], Any](), set[str]()
    for stored in counted(world.log):
        member, event = stored.stream, stored.event
        said: Any = event
        match event.topic:
            case "cohort.included" if said.cohort_id == "base":
                base.add(member)
            case "binding.started":
                active[member, said.binding] = (said.starts_on, said.ends_on)
            case "binding.ended":
                active[member, said.binding] = (active[member, said.binding][0], said.ended_on)
            case "member.left" if local_date(event.occurred_at) <= day:
                gone.add(member)
    bound = {member for (member, _), (first, end) in active.items() if first <= day < end}
    return base, (base & bound) - gone


# --------------------------------------------------------------------------------------- cases
def test_use_of_a_part_of_two_months_has_rows_of_the_same_days(
    answers: Callable[[World], Conn],
) -> None:
    world = furnished()
    for day in ("2008-07-01", "2008-07-05", "2008-07-20", "2008-08-03", "2008-08-20"):
        world.does("visit.record", member_id="m1", club_id="lounge", service_id="room", at=on(day))
    conn, days = answers(world), (date(2008, 7, 15), date(2008, 8, 14))
    came = visits.club_use(conn, "lounge", *days)
    assert came is not None
    assert came.visits == 2
    rows = visits.use(conn, *days, by=("month",), club_id="lounge")
    assert [(row.month, row.visits) for row in rows] == [
        (date(2008, 7, 1), 1), (date(2008, 8, 1), 1),
    ]  # fmt: skip


def test_months_to_come_are_not_counted_in_the_mean(answers: Callable[[World], Conn]) -> None:
    world = furnished()
    world.does("visit.record", member_id="m1", club_id="lounge", service_id="room")
    conn, today = answers(world), date(2008, 2, 1)
    for last, months in ((LAST, 2), (today, 2), (date(2008, 1, 15), 1)):
        came = visits.club_use(conn, "lounge", FIRST, last, today=today)
        assert came is not None
        assert (came.months_open, came.monthly_visits) == (months, Mean.of(1, months))
    later = visits.club_use(conn, "lounge", date(2008, 3, 1), LAST, today=today)
    assert later is not None
    assert (later.months_open, later.monthly_visits.mean) == (0, None)


def test_visits_of_vips_to_the_lounge_are_of_customers_with_a_tier(
    answers: Callable[[World], Conn],
) -> None:
    world = furnished()
    world.does("member.mark_important", member_id="m5", important=True)
    world.does("points.credit", member_id="m5", points=1000, source="bill", rule="v1")
    for member in ("m1", "m2", "m5"):
        for day in ("2008-07-01", "2008-07-05"):
            world.does("visit.record", member_id=member, club_id="lounge", service_id="room",
                       at=on(day))  # fmt: skip
        world.does("visit.undo", member_id=member, visit=2, actor="supervisor:w",
                   at=on("2008-07-06"))  # fmt: skip
    conn = answers(world)
    asked = {"club_id": "lounge", "tier": "*"}
    found = measured(conn, "visits.monthly", asked, date(2008, 7, 31))
    assert found.sums() == {"visits": 2, "months": 7}


def test_people_let_in_later_in_the_month_are_not_counted(answers: Callable[[World], Conn]) -> None:
    world = furnished()
    world.does("emergency.declare", club_id="lounge", at=on("2008-01-25"))
    for day in ("2008-01-26", "2008-01-28"):
        world.does("visit.admit_in_emergency", club_id="lounge", category="child", people=2,
                   at=on(day))  # fmt: skip
    conn = answers(world)
    for number, people in ((25, 0), (26, 2), (27, 2), (28, 4)):
        asked = {"club_id": "lounge"}
        found = measured(conn, "clubs.emergency_people", asked, date(2008, 1, number))
        assert found.value == people


def spring(walk_ins: int, fixed_fen: int = 0) -> World:
    """Two are offered and enrol, three more are their control group, others walk in."""
    world = World(now=on("2008-02-01"))
    world.does("unit.open", unit_id="south", title="South")
    world.does(
        "campaign.launch", campaign_id="spring", title="S", kind="prepay",
        opens_on=date(2008, 3, 1), closes_on=LAST, tiers=(), untiered=True, control_bp=5000,
        control_seed="s1", gift_bp=1000, months_bound=12,
        costs=({"item": "Posters", "cost_fen": fixed_fen},),
    )  # fmt: skip
    wanted: dict[str, int] = {"offered": 2, "control": 3}
    number = 0
    while any(wanted.values()):
        member, number = f"c{number}", number + 1
        world.does("member.join", member_id=member, unit_id="south")
        arm = "control" if control(member) else "offered"
        if wanted[arm]:
            wanted[arm] -= 1
            who = {"member_id": member, "campaign_id": "spring"}
            world.does("campaign.offer", at=on("2008-03-01"), **who)
            world.does("campaign.enrol", at=on("2008-03-02"), prepaid_fen=10_000, **who)
            world.does("bill.record", member_id=member, month="2008-03", amount_fen=20_000,
                       at=on("2008-04-01"),
                       margin_fen=5000 if arm == "offered" else 2000)  # fmt: skip
    while walk_ins:
        member, number = f"c{number}", number + 1
        if not control(member):
            walk_ins -= 1
            world.does("member.join", member_id=member, unit_id="south")
            world.does("campaign.enrol", member_id=member, campaign_id="spring",
                       prepaid_fen=10_000, at=on("2008-03-03"))  # fmt: skip
    return world


def control(member: str) -> bool:
    from domain.enrolments import drawn_into_control

    return drawn_into_control("s1", member, 5000)


@pytest.mark.parametrize(("fixed_fen", "cost_fen", "value"), [(0, 2000, 2), (4000, 3000, 1)])
def test_take_up_and_return_are_those_of_the_offered_whoever_walks_in(
    answers: Callable[[World], Conn], fixed_fen: int, cost_fen: int, value: int
) -> None:
    """Of the fixed costs, two of eight participants bear a quarter."""
    conn, until = answers(spring(6, fixed_fen)), date(2008, 5, 31)
    found = campaigns.campaign_figures(conn, "spring", until)
    assert found is not None
    assert found.take_up == Rate.of(2, 2)
    assert (found.participants, found.prepaid_fen, found.gift_fen) == (8, 80_000, 8000)
    walk_in = (found.walk_in_participants, found.walk_in_prepaid_fen, found.walk_in_gift_fen)
    assert walk_in == (6, 60_000, 6000)
    assert found.cost_fen == 8000 + fixed_fen
    back = found.campaign_return
    assert (back.exact + 1) * cost_fen == 6000
    assert back.value == value


def test_who_enrols_after_the_asked_date_costs_and_counts_nothing_yet(
    answers: Callable[[World], Conn],
) -> None:
    conn = answers(spring(6))
    for day, enrolled in ((1, 0), (2, 2), (3, 8)):
        found = campaigns.campaign(conn, "spring", date(2008, 3, day))
        assert found is not None
        assert (found.participants, found.cost_fen) == (enrolled, enrolled * 1000)
    assert campaigns.campaign(conn, "spring", date(2008, 1, 31)) is None


def test_leaving_ends_what_binds(answers: Callable[[World], Conn]) -> None:
    world = furnished()
    year: dict[str, Any] = {"starts_on": FIRST, "ends_on": date(2009, 1, 1)}
    for member in ("m1", "m2"):
        world.does("cohort.include", cohort_id="base", member_id=member)
        world.does("binding.start", member_id=member, policy="handset", **year)
    world.does("binding.start", member_id="m1", policy="prepay", starts_on=FIRST,
               ends_on=add_months(FIRST, 2))  # fmt: skip
    world.does("member.leave", member_id="m1", at=on("2008-06-15"))
    world.now = on("2008-12-31")
    conn = answers(world)
    for day, bound in ((14, 2), (15, 1), (16, 1)):
        rate = sums(conn, "bindings.rate", date(2008, 6, day), cohort_id="base")
        assert rate == {"base": 2, "bound": bound}
    handset, prepay = of_m1 = bindings.bindings(conn, "m1")
    assert (handset.ended_on, handset.cause) == (date(2008, 6, 15), "left")
    assert (prepay.ended_on, prepay.cause) == (None, None)
    then = past.member(conn, "m1", moment(conn, Asked(None), world.now), world.now)
    assert then is not None
    assert then.bindings == of_m1
    asked = {"cohort_id": "base"}
    found = contributions(conn, "bindings.bound", asked, date(2008, 6, 30), 9)
    assert found.measured.value == 1
