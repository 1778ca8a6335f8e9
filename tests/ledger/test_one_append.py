"""One function appends, read from the catalogue: whoever writes passes through it."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent
from psycopg import Connection

from ledger.database import connect, meta
from ledger.keyring import Secrets
from ledger.library import LaneRecorder, datastore
from ledger.log import persons
from ledger.log.append import Batch, Encoded, NewEvent, Snapshot
from tests.architecture.test_personal import sources
from tests.ledger.facts import NOW, command, executed
from tests.ledger.test_importing import a_history, fact, load
from tests.ledger.test_ledger import assert_sound, rows

ONE = {
    "stored_events": "append_batch",
    "snapshots": "append_batch",
    "snapshot_parts": "append_batch",
    "command_log": "append_batch",
    "file_lines": "append_batch",
    "persons": "keep_persons",
    "log_end": "advance_lane",
}
"""The tables that a batch writes, each with the one function that does."""
ALSO = {"persons": ["give_up_persons"]}
"""Who deletes from one when its key is lost."""
CALLS = {"keep_persons": "append_batch", "advance_lane": "append_batch"}
WRITES = (
    r"(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE|COPY)\s+"
    r"(?:ONLY\s+)?(?:ledger\.)?"
)
FIRST_ROWS = {"ledger/database.py": {"log_end"}}
"""An installation begins with a row a lane."""


@pytest.fixture
def conn(installed: Callable[[int], str]) -> Iterator[Connection[Any]]:
    with connect(installed(4)) as connection:
        yield connection


def functions(conn: Connection[Any], pattern: str) -> list[str]:
    """The functions and procedures of ours whose text has this."""
    found = conn.execute(
        "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosrc ~* %s"
        " ORDER BY 1",
        (pattern,),
    )
    return [name for (name,) in found]


def written(text: str) -> set[str]:
    """The tables of a batch that this text writes."""
    return {t for t in ONE if re.search(rf"{WRITES}{t}\b", text, re.IGNORECASE)}


def by_themselves(texts: Mapping[str, str]) -> dict[str, set[str]]:
    """The files of ours that write such a table without the function."""
    found = {name: written(text) - FIRST_ROWS.get(name, set()) for name, text in texts.items()}
    return {name: tables for name, tables in found.items() if tables}


# ----------------------------------------------------------------------------------- the catalogue
@pytest.mark.parametrize(("table", "one"), ONE.items())
def test_exactly_one_function_writes_a_table_of_the_log(
    conn: Connection[Any], table: str, one: str
) -> None:
    assert functions(conn, rf"{WRITES}{table}\y") == sorted([one, *ALSO.get(table, [])])


def test_keys_of_persons_are_kept_so_as_well_and_put_under_another_by_one_more(
    conn: Connection[Any],
) -> None:
    found = functions(conn, rf"{WRITES}person_keys\y")
    assert found == ["give_up_persons", "keep_persons", "rewrap_persons"]
    assert functions(conn, r"\m(give_up|rewrap)_persons\(") == []


def test_what_a_batch_leaves_to_others_nobody_else_asks_of_them(conn: Connection[Any]) -> None:
    for function, caller in CALLS.items():
        assert functions(conn, rf"\m{function}\(") == [caller]
    assert functions(conn, r"\mappend_batch\(") == ["append_staged"]


def test_no_file_of_ours_writes_one_by_itself() -> None:
    assert by_themselves(sources()) == {}


@pytest.mark.parametrize("table", ONE)
@pytest.mark.parametrize("way", ["INSERT INTO ledger.{}", "update {}", "COPY {} FROM STDIN"])
def test_the_alarm_rings(conn: Connection[Any], table: str, way: str) -> None:
    text = way.format(table)
    planted = "CREATE FUNCTION public.second() RETURNS void LANGUAGE plpgsql AS"
    conn.execute(f"{planted} 'BEGIN EXECUTE $${text}$$; END'".encode())
    assert functions(conn, rf"{WRITES}{table}\y") == sorted(
        [ONE[table], *ALSO.get(table, []), "second"]
    )
    assert by_themselves({"api/answers.py": text}) == {"api/answers.py": {table}}


# ---------------------------------------------------------------------------------- the same batch
def test_a_file_of_many_batches_is_one_sequence(
    installed: Callable[[int], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions, versions and answers go on from batch to batch, in each lane."""
    monkeypatch.setattr("ledger.lines.CHUNK", 3)
    monkeypatch.setattr("ledger.log.append.SNAPSHOTS_BYTES", 1)
    dsn = installed(4)
    executed(dsn, command("unit.open", unit_id="u0", title="城北"))
    history = a_history(5, 3)
    keyed = [
        fact("points.credit", member_id=f"m{n}", points=5, source="s", rule="r", key=f"k{n}-{time}")
        for time in range(2)
        for n in range(5)
    ]
    done = load(dsn, [*history, *keyed])
    assert (done.facts, done.rejected) == (len(history) + len(keyed), 0)
    assert_sound(dsn)
    answered = rows(
        dsn,
        "SELECT c.key, c.position = e.notification_id FROM command_log c JOIN stored_events e"
        " ON e.bucket = c.bucket AND convert_from(e.state, 'UTF8')::json ->> 'key' = c.key"
        " WHERE c.key LIKE 'k%'",
    )
    assert sorted(answered) == [(f"k{n}-{time}", True) for n in range(5) for time in range(2)]
    assert rows(dsn, "SELECT count(*), sum(facts) FROM file_lines") == [(7, len(history))]


