"""Answers as of a moment: those of a fresh fold, kept, dropped, and built again when they must be."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.database import connect
from projections import asof, runner
from projections.asof import pair_of
from projections.moments import Moment, moment
from projections.plain import Stored
from tests.projections.histories import STEPS, World, history, lay
from tests.projections.tables import emptied, in_python, in_sql, looking

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EXAMPLES = settings(
    max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def forgotten(conn: Any) -> None:
    """No pair is kept any more."""
    found = conn.execute(r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'asof%'").fetchall()
    for (name,) in found:
        conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def up_to(world: World, moment: Moment) -> list[Stored]:
    """The events that a moment holds."""
    known = dict(moment.positions)
    return [
        stored
        for stored in world.log
        if stored.position <= known[stored.bucket]
        and (moment.effective_at is None or stored.event.occurred_at <= moment.effective_at)
    ]


# ----------------------------------------------------------------------------------- the laws
@pytest.mark.parametrize("buckets", [1, 4])
def test_as_of_any_moment_is_a_fresh_fold_of_its_events(
    installed: Callable[[int], str], buckets: int
) -> None:
    dsn = installed(buckets)
    with looking(connect(dsn)) as conn:

        @EXAMPLES
        @given(steps=STEPS, choice=st.data())
        def agree(steps: list[Any], choice: st.DataObject) -> None:
            world = history(steps, buckets)
            forgotten(conn)
            emptied(conn)
            lay(conn, world.log)
            ends = runner.heads(conn)
            for _ in range(3):
                known = {b: choice.draw(st.integers(0, end)) for b, end in ends.items()}
                late = choice.draw(st.none() | st.sampled_from(world.log))
                then = moment(conn, known, late and late.event.occurred_at, NOW)
                asof.build(dsn, then)
                wanted = in_python(up_to(world, then), gaps=late is not None)
                found = in_sql(conn, pair_of(then))
                for table, rows in wanted.items():
                    assert found[table] == rows, table

        agree()
