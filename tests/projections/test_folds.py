"""The folds against plain Python, over histories and cuts that nobody thought of."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import projections
from domain.catalogue import CATALOGUE
from domain.visits import VisitRecorded, VisitUndone
from ledger.database import connect
from projections import points
from projections.audit import doubts
from projections.audit.audit import compare
from projections.engine.catalogue import NOUNS, PROJECTIONS
from projections.engine.event_tables import Window
from projections.engine.projection import Projection
from projections.engine.reference import folds_of
from projections.engine.runner import prepare, rebuild
from projections.engine.schemas import LIVE, log_ends
from projections.engine.windows import advance
from tests.projections.conserving import unbalanced
from tests.projections.cutting import agreed, fold_cut
from tests.projections.histories import STEPS, UNTOLD, World, furnished, history, lay, usually
from tests.projections.tables import emptied, in_python, in_sql, looking
from tests.projections.workings import CARELESS

EXAMPLES = settings(max_examples=15, suppress_health_check=CARELESS, deadline=None)


def test_every_projection_is_found() -> None:
    """What is left out of the walk defines none."""
    for each in walk_packages(projections.__path__, "projections."):
        import_module(each.name)
    nouns = tuple(f"{noun.__name__}." for noun in NOUNS)
    mine = {f"{each.__module__}." for each in PROJECTIONS.values()}
    assert not [name for name in mine if not name.startswith((*nouns, "tests."))]


@pytest.mark.parametrize("buckets", [1, 4])
def test_sql_and_python_agree_wherever_the_log_is_cut(
    installed: Callable[[int], str], buckets: int
) -> None:
    with looking(connect(installed(buckets))) as conn:
        # The same examples each time: by chance they would now and then not hold what is asked
        # for below. The rebuilds of the next test are random.
        @settings(EXAMPLES, derandomize=True, max_examples=25)
        @given(steps=STEPS, cuts=st.lists(st.integers(1, 200), max_size=6))
        def agree(steps: list[Any], cuts: list[int]) -> None:
            world = history(steps, buckets)
            doubting = agreed(conn, world.log, cuts)
            doubted.update(d.about for each in doubting for d in each.differences)
            assert unbalanced(conn) == []
            assert_statements_end_in_the_balance(conn, world)
            told.update(stored.event.topic for stored in world.log)
            came_back.append(free_visits_undone(world))

        told, doubted, came_back = set[str](), set[str](), list[int]()
        agree()
        everything = everything_twice(buckets).log
        agreed(conn, everything, [7, 70])
        told.update(stored.event.topic for stored in everything)
        assert told == CATALOGUE.keys(), "an event that no history tells of is not tested"
        assert doubted == set(doubts.ABOUT), "a doubt that no history raises is not tested"
        assert sum(came_back), "what is free comes back too"


def free_visits_undone(world: World) -> int:
    """How many visits that cost a place of the year were taken back."""
    free = {
        (s.stream, s.event.visit)
        for s in world.log
        if isinstance(s.event, VisitRecorded) and s.event.payment == "free_visit"
    }
    undone = {(s.stream, s.event.visit) for s in world.log if isinstance(s.event, VisitUndone)}
    return len(free & undone)


def assert_statements_end_in_the_balance(conn: Any, world: World) -> None:
    for member_id in ("m1", "m2"):
        account = points.account(conn, member_id, world.now)
        assert account.balance == account.spendable + account.pending + account.lapsed
        entries = points.statement(conn, member_id, limit=1000).entries
        assert [entry.balance for entry in entries[:1]] == ([account.balance] if entries else [])
        assert sum(entry.points for entry in entries) == account.balance


@pytest.mark.parametrize("buckets", [1, 4])
def test_a_rebuild_gives_what_following_gave(installed: Callable[[int], str], buckets: int) -> None:
    dsn = installed(buckets)
    with connect(dsn) as conn:

        @settings(EXAMPLES, max_examples=2)
        @given(steps=STEPS, cuts=st.lists(st.integers(1, 200), max_size=6))
        def same(steps: list[Any], cuts: list[int]) -> None:
            world = history(steps, buckets)
            emptied(conn)
            lay(conn, world.log)
            fold_cut(conn, cuts)
            assert not compare(dsn, ["replay", "second opinion"]).different
            followed = in_sql(conn)
            assert rebuild(dsn).events == len(world.log)
            assert in_sql(conn) == followed == in_python(world.log)

        same()


def test_every_event_is_folded_by_somebody() -> None:
    read = {topic for projection in PROJECTIONS.values() for topic in projection.topics()}
    told_elsewhere = {
        "member.details_changed",  # to what is in the table of persons alone
        *("bill.issued", "activity.attended"),  # measures read them as they are
        "member.unmasked",  # to who asks the log
        # Whoever delivers asks the ledger itself, which lags behind nothing.
        *(topic for topic, each in CATALOGUE.items() if each.stream == "webhook"),
        # Who may enter is asked of the ledger itself, which lags behind nothing.
        *(topic for topic, each in CATALOGUE.items() if each.stream in ("apikey", "role", "user")),
    }
    assert read | told_elsewhere == CATALOGUE.keys()
    assert not read & told_elsewhere
    assert {topic for topic, event in CATALOGUE.items() if folds_of(event)} == read


def test_two_projections_of_one_name_are_refused() -> None:
    with pytest.raises(TypeError, match="two projections are called units"):
        type("Units", (Projection,), {"tables": (), "fold": ()})


@pytest.mark.parametrize("fold", ["INSERT INTO x SELECT 1", "SELECT * FROM {no_such_event}"])
def test_a_fold_must_name_events_that_exist(fold: str) -> None:
    with pytest.raises(TypeError, match="names no known event"):
        type("Nonsense", (Projection,), {"tables": (), "fold": (fold,)})


def test_a_version_follows_the_text() -> None:
    text = "SELECT * FROM {unit_opened}"
    kinds: list[Any] = [
        type(f"Once{n}", (Projection,), {"tables": (), "fold": (text + " " * n,)}) for n in (0, 1)
    ]
    for kind in kinds:
        del PROJECTIONS[kind.name]
    assert kinds[0].version != kinds[1].version


def everything_twice(buckets: int) -> World:
    """What is summed up comes twice to the same row, so that the second adds to the first."""
    world, who = furnished(buckets), dict[str, Any]()
    for member in ("m1", "m3"):
        world.does("points.credit", member_id=member, points=900, source="gift", rule="v1")
    for n in (1, 2):
        for member in ("m1", "m3"):
            who = {"member_id": member}
            world.does("tier.change", **who, tier="gold" if n == 1 else "diamond")
            soon = world.now + timedelta(hours=2)
            words: dict[str, Any] = {"source": "bill", "rule": "v1", "expires_at": soon}
            world.does("points.credit", **who, points=9, **words)
            world.does("points.debit", **who, points=12)
            world.does("points.reverse_debit", **who, debit=n)
            world.does("points.debit", **who, points=3)
            world.does("points.reverse_credit", **who, lot=1, points=5)
            world.now += timedelta(hours=3)
            world.does("points.expire", **who)
            world.does("points.debit", world.now - timedelta(hours=2), **who, points=2)
            world.does("points.carry_over", **who, points=5, source="boss")
            world.does("bill.record", **who, month=f"2007-0{n}", amount_fen=100, margin_fen=7)
            world.does("bill.record", **who, month=f"2007-0{n + 2}", amount_fen=5000)
            at: dict[str, Any] = {"club_id": "lounge", "service_id": "room", "confirm_repeat": True}
            for pay in ("points", "auto", "points"):
                world.does("visit.record", **who, **at, companions=1, payment=pay)
            world.does("visit.undo", **who, visit=3 * n - 2, actor="supervisor:wang")
            for name in UNTOLD:
                world.does(name, **usually(name, member)[1])
        world.does("campaign.change_terms", campaign_id="plain", prepaid_min_fen=n, gift_bp=1,
                   months_bound=n, min_monthly_fen=0)  # fmt: skip
        world.does("emergency.declare", club_id="health")
        world.does("visit.admit_in_emergency", club_id="health", category="child", people=n)
        world.does("visit.admit_in_emergency", club_id="health", category="child", people=n)
        world.does("visit.correct_emergency", club_id="health", admission=2 * n - 1)
        world.does("visit.undo_emergency", club_id="health", admission=2 * n)
        world.does("emergency.end", club_id="health")
        world.does("unit.open", unit_id="east", title=f"East {n}")
        world.does("member.mark_important", member_id="m1", important=n == 1)
        world.now += timedelta(days=1)
    world.does("activity.hold", club_id="health", activity_id="a", title="A")
    for number in range(1, 6):
        who = {"member_id": f"m{number}"}
        world.does("activity.attend", **who, club_id="health", activity_id="a")
        world.does("campaign.offer", **who, campaign_id="drawn")
        world.does("campaign.enrol", **who, campaign_id="plain", prepaid_fen=500)
    return world


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_second_time_adds_to_the_first(ledger_dsn: str, size: int) -> None:
    with connect(ledger_dsn) as conn:
        prepare(conn)
        world = everything_twice(len(log_ends(conn)))
        times = Counter(stored.event.topic for stored in world.log)
        assert all(times[topic] >= 2 for topic in SUMMED), times
        lay(conn, world.log)
        for bucket, end in log_ends(conn).items():
            for window in Window(bucket, 0, end).pieces(size):
                advance(conn, LIVE, window)
        assert in_sql(conn) == in_python(world.log)


SUMMED = {
    *(topic for topic in CATALOGUE if topic.startswith(("points.", "visit.", "tier."))),
    "bill.issued",
    "campaign.enrolled",
    "campaign.offered",
    "activity.attended",
}