def test_what_is_told_of_people_is_one_value(ledger_dsn: str) -> None:
    """And the type of a batch has no other place for it."""
    joins = command("member.join", member_id="m1", unit_id="u1", name="王小明", phone="13912345678")
    told = persons.Telling(persons.Whom("m1", 0), 1, NOW, joins.sealed())
    assert "13912345678" not in repr(told)
    with connect(ledger_dsn) as connection:
        keys = persons.DataKeys(Secrets.of(meta(connection)), 1)
        keys.take(connection.execute(persons.KEYS, keys.asked([told.whom])).fetchall())
        batch = Batch(None, lanes={0: 0}, sealed=keys.sealed([told])).encoded()
        appended(connection, batch)
        assert persons.person(connection, "m1") == persons.Person("王小明", "139****5678")
    assert keys.sealed([]) is None


def test_the_librarys_versions_are_expected_like_any_other(
    installed: Callable[[int], str],
) -> None:
    """A gap, and a stream that has moved on, are conflicts; nothing is written."""
    dsn = installed(1)
    store = datastore(dsn)
    try:
        recorder = LaneRecorder(store)

        def insert(*versions: int) -> Any:
            return recorder.insert_events([StoredEvent("test:1", v, "t", b"{}") for v in versions])

        assert insert(1, 2) == [1, 2]
        for late in ((4,), (2,), (3, 5), (4, 3)):
            with pytest.raises(IntegrityError):
                insert(*late)
        assert insert(3) == [3]
    finally:
        store.close()
    assert rows(dsn, "SELECT position FROM log_end") == [(3,)]
    assert rows(dsn, "SELECT version, fold FROM snapshots") == [(3, "")]


def test_a_batch_that_tells_no_time_is_stamped_by_the_database(ledger_dsn: str) -> None:
    batch = Batch(
        None,
        lanes={0: 1},
        snapshots=[Snapshot("test:1", 0, 0, 1, "", b"")],
        events=[NewEvent("test:1", 0, 1, 1, "t", b"{}")],
    ).encoded()
    with connect(ledger_dsn) as connection:
        (base,) = appended(connection, batch)
        assert base == (0, 0)
        assert connection.execute(
            "SELECT recorded_at BETWEEN ledger_clock() - interval '1 minute' AND ledger_clock()"
            " FROM stored_events"
        ).fetchone() == (True,)
        with pytest.raises(psycopg.Error) as late:
            appended(connection, batch)
    assert late.value.sqlstate == "23505"


def appended(connection: Connection[Any], batch: Encoded) -> list[Any]:
    return connection.execute("SELECT * FROM append_batch(%b::batch)", (batch,)).fetchall()
