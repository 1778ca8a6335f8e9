"""What changed between two moments, and whether the events between add up to it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.database import connect
from projections.asof import changes, pairs
from projections.engine import runner
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.moments import Asked, moment
from projections.engine.schemas import log_ends
from tests.projections.histories import STEPS, history, lay
from tests.projections.tables import emptied
from tests.projections.test_asof import NOW, examples, forgotten
from tests.projections.test_folds import everything_twice


@pytest.fixture
def one_lane(installed: Callable[[int], str]) -> str:
    """A fresh ledger where the number of lanes does not matter."""
    return installed(1)


def between(dsn: str, conn: Conn, before: Moment, after: Moment) -> changes.Changes:
    states = []
    for then in (before, after):
        pairs.build(dsn, then)
        with pairs.snapshot(conn, then):
            states.append(changes.state(conn, then))
    with runner.snapshot(conn):
        return changes.changes(conn, (before, states[0]), (after, states[1]))


@pytest.mark.parametrize("buckets", [1, 4])
def test_the_events_between_add_up_to_the_difference(
    installed: Callable[[int], str], buckets: int
) -> None:
    dsn = installed(buckets)
    with connect(dsn) as conn:

        @examples(6)
        @given(steps=STEPS, choice=st.data())
        def foot(steps: list[Any], choice: st.DataObject) -> None:
            world = history(steps, buckets)
            forgotten(conn)
            emptied(conn)
            lay(conn, world.log)
            two = []
            for _ in range(2):
                known = {b: choice.draw(st.integers(0, end)) for b, end in log_ends(conn).items()}
                late = choice.draw(st.none() | st.sampled_from(world.log))
                effective_at = None if late is None else late.event.occurred_at
                two.append(moment(conn, Asked(known, effective_at), NOW))
            found = between(dsn, conn, *two)
            assert found.foots, [each for each in found.sums if not each.foots]
            back = between(dsn, conn, *reversed(two))
            assert [-each.difference for each in back.sums] == [
                each.difference for each in found.sums
            ]

        foot()


def test_every_measure_changes_with_its_events(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        lay(conn, everything_twice(len(log_ends(conn))).log)
        first, last = (moment(conn, Asked(known), NOW) for known in ({0: 0}, None))
        found = between(ledger_dsn, conn, first, last)
        assert found.foots
        assert {pattern for pattern in changes.MEASURES if "{}" not in pattern} <= {
            each.name for each in found.sums if each.difference
        }
        topics = {part.topic for each in changes.MEASURES.values() for part in each.parts}
        assert topics == {cause.topic for each in found.sums for cause in each.causes}
        assert {each.topic: each.added for each in found.events}["points.credited"] >= 5
        assert found.figures


def test_what_does_not_add_up_is_seen(one_lane: str) -> None:
    with connect(one_lane) as conn:
        lay(conn, everything_twice(1).log)
        first, last = (moment(conn, Asked(known), NOW) for known in ({0: 0}, None))
        assert between(one_lane, conn, first, last).foots
        conn.execute(
            f"UPDATE {pairs.pair_of(last).answers}.account SET outside = outside - 1,"
            " spendable = spendable + 1"
        )
        found = between(one_lane, conn, first, last)
        wrong = {each.name for each in found.sums if not each.foots}
        assert wrong == {"points.credited", "points.balance"}
        assert not found.foots
