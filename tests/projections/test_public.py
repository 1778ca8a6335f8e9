"""The public face: a role that reads the views and nothing else, through folds and rebuilds."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from pydantic_core import to_jsonable_python

from ledger.database import connect
from projections.engine import measure, public, runner, views
from projections.engine.connection import Conn
from projections.engine.contributions import contributions
from projections.engine.projection import PROJECTIONS
from projections.engine.public import ROLE, SCHEMA
from projections.engine.views import VIEWS
from tests.projections.tables import filled, looking
from tests.projections.test_views import full


@contextmanager
def analyst(dsn: str) -> Iterator[Conn]:
    """A connection as somebody has who may read the views."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(f"SET SESSION AUTHORIZATION {ROLE}")
        conn.execute(f"SET search_path = {SCHEMA}")
        yield conn


def told(dsn: str) -> dict[str, list[Any]]:
    """What the views show him."""
    with analyst(dsn) as conn:
        found = {}
        for of in views.catalogue():
            key = ", ".join(of.key)
            cursor = conn.cursor(row_factory=dict_row)
            found[of.name] = cursor.execute(f"SELECT * FROM {of.name} ORDER BY {key}").fetchall()
        return found


def listed(dsn: str) -> dict[str, list[Any]]:
    """What the lists show."""
    with looking(connect(dsn)) as conn:
        found = {}
        for of in views.catalogue():
            with conn.transaction(), views.whole(conn, of, {}) as rows:
                found[of.name] = [row.model_dump() for row in rows]
        return found


@pytest.fixture
def answered(installed: Callable[[int], str]) -> str:
    """A ledger with some of everything, whose answers hold a part of it."""
    return filled(installed(4), full(4).log)


def test_the_views_show_what_the_lists_show_through_rebuilds(
    answered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = told(answered)
    assert wanted == listed(answered)
    assert all(wanted.values())
    runner.rebuild(answered)
    assert told(answered) == wanted
    monkeypatch.setattr(PROJECTIONS["points"], "version", "another")
    assert runner.project(answered).rebuilt, "one projection is folded anew, the others are kept"
    assert told(answered) == wanted
    with connect(answered) as conn:
        assert not public.outdated(conn)
        left = conn.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'an%'").fetchall()
        assert sorted(left) == [(SCHEMA,), ("answers",)]


def test_the_views_are_made_anew_where_their_texts_change(
    answered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = VIEWS["units"]
    monkeypatch.setitem(of.__dict__, "text", f"{of.text} WHERE unit_id = 'east'")
    assert not runner.project(answered).rebuilt
    assert [row["unit_id"] for row in told(answered)["units"]] == ["east"]


def test_who_reads_them_keeps_nobody_waiting(answered: str) -> None:
    with analyst(answered) as conn, conn.transaction():
        before = conn.execute("SELECT count(*) FROM members").fetchall()
        runner.rebuild(answered)
        with connect(answered) as other:
            runner.prepare(other)
        assert told(answered) == listed(answered)
        assert conn.execute("SELECT count(*) FROM members").fetchall() == before
    runner.rebuild(answered)
    with connect(answered) as conn:
        found = conn.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname IN ('analysis_old', 'answers_old')"
        ).fetchone()
        assert found == (0,)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM ledger.persons",
        "SELECT * FROM ledger.stored_events",
        "SELECT * FROM ledger.ledger_meta",
        "SELECT * FROM answers.member",
        "SELECT * FROM typed.member_joined",
        "CREATE TABLE analysis.mine (n integer)",
        "DELETE FROM analysis.units",
        "CREATE SCHEMA mine",
        "SELECT pg_read_file('/etc/hostname')",
        "COPY analysis.units TO '/tmp/units'",
    ],
)
def test_the_role_sees_nothing_else(answered: str, query: str) -> None:
    with analyst(answered) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
        conn.execute(query)


