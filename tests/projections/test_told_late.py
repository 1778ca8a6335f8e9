"""Facts told late: in whatever order they are told, they end as if told in order, except for what
is listed in doubt."""

from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.kernel import timeline
from domain.members import is_important, tier_at, unit_at
from ledger.database import connect
from projections import campaigns, clubs, members
from projections.audit import doubts
from projections.engine.measure import measured
from projections.engine.reference import ReferenceFold
from projections.engine.runner import prepare
from tests.projections.cutting import agreed, fold_cut
from tests.projections.doubting import Doubting
from tests.projections.histories import SUPERVISOR, TERMS, World, lay
from tests.projections.tables import emptied, in_python, looking
from tests.projections.workings import CARELESS

START = datetime.fromisoformat("2008-01-01T00:00:00+08:00")
SPA: dict[str, Any] = {"club_id": "spa"}
ROOM: dict[str, Any] = {**SPA, "service_id": "room", "title": "Room"}
WHO = st.sampled_from(["m1", "m2"])
UNITS = st.sampled_from(["west", "east"])
TIERS = st.sampled_from(["gold", "diamond", "silver", None])
Fact = tuple[int, str, dict[str, Any]]


def begun(buckets: int = 1) -> World:
    """What stands at the start of the year: a unit, a club, campaigns, members with points."""
    world = World(buckets, now=START)
    world.does("unit.open", unit_id="east", title="East")
    world.does("unit.open", unit_id="west", title="West")
    world.does("club.open", **SPA, title="Spa", opens_on=date(2008, 1, 1),
               tiers=("diamond", "gold"), important=True, opens_minute=9 * 60,
               closes_minute=18 * 60)  # fmt: skip
    world.does("service.price", **ROOM, points=10, tier_points={"diamond": 5})
    for campaign in ("one", "two"):
        world.does("campaign.launch", campaign_id=campaign, title="C", kind="care",
                   excludes=("handset",) if campaign == "two" else (),
                   opens_on=date(2008, 1, 1), closes_on=date(2010, 1, 1), control_bp=5000,
                   tiers=("diamond", "gold"), gift_bp=100)  # fmt: skip
    world.does("cohort.open", cohort_id="all", title="All", purpose="retention", criterion="all",
               taken_on=date(2008, 6, 1), at=START + timedelta(days=153))  # fmt: skip
    for member in ("m1", "m2"):
        world.does("member.join", member_id=member, unit_id="west")
        world.does("tier.change", member_id=member, tier="gold")
        world.does("points.credit", member_id=member, points=10**6, source="bill", rule="v1")
    return world


WORDS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "tier.change": {"member_id": WHO, "tier": TIERS},
        "member.mark_important": {"member_id": WHO, "important": st.booleans()},
        "visit.record": {"member_id": WHO, "club_id": st.just("spa"), "service_id": st.just("room"),
                         "confirm_repeat": st.just(True)},
        "service.price": {**{k: st.just(v) for k, v in ROOM.items()}, "points": st.integers(1, 99)},
        "campaign.change_terms": {**{k: st.just(v) for k, v in TERMS.items()},
                                  "prepaid_min_fen": st.just(0), "campaign_id": st.just("one"),
                                  "gift_bp": st.integers(1, 99)},
        "campaign.enrol": {"member_id": WHO, "campaign_id": st.sampled_from(["one", "two"]),
                           "prepaid_fen": st.just(10_000)},
        "campaign.offer": {"member_id": WHO, "campaign_id": st.sampled_from(["one", "two"])},
        "campaign.close": {"campaign_id": st.just("two")},
        "emergency.declare": {"club_id": st.just("spa")},
        "emergency.end": {"club_id": st.just("spa")},
        "visit.admit_in_emergency": {"club_id": st.just("spa"), "category": st.just("child")},
        "cohort.include": {"member_id": WHO, "cohort_id": st.just("all")},
        "unit.open": {"unit_id": st.just("west"), "title": st.sampled_from(["W", "Wild"])},
        "points.debit": {"member_id": WHO, "points": st.just(1)},
        "member.leave": {"member_id": WHO},
        "member.return": {"member_id": WHO, "unit_id": UNITS},
        "member.move": {"member_id": WHO, "unit_id": UNITS},
        "binding.start": {"member_id": WHO, "policy": st.just("handset"),
                          "starts_on": st.just(date(2008, 1, 1)),
                          "ends_on": st.just(date(2009, 1, 1))},
        "binding.end": {"member_id": WHO, "binding": st.just(1), "cause": st.just("cancelled"),
                        "ended_on": st.just(date(2008, 4, 1))},
}  # fmt: skip
KINDS: list[st.SearchStrategy[tuple[str, dict[str, Any]]]] = [
    st.tuples(st.just(name), st.fixed_dictionaries(words)) for name, words in WORDS.items()
]
OFTEN = [*KINDS, *KINDS[:1] * 6, *KINDS[1:4] * 3, *KINDS[4:6], *KINDS[8:11]]
MINUTE = st.integers(1, timeline.LATE_DAYS * 24 * 60)
FACTS = st.lists(
    st.tuples(MINUTE, st.one_of(OFTEN)), min_size=5, max_size=25, unique_by=lambda each: each[0]
).map(lambda found: [(minute, *fact) for minute, fact in found])


