"""What changed between two moments, and whether the rows of a measure lead to the events of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ledger.database import connect
from projections.asof import changes, pairs
from projections.engine import measure, runner
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.measure import MEASURES
from projections.engine.moments import Asked, moment
from projections.engine.schemas import log_ends
from tests.projections.histories import STEPS, furnished, history, lay
from tests.projections.tables import emptied
from tests.projections.test_asof import NOW, examples, forgotten
from tests.projections.test_folds import everything_twice

ON = date(2008, 12, 31)
OF_MEMBERS = ("member.", "tier.", "points.", "bill.", "visit.", "binding.", "activity.attended",
              "campaign.enrolled", "campaign.offered", "cohort.included", "fact.")  # fmt: skip
"""What happens to a member; the rest is what many rows hang on."""


@pytest.fixture
def one_lane(installed: Callable[[int], str]) -> str:
    """A fresh ledger where the number of lanes does not matter."""
    return installed(1)


def between(dsn: str, conn: Conn, before: Moment, after: Moment) -> changes.Changes:
    states = []
    for then in (before, after):
        pairs.build(dsn, then)
        with pairs.snapshot(conn, then):
            states.append(changes.state(conn, ON))
    with runner.snapshot(conn):
        return changes.changed(conn, (before, states[0]), (after, states[1]))


@contextmanager
def side_by_side(dsn: str, *moments: Moment) -> Iterator[list[Conn]]:
    with ExitStack() as both:
        yield [both.enter_context(pairs.answers(dsn, each)) for each in moments]


def known(conns: list[Conn], measure_id: str) -> list[dict[str, str]]:
    """What both moments can be asked with."""
    one, other = (measure.known(conn, MEASURES[measure_id].rows.needs) for conn in conns)
    return [each for each in one if each in other]


@pytest.mark.parametrize("buckets", [4])
def test_rows_that_differ_add_up_to_the_difference_and_rest_on_other_events(
    installed: Callable[[int], str], buckets: int
) -> None:
    dsn = installed(buckets)
    with connect(dsn) as conn:

        @examples(2)
        @given(steps=STEPS, choice=st.data())
        def foot(steps: list[Any], choice: st.DataObject) -> None:
            world = history(steps, buckets)
            forgotten(conn)
            emptied(conn)
            lay(conn, world.log)
            two = []
            for _ in range(2):
                cut = {b: choice.draw(st.integers(0, end)) for b, end in log_ends(conn).items()}
                two.append(moment(conn, Asked(cut), NOW))
            found = between(dsn, conn, *two)
            back = between(dsn, conn, *reversed(two))
            assert [(each.before, each.after) for each in back.measures] == [
                (each.after, each.before) for each in found.measures
            ] or len(back.measures) == len(found.measures)
            moved = {each.topic for each in found.events}
            with side_by_side(dsn, *two) as conns:
                for measure_id in MEASURES:
                    for said in known(conns, measure_id):
                        rows_foot(conns, measure_id, said, moved)

        foot()


def rows_foot(conns: list[Conn], measure_id: str, said: dict[str, str], moved: set[str]) -> None:
    was, now = (measure.measured(conn, measure_id, said, ON).sums() for conn in conns)
    before, after = (changes.rows_of(conn, measure_id, said, ON) for conn in conns)
    rows = list(changes.rows_changed(measure_id, before, after))
    for name in MEASURES[measure_id].added:
        assert sum(row.adds[name] for row in rows) == now[name] - was[name], measure_id
    assert rows == [] or moved
    if all(topic.startswith(OF_MEMBERS) for topic in moved):
        for row in rows:
            assert row.added or row.dropped, f"{measure_id}: {row} rests on the same events"


def test_a_member_s_rows_change_by_his_events_alone(one_lane: str) -> None:
    """Between moments after all that many rows hang on."""
    with connect(one_lane) as conn:
        start = len(furnished(1).log)

        @examples(2)
        @given(steps=STEPS, choice=st.data())
        def rest(steps: list[Any], choice: st.DataObject) -> None:
            world = history(steps, 1)
            forgotten(conn)
            emptied(conn)
            lay(conn, world.log)
            (end,) = log_ends(conn).values()
            assume(end > start)
            ends = sorted(choice.draw(st.integers(start, end)) for _ in range(2))
            two = [moment(conn, Asked({0: each}), NOW) for each in ends]
            found = between(one_lane, conn, *two)
            moved = {each.topic for each in found.events}
            with side_by_side(one_lane, *two) as conns:
                for measure_id in MEASURES:
                    for said in known(conns, measure_id):
                        rows_foot(conns, measure_id, said, moved)

        rest()


def test_every_kind_of_fact_changes_some_measure(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        lay(conn, everything_twice(len(log_ends(conn))).log)
        first, last = (moment(conn, Asked(known), NOW) for known in ({0: 0}, None))
        found = between(ledger_dsn, conn, first, last)
        assert {"points.outstanding", "members.vips", "visits.count", "bindings.rate"} <= {
            each.measure_id for each in found.measures
        }
        assert {each.topic: each.added for each in found.events}["points.credited"] >= 5