def test_contributions_are_those_of_the_doors_for_every_measure(answered: str) -> None:
    on, first, some = date(2009, 1, 31), date(2008, 3, 5), 0
    with looking(connect(answered)) as conn, analyst(answered) as outside:
        assert measure.MEASURES, "they are there"
        for of in measure.catalogue():
            span = {"first": first} if of.days else {}
            for said in measure.known(conn, of.rows.needs):
                page = contributions(conn, of.id, {**said, **span}, on, limit=1000)
                given = (of.id, on, Jsonb(said), span.get("first"))
                asked = "SELECT * FROM contributions(%s, %s, %s, %s)"
                found = outside.execute(asked, given).fetchall()
                wanted = [
                    (to_jsonable_python(row.of), row.adds, [*map(str, row.events)])
                    for row in page.contributions
                ]
                assert [*map(instants, found)] == [*map(instants, wanted)], of.id
                some += len(found)
                for number in (0, 9999999999999):
                    usual = {n for n, each in of.rows.may.items() if isinstance(each, int)}
                    most = Jsonb({**said, **dict.fromkeys(usual, number)})
                    outside.execute(asked, (of.id, on, most, span.get("first")))
    assert some > 100


def test_nothing_of_somebody_else_is_run_as_the_owner(answered: str) -> None:
    """Not even where everybody may make functions in `public`, as in databases from before
    PostgreSQL 15; and whatever his session is set to, the rows are the same."""
    asked = "SELECT * FROM analysis.contributions('visits.count', '2008-12-31')"
    with psycopg.connect(answered, autocommit=True) as owner:
        owner.execute(f"GRANT CREATE ON SCHEMA public TO {ROLE}")
    with analyst(answered) as conn:
        wanted = conn.execute(asked).fetchall()
        assert wanted
        conn.execute(
            "CREATE FUNCTION public.date_trunc(text, date) RETURNS timestamp LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'run as %', current_user; END $$"
        )
        for name, value in (
            ("search_path", "public, analysis"),
            ("standard_conforming_strings", "off"),
            ("transform_null_equals", "on"),
            ("DateStyle", "German"),
            ("TimeZone", "UTC"),
        ):
            conn.execute(f"SET {name} = {value}")
        assert conn.execute(asked).fetchall() == wanted
    with connect(answered) as conn:  # we neither
        conn.execute("SELECT date_trunc('year', '2008-12-31'::date)")


def instants(row: Sequence[Any]) -> list[Any]:
    """The same with instants in one spelling."""
    spelt = {
        name: datetime.fromisoformat(each).astimezone(UTC) if "T" in str(each) else each
        for name, each in row[0].items()
    }
    return [spelt, *row[1:]]


@pytest.mark.parametrize(
    "given",
    [
        "'no.such', '2008-12-31'",
        "'bindings.rate', '2008-12-31'",
        "'members.vips', NULL",
        "'members.vips', '2008-12-31', '[]'",
        "'members.vips', '2008-12-31', '{\"tire\": \"gold\"}'",
        "'members.vips', '2008-12-31', '{}', '2008-01-01'",
    ],
)
def test_contributions_asked_wrongly_say_with_what_they_are_asked(
    answered: str, given: str
) -> None:
    with analyst(answered) as conn, pytest.raises(psycopg.errors.InvalidParameterValue):
        conn.execute(f"SELECT * FROM contributions({given})")


def test_no_view_tells_who_somebody_is() -> None:
    for of in VIEWS.values():
        assert not {each.name for each in of.columns} & {"name", "phone", "key"}


def test_each_column_says_what_it_is_in_the_database_too(answered: str) -> None:
    with analyst(answered) as conn:
        for of in views.catalogue():
            found = conn.execute(
                "SELECT attname, format_type(atttypid, NULL),"
                " col_description(attrelid, attnum) FROM pg_attribute"
                " WHERE attrelid = to_regclass(%s) AND attnum > 0 ORDER BY attnum",
                (of.name,),
            ).fetchall()
            long = {"timestamptz": "timestamp with time zone"}
            assert found == [(e.name, long.get(e.type, e.type), e.about) for e in of.columns]
