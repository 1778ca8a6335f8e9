"""What rights cost: a refusal reads no more of the log the longer a member's history is."""

import json
from collections.abc import Callable

from api.runtime.rights import club_of
from ledger.database import connect
from ledger.log import snapshots
from tests.projections.histories import lay_rows

MADE = 1_000
READ = (
    "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables"
    " WHERE relid = 'ledger.stored_events'::regclass"
)


def test_the_club_of_a_visit_of_long_ago_is_found_without_reading_all_of_them(
    installed: Callable[[int], str],
) -> None:
    rows = []
    for number in range(1, MADE + 1):
        told = {"visit": number, "club_id": f"c{number % 7}"}
        rows += [("visit.recorded", told), ("points.debited", {"debit": number})]
    with connect(installed(1)) as conn:
        lay_rows(
            conn,
            [
                (0, "member:m1", topic, json.dumps(told).encode(), place)
                for place, (topic, told) in enumerate(rows, start=1)
            ],
        )
        state = snapshots.fresh("member:m1")
        state["visits"].made = MADE
        conn.execute(
            "INSERT INTO ledger.snapshots VALUES ('member:m1', 0, %s, %s, %s)",
            (len(rows), *snapshots.row("member:m1", state)),
        )
        for visit in (1, 2, 333, MADE - 1, MADE):
            with conn.transaction():
                assert club_of(conn, "m1", visit) == f"c{visit % 7}"
                (read,) = conn.execute(READ).fetchone() or (MADE,)
                assert read <= 20 * 8, visit
        for visit in (MADE + 1, 10**12):
            assert club_of(conn, "m1", visit) is None
        assert club_of(conn, "nobody", 1) is None
