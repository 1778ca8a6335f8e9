"""Rebuilds: just what other texts made, beside readers, and on from where one was cut short."""

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo
from pydantic_core import to_json

from domain.catalogue import CATALOGUE
from domain.kernel.event import Event
from domain.kernel.values import Text
from ledger.database import bucket_of, connect
from ledger.locks import Lock
from ledger.log.snapshots import bytes_of, reader
from projections.engine import building, runner, succession
from projections.engine.building import Builder
from projections.engine.catalogue import PROJECTIONS
from projections.engine.event_tables import typed_tables
from projections.engine.projection import Projection
from projections.engine.runner import Folded, PoisonedEvent, Progress, rebuild
from projections.engine.schemas import LIVE, SHADOW, Extent, outdated, stale, try_session_lock
from projections.units import Units
from tests.patience import PATIENCE_S, eventually
from tests.projections.histories import lay, lay_rows
from tests.projections.tables import in_python, in_sql
from tests.projections.workings import busy, caught_up, following, schemas

WHEN = datetime(2009, 1, 1, tzinfo=UTC)
LOUDLY = Units.fold[0].replace("bucket, unit_id, title, occ", "bucket, unit_id, upper(title), occ")


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator["Other"]:
    """What another version of the program would have; gone after the test."""
    projections, events = dict(PROJECTIONS), dict(CATALOGUE)
    yield Other(monkeypatch)
    for known, before in ((PROJECTIONS, projections), (CATALOGUE, events)):
        known.clear()
        known.update(before)  # type: ignore[arg-type]
    typed_tables.cache_clear()


