"""The folds against plain Python, over histories and cuts that nobody thought of."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.catalogue import CATALOGUE
from ledger.database import connect
from projections import points
from projections.catalogue import PROJECTIONS
from projections.plain import Plain
from projections.projection import Projection
from projections.runner import compare, rebuild
from projections.schemas import LIVE, heads
from projections.typed import Window
from projections.windows import advance
from tests.projections.histories import STEPS, World, history, lay
from tests.projections.tables import emptied, in_python, in_sql

EXAMPLES = settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def fold_cut(conn: Any, cuts: list[int]) -> None:
    """Folds each lane in windows that end at these cuts."""
    for bucket, head in heads(conn).items():
        edges = [0, *sorted({cut % head for cut in cuts if head} - {0}), head]
        for after, upto in pairwise(edges):
            if upto > after:
                advance(conn, LIVE, Window(bucket, after, upto))


@pytest.mark.parametrize("buckets", [1, 4])
def test_sql_and_python_agree_wherever_the_log_is_cut(
    installed: Callable[[int], str], buckets: int
) -> None:
    with connect(installed(buckets)) as conn:

        @EXAMPLES
        @given(steps=STEPS, cuts=st.lists(st.integers(1, 200), max_size=6))
        def agree(steps: list[Any], cuts: list[int]) -> None:
            world = history(steps, buckets)
            emptied(conn)
            lay(conn, world.log)
            fold_cut(conn, cuts)
            found, wanted = in_sql(conn), in_python(world.log)
            for table, rows in wanted.items():
                assert found[table] == rows, table
            assert points.conservation(conn).holds
            assert points.unbalanced(conn) == []
            assert_statements_end_in_the_balance(conn, world)
            told.update(stored.event.topic for stored in world.log)

        told = set[str]()
        agree()
        assert told == CATALOGUE.keys(), "an event that no history tells of is not tested"


def assert_statements_end_in_the_balance(conn: Any, world: World) -> None:
    for member_id in ("m1", "m2"):
        account = points.account(conn, member_id, world.now)
        assert account.balance == account.spendable + account.pending + account.lapsed
        entries = points.statement(conn, member_id, limit=1000)
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
            assert compare(dsn) == []
            followed = in_sql(conn)
            assert rebuild(dsn).events == len(world.log)
            assert in_sql(conn) == followed == in_python(world.log)

        same()


def test_every_event_is_folded_by_somebody() -> None:
    read = {topic for projection in PROJECTIONS.values() for topic in projection.topics()}
    assert read == CATALOGUE.keys()
    handled = {name.removeprefix("on_") for name in dir(Plain) if name.startswith("on_")}
    assert handled == {topic.replace(".", "_") for topic in CATALOGUE}


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
