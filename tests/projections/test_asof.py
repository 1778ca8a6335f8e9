"""Answers as of a moment: those of a fresh fold, kept, dropped, and built again if need be."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.database import connect
from projections import asof, bindings, members, past, points
from projections.asof import pair_of
from projections.connection import Conn
from projections.moments import Asked, Moment, moment
from projections.plain import Stored
from projections.schemas import LIVE, heads
from projections.typed import Window
from projections.windows import advance
from tests.projections.histories import MEMBERS, STEPS, World, history, lay
from tests.projections.tables import emptied, in_python, in_sql, looking

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def examples(number: int) -> settings:
    careless = [HealthCheck.function_scoped_fixture]
    return settings(max_examples=number, suppress_health_check=careless, deadline=None)


def forgotten(conn: Conn) -> None:
    """No pair is kept any more."""
    found = conn.execute(r"SELECT nspname FROM pg_namespace WHERE nspname LIKE 'asof%'").fetchall()
    for (name,) in found:
        conn.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")


def held(world: World, then: Moment) -> list[Stored]:
    """The events that a moment holds."""
    known = dict(then.positions)
    return [
        stored
        for stored in world.log
        if stored.position <= known[stored.bucket]
        and (then.effective_at is None or stored.event.occurred_at <= then.effective_at)
    ]


def asked(conn: Conn, member_id: str, at: datetime) -> past.Past | None:
    """A member by the queries on the answers."""
    card = members.member(conn, member_id, at)
    if card is None:
        return None
    account, lots = points.account(conn, member_id, at), points.lots(conn, member_id)
    return past.Past(card, account, lots, bindings.bindings(conn, member_id))


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
            known = {b: choice.draw(st.integers(0, end)) for b, end in heads(conn).items()}
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
                        assert past.member(conn, member_id, then, at) == asked(conn, member_id, at)

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
            done = dict.fromkeys(heads(conn), 0)
            for stored in world.log:
                done[stored.bucket] = stored.position
                advance(conn, LIVE, Window(stored.bucket, stored.position - 1, stored.position))
                at = stored.event.occurred_at
                then = Moment(tuple(done.items()), at, None)
                wanted = asked(conn, stored.id, at)
                assert past.member(conn, stored.id, then, at) == wanted
                told.append(wanted)

        told = list[past.Past | None]()
        agree()
        assert any(found and found.lots and found.bindings for found in told)
