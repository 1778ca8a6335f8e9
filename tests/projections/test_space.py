"""Where each byte lies."""

from ledger.database import connect
from projections.engine.runner import project
from projections.engine.space import PARTS, space
from tests.ledger.facts import a_club, a_member, executed
from tests.ledger.test_importing import a_history, load


def test_every_byte_of_the_database_is_told_once(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(), *a_member("m99"))
    load(ledger_dsn, [line for line in a_history(30, 3) if b"unit.open" not in line])
    project(ledger_dsn)
    with connect(ledger_dsn) as connection:
        found = space(connection)
        (whole,) = connection.execute(
            "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c"
            " WHERE relkind IN ('r', 'm')"
        ).fetchone() or (0,)
    assert tuple(part.name for part in found.parts) == PARTS
    assert (found.facts, found.events) == (6 + 120, 6 + 120)
    assert found.bytes == whole
    sizes = {part.name: part for part in found.parts}
    for kept in ("log", "commands", "snapshots", "persons", "typed events", "answers", "other"):
        assert sizes[kept].table_bytes > 0
        assert sizes[kept].index_bytes > 0
    assert sizes["answers as of"].bytes == 0
    assert found.wal_bytes is not None
    assert found.wal_bytes > 0


def test_who_may_not_ask_for_the_write_ahead_log_is_told_the_rest(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as connection:
        connection.execute("CREATE ROLE nobody_special")
        try:
            connection.execute("GRANT USAGE ON SCHEMA ledger TO nobody_special")
            connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO nobody_special")
            connection.execute("SET ROLE nobody_special")
            found = space(connection)
            assert (found.wal_bytes, found.facts) == (None, 0)
        finally:
            connection.execute("RESET ROLE")
            connection.execute("DROP OWNED BY nobody_special")
            connection.execute("DROP ROLE nobody_special")
