"""Answers as of a moment: those of a fresh fold, kept, dropped, and built again if need be."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import reading
from ledger.database import connect
from ledger.log.working import DatedInFuture
from projections import members, points
from projections.asof import member as past
from projections.asof import pairs as asof
from projections.asof import statement
from projections.asof.pairs import pair_of
from projections.engine import runner
from projections.engine.answer import Moment
from projections.engine.building import Builder
from projections.engine.connection import Conn
from projections.engine.days import end_of
from projections.engine.event_tables import Window
from projections.engine.moments import Asked, NothingKnown, moment, of_live
from projections.engine.reference import Stored
from projections.engine.runner import PoisonedEvent
from projections.engine.schemas import LIVE, log_ends
from projections.engine.windows import advance
from projections.members import Member
from tests.projections.conserving import together, unbalanced
from tests.projections.histories import MEMBERS, STEPS, World, furnished, history, lay, lay_rows
from tests.projections.tables import emptied, in_python, in_sql, looking
from tests.projections.workings import CARELESS

LEAP_DAY = end_of(date(2008, 2, 29)) - timedelta(microseconds=1)
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def one_lane(installed: Callable[[int], str]) -> str:
    """A fresh ledger where the number of lanes does not matter."""
    return installed(1)


def examples(number: int) -> settings:
    return settings(max_examples=number, suppress_health_check=CARELESS, deadline=None)


def forgotten(conn: Conn) -> None:
    """No pair is kept any more."""
    found = conn.execute(r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'asof%'").fetchall()
    for (name,) in found:
        conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def test_a_log_that_is_ahead_of_the_clock_tells_no_future(one_lane: str) -> None:
    """Points that have not lapsed are not said to have, because somebody once wrote under a wrong
    clock."""
    with connect(one_lane) as conn:
        lay(conn, furnished().log)
        conn.execute("UPDATE ledger.stored_events SET recorded_at = %s", (NOW,))
        now = NOW - timedelta(days=3653)
        for known in (None, {0: 1}):
            assert moment(conn, Asked(known), now).at == now
            assert moment(conn, Asked(known), NOW).at == NOW


def held(world: World, then: Moment) -> list[Stored]:
    """The events that a moment holds."""
    known = dict(then.positions)
    return [
        stored
        for stored in world.log
        if stored.position <= known[stored.bucket]
        and (
            then.effective_at is None
            or stored.event.corrects
            or stored.event.occurred_at <= then.effective_at
        )
    ]


def as_of(conn: Conn, member_id: str, then: Moment, at: datetime) -> Member | None:
    """A member by his stream, without the moment."""
    found = past.member(conn, member_id, then, at)
    assert found is None or found.moment == then
    return found and found.model_copy(update={"moment": None})


# ----------------------------------------------------------------------------------- the laws
@pytest.mark.parametrize("buckets", [1, 4])
def test_as_of_any_moment_is_a_fresh_fold_of_its_events(
    installed: Callable[[int], str], buckets: int
) -> None:
    dsn = installed(buckets)
    with looking(connect(dsn)) as conn:

        @examples(8)
        @given(steps=STEPS, choice=st.data())
        def agree(steps: list[Any], choice: st.DataObject) -> None:
            world = history(steps, buckets)
            forgotten(conn)
            emptied(conn)
            lay(conn, world.log)
            known = {b: choice.draw(st.integers(0, end)) for b, end in log_ends(conn).items()}
            late = choice.draw(st.sampled_from(world.log)).event.occurred_at
            for then in (moment(conn, Asked(known), NOW), moment(conn, Asked(known, late), NOW)):
                asof.build(dsn, then)
                wanted = in_python(held(world, then), gaps=then.effective_at is not None)
                found = in_sql(conn, pair_of(then))
                for table, rows in wanted.items():
                    assert found[table] == rows, table
                with asof.snapshot(conn, then):
                    for member_id in MEMBERS:
                        at = then.at or NOW
                        assert as_of(conn, member_id, then, at) == members.member(
                            conn, member_id, at
                        )
                    statements = [points.statement(conn, each, 3) for each in MEMBERS]
                    rest = [
                        points.statement(conn, page.member_id, 100, page.next)
                        for page in statements
                        if page.next is not None
                    ]
                # The live answers hold the moment, and whatever came after it.
                runner.project(dsn)
                assert statements == [statement.page(conn, m, then, 3) for m in MEMBERS]
                for page in rest:
                    (first, *_) = page.entries
                    behind = first.stream_version + 1
                    same = statement.page(conn, page.member_id, then, 100, behind)
                    assert same == page

        agree()


@pytest.mark.parametrize("buckets", [1, 4])
def test_a_member_as_of_every_position_is_what_was_live_at_that_position(
    installed: Callable[[int], str], buckets: int
) -> None:
    with looking(connect(installed(buckets))) as conn:

        @examples(3)
        @given(steps=STEPS)
        def agree(steps: list[Any]) -> None:
            world = history(steps, buckets)
            emptied(conn)
            lay(conn, world.log)
            done = dict.fromkeys(log_ends(conn), 0)
            for stored in world.log:
                done[stored.bucket] = stored.position
                advance(conn, LIVE, Window(stored.bucket, stored.position - 1, stored.position))
                at = stored.event.occurred_at
                places = tuple(done.items())
                then = Moment(known_at=at, effective_at=None, positions=places)
                wanted = members.member(conn, stored.id, at)
                assert as_of(conn, stored.id, then, at) == wanted
                told.append(wanted)

        told = list[Member | None]()
        agree()
        assert any(found and found.lots and found.bindings for found in told)


# ------------------------------------------------------------------------------- two times
def story(conn: Conn) -> dict[str, int]:
    """A history in one lane, an event an hour from 28 February 2008 on; positions by name.

    m9 has 100 points, and pays with them on 1 March; the reversal follows on the 3rd. Told on the
    4th: that on 29 February he had already paid with 60 of them, at another desk.
    """
    world = World(1, now=datetime(2008, 2, 20, tzinfo=UTC))
    at = {}
    world.does("unit.open", unit_id="east", title="East")
    world.does("member.join", member_id="m9", unit_id="east")
    world.does("points.credit", member_id="m9", points=100, source="bill", rule="v1")
    for name, day, command, words in (
        ("paid", datetime(2008, 3, 1, tzinfo=UTC), "points.debit", {"points": 100}),
        ("reversed", datetime(2008, 3, 3, tzinfo=UTC), "points.reverse_debit", {"debit": 1}),
        ("told late", LEAP_DAY, "points.debit", {"points": 60}),
    ):
        world.does(command, at=day, member_id="m9", **words)
        at[name] = len(world.log)
    assert not world.refused
    lay(conn, world.log)
    conn.execute(
        "UPDATE ledger.stored_events SET recorded_at = greatest('2008-02-20Z'::timestamptz,"
        " '2008-03-01Z'::timestamptz + (notification_id - 4) * interval '1 day')"
    )
    return at


def balance(dsn: str, known: Any, effective_at: datetime | None = None) -> int:
    """The programme's points as of a moment."""
    with connect(dsn) as conn:
        then = moment(conn, Asked(known, effective_at), NOW)
    with asof.answers(dsn, then) as conn:
        return together(conn)


