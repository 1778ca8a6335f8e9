"""The audit: each kind of damage is planted and found, and what is sound is left in peace."""

import threading
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings

from domain.kernel.postings import MovesPoints
from ledger.checking import Sample, streams
from ledger.database import connect
from ledger.log import snapshots
from projections.audit import audit
from projections.audit.audit import EVERYONE, Audit, Check, compare
from projections.audit.comparing import Comparison, Difference, Tally
from projections.engine import runner
from projections.engine.reference import FOLDS
from projections.engine.runner import PoisonedEvent
from tests.ledger.facts import a_club, a_member, a_visit, command, executed
from tests.patience import PATIENCE_S
from tests.projections.histories import STEPS, furnished, history, lay, lay_rows
from tests.projections.tables import emptied
from tests.projections.workings import CARELESS

ALL: tuple[Check, ...] = ("replay", "snapshots", "second opinion")


@pytest.fixture
def sound(ledger_dsn: str) -> str:
    """A ledger in which a little happened, written by the ledger itself, and its answers."""
    executed(ledger_dsn, *a_club(10), *a_member("m1", 100), *a_member("m2", 50))
    visits = [a_visit("m1"), a_visit("m2")]
    executed(ledger_dsn, *visits)
    runner.project(ledger_dsn)
    return ledger_dsn


def damaged(dsn: str, *statements: str) -> None:
    with connect(dsn) as conn:
        for statement in statements:
            conn.execute(statement.encode())