def told(facts: Sequence[Fact], buckets: int = 1) -> tuple[World, list[Fact]]:
    """A world in which these are told one after the other, and those that were taken."""
    world, taken = begun(buckets), []
    for minute, name, words in facts:
        refused = len(world.refused)
        at = START + timedelta(minutes=minute)
        world.does(name, at=at, key=f"k{minute}", **words)
        if len(world.refused) == refused:
            taken.append((minute, name, words))
    return world, taken


def in_order_and_late(facts: Sequence[Fact], buckets: int) -> tuple[World, World]:
    """The same facts told in the order of time and in this one: those that can be told in both."""
    kept = list(facts)
    while True:
        in_order, taken = told(sorted(kept, key=lambda fact: fact[0]), buckets)
        late, again = told([fact for fact in kept if fact in taken], buckets)
        if len(again) == len(kept):
            return in_order, late
        kept = again


NUMBERED = {"visit", "debit", "place", "lots", "binding", "admission"}
"""What is counted as it is told."""


def judged(world: World) -> dict[tuple[str, str], dict[str, Any]]:
    """What was decided of each fact, by its key; a version is known by who gave it."""
    versions = {
        (s.id, getattr(s.event, "price_version", None) or getattr(s.event, "terms_version", None)):
        s.event.key for s in world.log
        if s.event.topic in ("service.priced", "campaign.terms_changed")
    }  # fmt: skip
    found = {}
    for stored in world.log:
        said = {k: v for k, v in stored.event.model_dump().items() if k not in NUMBERED}
        if stored.event.topic == "visit.recorded":
            said["price_version"] = versions["spa", said["price_version"]]
        if stored.event.topic == "campaign.enrolled":
            version = said.pop("terms_version")
            said["terms"] = versions.get((said["campaign_id"], version), version)
        if stored.event.topic in ("service.priced", "campaign.terms_changed"):
            said = {k: v for k, v in said.items() if not k.endswith("_version")}
        if stored.event.topic != "campaign.place_taken":
            found[stored.event.key, stored.event.topic] = said
    return found


ANSWERS = ("member", "absence", "tier_span", "unit_span", "unit", "club", "service",
           "campaign_terms", "campaign", "cohort_member")  # fmt: skip
COPIED = {"cohort_member", "tier_span"}
"""What holds a tier or a unit that was copied."""
COUNTED = {"price_version", "terms_version", "position"}


def answers(world: World) -> dict[str, list[list[tuple[str, Any]]]]:
    plain = in_python(world.log)
    return {
        name: sorted(
            ([(column, value) for column, value in row if column not in COUNTED]
             for row in plain[name]), key=repr
        )
        for name in ANSWERS
    }  # fmt: skip