def test_what_was_told_late_counts_as_known_now_and_not_as_known_then(one_lane: str) -> None:
    with connect(one_lane) as conn:
        story(conn)
    assert balance(one_lane, LEAP_DAY) == 100  # as known then
    assert balance(one_lane, None, LEAP_DAY) == 40  # as known now
    assert balance(one_lane, None, LEAP_DAY - timedelta(microseconds=1)) == 100
    assert balance(one_lane, None) == 40


def test_the_past_as_known_later_may_be_overdrawn(one_lane: str) -> None:
    """By 2 March he had, as we know now, paid 160 of his 100 points: no answer is refused."""
    with connect(one_lane) as conn:
        story(conn)
        second = datetime(2008, 3, 2, tzinfo=UTC)
        then = moment(conn, Asked(None, second), NOW)
        with asof.answers(one_lane, then) as past_conn:
            assert together(past_conn) == -60
            assert unbalanced(past_conn) == []
            assert members.member(past_conn, "m9", second) == as_of(conn, "m9", then, second)


def test_a_place_that_was_freed_is_not_held_on_any_day(one_lane: str) -> None:
    """Before its enrolment no place was taken, so none is free again."""
    world = furnished()
    world.now = datetime(2008, 3, 1, tzinfo=UTC)
    him: dict[str, Any] = {"member_id": "m1", "campaign_id": "plain"}
    for member in ("m1", "m3"):
        world.does("campaign.enrol", **{**him, "member_id": member}, prepaid_fen=900)
    world.now += timedelta(days=9)
    before = len(world.log)
    world.does("campaign.correct_enrolment", **him)
    assert not world.refused
    with connect(one_lane) as conn:
        lay(conn, world.log)

    def places(known: Any, month: int, day: int) -> int:
        with connect(one_lane) as conn:
            then = moment(conn, Asked(known, datetime(2008, month, day, tzinfo=UTC)), NOW)
        with asof.answers(one_lane, then) as conn:
            found = conn.execute("SELECT places FROM campaign WHERE campaign_id = 'plain'")
            return int(found.fetchone()[0])  # type: ignore[index]

    assert [places(None, *day) for day in ((2, 25), (3, 5), (3, 20))] == [0, 1, 1]
    assert places({0: before}, 3, 5) == 2


