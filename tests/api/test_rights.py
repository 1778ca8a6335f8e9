"""What rights hang on: the role in which somebody acts who holds several, the stream that a key is
found by, and what a refusal reads of a long history."""

import json
from collections.abc import Callable, Mapping

import pytest

from api.doors import DOOR_OF
from api.runtime.clock import Clock
from api.runtime.rights import admitted, at_the_door, club_of
from domain.access import BUILT_IN, Grant, Principal
from domain.catalogue import COMMANDS
from ledger.database import connect
from ledger.log import snapshots
from projections.engine.connection import Conn
from tests.projections.histories import lay_rows

READ = (
    "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables"
    " WHERE relid = 'ledger.stored_events'::regclass"
)


def visited(conn: Conn, made: int) -> None:
    """A member with so many visits, in seven clubs by turns."""
    rows = []
    for number in range(1, made + 1):
        told: Mapping[str, object] = {"visit": number, "club_id": f"c{number % 7}"}
        rows += [("visit.recorded", told), ("points.debited", {"debit": number})]
    lay_rows(
        conn,
        [
            (0, "member:m1", topic, json.dumps(told).encode(), place)
            for place, (topic, told) in enumerate(rows, start=1)
        ],
    )
    state = snapshots.fresh("member:m1")
    state["visits"].made = made
    conn.execute(
        "INSERT INTO ledger.snapshots VALUES ('member:m1', 0, %s, %s, %s)",
        (len(rows), *snapshots.row("member:m1", state)),
    )


def test_the_club_of_a_visit_of_long_ago_is_found_without_reading_all_of_them(
    installed: Callable[[int], str],
) -> None:
    made = 1_000
    with connect(installed(1)) as conn:
        visited(conn, made)
        for visit in (1, 2, 333, made - 1, made):
            with conn.transaction():
                assert club_of(conn, "m1", visit) == f"c{visit % 7}"
                (read,) = conn.execute(READ).fetchone() or (made,)
                assert read <= 20 * 8, visit
        for visit in (made + 1, 10**12):
            assert club_of(conn, "m1", visit) is None
        assert club_of(conn, "nobody", 1) is None


def clerk_and_supervisor(first: str, second: str) -> Principal:
    clubs = {"clerk": ["c1", "c2"], "supervisor": ["c1"]}
    return Principal("li", tuple(Grant(r, BUILT_IN[r], clubs[r]) for r in (first, second)))


@pytest.mark.parametrize("roles", [("clerk", "supervisor"), ("supervisor", "clerk")])
def test_who_is_a_clerk_and_a_supervisor_undoes_as_a_supervisor(
    roles: tuple[str, str], installed: Callable[[int], str]
) -> None:
    """He acted in the role that he was given first, and was told that a supervisor is needed."""
    who = clerk_and_supervisor(*roles)
    undo, visit = DOOR_OF["visit.undo_emergency"].need, DOOR_OF["visit.record"].need
    for club, role in (("c1", "supervisor"), ("c2", "clerk")):
        assert at_the_door(who, undo, {"club_id": club}, None) == f"{role}:li"
    assert at_the_door(who, undo, {"club_id": "c3"}, None) is None
    assert at_the_door(who, undo, {"club_id": "c1"}, "clerk:li") == "clerk:li", "if he says so"
    assert at_the_door(who, visit, {"club_id": "c1"}, None) == f"{roles[0]}:li"
    need = DOOR_OF["visit.undo"].need
    with connect(installed(1)) as conn:
        visited(conn, 2)
        for number, role in ((1, "supervisor"), (2, "clerk")):
            said = {"member_id": "m1", "visit": number}
            assert admitted(conn, Clock(), who, need, said) == f"{role}:li"


def test_a_key_of_a_command_about_a_member_is_found_in_his_lane() -> None:
    """Who has done something about him under a key may send that again, and nothing else: the same
    key in another lane would be another command."""
    about = [each for each in COMMANDS.values() if "member_id" in each.model_fields]
    assert about
    assert {(each.roles[0].kind, each.roles[0].field) for each in about} == {
        ("member", "member_id")
    }