def told(found: Audit, against: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(table, kind, key) of what one comparison lists."""
    return [(d.table, d.kind, dict(d.key)) for d in of(found, against).differences]


def of(found: Audit, against: str) -> Comparison:
    return next(each for each in found.comparisons if each.against == against)


def tally(found: Comparison, table: str) -> Tally:
    return next(each for each in found.tables if each.table == table)


def values(difference: Difference) -> dict[str, tuple[Any, Any]]:
    return {value.column: (value.live, value.expected) for value in difference.values}


# -------------------------------------------------------------------------------------- sound
def test_a_sound_ledger_differs_in_nothing(sound: str) -> None:
    found = compare(sound, ALL)
    assert found.different == 0
    assert [each.against for each in found.comparisons] == [*ALL]
    assert (found.events, found.behind) == (13, 0)
    for each in found.comparisons:
        assert sum(tally.rows for tally in each.tables) > 3, each.against
    with connect(sound) as conn:
        left = conn.execute("SELECT to_regnamespace('answers_scratch')").fetchone()
        assert left == (None,)


def test_an_empty_ledger_differs_in_nothing(ledger_dsn: str) -> None:
    assert compare(ledger_dsn, ALL).different == 0


@given(scenes=STEPS)
@settings(max_examples=10, suppress_health_check=CARELESS)
def test_sql_and_python_are_of_one_opinion(ledger_dsn: str, scenes: Any) -> None:
    with connect(ledger_dsn) as conn:
        emptied(conn)
        buckets = len(runner.status(conn))
        lay(conn, history(scenes, buckets).log)
        runner.project(ledger_dsn)
    assert compare(ledger_dsn, ["second opinion"]).different == 0


def test_answers_that_are_behind_are_compared_where_they_stand(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as conn:
        log = furnished(len(runner.status(conn))).log
        lay(conn, log[:-3])
        runner.project(ledger_dsn)
        lay(conn, log[-3:])
    found = compare(ledger_dsn, ["replay", "second opinion"])
    assert (found.different, found.events, found.behind) == (0, len(log) - 3, 3)
    with connect(ledger_dsn) as conn:
        assert sum(lane.lag for lane in runner.status(conn)) == 3, "it folded into what is live"


def test_who_writes_and_folds_meanwhile_is_no_difference(
    sound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the replay and the comparison a visit comes in, is folded and moves snapshots on."""
    real = audit._one_state

    def late(conn: Any) -> Any:
        executed(sound, a_visit("m1", confirm_repeat=True))
        runner.project(sound)
        return real(conn)

    monkeypatch.setattr(audit, "_one_state", late)
    found = compare(sound, ALL)
    assert (found.different, found.events) == (0, 15)


def test_nobody_waits_for_a_comparison(sound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the midst of it somebody writes, and his visit is folded."""
    real, came = audit._walk, list[runner.Folded]()

    def slow(*given: Any) -> None:
        executed(sound, a_visit("m1", confirm_repeat=True))
        thread = threading.Thread(target=lambda: came.append(runner.project(sound)))
        thread.start()
        thread.join(PATIENCE_S)
        real(*given)

    monkeypatch.setattr(audit, "_walk", slow)
    assert compare(sound, ALL).different == 0
    assert [folded.events for folded in came] == [2]


# ------------------------------------------------------------------------------------- damage
def test_a_damaged_answer_is_found_by_both_opinions(sound: str) -> None:
    damaged(sound, "UPDATE answers.lot SET spendable = spendable + 7 WHERE member_id = 'm1'")
    found = compare(sound, ALL)
    assert told(found, "snapshots") == []
    for against in ("replay", "second opinion"):
        (difference,) = of(found, against).differences
        assert (difference.table, difference.kind) == ("answers.lot", "changed")
        assert difference.key["member_id"] == "m1"
        assert values(difference) == {"spendable": (97, 90)}


def test_a_missing_row_is_found(sound: str) -> None:
    damaged(sound, "DELETE FROM answers.account WHERE member_id = 'm2'")
    found = compare(sound, ALL)
    for against in ("replay", "second opinion"):
        assert [each[:2] for each in told(found, against)] == [("answers.account", "missing")]
    (difference,) = of(found, "replay").differences
    assert values(difference)["spendable"] == (None, 40)


@pytest.mark.parametrize("member", ["m1", "nobody"])
def test_a_row_without_reason_is_found(sound: str, member: str) -> None:
    damaged(
        sound,
        "INSERT INTO answers.lot (bucket, member_id, lot, outside, spendable, spent, expired,"
        f" reversed, earned_at, available_from, source, rule) SELECT bucket, '{member}', 99, -5, 5,"
        " 0, 0, 0, earned_at, earned_at, source, rule"
        " FROM answers.lot WHERE member_id = 'm1'",
    )
    found = compare(sound, ALL)
    for against in ("replay", "second opinion"):
        ((table, kind, key),) = told(found, against)
        assert (table, kind, key["member_id"], key["lot"]) == ("answers.lot", "extra", member, 99)


def test_an_answer_about_no_member_is_found(sound: str) -> None:
    damaged(sound, "UPDATE answers.club_use SET visits = visits + 1")
    found = compare(sound, ALL)
    for against in ("replay", "second opinion"):
        assert {each[:2] for each in told(found, against)} == {("answers.club_use", "changed")}
    assert told(compare(sound, ["second opinion"], Sample(1)), "second opinion") == []


def test_a_damaged_typed_row_is_found(sound: str) -> None:
    damaged(
        sound,
        "UPDATE typed.points_debited SET postings = '[]' WHERE member_id = 'm1'",
        "INSERT INTO typed.unit_opened (bucket, position, unit_id, stream_version, recorded_at,"
        " occurred_at, actor, title) SELECT bucket, position + 50, 'u9', stream_version,"
        " recorded_at, occurred_at, actor, title FROM typed.unit_opened",
    )
    found = compare(sound)
    assert {each[:2] for each in told(found, "replay")} == {
        ("typed.points_debited", "changed"),
        ("typed.unit_opened", "extra"),
    }


def test_a_row_that_is_there_twice_is_found(sound: str) -> None:
    damaged(
        sound,
        "ALTER TABLE answers.account DROP CONSTRAINT account_pkey",
        "INSERT INTO answers.account SELECT * FROM answers.account WHERE member_id = 'm1'",
    )
    ((table, kind, key),) = told(compare(sound), "replay")
    assert (table, kind, key["member_id"]) == ("answers.account", "extra", "m1")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE answers.checkpoint SET position = position + 5 WHERE projection = 'points'",
        "UPDATE answers.checkpoint SET position = position + 5",
        "UPDATE answers.checkpoint SET position = position - 1 WHERE position > 0",
        "DELETE FROM answers.checkpoint WHERE projection = 'points'",
        "INSERT INTO answers.checkpoint VALUES ('more', 0, 0, 'x')",
    ],
)
def test_a_wrong_checkpoint_is_found(sound: str, statement: str) -> None:
    damaged(sound, statement)
    assert compare(sound).different > 0


def test_a_checkpoint_that_skipped_an_event_is_found(sound: str) -> None:
    executed(sound, a_visit("m1", confirm_repeat=True))
    damaged(
        sound,
        "UPDATE answers.checkpoint c SET position = h.position FROM ledger.log_end h"
        " WHERE h.bucket = c.bucket",
    )
    found = compare(sound, ALL)
    for against in ("replay", "second opinion"):
        assert "answers.visit" in {table for table, _, _ in told(found, against)}


@pytest.mark.parametrize(
    "statement",
    ["DROP TABLE answers.lot CASCADE", "ALTER TABLE answers.lot ADD COLUMN more bigint"],
)
def test_a_table_that_is_unlike_is_found(sound: str, statement: str) -> None:
    damaged(sound, statement)
    assert told(compare(sound), "replay") == [("answers.lot", "unlike", {})]


# -------------------------------------------------------------------------------------- snapshots
def first(lots: dict[str, list[Any]]) -> list[Any]:
    return next(iter(lots.values()))


def test_a_snapshot_that_is_not_the_fold_of_its_events_is_found(sound: str) -> None:
    with connect(sound) as conn:
        (stored,) = conn.execute(
            "SELECT state FROM ledger.snapshots WHERE originator_id = 'member:m1'"
        ).fetchone() or (b"",)
        state = snapshots.decode("member:m1", stored)
        next(iter(state["points"].lots.values())).points += 1
        conn.execute(
            "UPDATE ledger.snapshots SET state = %s WHERE originator_id = 'member:m1'",
            (snapshots.row("member:m1", state)[1],),
        )
    found = compare(sound)
    assert told(found, "replay") == []
    (difference,) = of(found, "snapshots").differences
    assert (difference.table, difference.kind) == ("ledger.snapshots", "changed")
    assert difference.key == {"stream": "member:m1", "bucket": difference.key["bucket"]}
    ((column, (live, expected)),) = values(difference).items()
    assert column == "points.lots"
    assert (91 in first(live), 90 in first(expected)) == (True, True)


HEADS = {
    "a snapshot is missing": (
        "DELETE FROM ledger.snapshots WHERE originator_id = 'member:m1'",
        ("ledger.snapshots", "missing"),
    ),
    "a snapshot without events": (
        "INSERT INTO ledger.snapshots SELECT 'member:m9', bucket, version, fold, state"
        " FROM ledger.snapshots WHERE originator_id = 'member:m1'",
        ("ledger.snapshots", "extra"),
    ),
    "a snapshot of another version": (
        "UPDATE ledger.snapshots SET version = version + 1 WHERE originator_id = 'member:m1'",
        ("ledger.snapshots", "changed"),
    ),
    "a snapshot in another lane": (
        "UPDATE ledger.snapshots SET bucket = bucket + 9 WHERE originator_id = 'member:m1'",
        ("ledger.snapshots", "extra"),
        ("ledger.snapshots", "missing"),
    ),
    "a club without a snapshot in one of the lanes": (
        "DELETE FROM ledger.snapshots WHERE ctid IN (SELECT max(ctid) FROM ledger.snapshots"
        " WHERE originator_id = 'club:health')",
        ("ledger.snapshots", "missing"),
    ),
    "a snapshot of a club that another lane does not have": (
        "UPDATE ledger.snapshots SET version = version + 1 WHERE ctid IN"
        " (SELECT max(ctid) FROM ledger.snapshots WHERE originator_id = 'club:health')",
        ("ledger.snapshots", "changed"),
    ),
    "a key that stands for commands in two lanes": (
        "INSERT INTO ledger.command_log SELECT key, digest, bucket + 9, position, response"
        " FROM ledger.command_log ORDER BY key LIMIT 1",
        ("ledger.command_log", "extra"),
    ),
    "a snapshot that is no state": (
        "UPDATE ledger.snapshots SET state = 'x' WHERE originator_id = 'member:m1'",
        ("ledger.snapshots", "changed"),
    ),
    "a lane that says more than it holds": (
        "UPDATE ledger.log_end SET position = position + 1 WHERE bucket = 0",
        ("ledger.log_end", "changed"),
    ),
}


@pytest.mark.parametrize("case", HEADS.values(), ids=HEADS.keys())
def test_a_damaged_snapshot_is_found(
    sound: str, case: tuple[str, *tuple[tuple[str, str], ...]]
) -> None:
    statement, *expected = case
    damaged(sound, statement)
    found = [each[:2] for each in told(compare(sound, ["snapshots"]), "snapshots")]
    assert sorted(found) == expected


@pytest.fixture
def bound(sound: str) -> str:
    """The same, with a member who is bound: a part of his state lies beside the row."""
    days = {"starts_on": date(2008, 8, 1), "ends_on": date(2009, 8, 1)}
    executed(sound, command("binding.start", member_id="m1", policy="handset", **days))
    runner.project(sound)
    return sound


BESIDE = {
    "a part is missing": (
        "DELETE FROM ledger.snapshot_parts",
        ("missing", ["bindings.bindings", "bindings.made", "bindings.forgotten"]),
    ),
    "a part that is no state": (
        "UPDATE ledger.snapshot_parts SET state = 'x'",
        ("changed", ["bindings.bindings", "bindings.made", "bindings.forgotten"]),
    ),
    "a part that is another": (
        "UPDATE ledger.snapshot_parts SET state = '[[],1,{}]'",
        ("changed", ["bindings.bindings"]),
    ),
    "a part of no noun": (
        "INSERT INTO ledger.snapshot_parts SELECT bucket, originator_id, 'x', fold, state"
        " FROM ledger.snapshot_parts",
        ("extra", []),
    ),
    "a part of a stream that is not": (
        "UPDATE ledger.snapshot_parts SET originator_id = 'member:m9'",
        ("extra", []),
        ("missing", ["bindings.bindings", "bindings.made", "bindings.forgotten"]),
    ),
}


@pytest.mark.parametrize("case", BESIDE.values(), ids=BESIDE.keys())
def test_a_damaged_part_is_found(
    bound: str, case: tuple[str, *tuple[tuple[str, list[str]], ...]]
) -> None:
    assert told(compare(bound, ["snapshots"]), "snapshots") == []
    statement, *expected = case
    damaged(bound, statement)
    found = of(compare(bound, ["snapshots"]), "snapshots").differences
    assert {each.table for each in found} == {"ledger.snapshot_parts"}
    assert sorted((d.kind, [*values(d)]) for d in found) == expected


def test_a_part_of_earlier_rules_is_counted_and_no_difference(bound: str) -> None:
    damaged(bound, "UPDATE ledger.snapshot_parts SET fold = 'old', state = 'x'")
    found = of(compare(bound), "snapshots")
    assert (found.different, tally(found, "ledger.snapshot_parts").unchecked) == (0, 1)


def test_an_event_that_was_taken_away_is_found(sound: str) -> None:
    damaged(
        sound,
        "DELETE FROM ledger.stored_events WHERE originator_id = 'member:m1'"
        " AND topic = 'tier.changed'",
    )
    found = compare(sound, ["snapshots"])
    assert {each[0] for each in told(found, "snapshots")} == {"ledger.snapshots", "ledger.log_end"}


def test_a_snapshot_of_earlier_rules_is_counted_and_no_difference(sound: str) -> None:
    damaged(sound, "UPDATE ledger.snapshots SET fold = 'old', state = 'x'"
            " WHERE originator_id = 'member:m1'")  # fmt: skip
    found = of(compare(sound), "snapshots")
    assert (found.different, tally(found, "ledger.snapshots").unchecked) == (0, 1)


def test_an_event_that_cannot_be_read_is_named(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    with connect(dsn) as conn:
        lay(conn, furnished(1).log[:2])
        lay_rows(conn, [(0, "unit:a", "unit.opened", b'{"title": "Secret"}', 3)])
    with pytest.raises(PoisonedEvent, match=r"position 3 of bucket 0 \(unit.opened\)") as caught:
        compare(dsn, ["snapshots"])
    assert "Secret" not in str(caught.value)


# ---------------------------------------------------------------------------- samples, bounds
def test_a_sample_is_the_same_every_time_and_another_with_another_seed(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(1)
    joined = [command("member.join", member_id=f"m{n}", unit_id="u1") for n in range(40)]
    executed(dsn, command("unit.open", unit_id="u1", title="U"), *joined)

    def drawn(sample: Sample) -> set[str]:
        with connect(dsn) as conn, conn.transaction(), streams(conn, sample) as found:
            return {stream for stream, _ in found}

    first = drawn(Sample(5))
    assert len(first) == 6
    assert "unit:u1" in first
    assert first == drawn(Sample(5))
    assert first != drawn(Sample(5, seed=1))
    assert drawn(EVERYONE) == drawn(Sample(1_000)) > first


def test_a_sample_finds_what_is_in_it_and_nothing_else(sound: str) -> None:
    damaged(sound, "UPDATE answers.account SET spendable = spendable + 1")
    found = of(compare(sound, ["second opinion"], Sample(1)), "second opinion")
    assert (found.different, tally(found, "answers.account").rows) == (1, 1)


def test_the_list_is_bounded_and_the_counts_are_not(sound: str) -> None:
    damaged(
        sound,
        "UPDATE answers.account SET spendable = spendable + 1",
        "UPDATE answers.lot SET spendable = spendable + 1",
        "DELETE FROM answers.visit",
    )
    for each in compare(sound, ["replay", "second opinion"], limit=3).comparisons:
        assert len(each.differences) == 3, each.against
        assert each.different == 6
        changed = [tally(each, f"answers.{table}").changed for table in ("account", "lot")]
        assert (changed, tally(each, "answers.visit").missing) == ([2, 2], 2)


def test_batches_do_not_show(sound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "BATCH", 1)
    assert compare(sound, ALL).different == 0


def test_the_second_opinion_can_be_wrong(sound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proof that it is one: a fold in Python that forgets an event is of another opinion."""
    monkeypatch.setitem(FOLDS, MovesPoints, lambda *_: None)
    found = compare(sound, ["second opinion"])
    assert {table for table, _, _ in told(found, "second opinion")} == {
        "answers.account",
        "answers.lot",
    }
