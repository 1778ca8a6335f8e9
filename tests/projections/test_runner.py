"""The runner: catching up, following, rebuilding beside readers, and being killed in between."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from domain.catalogue import CATALOGUE
from ledger.database import connect, install
from ledger.locks import Lock
from projections.audit.audit import Audit, compare
from projections.engine import building, runner
from projections.engine import schemas as state
from projections.engine.event_tables import Window, typed_tables
from projections.engine.runner import PoisonedEvent, Progress
from projections.engine.schemas import LIVE, outdated
from projections.engine.windows import MovedOn, fold_window
from tests.patience import PATIENCE_S, eventually
from tests.projections.histories import START, lay, lay_rows
from tests.projections.tables import in_python, in_sql
from tests.projections.workings import busy, caught_up, following, schemas


@pytest.fixture
def one_lane(installed: Callable[[int], str]) -> str:
    """A fresh ledger where the number of lanes does not matter."""
    return installed(1)


def replayed(dsn: str) -> Audit:
    """The live answers held against a replay of the log."""
    return compare(dsn, ["replay"])


# -------------------------------------------------------------------------------- catching up
def test_project_folds_what_is_new_and_nothing_twice(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        buckets = len(runner.status(conn))
        world = busy(buckets)
        lay(conn, world.log)
        heard: list[Progress] = []
        assert runner.project(ledger_dsn, heard.append).events == len(world.log)
        assert heard[-1].done == heard[-1].total == len(world.log)
        before = len(world.log)
        world.does("points.credit", member_id="m1", points=7, source="gift", rule="v1")
        lay(conn, world.log[before:])
        assert sum(lane.lag for lane in runner.status(conn)) == 1
        assert runner.project(ledger_dsn) == runner.Folded(1, rebuilt=False)
        assert runner.project(ledger_dsn) == runner.Folded(0, rebuilt=False)
        assert caught_up(conn)
        assert in_sql(conn) == in_python(world.log)


def test_status_of_a_ledger_without_answers_is_all_behind(one_lane: str) -> None:
    with connect(one_lane) as conn:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log)
        assert sum(lane.lag for lane in runner.status(conn)) == len(world.log)


def test_a_long_way_behind_it_rebuilds(ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "REBUILD_EVENTS", 10)
    monkeypatch.setattr(runner, "WINDOW_EVENTS", 7)
    monkeypatch.setattr(building, "FILL_EVENTS", 9)
    monkeypatch.setattr(building, "FOLD_EVENTS", 11)
    with connect(ledger_dsn) as conn:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log)
        heard: list[Progress] = []
        assert runner.project(ledger_dsn, heard.append).rebuilt
        assert heard[0].stage == "events"
        assert {p.stage for p in heard} == {"events", "answers"}
        assert in_sql(conn) == in_python(world.log)
        assert schemas(conn) == {"answers", "typed"}


def test_events_that_come_during_a_rebuild_are_in_it(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WINDOW_EVENTS", 3)
    with connect(ledger_dsn) as conn, connect(ledger_dsn) as other:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log[:20])
        late = [world.log[20:]]

        def hear(at: Progress) -> None:
            if at.stage == "answers" and late:
                lay(other, late.pop())

        assert runner.rebuild(ledger_dsn, hear).events == len(world.log)
        assert caught_up(conn)
        assert in_sql(conn) == in_python(world.log)


def test_answers_of_another_version_are_rebuilt(one_lane: str) -> None:
    with connect(one_lane) as conn:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log)
        runner.project(one_lane)
        conn.execute("UPDATE answers.checkpoint SET version = 'x' WHERE projection = 'points'")
        conn.execute("UPDATE answers.lot SET spent = 0")
        assert outdated(conn)
        assert runner.project(one_lane).rebuilt
        assert not outdated(conn)
        assert in_sql(conn) == in_python(world.log)


def test_versions_do_not_depend_on_what_was_imported_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = state.versions()
    backwards = dict(reversed(typed_tables().items()))
    monkeypatch.setattr(state, "typed_tables", lambda: backwards)
    assert state.versions() == before


def test_checkpoints_that_disagree_are_mended_by_a_rebuild(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log[:-5])
        runner.project(ledger_dsn)
        conn.execute(
            "UPDATE answers.checkpoint SET position = position - 1 WHERE projection = 'points'"
        )
        lay(conn, world.log[-5:])
        assert runner.project(ledger_dsn).rebuilt
        assert in_sql(conn) == in_python(world.log)


def test_only_who_finds_the_checkpoint_where_he_left_it_may_fold(one_lane: str) -> None:
    with connect(one_lane) as conn:
        lay(conn, busy(len(runner.status(conn))).log)
        runner.project(one_lane)
        with pytest.raises(MovedOn):
            fold_window(conn, LIVE, Window(0, 0, 1))
        assert not replayed(one_lane).different


# ----------------------------------------------------------------------------- poisoned events
POISONS = {
    "a name that nobody knows": ("unit:a", "unit.dissolved", b"{}"),
    "no JSON": ("unit:a", "unit.opened", b"{"),
    "not UTF-8": ("unit:a", "unit.opened", b'{"title": "\xff"}'),
    "a field left out": ("unit:a", "unit.opened", b'{"title": "A"}'),
    "a word for a number": (
        "club:a",
        "visit.emergency_admitted",
        b'{"occurred_at": "2008-01-01T00:00:00Z", "actor": "a:b", "key": "k", "desk": "d",'
        b' "category": "child", "people": "many"}',
    ),
    "a stream of another kind": (
        "club:a",
        "unit.opened",
        b'{"occurred_at": "2008-01-01T00:00:00Z", "actor": "a:b", "key": "k", "title": "A"}',
    ),
    "what a fold cannot take": (
        "member:m1",
        "member.joined",
        b'{"occurred_at": "2008-01-01T00:00:00Z", "actor": "a:b", "key": "k", "unit_id": "west"}',
    ),
}


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS.keys())
def test_an_event_that_cannot_be_taken_stops_the_runner_and_is_named(
    installed: Callable[[int], str], poison: tuple[str, str, bytes]
) -> None:
    dsn = installed(1)
    with connect(dsn) as conn:
        world = busy(1)
        stream, topic, state = poison
        place = len(world.log) + 1
        lay(conn, world.log)
        lay_rows(conn, [(0, stream, topic, state, place)])
        lay_rows(conn, [(0, "unit:z", "unit.opened", POISONS["a stream of another kind"][2],
                         place + 1)])  # fmt: skip
        with pytest.raises(PoisonedEvent, match=rf"position {place} of bucket 0 \({topic}\)"):
            runner.project(dsn)
        (lane,) = runner.status(conn)
        assert (lane.log_end, lane.position) == (place + 1, place - 1)
        assert runner.standstills(conn) == [runner.Standstill(0, place, topic)]
        with pytest.raises(PoisonedEvent, match=rf"position {place} of bucket 0"):
            runner.project(dsn)
        assert in_sql(conn) == in_python(world.log)


@pytest.mark.parametrize("poison", ["no JSON", "what a fold cannot take"])
def test_a_rebuild_over_a_poisoned_event_leaves_the_live_answers_alone(
    installed: Callable[[int], str], poison: str
) -> None:
    dsn = installed(1)
    with connect(dsn) as conn:
        world = busy(1)
        lay(conn, world.log)
        runner.project(dsn)
        place = len(world.log) + 1
        lay_rows(conn, [(0, *POISONS[poison], place)])
        with pytest.raises(PoisonedEvent, match=f"position {place} "):
            runner.rebuild(dsn)
        assert in_sql(conn) == in_python(world.log)
        assert runner.standstills(conn) == [], "the live answers still follow"


def test_once_the_cause_is_mended_it_goes_on(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    with connect(dsn) as conn:
        assert runner.standstills(conn) == [], "no answers yet"
        lay_rows(conn, [(0, "unit:a", "unit.opened", b"{}", 1)])
        with pytest.raises(PoisonedEvent):
            runner.project(dsn)
        assert runner.standstills(conn) == [runner.Standstill(0, 1, "unit.opened")]
        conn.execute(
            "UPDATE ledger.stored_events SET state = %b", (POISONS["a stream of another kind"][2],)
        )
        assert runner.project(dsn).events == 1
        assert runner.standstills(conn) == []


def test_a_standstill_that_is_over_is_forgotten_with_nothing_left_to_fold(
    installed: Callable[[int], str],
) -> None:
    """As when one goes back to a version that had taken the event: else /readyz is red for ever."""
    dsn = installed(1)
    with connect(dsn) as conn:
        lay(conn, busy(1).log)
        runner.project(dsn)
        kept = conn.execute("SELECT version, projection FROM answers.checkpoint").fetchall()
        conn.execute(
            "UPDATE ledger.stored_events SET state = '{}' WHERE notification_id ="
            " (SELECT min(notification_id) FROM ledger.stored_events WHERE topic = 'unit.opened')"
        )
        conn.execute("UPDATE answers.checkpoint SET version = 'newer'")
        with pytest.raises(PoisonedEvent):
            runner.project(dsn)
        assert runner.standstills(conn)
        for version in kept:
            conn.execute(
                "UPDATE answers.checkpoint SET version = %s WHERE projection = %s", version
            )
        assert runner.project(dsn).events == 0
        assert runner.standstills(conn) == []


def test_a_lane_that_has_gone_on_is_not_told_to_stand_because_another_does(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(4)
    with connect(dsn) as conn:
        lay_rows(conn, [(0, "unit:a", "unit.opened", b"{}", 1)])
        with pytest.raises(PoisonedEvent):
            runner.project(dsn)
        conn.execute(
            "UPDATE ledger.stored_events SET state = %b", (POISONS["a stream of another kind"][2],)
        )
        lay_rows(conn, [(1, "unit:b", "unit.opened", b"{}", 1)])
        with pytest.raises(PoisonedEvent):
            runner.project(dsn)
        assert runner.standstills(conn) == [runner.Standstill(1, 1, "unit.opened")]


def test_lag_is_the_age_of_the_oldest_event_not_folded(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log)
        in_ten_s = START + timedelta(seconds=10)
        assert {lane.lag_s(in_ten_s) for lane in runner.status(conn)} == {10.0}
        assert {lane.lag_s(START - timedelta(1)) for lane in runner.status(conn)} == {0.0}
        runner.project(ledger_dsn)
        assert {lane.lag_s(in_ten_s) for lane in runner.status(conn)} == {0.0}


def test_a_follower_dies_of_a_poisoned_event(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    with connect(dsn) as conn, following(dsn) as died:
        lay_rows(conn, [(0, "unit:a", "unit.dissolved", b"{}", 1)])
        assert eventually(lambda: len(died) == 1)
        assert isinstance(died[0], PoisonedEvent)
        assert (died[0].bucket, died[0].position, died[0].topic) == (0, 1, "unit.dissolved")


# ---------------------------------------------------------------------------------- following
def test_a_follower_folds_what_comes_and_another_takes_over(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        world = busy(len(runner.status(conn)))
        with following(ledger_dsn):
            assert eventually(lambda: state.installed(conn))
            with following(ledger_dsn) as second:
                for stored in world.log[:10]:
                    lay(conn, [stored])
                assert eventually(lambda: caught_up(conn))
                assert runner.project(ledger_dsn) == runner.Folded(0, rebuilt=False)
                conn.execute(
                    "SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.granted"
                    " AND l.locktype = 'advisory' AND l.objid = %s",
                    (Lock.RUNNER & 0xFFFFFFFF,),
                )
                lay(conn, world.log[10:])
                assert eventually(lambda: caught_up(conn))
                assert second == []
        assert in_sql(conn) == in_python(world.log)


def test_project_waits_for_the_runner_that_is_at_work(one_lane: str) -> None:
    with connect(one_lane) as conn, connect(one_lane) as holder:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log)
        runner.prepare(conn)
        holder.execute("SELECT pg_advisory_lock(%s)", (Lock.RUNNER,))
        done: list[runner.Folded] = []
        thread = threading.Thread(target=lambda: done.append(runner.project(one_lane)))
        thread.start()
        looks = (  # how far the other one has come, which it asks while it has no lock
            "SELECT FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND query LIKE '%min(position)%'"
        )
        assert eventually(lambda: conn.execute(looks).rowcount > 0)
        assert done == []
        holder.execute("SELECT pg_advisory_unlock(%s)", (Lock.RUNNER,))
        thread.join(PATIENCE_S)
        assert [folded.events for folded in done] == [len(world.log)]


def test_readers_see_whole_answers_all_through_rebuilds(one_lane: str) -> None:
    with connect(one_lane) as conn:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log)
        runner.project(one_lane)
        wanted = (5, sum(stored.event.topic == "visit.recorded" for stored in world.log))
        stop, seen = threading.Event(), set[Any]()

        def read(several: bool) -> None:
            with connect(one_lane) as reader:
                while not stop.is_set():
                    if several:
                        with runner.snapshot(reader):
                            seen.add(counted(reader))
                    else:
                        seen.add(counted(reader))

        def counted(reader: Any) -> tuple[int, int]:
            (members,) = reader.execute("SELECT count(*) FROM answers.member").fetchone()
            (visits,) = reader.execute("SELECT count(*) FROM typed.visit_recorded").fetchone()
            return members, visits

        threads = [threading.Thread(target=read, args=(several,)) for several in (True, False)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            runner.rebuild(one_lane)
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert seen == {wanted}


def test_a_swap_gives_up_on_a_reader_who_never_ends(
    one_lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SWAP_TRIES", 2)
    with connect(one_lane) as conn:
        lay(conn, busy(len(runner.status(conn))).log)
        runner.project(one_lane)
        with runner.snapshot(conn), pytest.raises(psycopg.errors.LockNotAvailable):
            runner.rebuild(one_lane)
        assert runner.rebuild(one_lane).rebuilt
        assert not replayed(one_lane).different


# --------------------------------------------------------------------------------- being killed
KILLED = """
import os, signal, sys
from projections.engine import runner
stage, work, dsn = sys.argv[1:]
def hear(at):
    if at.stage == stage:
        os.kill(os.getpid(), signal.SIGKILL)