def test_positions_are_found_by_time_in_every_lane(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        ends = log_ends(conn)
        world = furnished(len(ends))
        lay(conn, world.log)
        conn.execute(
            "UPDATE ledger.stored_events SET recorded_at ="
            " '2008-01-01Z'::timestamptz + notification_id / 3 * interval '1 hour'"
        )
        ends = log_ends(conn)
        for hours in range(-1, 20):
            instant = datetime(2008, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
            wanted = {lane: min(end, max(0, hours * 3 + 2)) for lane, end in ends.items()}
            assert reading.positions_at(conn, instant) == wanted
        lane = max(ends, key=ends.__getitem__)
        found = moment(conn, Asked({lane: 4}), NOW)
        assert dict(found.positions) == {
            bucket: 4 if bucket == lane else min(end, 5) for bucket, end in ends.items()
        }


def test_a_moment_that_has_not_come_is_refused(one_lane: str) -> None:
    with connect(one_lane) as conn:
        story(conn)
        later = NOW + timedelta(seconds=1)
        for asked_for in (Asked(later), Asked(None, later)):
            with pytest.raises(DatedInFuture):
                moment(conn, asked_for, NOW)
        for known, end in (({0: 7}, 6), ({1: 0}, None)):
            with pytest.raises(reading.UnknownPosition) as refused:
                moment(conn, Asked(known), NOW)
            assert refused.value.log_end == end


def test_today_is_not_over_and_means_up_to_now(one_lane: str) -> None:
    today, tomorrow = date(2030, 1, 1), date(2030, 1, 2)
    with connect(one_lane) as conn:
        story(conn)
        runner.project(one_lane)
        for known, effective in ((today, None), (None, today), (today, today)):
            found = moment(conn, Asked(known, effective), NOW)
            assert found.positions == moment(conn, Asked(None), NOW).positions
            assert found.at == NOW
            assert Asked(known, effective).is_now(NOW)
            with runner.snapshot(conn):
                assert of_live(conn, Asked(known, effective), lambda: NOW) == found
        mixed = Asked({0: 3}, today)
        assert moment(conn, mixed, NOW).effective_at == NOW
        assert not mixed.is_now(NOW)
        assert not Asked(NOW).is_now(NOW)
        for late in (Asked(tomorrow), Asked(None, tomorrow)):
            with pytest.raises(DatedInFuture):
                moment(conn, late, NOW)


def test_before_the_first_event_there_is_nothing(ledger_dsn: str) -> None:
    """Nor in a ledger without any."""
    assert balance(ledger_dsn, None) == 0
    with connect(ledger_dsn) as conn:
        lay(conn, furnished(len(log_ends(conn))).log)
    assert balance(ledger_dsn, {0: 0}) == 0
    with pytest.raises(NothingKnown) as refused:
        balance(ledger_dsn, datetime(2000, 1, 1, tzinfo=UTC))
    assert balance(ledger_dsn, refused.value.first_known_at) is not None
    assert balance(ledger_dsn, None) == 500


def test_an_event_that_cannot_be_taken_spoils_only_what_holds_it(one_lane: str) -> None:
    with connect(one_lane) as conn:
        last = story(conn)["told late"]
        lay_rows(conn, [(0, "member:m9", "points.vanished", b"{}", last + 1)])
    assert balance(one_lane, {0: last}) == 40
    with pytest.raises(PoisonedEvent, match=r"points\.vanished"):
        balance(one_lane, {0: last + 1})
    with connect(one_lane) as conn:
        then = [moment(conn, Asked({0: position}), NOW) for position in (last, last + 1)]
        assert past.member(conn, "m9", then[0], NOW)
        with pytest.raises(LookupError, match=r"points\.vanished"):
            past.member(conn, "m9", then[1], NOW)


# ------------------------------------------------------------------------- kept and dropped
class Counting:
    """How often answers were folded as of a moment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times, fold = 0, Builder.fold

        def counted(builder: Builder, *given: Any) -> None:
            self.times += 1
            fold(builder, *given)

        monkeypatch.setattr(Builder, "fold", counted)


def test_what_was_asked_before_is_kept(one_lane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(one_lane) as conn:
        story(conn)
    folds = Counting(monkeypatch)
    assert balance(one_lane, {0: 3}) == 100
    assert balance(one_lane, {0: 3}) == 100
    assert balance(one_lane, datetime(2008, 2, 29, tzinfo=UTC)) == 100  # the same by its time
    assert folds.times == 1