class Other:
    """Plants classes in the place of those of the same name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def projection(self, name: str, fold: tuple[str, ...], tables: tuple[str, ...]) -> None:
        PROJECTIONS.pop(name.lower(), None)
        type(name, (Projection,), {"tables": tables, "fold": fold})

    def units(self, fold: str = Units.fold[0]) -> None:
        self.projection("Units", (fold,), Units.tables)

    def event(self, topic: str, make: Callable[[], type[Event]]) -> type[Event]:
        """An event; Units is there again too, because it reads the one it was defined with."""
        CATALOGUE.pop(topic, None)
        made = make()
        typed_tables.cache_clear()
        return made


def place(conn: Any) -> dict[str, int]:
    """Which table it is that has a name: another one after a rebuild."""
    return dict(
        conn.execute(
            "SELECT nspname || '.' || relname, c.oid FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r'"
            " AND nspname IN ('answers', 'typed') AND relname NOT IN ('checkpoint', 'standstill')"
        ).fetchall()
    )


def made_anew(dsn: str, conn: Any) -> set[str]:
    """Which tables a run makes anew, if the answers say before that it must and after not."""
    before = place(conn)
    assert outdated(conn)
    assert runner.project(dsn).rebuilt
    assert not outdated(conn)
    assert runner.project(dsn) == Folded(0, rebuilt=False)
    assert schemas(conn) == {"answers", "typed"}
    after = place(conn)
    assert before.keys() - after.keys() == set()
    return {name for name, table in after.items() if before.get(name) != table}


def titles(conn: Any) -> set[str]:
    return {title for (title,) in conn.execute("SELECT title FROM answers.unit").fetchall()}


@pytest.fixture
def folded(ledger_dsn: str) -> str:
    """A ledger with some history, all of it in the answers."""
    with connect(ledger_dsn) as conn:
        lay(conn, busy(len(runner.status(conn))).log)
    runner.project(ledger_dsn)
    return ledger_dsn


def stored(conn: Any, stream: str, topic: str, state: bytes) -> tuple[int, int]:
    """One more event in the log; its (bucket, position)."""
    ends = ends_of(conn)
    bucket = bucket_of(stream, len(ends))
    lay_rows(conn, [(bucket, stream, topic, state, ends[bucket] + 1)])
    return bucket, ends[bucket] + 1


def ends_of(conn: Any) -> dict[int, int]:
    return {lane.bucket: lane.log_end for lane in runner.status(conn)}


# ---------------------------------------------------------------------- what is made anew by itself
def test_another_fold_is_folded_from_the_typed_tables_that_are_there(
    folded: str, other: Other
) -> None:
    with connect(folded) as conn:
        other.units(LOUDLY)
        assert stale(conn) == Extent(frozenset(), frozenset({"units"}))
        assert made_anew(folded, conn) == {"answers.unit"}
        assert titles(conn) == {"EAST", "WEST"}


def test_the_old_answers_are_served_until_the_new_ones_are_there(folded: str, other: Other) -> None:
    with connect(folded) as conn:
        other.units(LOUDLY)
        served: list[set[str]] = []

        def hear(_: Progress) -> None:
            with connect(folded) as reader, runner.snapshot(reader):
                served.append(titles(reader))

        stored(conn, "unit:z", "unit.opened", bytes_of(opened("Zed")))
        assert runner.project(folded, hear).rebuilt
        assert served[0] == {"East", "West"}
        assert titles(conn) == {"EAST", "WEST", "ZED"}


def opened(title: str, **more: Any) -> Event:
    kind: Any = CATALOGUE["unit.opened"]
    return kind(  # type: ignore[no-any-return]
        occurred_at=WHEN, actor="clerk:li", key="k", title=title, **more
    )


def test_a_new_projection_is_folded_from_the_typed_tables_and_an_old_one_forgotten(
    folded: str, other: Other
) -> None:
    with connect(folded) as conn:
        other.projection(
            "Joining",
            ("INSERT INTO joining SELECT bucket, member_id FROM {member_joined} e",),
            ("CREATE TABLE joining (bucket smallint, member_id text)",),
        )
        assert made_anew(folded, conn) == {"answers.joining"}
        assert conn.execute("SELECT count(*) FROM answers.joining").fetchone() == (5,)
        del PROJECTIONS["joining"]
        succession.enter(conn, again=True)  # the next version has it no more
        assert outdated(conn)
        assert runner.project(folded) == Folded(0, rebuilt=False)
        assert not outdated(conn)
        rebuild(folded)
        assert "answers.joining" not in place(conn)


def test_a_new_event_is_filled_and_whoever_reads_it_folded(folded: str, other: Other) -> None:
    with connect(folded) as conn:

        def make() -> type[Event]:
            class UnitClosed(Event, name="unit.closed", stream="unit"):
                """A unit was given up."""

                heir: Text | None = None

            return UnitClosed

        closed: Any = other.event("unit.closed", make)
        assert made_anew(folded, conn) == {"typed.unit_closed"}
        stored(conn, "unit:east", "unit.closed", to_json(
            closed(occurred_at=WHEN, actor="clerk:li", key="k", heir="west")
        ))  # fmt: skip
        assert runner.project(folded) == Folded(1, rebuilt=False)
        other.units(LOUDLY.replace("{unit_opened}", "{unit_opened} WHERE unit_id NOT IN"
                                   " (SELECT unit_id FROM {unit_closed} e)"))  # fmt: skip
        assert made_anew(folded, conn) == {"answers.unit"}
        assert titles(conn) == {"WEST"}


def test_a_new_optional_field_fills_its_event_and_folds_whoever_reads_that(
    folded: str, other: Other
) -> None:
    with connect(folded) as conn:

        def make() -> type[Event]:
            class UnitOpened(Event, name="unit.opened", stream="unit"):
                """A unit, now with where it is."""

                title: Text
                street: Text | None = None

            return UnitOpened

        other.event("unit.opened", make)
        other.units(LOUDLY.replace("upper(title)", "coalesce(street, title)"))
        assert made_anew(folded, conn) == {"typed.unit_opened", "answers.unit"}
        stored(conn, "unit:z", "unit.opened", bytes_of(opened("Zed", street="Long")))
        assert runner.project(folded) == Folded(1, rebuilt=False)
        assert titles(conn) == {"East", "West", "Long"}


def second_shape() -> type[Event]:
    class UnitOpened(Event, name="unit.opened", stream="unit", version=2):
        """A unit, whose street has to be told."""

        title: Text
        street: Text

        @classmethod
        def upcast(cls, state: dict[str, Any], version: int) -> dict[str, Any]:
            if state["title"] == "Nowhere":
                raise KeyError("street")
            return {**state, "street": f"{state['title']} Street"} if version == 1 else state

    return UnitOpened


@pytest.mark.parametrize("piece", [1, 10_000])
def test_events_of_an_older_shape_are_brought_up_by_their_own_python(
    folded: str, other: Other, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr("projections.engine.event_tables.UPCAST_EVENTS", piece)
    with connect(folded) as conn:
        older = bytes_of(opened("Zed"))
        stored(conn, "unit:z", "unit.opened", older)
        runner.project(folded)
        other.event("unit.opened", second_shape)
        other.units(LOUDLY.replace("upper(title)", "street"))
        assert made_anew(folded, conn) == {"typed.unit_opened", "answers.unit"}
        assert titles(conn) == {"East Street", "West Street", "Zed Street"}
        stored(conn, "unit:z", "unit.opened", bytes_of(opened("Zed", street="Long")))
        stored(conn, "unit:y", "unit.opened", older)
        assert runner.project(folded) == Folded(2, rebuilt=False)
        assert titles(conn) == {"East Street", "West Street", "Long", "Zed Street"}
        rebuild(folded)
        assert titles(conn) == {"East Street", "West Street", "Long", "Zed Street"}


def test_older_shapes_are_brought_up_where_a_stream_is_read(other: Other) -> None:
    older = bytes_of(opened("Zed"))
    other.event("unit.opened", second_shape)
    read = reader.__wrapped__("unit.opened", ("street",))
    newer = bytes_of(opened("Zed", street="Long"))
    assert [event.street for event in read([older, newer])] == ["Zed Street", "Long"]


def test_an_event_that_cannot_be_brought_up_is_named(folded: str, other: Other) -> None:
    with connect(folded) as conn:
        bucket, position = stored(conn, "unit:n", "unit.opened", bytes_of(opened("Nowhere")))
        runner.project(folded)
        other.event("unit.opened", second_shape)
        other.units()
        with pytest.raises(PoisonedEvent, match=f"position {position} of bucket {bucket}"):
            runner.project(folded)
        assert runner.standstills(conn) == [runner.Standstill(bucket, position, "unit.opened")]
        assert titles(conn) >= {"East", "West", "Nowhere"}, "the old answers are served"


def test_another_way_to_bring_an_event_up_fills_it_anew(other: Other) -> None:
    other.event("unit.opened", second_shape)
    first = typed_tables()["unit.opened"].digest

    def make() -> type[Event]:
        class UnitOpened(Event, name="unit.opened", stream="unit", version=2):
            title: Text
            street: Text

            @classmethod
            def upcast(cls, state: dict[str, Any], version: int) -> dict[str, Any]:
                return {**state, "street": "?"}

        return UnitOpened

    other.event("unit.opened", make)
    assert typed_tables()["unit.opened"].digest != first


def test_answers_of_the_time_before_this_table_are_made_anew(folded: str) -> None:
    with connect(folded) as conn:
        conn.execute("DELETE FROM answers.checkpoint WHERE projection LIKE 'typed.%'")
        conn.execute("INSERT INTO answers.checkpoint SELECT 'typed', bucket, position, 'x'"
                     " FROM answers.checkpoint WHERE projection = 'units'")  # fmt: skip
        conn.execute("DROP TABLE answers.standstill")
        assert runner.standstills(conn) == []
        before = in_sql(conn)
        assert runner.project(folded).rebuilt
        assert not outdated(conn)
        assert in_sql(conn) == before


def test_what_is_kept_follows_on_after_the_swap(ledger_dsn: str, other: Other) -> None:
    with connect(ledger_dsn) as conn:
        world = busy(len(runner.status(conn)))
        lay(conn, world.log[:-6])
        runner.project(ledger_dsn)
        lay(conn, world.log[-6:])
        other.units(Units.fold[0] + " ")
        assert runner.project(ledger_dsn).rebuilt
        assert in_sql(conn) == in_python(world.log)


# --------------------------------------------------------------------- cut short and resumed
CUT = """
import os, signal, sys, threading
from projections.engine import building, runner
building.FILL_EVENTS, building.FOLD_EVENTS = 9, 11
stage, how, dsn = sys.argv[1:]
arrived = threading.Event()
def interrupted(*_):
    arrived.set()
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, interrupted)
def hear(at):
    if at.stage == stage:
        os.kill(os.getpid(), int(how))
        arrived.wait()