def same_but_for_doubts(in_order: World, late: World) -> int:
    """The law; returns how many facts were decided otherwise, each of them in doubt."""
    assert Doubting(in_order.log).all() == []
    doubted = {(d.bucket, d.position) for d in Doubting(late.log).all()}
    listed = {(s.event.key, s.event.topic) for s in late.log if (s.bucket, s.position) in doubted}
    wanted, found = judged(in_order), judged(late)
    assert wanted.keys() == found.keys()
    other = {key for key in wanted if wanted[key] != found[key]}
    # A visit's debit is in doubt with the visit.
    other -= {key for key in other if key[1] == "points.debited"
              and (key[0], "visit.recorded") in listed}  # fmt: skip
    assert other <= listed, [(wanted[key], found[key]) for key in other - listed]
    unlisted = answers(in_order), answers(late)
    for name in ANSWERS:
        if name not in COPIED or not listed:
            assert unlisted[0][name] == unlisted[1][name], name
    return len(other)


def states_agree(world: World) -> None:
    """What the states say of now is what the answers say."""
    now = START + timedelta(days=1000)
    rows = ReferenceFold().fold(world.log)
    for row in rows.rows("member"):
        state = world.states[f"member:{row['member_id']}"]["membership"]
        assert (tier_at(state, now), is_important(state, now)) == (row["tier"], row["important"])
        assert unit_at(state, now) == row["unit_id"]
    (club,), (_, unit) = rows.rows("club"), rows.rows("unit")
    assert (
        bool(timeline.at(world.states["club:spa"]["club"].emergency, now)) == club["in_emergency"]
    )
    assert timeline.at(world.states["unit:west"]["unit"].titles, now) == unit["title"]
    for row in rows.rows("campaign"):
        assert (
            world.states[f"campaign:{row['campaign_id']}"]["campaign"].closed_at == row["closed_at"]
        )


LAW = settings(deadline=None, suppress_health_check=CARELESS)


def test_told_in_any_order_it_ends_as_told_in_order_except_for_what_is_in_doubt() -> None:
    doubted, moved = [], []

    @settings(LAW, max_examples=250, derandomize=True)
    @given(FACTS)
    def law(facts: list[Fact]) -> None:
        in_order, late = in_order_and_late(facts, 1)
        doubted.append(same_but_for_doubts(in_order, late))
        moved.append([s.event for s in in_order.log] != [s.event for s in late.log])
        states_agree(late)

    law()
    assert sum(moved) > 50, "nothing was told late"
    assert sum(doubted) > 20, "nothing came into doubt"


@pytest.mark.parametrize("buckets", [1, 4])
def test_sql_and_python_agree_on_what_is_told_late_wherever_the_log_is_cut(
    installed: Callable[[int], str], buckets: int
) -> None:
    with looking(connect(installed(buckets))) as conn:
        listed = []

        @settings(LAW, max_examples=20)
        @given(facts=FACTS, cuts=st.lists(st.integers(1, 60), max_size=6))
        def agree(facts: list[Fact], cuts: list[int]) -> None:
            world, _ = told(facts, buckets)
            listed.extend(agreed(conn, world.log, cuts))

        agree()
        assert listed


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2008-{text}:00+08:00")


