"""What would be, in SQL, against the same rules replayed in plain Python; and what it leaves."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import dict_row

from domain.campaigns import UnknownCampaign
from domain.clubs import UnknownClub
from domain.kernel.refusal import Refusal
from domain.kernel.values import PROGRAMME
from domain.simulation.scenario import Scenario
from domain.visits import UnknownService
from ledger.database import connect
from ledger.importing import Importer
from ledger.locks import Lock
from projections.engine.building import Progress
from projections.engine.event_tables import counted
from projections.engine.runner import project, rebuild
from projections.engine.schemas import log_ends, try_session_lock
from projections.whatif.differences import what_if
from projections.whatif.overlay import AnotherIsSupposed, recorded, suppose
from tests.ledger.test_importing import fact
from tests.patience import PATIENCE_S, SOON_S, eventually
from tests.projections.conserving import unbalanced
from tests.projections.histories import STEPS, World, furnished, history, lay, lay_asked, lay_rows
from tests.projections.overlays import scenario
from tests.projections.overlays import suppose as suppose_in_python
from tests.projections.tables import NAMES, emptied, in_python, in_sql, ordered
from tests.projections.workings import CARELESS

AT = datetime(2009, 1, 5, tzinfo=UTC)
HALF_LOUNGE = {"change": "service_price", "club_id": "lounge", "factor": "1/2"}

SCENARIOS = {
    "nothing": scenario(),
    "half of everything earned": scenario({"change": "earning_rate", "factor": "1/2"}),
    "more earned by a rule": scenario(
        {"change": "earning_rate", "factor": "3/2", "rule": "v1", "since": "2008-02-01"}
    ),
    "short expiry": scenario({"change": "expiry_policy", "expires": "month_end"}),
    "no expiry": scenario({"change": "expiry_policy", "expires": "never"}),
    "half price": scenario(HALF_LOUNGE),
    "dear for gold": scenario(
        {"change": "service_price", "club_id": "health", "service_id": "room", "tier": "gold",
         "points": 90},
        {"change": "service_price", "club_id": "lounge", "points": 50, "companion_points": 25},
    ),
    "other terms": scenario(
        {"change": "campaign_terms", "campaign_id": "plain", "prepaid_min_fen": 40_000,
         "gift_bp": 10_000, "months_bound": 24},
        {"change": "campaign_terms", "campaign_id": "drawn", "min_tier": "gold"},
    ),
    "tiers by spend": scenario(
        {"change": "tier_rule", "thresholds_fen": {"diamond": 12_000, "gold": 4_000},
         "window": "rolling", "months": 2, "since": "2008-02-01"},
    ),
    "tiers of the year, and cheaper": scenario(
        {"change": "tier_rule", "thresholds_fen": {"gold": 12_000, "silver": 1},
         "window": "calendar_year"},
        HALF_LOUNGE,
    ),
}  # fmt: skip


def asked(conn: Connection[Any]) -> dict[str, Any]:
    """Every answer by its bare name, as the queries ask for it."""
    cursor = conn.cursor(row_factory=dict_row)
    conn.execute("SET TimeZone = 'UTC'")
    found = {name: ordered(cursor.execute(f"SELECT * FROM {name}").fetchall()) for name in NAMES}
    conn.execute("RESET TimeZone")  # the programme's, of whose days the folds are
    return found


def refused(conn: Connection[Any]) -> list[Any]:
    return sorted(
        conn.execute("SELECT member_id, command, code, tier FROM refused").fetchall(), key=str
    )


@pytest.mark.parametrize("buckets", [1, 4])
def test_the_database_supposes_what_python_supposes(
    installed: Callable[[int], str], buckets: int
) -> None:
    dsn = installed(buckets)
    with connect(dsn) as conn:

        @settings(max_examples=8, deadline=None, suppress_health_check=CARELESS)
        @given(steps=STEPS, names=st.permutations(list(SCENARIOS)))
        def agree(steps: list[Any], names: list[str]) -> None:
            world = history(steps, buckets)
            emptied(conn)
            lay(conn, world.log)
            lay_asked(conn, world)
            for name in names[:3]:
                said = suppose_in_python(world, SCENARIOS[name])
                with recorded(dsn) as changed:
                    assert asked(changed) == in_python(world.log), name
                    suppose(changed, SCENARIOS[name])
                    found, wanted = asked(changed), in_python(said.log)
                    for table, rows in wanted.items():
                        assert found[table] == rows, (name, table)
                    assert unbalanced(changed) == []
                    told = [
                        (member, each.command, each.refusal.code, each.tier)
                        for member, all_of_his in said.refused.items()
                        for each in all_of_his
                    ]
                    assert refused(changed) == sorted(told, key=str)
            assert in_sql(conn) == in_python(world.log), "what is stays as it was"

        agree()


# ------------------------------------------------------------------------------ one small history
def visited() -> World:
    """Of five with 100 points each, three are gold; two pay 30 at the lounge, one of them twice."""
    world = furnished()
    for member in ("m1", "m3"):
        world.does("tier.change", member_id=member, tier="gold")
    come: dict[str, Any] = {"club_id": "lounge", "service_id": "room", "confirm_repeat": True}
    for member in ("m1", "m1", "m2"):
        world.does("visit.record", member_id=member, **come)
    world.does("points.debit", member_id="m1", points=20)
    world.does("campaign.enrol", member_id="m3", campaign_id="plain", prepaid_fen=1_000)
    assert not world.refused
    return world


@pytest.fixture
def small(installed: Callable[[int], str]) -> str:
    dsn = installed(1)
    with connect(dsn) as conn:
        lay(conn, visited().log)
        lay_asked(conn, visited())
    return dsn


def differences(dsn: str, said: Scenario) -> dict[tuple[str | None, ...], Any]:
    """By measure and part."""
    found = what_if(dsn, said, AT)
    return {(d.measure_id, *d.key.values()): d.difference for d in found.measures}


def test_the_difference_is_told_in_sums_by_tier_and_club_and_in_all(small: str) -> None:
    said = scenario(HALF_LOUNGE, fen_per_1000_points=1_500)
    found = differences(small, said)
    assert {each: change for each, change in found.items() if "gold" in each} == {
        ("points.debited", "gold"): -45,
        ("points.use_rate", "gold"): found["points.use_rate", "gold"],
        ("points.outstanding", "gold"): 45,
        ("points.spendable", "gold"): 45,
        ("points.liability", "gold"): Decimal("0.68"),  # 235 points are worth 3.525, 190 were 2.85
        ("visits.points", "gold"): -45,
    }
    assert found["visits.points", "lounge"] == found["visits.points",] == -45
    assert found["points.outstanding",] == -found["points.debited",] == 45
    assert {measure_id for measure_id, *_ in found} == {
        "points.debited",
        "points.use_rate",
        "points.outstanding",
        "points.spendable",
        "points.liability",
        "visits.points",
    }


def test_members_come_most_affected_first_and_in_pages(small: str) -> None:
    said = scenario({"change": "service_price", "club_id": "lounge", "factor": "2"})
    found = what_if(small, said, AT)
    assert [(m.member_id, m.points, m.supposed_points, m.refusals) for m in found.affected] == [
        ("m2", 70, 40, 0),
        ("m1", 20, 20, 1),
    ]
    assert found.affected_members == found.replayed_members == 2
    (refusal,) = found.refused
    assert (refusal.member_id, refusal.command, refusal.code) == (
        "m1", "visit.record", "not_enough_points",
    )  # fmt: skip
    assert refusal.numbers == {"needed_points": 60, "spendable_points": 40}
    assert [(r.code, r.tier, r.count) for r in found.refusals] == [("not_enough_points", "gold", 1)]
    for skip, wanted in ((0, "m2"), (1, "m1")):
        page = what_if(small, said, AT, limit=1, skip=skip)
        assert [member.member_id for member in page.affected] == [wanted]
        assert page.affected_members == 2


def test_terms_and_tiers_are_told_where_they_differ(small: str) -> None:
    terms = {
        "change": "campaign_terms",
        "campaign_id": "plain",
        "gift_bp": 2_000,
        "months_bound": 24,
    }
    found = differences(small, scenario(terms))
    assert {measure_id for measure_id, *_ in found} == {
        "campaigns.gifts",
        "campaigns.cost",
        "campaigns.cost_per_participant",
        "bindings.active",  # on 5 January 2009 the six months are over
    }
    assert found["campaigns.gifts", "plain"] == found["campaigns.gifts",] == 1  # yuan
    assert found["bindings.active", "prepay"] == found["bindings.active",] == 1
    silver = {"change": "tier_rule", "thresholds_fen": {"silver": 0}, "window": "rolling"}
    fallen = what_if(small, scenario(silver), AT)
    assert {(m.member_id, m.tier, m.supposed_tier) for m in fallen.affected} == {
        (f"m{n}", "gold", None) for n in (1, 2, 3)
    }
    assert ("members.vips", "gold") in differences(small, scenario(silver))


def test_the_last_place_is_lost_with_its_enrolment(installed: Callable[[int], str]) -> None:
    dsn, world = installed(4), furnished(4)
    for member, fen in (("m1", 1_000), ("m2", 500)):
        world.does("campaign.enrol", member_id=member, campaign_id="plain", prepaid_fen=fen)
    with connect(dsn) as conn:
        lay(conn, world.log)
        lay_asked(conn, world)
    said = scenario({"change": "campaign_terms", "campaign_id": "plain", "prepaid_min_fen": 501})
    with recorded(dsn) as changed:
        assert changed.execute("SELECT max(places) FROM campaign").fetchone() == (2,)
        suppose(changed, said)
        assert changed.execute("SELECT max(places) FROM campaign").fetchone() == (1,)
        assert asked(changed) == in_python(suppose_in_python(world, said).log)


def test_a_budget_is_spent_by_what_still_counts(installed: Callable[[int], str]) -> None:
    dsn, world = installed(4), furnished(4)
    world.does(
        "campaign.launch", campaign_id="thrifty", title="x", kind="prepay",
        tiers=list(PROGRAMME.tiers), untiered=True,
        opens_on=date(2008, 1, 1), closes_on=date(2099, 12, 31), prepaid_min_fen=100,
        gift_bp=1_000, budget_fen=300,
    )  # fmt: skip
    for member in ("m1", "m2", "m3"):
        here: dict[str, Any] = {"member_id": member, "campaign_id": "thrifty"}
        world.does("campaign.enrol", **here, prepaid_fen=1_000)
        if member == "m1":
            world.does("campaign.correct_enrolment", **here, reason="x")
    with connect(dsn) as conn:
        lay(conn, world.log)
        lay_asked(conn, world)
    for gift_bp, left in ((1_500, 2), (2_000, 1), (4_000, 0)):
        terms = {"change": "campaign_terms", "campaign_id": "thrifty", "gift_bp": gift_bp}
        with recorded(dsn) as changed:
            suppose(changed, scenario(terms))
            found = changed.execute(
                f"SELECT count(*) FROM {counted('campaign.enrolled')} e"
                " WHERE campaign_id = 'thrifty'"
            )
            assert found.fetchone() == (left,)
            wanted = in_python(suppose_in_python(world, scenario(terms)).log)
            assert asked(changed) == wanted


def test_lapsed_points_are_expired_whether_or_not_it_is_written_down(small: str) -> None:
    told = differences(small, scenario({"change": "expiry_policy", "expires": "month_end"}))
    assert told["points.outstanding",] == -390


def test_a_measure_that_would_come_out_otherwise_is_named(installed: Callable[[int], str]) -> None:
    dsn, world = installed(1), furnished()
    world.does("points.credit", member_id="m2", points=900, source="bill", rule="v1")
    come: dict[str, Any] = {
        "member_id": "m2",
        "club_id": "lounge",
        "service_id": "room",
        "confirm_repeat": True,
    }
    for _ in range(12):
        world.does("visit.record", **come)
    with connect(dsn) as conn:
        lay(conn, world.log)
        lay_asked(conn, world)
    dear = scenario({"change": "service_price", "club_id": "lounge", "points": 1_001})
    found = {(each.measure_id, *each.key): each for each in what_if(dsn, dear, AT).measures}
    came = found["visits.count",]
    assert (came.before, came.after) == (Decimal(12), Decimal(0))
    assert ("members.vips",) not in found


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({**HALF_LOUNGE, "club_id": "golf"}, UnknownClub),
        ({**HALF_LOUNGE, "service_id": "bath"}, UnknownService),
        ({"change": "campaign_terms", "campaign_id": "no", "gift_bp": 1}, UnknownCampaign),
    ],
)
def test_what_there_is_not_is_refused(
    small: str, change: dict[str, Any], refusal: type[Refusal]
) -> None:
    with pytest.raises(refusal):
        what_if(small, scenario(change), AT)


def test_an_empty_ledger_and_a_scenario_without_changes_differ_in_nothing(
    installed: Callable[[int], str], small: str
) -> None:
    for dsn, said in ((installed(4), scenario()), (small, scenario())):
        found = what_if(dsn, said, AT)
        assert (found.replayed_members, found.affected, found.measures) == (0, [], [])


def test_lines_of_files_are_decided_again_as_they_were_asked(
    installed: Callable[[int], str],
) -> None:
    """A free visit was left, and the member paid: the event does not say that he asked to."""
    dsn = installed(4)
    who: dict[str, Any] = {"member_id": "m1"}
    come: dict[str, Any] = {**who, "club_id": "health", "service_id": "escort", "desk": "d1"}
    come["confirm_repeat"] = True
    tiers: dict[str, Any] = {"tiers": ["gold"], "opens_on": "2008-01-01"}
    lines = [
        fact("unit.open", unit_id="u1", title="East"),
        fact("club.open", club_id="health", title="Health", **tiers),
        fact("service.price", club_id="health", service_id="escort", title="Escort", points=10,
             free_visits={"gold": 1}),
        fact("member.join", **who, unit_id="u1", name="Somebody"),
        fact("tier.change", **who, tier="gold", reason="x"),
        fact("points.credit", **who, points=100, source="s", rule="r"),
        fact("visit.record", **come, payment="points", shown_points=10),
        fact("visit.record", **come),
        fact("visit.record", **come, key="own", shown_points=10),
    ]  # fmt: skip
    assert Importer(dsn, now=AT).load(lambda: lines, key="all").facts == len(lines)
    price = {"change": "service_price", "club_id": "health"}
    assert differences(dsn, scenario({**price, "factor": "1"})) == {}
    halved = differences(dsn, scenario({**price, "factor": "1/2"}))
    assert halved["points.debited", "gold"] == -10


# --------------------------------------------------------------------------- what it leaves alone
def relations(conn: Connection[Any]) -> set[tuple[str, str]]:
    return set(
        conn.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_(catalog|toast)'"
        ).fetchall()
    )


def test_nothing_is_left_behind_even_where_it_broke_off(small: str) -> None:
    class Broken(Exception):
        pass

    def breaks(_: Progress) -> None:
        raise Broken

    with connect(small) as conn:
        project(small)
        before, answers = relations(conn), in_sql(conn)
        what_if(small, scenario(HALF_LOUNGE), AT)
        with pytest.raises(Broken):
            what_if(small, scenario(HALF_LOUNGE), AT, report=breaks)
        assert relations(conn) == before
        assert in_sql(conn) == answers
        assert eventually(lambda: try_session_lock(conn, Lock.BUILDER)), "once its session is over"


def test_it_sees_one_position_while_the_live_answers_go_on(small: str) -> None:
    world = visited()
    before = in_python(world.log)
    with recorded(small) as changed, connect(small) as conn:
        suppose(changed, scenario())
        more = len(world.log)
        world.does(
            "visit.record", member_id="m2", club_id="lounge", service_id="room", confirm_repeat=True
        )
        lay(conn, world.log[more:])
        assert project(small).events == 2
        assert in_sql(conn) == in_python(world.log)
        assert asked(changed) == before


def test_a_query_that_was_prepared_reads_what_would_be(small: str) -> None:
    log, half = visited().log, scenario(HALF_LOUNGE)
    with recorded(small) as changed:
        for _ in range(7):
            assert asked(changed) == in_python(log)
        suppose(changed, half)
        assert asked(changed) == in_python(suppose_in_python(visited(), half).log)


def test_two_suppose_at_once_and_do_not_meet(small: str) -> None:
    cheap, dear = (
        scenario({"change": "service_price", "club_id": "lounge", "points": n}) for n in (1, 45)
    )
    with recorded(small) as one, recorded(small) as other:
        suppose(one, cheap)
        suppose(other, dear)
        assert asked(one) == in_python(suppose_in_python(visited(), cheap).log)
        assert asked(other) == in_python(suppose_in_python(visited(), dear).log)


def test_who_wants_to_be_alone_is_told_of_another(small: str) -> None:
    with recorded(small, alone=True):
        with pytest.raises(AnotherIsSupposed), recorded(small, alone=True):
            pass
        with recorded(small):
            pass  # It is only those who want to be alone that are in each other's way.
    with recorded(small, alone=True):
        pass


def test_who_was_alone_leaves_at_once_and_not_with_his_session(small: str) -> None:
    with connect(small) as goes_on:
        with recorded(small, alone=True, opened=lambda _: nullcontext(goes_on)):
            pass
        with recorded(small, alone=True):
            pass


def test_a_rebuild_is_not_swapped_in_meanwhile(small: str) -> None:
    with connect(small) as conn:
        with recorded(small):
            assert not try_session_lock(conn, Lock.BUILDER)
        with ThreadPoolExecutor(1) as pool:
            with recorded(small) as changed:
                rebuilt = pool.submit(rebuild, small)
                suppose(changed, scenario(HALF_LOUNGE))
                assert not rebuilt.done()
                assert unbalanced(changed) == []
            assert rebuilt.result(timeout=PATIENCE_S).rebuilt


def test_a_statement_that_takes_too_long_is_cancelled(small: str) -> None:
    with pytest.raises(psycopg.errors.QueryCanceled), recorded(small, timeout_s=SOON_S) as conn:
        conn.execute("SELECT pg_sleep(30)")


def test_what_lies_before_a_poisoned_event_is_supposed(small: str) -> None:
    with connect(small) as conn:
        project(small)
        last = log_ends(conn)[0]
        lay_rows(conn, [(0, "member:m1", "points.debited", b"{}", last + 1)])
    assert what_if(small, scenario(HALF_LOUNGE), AT).positions == {0: last}
