"""Measures: they foot to their rows, rows lead to events, and each says what it is asked with."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from domain.kernel.refusal import Refusal
from ledger.database import connect
from projections.engine import contributions, measure, runner, views
from projections.engine.catalogue import NOUNS
from projections.engine.connection import Conn
from projections.engine.measure import MEASURES, Measured, WrongParameters
from projections.engine.names import ANYBODY, NAMES, NOBODY, UnknownTier, codes_of
from projections.engine.views import VIEWS
from tests.projections.histories import DAY, STEPS, World, history, lay
from tests.projections.tables import emptied, looking
from tests.projections.workings import CARELESS

EXAMPLES = settings(
    max_examples=2,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=CARELESS,
    deadline=None,
)
assert NOUNS
LAST = date(2008, 12, 31)
IDS = {f"{each}_id" for each in ("member", "unit", "club", "service", "campaign", "cohort")}
DAYS = st.tuples(DAY, DAY).map(sorted)


def told(conn: Conn, dsn: str, world: World) -> None:
    emptied(conn)
    lay(conn, world.log)
    runner.project(dsn)


def asked(conn: Conn, measure_id: str) -> list[dict[str, str]]:
    """Every way in which the ledger knows what a measure needs."""
    return measure.known(conn, MEASURES[measure_id].rows.needs)


def places(conn: Conn) -> set[tuple[str, str]]:
    found = conn.execute("SELECT topic, bucket || ':' || notification_id FROM ledger.stored_events")
    return set(found.fetchall())


def test_every_measure_foots_to_rows_that_lead_to_their_events(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(4)
    with looking(connect(dsn)) as conn:

        @EXAMPLES
        @given(steps=STEPS, days=DAYS)
        def foot(steps: list[Any], days: list[date]) -> None:
            told(conn, dsn, history(steps, 4))
            events, (first, on) = places(conn), days
            for measure_id in MEASURES:
                span = {"first": first} if MEASURES[measure_id].days else {}
                for said in asked(conn, measure_id):
                    footed(conn, measure_id, {**said, **span}, on, events)

        foot()


def footed(conn: Conn, measure_id: str, said: dict[str, Any], on: date, events: set[Any]) -> None:
    of = MEASURES[measure_id]
    found = measure.measured(conn, measure_id, said, on)
    page = contributions.contributions(conn, measure_id, said, on, limit=1000)
    sums = found.sums()
    for name in of.added:
        assert sum(row.adds[name] for row in page.contributions) == sums[name], (measure_id, name)
    for row in page.contributions:
        assert any(row.adds.values()), measure_id
        assert row.events, f"{measure_id}: a row comes from nothing: {row.of}"
        assert {(e.topic, e.place) for e in row.events} <= events
    keys = [tuple(row.of[name] for name in of.rows.key) for row in page.contributions]
    assert len(set(keys)) == len(keys), f"{measure_id}: its key tells rows not apart"
    assert keys == [tuple(row.of[n] for n in of.rows.key) for row in paged(conn, of, said, on)]
    for dim in of.rows.dims:
        by = measure.measured(conn, measure_id, said, on, [dim])
        assert by.sums() == sums
        for group in by.groups:
            wanted = group.key[dim] if group.key[dim] is not None else NOBODY
            one = measure.measured(conn, measure_id, {**said, dim: wanted}, on)
            assert {each.name: each.value for each in group.inputs} == one.sums()
        for name in of.added:
            parts = [each.value for g in by.groups for each in g.inputs if each.name == name]
            assert sum(parts) == sums[name]


def paged(conn: Conn, of: Any, said: dict[str, Any], on: date) -> Iterator[Any]:
    after = None
    while True:
        page = contributions.contributions(conn, of.id, said, on, 9, after)
        yield from page.contributions
        after = page.next
        if after is None:
            return


def test_what_happened_later_counts_for_no_measure(installed: Callable[[int], str]) -> None:
    """But for what was dated later and is about an earlier day."""
    dsn = installed(1)
    with looking(connect(dsn)) as conn:

        @EXAMPLES
        @given(steps=STEPS, on=DAY)
        def holds(steps: list[Any], on: date) -> None:
            world = history(steps, 1)
            told(conn, dsn, world)
            whole = values(conn, on)
            told(conn, dsn, world)
            assert values(conn, on) == whole  # and it is the same when asked again

        holds()


def values(conn: Conn, on: date) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in measure.overview(conn, on):
        alone = measure.measured(conn, each.measure_id, each.params, on)
        assert alone == each
        found[f"{each.measure_id} {each.params}"] = (each.value, each.why, each.sums())
    assert {each.split()[0] for each in found} <= set(MEASURES)
    return found


# ---------------------------------------------------------------------------------------- asking
@pytest.fixture
def conn(installed: Callable[[int], str]) -> Iterator[Conn]:
    dsn = installed(1)
    with looking(connect(dsn)) as conn:
        told(conn, dsn, history([], 1))
        yield conn


def refused(conn: Conn, measure_id: str, **said: Any) -> dict[str, Any]:
    with pytest.raises(WrongParameters) as wrong:
        measure.measured(conn, measure_id, said, LAST)
    return wrong.value.numbers()


def test_what_a_measure_does_not_take_or_lacks_is_told_with_all_that_it_takes(conn: Conn) -> None:
    told = refused(conn, "bindings.rate", tire="gold", on="20081231")
    assert told["unknown"] == ["tire"]
    assert told["missing"] == ["cohort_id"]
    assert told["unreadable"] == ["on"]
    assert "unit_id" in told["takes"]
    assert refused(conn, "visits.count", first="2009-01-01")["unreadable"] == ["first"]
    for wrong in ("-1", "1.5", "ten", "1_0", "\u0661", "10000000000000"):
        assert refused(conn, "points.lapsing", days=wrong)["unreadable"] == ["days"]
    assert refused(conn, "points.lapsing", tier="x" * 1001)["unreadable"] == ["tier"]


@pytest.mark.parametrize("number", ["0", "9999999999999"])
def test_whatever_number_is_said_is_reckoned_with(conn: Conn, number: str) -> None:
    for measure_id, of in MEASURES.items():
        said = {name: number for name, usual in of.rows.may.items() if isinstance(usual, int)}
        for each in measure.known(conn, of.rows.needs) if said else ():
            found = contributions.contributions(conn, measure_id, {**each, **said}, LAST, 5)
            assert found.measured.params.items() >= said.items()


def test_a_name_that_is_not_there_is_refused_with_its_own_code(conn: Conn) -> None:
    """What a measure or a list needs, may be told or is filtered by; one of several is enough."""
    assert NAMES.keys() == IDS
    for measure_id, of in MEASURES.items():
        needed = dict.fromkeys(of.needs, "nobody")
        for name in {"tier", *NAMES} & {*of.takes}:
            with pytest.raises(Refusal) as refused:
                measure.measured(conn, measure_id, {**needed, name: "nobody"}, LAST)
            assert refused.value.code in codes_of([name, *of.needs])
    for each in views.catalogue():
        for name in {"tier", *NAMES} & each.filters.keys():
            asked = (conn, each, {name: f"{NOBODY},nobody,{ANYBODY}"})
            with pytest.raises(Refusal) as refused:
                views.page(*asked)
            with pytest.raises(type(refused.value)), views.whole(*asked):
                pass
            assert [refused.value.code] == codes_of([name])
    assert views.page(conn, VIEWS["members"], {"tier": f"{NOBODY},{ANYBODY}"})


def test_a_page_that_is_none_is_refused(conn: Conn) -> None:
    for after in ("x", "a~b~c", "~~"):
        with pytest.raises(WrongParameters):
            contributions.contributions(conn, "points.outstanding", {}, LAST, 5, after)


def test_a_filter_is_a_value_and_never_sql(conn: Conn) -> None:
    for hostile in ("'", "x'; DROP TABLE member; --", "%s", "%(on)s", "\\", "{}", "，"):
        found = measure.measured(conn, "visits.count", {"desk": hostile}, LAST)
        assert isinstance(found, Measured)
        assert found.value == 0
        with pytest.raises(UnknownTier):
            measure.measured(conn, "members.vips", {"tier": hostile}, LAST)


def test_each_measure_has_words_in_both_languages() -> None:
    for each in MEASURES.values():
        assert each.title.isascii()
        assert not each.zh.isascii()
        assert each.unit
    for words in ("title", "zh"):
        said = [getattr(each, words) for each in MEASURES.values()]
        assert len(set(said)) == len(said)