getattr(runner, work)(dsn, hear)
"""


@pytest.mark.parametrize(
    ("stage", "work"), [("events", "rebuild"), ("answers", "rebuild"), ("windows", "project")]
)
def test_a_runner_that_is_killed_leaves_what_the_next_one_goes_on_from(
    ledger_dsn: str, stage: str, work: str
) -> None:
    with connect(ledger_dsn) as conn:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log[:10])
        runner.project(ledger_dsn)
        lay(conn, world.log[10:])
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, stage, work, ledger_dsn], check=False
        )
        assert killed.returncode == -signal.SIGKILL
        getattr(runner, work)(ledger_dsn)
        runner.project(ledger_dsn)
        assert in_sql(conn) == in_python(world.log)
        assert schemas(conn) == {"answers", "typed"}


def test_a_runner_killed_in_the_middle_of_a_fold_counts_nothing_twice(one_lane: str) -> None:
    with connect(one_lane) as conn, connect(one_lane) as holder:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log)
        runner.prepare(conn)
        with holder.transaction():
            holder.execute("LOCK TABLE answers.cohort IN ACCESS EXCLUSIVE MODE")
            process = subprocess.Popen([sys.executable, "-c", KILLED, "never", "project", one_lane])
            assert eventually(lambda: waits_for_a_table(conn))
            os.kill(process.pid, signal.SIGKILL)
            process.wait(PATIENCE_S)
        runner.project(one_lane)
        assert in_sql(conn) == in_python(world.log)


def waits_for_a_table(conn: Any) -> bool:
    (waiting,) = conn.execute(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'"
    ).fetchone()
    return bool(waiting)


def test_every_event_has_a_typed_table(database: str) -> None:
    install(database)
    with connect(database) as conn:
        assert not state.installed(conn)
        runner.prepare(conn)
        found = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'typed'")
        assert {name for (name,) in found.fetchall()} == {
            topic.replace(".", "_") for topic in CATALOGUE
        }