runner.rebuild(dsn, hear)
"""
"""Who tells of progress waits until the interrupt has arrived: a busy machine takes its time."""


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of which even a short history needs many."""
    monkeypatch.setattr(building, "FILL_EVENTS", 9)
    monkeypatch.setattr(building, "FOLD_EVENTS", 11)


def steps(conn: Any) -> tuple[set[str], set[str]]:
    """(done, to do) of the rebuild that was cut short."""
    found = conn.execute(f"SELECT name, done FROM {SHADOW.answers}.step").fetchall()
    return {name for name, done in found if done}, {name for name, done in found if not done}


def oid(conn: Any, table: str) -> int:
    (found,) = conn.execute("SELECT to_regclass(%s)::oid::bigint", (table,)).fetchone()
    return int(found)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("stage", ["events", "answers"])
def test_a_rebuild_that_is_cut_short_is_gone_on_with(
    folded: str, small_steps: None, stage: str, how: signal.Signals
) -> None:
    with connect(folded) as conn:
        wanted = in_sql(conn)
        cut = subprocess.run(
            [sys.executable, "-c", CUT, stage, str(int(how)), folded],
            check=False,
            capture_output=True,
        )
        assert cut.returncode == -how
        runner.prepare(conn)
        done, left = steps(conn)
        assert done, "nothing was noted"
        assert left, "all was done"
        assert any(name.startswith("events") for name in left) == (stage == "events")
        kept = oid(conn, f"{SHADOW.answers}.lot")
        heard: list[Progress] = []
        assert rebuild(folded, heard.append).rebuilt
        assert heard[0].done > 0, "what was done is not counted"
        assert oid(conn, f"{LIVE.answers}.lot") == kept
        assert in_sql(conn) == wanted
        assert schemas(conn) == {"answers", "typed"}


