"""A member's statement: what is behind each line, page by page, and by the member's index."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from domain.kernel.postings import ACCOUNTS
from ledger import reading
from ledger.database import bucket_of
from projections import points
from projections.asof import statement as asof
from projections.engine.event_tables import typed_tables
from projections.engine.moments import Asked, moment
from projections.engine.postings import NETS, rows
from tests.projections.histories import furnished, on
from tests.projections.tables import answers

MOVES = 5_000
SEQUENTIAL = {"Seq Scan", "Parallel Seq Scan"}


def test_each_line_says_its_rule_and_its_lots(installed: Callable[[int], str]) -> None:
    world = furnished(4)
    member = {"member_id": "m1"}
    world.does("points.credit", **member, points=20, source="gift", rule="v2",
               at=on("2008-01-02"), expires_at=on("2008-03-01"))  # fmt: skip
    visit = {"club_id": "lounge", "service_id": "room", "payment": "points"}
    world.does("visit.record", **member, **visit, at=on("2008-01-03"))
    world.does("visit.undo", **member, visit=1, actor="supervisor:wang", at=on("2008-01-04"))
    world.does("points.debit", **member, points=5, reason="parking", at=on("2008-01-05"))
    world.does("points.reverse_debit", **member, debit=2, at=on("2008-01-06"))
    world.does("points.reverse_credit", **member, lot=1, points=10, at=on("2008-01-07"))
    world.does("points.expire", **member, at=on("2008-03-02"))
    with answers(installed, world, 4) as conn:
        lines = points.statement(conn, "m1").entries
        assert [(line.topic, line.points, line.rule) for line in reversed(lines)] == [
            ("points.credited", 100, "v1"),
            ("points.credited", 20, "v2"),
            ("points.debited", -40, "price lounge/room 1"),
            ("points.debit_reversed", 40, "price lounge/room 1"),
            ("points.debited", -5, None),
            ("points.debit_reversed", 5, None),
            ("points.credit_reversed", -10, "v1"),
            ("points.expired", -20, "v2"),
        ]
        for line in lines:
            assert sum(use.points for use in line.lots) == abs(line.points)
        assert list(map(str, lines[5].lots)) == ["lot 2: 20", "lot 1: 20"]
        with conn.transaction():
            for member_id, whole in (("m1", lines), ("nobody", [])):
                with points.whole_statement(conn, member_id) as found:
                    assert list(found) == whole


def filled(conn: Any) -> None:
    """Thousands of moves of m1 among those of many others."""
    for topic, points_each in (("points_credited", 3), ("points_debited", 2)):
        table = next(each for each in typed_tables().values() if each.name == topic)
        columns = [column.name for column in table.columns]
        given = {
            "position": "1000000 + n", "member_id": "CASE WHEN n % 20 = 0 THEN 'm1' ELSE 'x' || n"
            " END", "stream_version": f"1000 + n * 2 + {points_each}", "points": str(points_each),
        }  # fmt: skip
        made = [given.get(name, f'"{name}"') for name in columns]
        named = ", ".join(f'"{name}"' for name in columns)
        conn.execute(
            f"INSERT INTO typed.{topic} ({named}) SELECT {', '.join(made)}"
            f" FROM (SELECT * FROM typed.{topic} LIMIT 1) one, generate_series(1, {MOVES * 10}) n"
        )
        conn.execute(f"ANALYZE typed.{topic}")
    conn.execute(
        f"UPDATE account a SET ({', '.join(ACCOUNTS)}) = (SELECT {NETS} FROM {rows()} posting"
        " WHERE posting.member_id = 'm1') WHERE a.member_id = 'm1'"
    )


def nodes(plan: dict[str, Any]) -> list[tuple[str, str]]:
    own = [(plan["Node Type"], plan.get("Relation Name", ""))]
    return own + [found for part in plan.get("Plans", []) for found in nodes(part)]


def test_a_long_statement_is_found_by_the_member(installed: Callable[[int], str]) -> None:
    world = furnished()
    world.does("points.debit", member_id="m1", points=1)
    with answers(installed, world) as conn:
        filled(conn)
        asked = {"member": "m1", "before": None, "limit": 50}
        (told,) = conn.execute(f"EXPLAIN (FORMAT JSON) {points._STATEMENT}", asked).fetchone()
        plan = told if isinstance(told, list) else json.loads(told)
        scanned = {name for kind, name in nodes(plan[0]["Plan"]) if kind in SEQUENTIAL}
        assert not scanned & {"points_credited", "points_debited"}
        page = points.statement(conn, "m1", limit=700)
        lines = [*page.entries]
        while page.next is not None:
            page = points.statement(conn, "m1", limit=700, before=page.next)
            lines += page.entries
        assert len(lines) == MOVES + 2
        balance = 0
        for line in reversed(lines):
            balance += line.points
            assert line.balance == balance
        with conn.transaction(), points.whole_statement(conn, "m1") as found:
            assert list(found) == lines


@pytest.mark.parametrize("buckets", [1, 4])
def test_a_page_of_any_length_as_of_any_position_is_a_part_of_the_whole(
    installed: Callable[[int], str], buckets: int
) -> None:
    world = furnished(buckets)
    visit = {"club_id": "lounge", "service_id": "room", "payment": "points"}
    world.does("visit.record", member_id="m1", **visit, at=on("2008-01-03"))
    world.does("points.debit", member_id="m1", points=5, at=on("2008-01-04"))
    world.does("visit.undo", member_id="m1", visit=1, actor="supervisor:wang", at=on("2008-01-05"))
    world.does("points.debit", member_id="m1", points=3, at=on("2008-01-02"))
    with answers(installed, world, buckets) as conn:
        home = bucket_of("member:m1", buckets)
        ends = {bucket: reading.log_end(conn, bucket) or 0 for bucket in range(buckets)}
        for position in range(ends[home] + 1):
            then = moment(conn, Asked({**ends, home: position}), on("2008-02-01"))
            texts = asof.sources(then)
            with conn.transaction(), points.whole_statement(conn, "m1", texts) as found:
                whole = list(found)
            for limit in range(1, len(whole) + 2):
                page = asof.page(conn, "m1", then, limit)
                lines = page.entries
                while page.next is not None:
                    page = asof.page(conn, "m1", then, limit, page.next)
                    lines += page.entries
                assert lines == whole