def test_answers_of_now_are_of_what_happened_last(ledger_dsn: str) -> None:
    world = begun()
    tier = {"member_id": "m1"}
    world.does("tier.change", at=at("10-01T10:00"), tier="diamond", **tier)
    world.does("tier.change", at=at("06-01T10:00"), tier="silver", **tier)
    mark = {"member_id": "m1", "important": True}
    world.does("member.mark_important", at=at("03-01T09:00"), **mark)
    world.does("member.mark_important", at=at("03-10T09:00"), **{**mark, "important": False})
    world.does("member.mark_important", at=at("03-05T09:00"), **mark)
    world.does("service.price", at=at("09-01T09:00"), **ROOM, points=200)
    world.does("service.price", at=at("06-01T09:00"), **ROOM, points=150)
    terms = {"campaign_id": "one", **TERMS}
    world.does("campaign.change_terms", at=at("09-01T09:00"), **{**terms, "gift_bp": 2000})
    world.does("campaign.change_terms", at=at("06-01T09:00"), **{**terms, "gift_bp": 1500})
    world.does("unit.open", at=at("09-01T09:00"), unit_id="west", title="New")
    world.does("unit.open", at=at("06-01T09:00"), unit_id="west", title="Old")
    world.does("emergency.declare", at=at("02-01T09:00"), **SPA)
    world.does("emergency.end", at=at("02-05T09:00"), **SPA)
    world.does("emergency.declare", at=at("01-10T09:00"), **SPA)
    world.does("emergency.end", at=at("01-12T09:00"), **SPA)
    world.does("visit.admit_in_emergency", at=at("01-11T09:00"), **SPA, category="child")
    assert not world.refused
    with looking(connect(ledger_dsn)) as conn:
        prepare(conn)
        lay(conn, world.log)
        fold_cut(conn, [len(world.log) // 2])
        card = members.member(conn, "m1", at("12-01T09:00"))
        assert card is not None
        assert (card.tier, card.tier_since, card.important) == ("diamond", at("10-01T10:00"), False)
        spans = conn.execute(
            "SELECT tier, until FROM tier_span WHERE member_id = 'm1' ORDER BY since"
        ).fetchall()
        assert spans == [
            ("gold", at("06-01T10:00")), ("silver", at("10-01T10:00")), ("diamond", None),
        ]  # fmt: skip
        of_month = [
            [measured(conn, "members.vips", {"tier": tier}, date(2008, month, 15)).value
             for tier in ("gold", "silver", "diamond")]
            for month in (5, 7, 11)
        ]  # fmt: skip
        assert of_month == [[2, 0, 0], [1, 1, 0], [1, 0, 1]]
        (price,) = clubs.prices(conn, "spa")
        assert (price.points, price.price_version) == (200, 2)
        found = [campaigns.campaign(conn, "one", date(2008, month, 15)) for month in (5, 7, 11)]
        assert [each and each.gift_bp for each in found] == [100, 1500, 2000]
        titles = conn.execute("SELECT title FROM unit ORDER BY unit_id").fetchall()
        assert titles == [("East",), ("New",)]
        assert [club.in_emergency for club in clubs.clubs(conn)] == [False]


def test_a_doubt_ends_when_the_values_agree_again(ledger_dsn: str) -> None:
    world = begun()
    visit = {"member_id": "m1", "club_id": "spa", "service_id": "room"}
    world.does("visit.record", at=at("03-01T10:00"), **visit)
    world.does("visit.record", at=at("03-02T10:00"), **visit)
    world.does("tier.change", at=at("02-01T10:00"), member_id="m1", tier="diamond")
    world.does("service.price", at=at("02-01T10:00"), **ROOM, points=20)
    with looking(connect(ledger_dsn)) as conn:
        prepare(conn)

        def doubted() -> list[tuple[int, list[str]]]:
            emptied(conn)
            lay(conn, world.log)
            fold_cut(conn, [])
            found = doubts.doubts(conn)
            assert found == Doubting(world.log).all()
            return [(d.position, [each.about for each in d.differences]) for d in found]

        first, second = (s.position for s in world.log if s.event.topic == "visit.recorded")
        assert doubted() == [(first, ["price", "tier"]), (second, ["price", "tier"])]
        (example,) = doubts.doubts(conn, limit=1)
        assert doubts.page(conn, 1).next == (example.bucket, first)
        assert doubts.page(conn, 2).next is None
        assert doubts.doubts(conn, limit=5, after=(example.bucket, first))[0].position == second
        assert example.differences == [
            doubts.Judged(about="price", judged_by="1", holds="2"),
            doubts.Judged(about="tier", judged_by="gold", holds="diamond"),
        ]
        world.does("visit.undo", at=at("03-02T11:00"), member_id="m1", visit=2, actor=SUPERVISOR)
        world.does("tier.change", at=at("02-02T10:00"), member_id="m1", tier="gold")
        assert doubted() == [(first, ["price"])]
        enrol = {"member_id": "m1", "campaign_id": "two"}
        world.does("campaign.enrol", at=at("01-20T10:00"), **enrol)
        days = {"starts_on": date(2008, 1, 5), "ends_on": date(2008, 7, 5)}
        world.does("binding.start", at=at("01-05T10:00"), member_id="m1", policy="handset", **days)
        enrolled = max(s.position for s in world.log if s.event.topic == "campaign.enrolled")
        assert doubted() == [(first, ["price"]), (enrolled, ["bound"])]
        world.does("binding.correct", member_id="m1", binding=1)
        world.does("member.leave", at=at("02-15T10:00"), member_id="m1")
        assert doubted() == [(first, ["left", "price"])]
