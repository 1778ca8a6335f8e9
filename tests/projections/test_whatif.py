"""What would be, in SQL, against the same rules replayed in plain Python; and what stays as it is."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection
from psycopg.rows import dict_row

from ledger.database import connect
from projections.supposed import recorded, suppose
from tests.projections.histories import STEPS, history, lay
from tests.projections.supposed import scenario
from tests.projections.supposed import suppose as suppose_in_python
from tests.projections.tables import NAMES, emptied, in_python, in_sql, ordered

AT = datetime(2009, 1, 5, tzinfo=UTC)
HALF_LOUNGE = {"change": "service_price", "club": "lounge", "factor": "1/2"}

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
        {"change": "service_price", "club": "health", "service": "room", "tier": "gold",
         "points": 90},
        {"change": "service_price", "club": "lounge", "points": 50, "companion_points": 25},
    ),
    "other terms": scenario(
        {"change": "campaign_terms", "campaign": "plain", "prepaid_min_fen": 40_000,
         "gift_bp": 10_000, "months_bound": 24},
        {"change": "campaign_terms", "campaign": "drawn", "min_tier": "gold"},
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
    return {name: ordered(cursor.execute(f"SELECT * FROM {name}").fetchall()) for name in NAMES}


def refused(conn: Connection[Any]) -> list[Any]:
    return sorted(
        conn.execute("SELECT member_id, topic, code, tier FROM refused").fetchall(), key=str
    )


@pytest.mark.parametrize("buckets", [1, 4])
def test_the_database_supposes_what_python_supposes(
    installed: Callable[[int], str], buckets: int
) -> None:
    dsn = installed(buckets)
    with connect(dsn) as conn:

        @settings(max_examples=12, deadline=None,
                  suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
        @given(steps=STEPS, names=st.permutations(list(SCENARIOS)))
        def agree(steps: list[Any], names: list[str]) -> None:
            world = history(steps, buckets)
            emptied(conn)
            lay(conn, world.log)
            for name in names[:3]:
                said = suppose_in_python(world.log, SCENARIOS[name])
                with recorded(dsn) as changed:
                    assert asked(changed) == in_python(world.log), name
                    suppose(changed, SCENARIOS[name])
                    found, wanted = asked(changed), in_python(said.log)
                    for table, rows in wanted.items():
                        assert found[table] == rows, (name, table)
                    told = [
                        (member, each.topic, each.refusal.code, each.tier)
                        for member, all_of_his in said.refused.items()
                        for each in all_of_his
                    ]
                    assert refused(changed) == sorted(told, key=str)
                codes.update(code for _, _, code, _ in told)
            assert in_sql(conn) == in_python(world.log), "what is stays as it was"

        codes = set[str]()
        agree()
        assert "not_enough_points" in codes