KILLED = """
import os, sys, threading
from projections.engine import building, runner
building.CONNECTIONS = 1
building.FILL_EVENTS, building.FOLD_EVENTS = 9, 11
after, dsn = int(sys.argv[1]), sys.argv[2]
take = building.Builder._take
def until(builder, conn, step):
    global after
    if after == 0:
        os.kill(os.getpid(), 9)
    after -= 1
    print(step.name, flush=True)
    take(builder, conn, step)
building.Builder._take = until
runner.rebuild(dsn)
"""


@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_no_step_that_was_done_when_it_was_killed_is_done_again(
    folded: str, small_steps: None, monkeypatch: pytest.MonkeyPatch, part: float
) -> None:
    """Progress begins beyond the windows that were filled."""
    taken, take = list[str](), Builder._take

    def noted(builder: Builder, conn: Any, step: building.Step) -> None:
        def work(conn: Any, window: Any) -> None:
            taken.append(step.name)
            step.work(conn, window)

        take(builder, conn, replace(step, work=work))

    with connect(folded) as conn:
        wanted = in_sql(conn)
        monkeypatch.setattr(Builder, "_take", noted)
        rebuild(folded)
        whole = set(taken)
        taken.clear()
        after = int(len(whole) * part)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(after), folded],
            check=False,
            capture_output=True,
            text=True,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        done = killed.stdout.splitlines()
        assert len(done) == after
        events = sum(
            upto - after
            for name in done
            if (found := re.fullmatch(r"events \d+:(\d+)-(\d+)", name))
            for after, upto in [map(int, found.groups())]
        )
        heard: list[Progress] = []
        assert rebuild(folded, heard.append).rebuilt
        assert not set(done) & set(taken), "begun again"
        assert set(done) | set(taken) == whole
        first = next(at for at in heard if at.stage == "events")
        assert first.done == events
        assert in_sql(conn) == wanted


class Cut(Exception):
    """The plug is pulled."""


