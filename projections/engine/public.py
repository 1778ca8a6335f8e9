"""The public face: the views as a schema of their own, for whoever brings tools of his own.

A role without a password sees that schema and nothing else: no personal data, no log, no tables,
which may be others tomorrow. The views are made anew with each swap of the answers and where
their texts have changed, by renaming a whole schema: who reads the old one goes on reading it, and
nobody waits.
"""

from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from domain.kernel.values import PROGRAMME
from ledger import digests
from projections.engine import measure
from projections.engine.connection import Conn
from projections.engine.contributions import text_for_sql
from projections.engine.schemas import HOME, LIVE, Schemas, path_of
from projections.engine.views import catalogue

SCHEMA, NEW, OLD = "analysis", "analysis_new", "analysis_old"
ROLE = "clubledger_analyst"
PATIENCE = {"statement_timeout": "10min", "idle_in_transaction_session_timeout": "1min"}
"""How long one of its questions may take, and stand still: a rebuild waits for it in the end."""
ROOM = "10GB"
"""How much of the disk a question may take for what does not fit into memory."""


MEASURES = """
CREATE TABLE {schema}.measures (
    measure_id text PRIMARY KEY, title text, zh text, unit text, formula text,
    needs text[], takes text[], query text
)
"""
"""The measures, and what their contributions are asked with."""

CONTRIBUTIONS = """
CREATE FUNCTION {schema}.contributions(
    measure text, on_day date, said jsonb DEFAULT '{{}}', first_day date DEFAULT NULL
) RETURNS TABLE ("of" jsonb, adds jsonb, events text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = {path}, pg_temp SET TimeZone = '{zone}' AS $$
DECLARE
    known record;
    wrong text[];
BEGIN
    SELECT * INTO known FROM {public}.measures m WHERE m.measure_id = measure;
    IF NOT FOUND OR on_day IS NULL OR jsonb_typeof(said) IS DISTINCT FROM 'object' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'there is no such measure, or no day, or no'
            ' object of what is said', HINT = 'SELECT measure_id, needs, takes FROM measures';
    END IF;
    wrong := ARRAY(
        SELECT jsonb_object_keys(said) UNION SELECT 'first_day' WHERE first_day IS NOT NULL
        EXCEPT SELECT unnest(known.takes)
    ) || ARRAY(SELECT unnest(known.needs) EXCEPT SELECT jsonb_object_keys(said));
    IF wrong <> '{{}}' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'it is asked with what it does not take, or'
            ' without what it needs: it needs ' || known.needs::text || ', takes '
            || known.takes::text;
    END IF;
    RETURN QUERY EXECUTE known.query USING on_day, first_day, said;
END $$
"""
"""Runs with the owner's rights, as a view does: whoever calls it sees none of the tables."""


def digest() -> str:
    """Of all their texts."""
    views = (f"{of.name} {of.sql} {of.columns}" for of in catalogue())
    return digests.of_text(*views, CONTRIBUTIONS, _measures(PROGRAMME.zone.key).digest)


def outdated(conn: Conn) -> bool:
    """Whether the views are missing, others than these, or not the role's to read."""
    found = conn.execute(
        "SELECT obj_description(to_regnamespace(%s), 'pg_namespace')", (SCHEMA,)
    ).fetchone()
    return found != (_state(known(conn)),)


def _state(role: bool) -> str:
    """Which views they are, and whether the role may read them."""
    return f"{digest()} {ROLE if role else ''}".rstrip()


def known(conn: Conn) -> bool:
    """Whether there is the role that may read them."""
    found = conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (ROLE,)).fetchone()
    return found is not None


def build(conn: Conn, *pairs: Schemas) -> None:
    """Make views onto these answers, beside those that are there."""
    with conn.transaction():
        role = _role(conn)
        drop(conn, NEW, OLD)
        conn.execute(f"CREATE SCHEMA {NEW}")
        conn.execute(path_of(*(name for pair in pairs for name in (pair.answers, pair.typed))))
        for of in catalogue():
            names = ", ".join(each.name for each in of.columns)
            conn.execute(f"CREATE VIEW {NEW}.{of.name} ({names}) AS {of.sql}")
            _comment(conn, f"VIEW {NEW}.{of.name}", of.about)
            for each in of.columns:
                _comment(conn, f"COLUMN {NEW}.{of.name}.{each.name}", each.about)
        _contributions(conn)
        _comment(conn, f"SCHEMA {NEW}", _state(role))
        if role:
            conn.execute(f"GRANT USAGE ON SCHEMA {NEW} TO {ROLE}")
            conn.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {NEW} TO {ROLE}")


def _contributions(conn: Conn) -> None:
    """What makes each measure up: by a function, since it hangs on a day and on what is said."""
    conn.execute(MEASURES.format(schema=NEW))
    with conn.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {NEW}.measures VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            _measures(PROGRAMME.zone.key).rows,
        )
    path = f"{LIVE.answers}, {LIVE.typed}, {', '.join(HOME)}"
    text = CONTRIBUTIONS.format(schema=NEW, public=SCHEMA, path=path, zone=PROGRAMME.zone.key)
    conn.execute(text.encode())


class _Measures(NamedTuple):
    rows: list[tuple[Any, ...]]
    digest: str


@cache
def _measures(zone: str) -> _Measures:
    """A row each, as texts have it in this zone."""
    rows = [_row(of) for of in measure.catalogue()]
    return _Measures(rows, digests.of_text(zone, *map(str, rows)))


def _row(of: measure.Measure) -> tuple[Any, ...]:
    takes = ["first_day"] * of.days + [*of.needs, *of.rows.may]
    words = of.id, of.title, of.zh, of.unit, of.formula.text
    return (*words, [*of.needs], takes, text_for_sql(of))


def swap(conn: Conn) -> None:
    """Put them in the place of the others, within a transaction."""
    if conn.execute("SELECT to_regnamespace(%s) IS NOT NULL", (SCHEMA,)).fetchone() == (True,):
        conn.execute(f"ALTER SCHEMA {SCHEMA} RENAME TO {OLD}")
    conn.execute(f"ALTER SCHEMA {NEW} RENAME TO {SCHEMA}")


def drop(conn: Conn, *schemas: str) -> None:
    """Drop them, once nobody reads them."""
    conn.execute(f"DROP SCHEMA IF EXISTS {', '.join(schemas)} CASCADE")


def _comment(conn: Conn, on: str, text: str) -> None:
    conn.execute(sql.SQL(f"COMMENT ON {on} IS {{}}").format(text))


def _role(conn: Conn) -> bool:
    """Whether there is the role that may read them. On a server of somebody else's who lets us make
    none, its owner makes it."""
    if known(conn):
        return True
    try:
        with conn.transaction():
            conn.execute(f"CREATE ROLE {ROLE} NOLOGIN NOINHERIT")
            conn.execute(f"GRANT {ROLE} TO CURRENT_USER")  # who may then look as one, too
            bound(conn, ROLE)
    except psycopg.errors.InsufficientPrivilege:
        return False
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return True  # another ledger of this server made it just now
    return True


def bound(conn: Conn, role: str) -> None:
    """What its sessions begin with. The room on the disk is for the owner of a server to bound."""
    conn.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    conn.execute(f"ALTER ROLE {role} SET search_path = {SCHEMA}")
    for name, value in PATIENCE.items():
        conn.execute(f"ALTER ROLE {role} SET {name} = '{value}'")
    with suppress(psycopg.errors.InsufficientPrivilege), conn.transaction():
        conn.execute(f"ALTER ROLE {role} SET temp_file_limit = '{ROOM}'")
