"""What a distributed engine asks of the schema, read from the catalogue of a real installation.

A lane's rows may come to live on a machine of their own. So the lane stands in every key, every
table says which row a change is about, functions name their tables whole, and nothing that writes
rests on what such an engine refuses.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from psycopg import Connection

from domain.catalogue import COMMANDS, REFERENCE
from ledger.database import connect, lanes_of
from projections.engine.runner import prepare

OF_NO_LANE = {
    *("ledger.ledger_meta", "ledger.migrations", "answers.standstill"),
    *("ledger.jobs", "ledger.job_files", "ledger.job_chunks"),
}
"""Small tables about the installation as a whole: every machine has a copy. And jobs, which are of
who started them, and stand where they are begun."""
ROOMS = ("ledger", "answers", "typed")
OWN = (
    r"(?:stored_events|snapshots|snapshot_parts|command_log|file_lines|persons|person_keys|webhook_\w+"
    r"|credentials|passwords|sessions|log_end"
    r"|ledger_meta)"
)
UNQUALIFIED = re.compile(
    rf"\b(?:FROM|JOIN|UPDATE|INTO|TABLE)\s+{OWN}\b"
    r"|(?<![.\w])(?:ledger_clock|check_\w+|advance_lane|take_lanes|append_\w+|keep_persons|rewrap_persons|give_up_persons)\(",
    re.IGNORECASE,
)
REFUSED_THERE = re.compile(r"ON CONFLICT DO NOTHING|FOR SHARE|ANY \(\w+\)[^;]*FOR UPDATE")


def faults(conn: Connection[Any]) -> Iterator[str]:
    """Whatever could not be distributed by lane."""
    for table, keyed in conn.execute(
        """
        SELECT c.oid::regclass::text, c.relreplident = 'f' OR EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'r' AND n.nspname = ANY (%s) ORDER BY 1
        """,
        (list(ROOMS),),
    ).fetchall():
        if not keyed:
            yield f"{table} has no primary key and says no replica identity"
    for table, index, lane in conn.execute(
        """
        SELECT n.nspname || '.' || c.relname, i.indexrelid::regclass::text, EXISTS (
            SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'bucket'
                AND a.attnum = ANY (i.indkey::smallint[]))
        FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE i.indisunique AND n.nspname = ANY (%s) ORDER BY 2
        """,
        (list(ROOMS),),
    ).fetchall():
        if not lane and table not in OF_NO_LANE:
            yield f"the lane is not in the key {index}"
    for name, text in conn.execute(
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'ledger'::regnamespace"
    ).fetchall():
        for found in (*UNQUALIFIED.findall(text), *REFUSED_THERE.findall(text)):
            yield f"{name} says {found}"
    for kind, name in conn.execute(
        """
        SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL
        SELECT 'sequence', relname FROM pg_class WHERE relkind = 'S'
            AND relnamespace::regnamespace::text = ANY (%s)
        """,
        (list(ROOMS),),
    ).fetchall():
        yield f"a {kind}: {name}"


@pytest.fixture
def conn(installed: Callable[[int], str]) -> Iterator[Connection[Any]]:
    with connect(installed(4)) as connection:
        prepare(connection)
        yield connection


def test_every_lane_could_live_elsewhere(conn: Connection[Any]) -> None:
    assert list(faults(conn)) == []


@pytest.mark.parametrize(
    ("planted", "alarm"),
    [
        ("CREATE TABLE ledger.note (bucket smallint, text text)", "no replica identity"),
        ("CREATE TABLE ledger.note (id text PRIMARY KEY, bucket smallint)", "not in the key"),
        (
            "CREATE TABLE answers.note (bucket smallint PRIMARY KEY, id text UNIQUE)",
            "the lane is not in the key answers.note_id_key",
        ),
        ("CREATE SEQUENCE ledger.order_of_all", "a sequence: order_of_all"),
        (
            "CREATE FUNCTION ledger.f() RETURNS bigint LANGUAGE sql AS"
            " 'SELECT position FROM log_end'",
            "f says FROM log_end",
        ),
        (
            "CREATE FUNCTION ledger.f() RETURNS void LANGUAGE sql AS"
            " 'INSERT INTO ledger.persons SELECT 0, ''m'' ON CONFLICT DO NOTHING'",
            "f says ON CONFLICT DO NOTHING",
        ),
        (
            "CREATE FUNCTION ledger.f(lanes smallint[]) RETURNS void LANGUAGE sql AS"
            " 'SELECT FROM ledger.log_end WHERE bucket = ANY (lanes) FOR UPDATE'",
            "FOR UPDATE",
        ),
        (
            "CREATE FUNCTION ledger.t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';"
            " CREATE TRIGGER told BEFORE INSERT ON ledger.persons EXECUTE FUNCTION ledger.t()",
            "a trigger: told",
        ),
    ],
)
def test_the_alarm_rings(conn: Connection[Any], planted: str, alarm: str) -> None:
    conn.execute(planted.encode())
    assert [said for said in faults(conn) if alarm in said]


def test_whoever_writes_reference_data_writes_nothing_else() -> None:
    """He takes all lanes; who counts something (places, admissions) must not."""
    for name, command in COMMANDS.items():
        assert not REFERENCE & command.writes.keys() or len(command.writes) == 1, name


def test_reference_data_has_a_snapshot_in_each_lane() -> None:
    assert list(lanes_of("club:health", 4)) == [0, 1, 2, 3]
    assert len(lanes_of("member:m1", 4)) == len(lanes_of("places:spring", 4)) == 1
    assert {"unit", "club", "campaign", "cohort", "role"} == REFERENCE