def test_wherever_it_is_cut_the_rest_gives_the_same(
    folded: str, small_steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, left = Builder._take, [0]

    def until(builder: Builder, conn: Any, step: building.Step) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Cut
        take(builder, conn, step)

    monkeypatch.setattr(Builder, "_take", until)
    with connect(folded) as conn:
        wanted = in_sql(conn)
        rebuild(folded)
        for after in range(1, -left[0], -left[0] // 3):
            left[0] = after
            with pytest.raises(Cut):
                rebuild(folded)
            rebuild(folded)
            assert in_sql(conn) == wanted, after


def half_built(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves a rebuild behind whose events are there and whose answers are not."""

    def never(*_: Any) -> None:
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(Projection, "fold_window", classmethod(never))
        with pytest.raises(Cut):
            rebuild(dsn)


def test_what_is_wanted_anew_is_not_gone_on_with(
    folded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_built(folded, monkeypatch)
    with connect(folded) as conn:
        kept = oid(conn, f"{SHADOW.answers}.lot")
        rebuild(folded, anew=True)
        assert oid(conn, f"{LIVE.answers}.lot") != kept


@pytest.mark.parametrize("what", ["another text", "other steps", "a log that ends before"])
def test_what_would_become_something_else_is_dropped(
    folded: str, other: Other, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    half_built(folded, monkeypatch)
    with connect(folded) as conn:
        kept = oid(conn, f"{SHADOW.answers}.lot")
        if what == "another text":
            other.units(LOUDLY)
        elif what == "other steps":
            monkeypatch.setattr(building, "FILL_EVENTS", 7)
        else:
            conn.execute("UPDATE ledger.log_end SET position = position - 1")
        rebuild(folded)
        assert oid(conn, f"{LIVE.answers}.lot") != kept
        assert titles(conn) in ({"EAST", "WEST"}, {"East", "West"})
        assert titles(conn) == {"EAST", "WEST"} or what != "another text"


def test_what_was_built_and_not_swapped_in_is_gone_on_with(
    folded: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect(folded) as conn:
        with monkeypatch.context() as patch:
            patch.setattr(runner, "_swap", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                rebuild(folded)
        kept = oid(conn, f"{SHADOW.answers}.lot")
        stored(conn, "unit:z", "unit.opened", bytes_of(opened("Zed")))
        rebuild(folded)
        assert oid(conn, f"{LIVE.answers}.lot") == kept
        assert titles(conn) == {"East", "West", "Zed"}


# --------------------------------------------------------------------------------- several at once
def test_two_rebuilds_at_once_take_turns(folded: str) -> None:
    with connect(folded) as conn:
        wanted = in_sql(conn)
        done: list[Folded] = []
        threads = [threading.Thread(target=lambda: done.append(rebuild(folded))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert [each.rebuilt for each in done] == [True, True]
        assert in_sql(conn) == wanted
        assert schemas(conn) == {"answers", "typed"}


def test_a_rebuild_while_events_come_in_and_are_followed(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        world = busy(len(runner.status(conn)), visits=30)
        lay(conn, world.log[:40])
        runner.project(ledger_dsn)
        with following(ledger_dsn) as died:
            rebuilding = threading.Thread(target=rebuild, args=(ledger_dsn,))
            rebuilding.start()
            for event in world.log[40:]:
                lay(conn, [event])
            rebuilding.join(PATIENCE_S)
            rebuild(ledger_dsn)
            assert eventually(lambda: caught_up(conn))
            assert died == []
        assert in_sql(conn) == in_python(world.log)


@pytest.mark.parametrize("served", [False, True])
def test_beside_those_who_serve_it_is_done_on_one_connection(
    folded: str, small_steps: None, served: bool
) -> None:
    most = 0
    with connect(folded) as conn, connect(folded, application_name="leading") as leading:
        wanted = in_sql(conn)
        if served:
            assert try_session_lock(leading, Lock.LEADING)

        def count(_: Progress) -> None:
            nonlocal most
            found = conn.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'building'"
            ).fetchone()
            assert found is not None
            most = max(most, found[0] - 1)  # one waits for the others

        rebuild(make_conninfo(folded, application_name="building"), count)
        assert most == (1 if served else building.CONNECTIONS)
        assert in_sql(conn) == wanted
