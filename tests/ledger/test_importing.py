"""Import: validated like live commands, all of a file or what is good of it, once for its key."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger import importing
from ledger.database import connect
from ledger.importing import Importer
from ledger.lines import CHUNK, MAX_LINE_BYTES
from ledger.log.working import KeyReused
from ledger.rejects import Rejection, Rejects
from tests.ledger.facts import MOMENT, NOW, a_member, a_visit, asked, command, executed
from tests.ledger.test_ledger import assert_sound, rows
from tests.patience import a_moment

ROOT = Path(__file__).parents[2]


def fact(called: str, at: str = "2008-07-01T10:00:00+08:00", **fields: Any) -> bytes:
    """One line of an import file."""
    said = {"command": called, "at": at, "actor": "system:test", **fields}
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"


def a_history(members: int = 20, months: int = 3) -> list[bytes]:
    """A unit, its members and their bills: of half a year, and of that half of the years before."""
    lines = [fact("unit.open", unit_id="u1", title="城南")]
    lines += [
        fact("member.join", member_id=f"m{n}", unit_id="u1", name="王小明", phone=f"1390000{n:04}")
        for n in range(members)
    ]
    lines += [
        fact(
            "bill.record",
            member_id=f"m{n}",
            month=f"{2008 - month // 6}-{month % 6 + 1:02}",
            amount_fen=5000 + n,
        )
        for month in range(months)
        for n in range(members)
    ]
    return lines


def load(dsn: str, lines: Iterable[bytes], key: str = "file", **options: Any) -> Any:
    kept = list(lines)
    return Importer(dsn, now=NOW).load(lambda: kept, key=key, **options)


class Kept(dict[Any, Any]):
    """Many things that were met before: what is needed of them is looked up."""

    def __iter__(self) -> Any:
        raise AssertionError("all that was met before was gone through")

    keys = values = items = __iter__


def test_a_file_costs_nothing_for_whoever_came_before(ledger_dsn: str) -> None:
    importer = Importer(ledger_dsn, now=NOW)
    assert importer.load(a_history, key="first").kept
    importer._working.streams = Kept(importer._working.streams)
    importer._keys.opened = Kept(importer._keys.opened)
    more = [
        fact("member.join", member_id="late", unit_id="u1", name="李雷", phone="13911112222"),
        fact("member.change_details", member_id="m1", name="王大明"),
        fact("bill.record", member_id="m2", month="2008-06", amount_fen=1),
    ]
    done = importer.load(lambda: more, key="second")
    assert (done.facts, done.rejections) == (3, [])
    with pytest.raises(AssertionError, match="gone through"):
        set(importer._keys.opened)
    assert_sound(ledger_dsn)


def test_history_comes_in_as_live_commands_would(ledger_dsn: str) -> None:
    heard: list[int] = []
    done = load(ledger_dsn, a_history(), progress=heard.append)
    assert (done.facts, done.events, done.rejected, done.kept) == (81, 81, 0, True)
    assert sum(heard) == 81
    assert_sound(ledger_dsn)
    assert rows(ledger_dsn, "SELECT count(*) FROM person_keys") == [(20,)]
    again = command("bill.record", member_id="m3", month="2008-02", amount_fen=1)
    assert asked(ledger_dsn, again) == "already_billed"
    assert b'"key":"file:file:2"' in bytes(
        rows(ledger_dsn, "SELECT state FROM stored_events WHERE originator_id = 'member:m0'")[0][0]
    )


def test_a_file_is_loaded_once(ledger_dsn: str) -> None:
    first = load(ledger_dsn, a_history())
    again = load(ledger_dsn, a_history())
    assert not first.replayed
    assert again.replayed
    assert (again.facts, again.events) == (first.facts, first.events)
    assert_sound(ledger_dsn)


def test_a_bad_line_is_named_and_nothing_is_kept(ledger_dsn: str) -> None:
    lines = a_history(2, 1)
    lines[3:3] = [b"\n", b'{"command": "no.such"}\n', b"\xff\n", lines[1]]
    lines.append(fact("member.join", member_id="m9", unit_id="u1", phone="not a phone 5551234"))
    lines.append(b'{"command": "unit.open", "actor": "a:b", "unit_id": "u2", "title": "x"}')
    lines.append(b'{"a":"' + b"x" * 70_000 + b'"}')
    done = load(ledger_dsn, lines)
    assert not done.kept
    assert {(r.line, r.code) for r in done.rejections} == {
        (5, "not_valid"),
        (6, "not_utf8"),
        (7, "already_joined"),
        (10, "not_valid"),
        (11, "undated_fact"),
        (12, "line_too_long"),
    }
    assert "5551234" not in str(done.rejections)
    for table in (
        "stored_events",
        "snapshots",
        "snapshot_parts",
        "persons",
        "person_keys",
        "command_log",
    ):
        assert rows(ledger_dsn, f"SELECT count(*) FROM {table}") == [(0,)]
    assert load(ledger_dsn, a_history(2, 1)).kept


def test_what_is_good_can_be_kept_and_what_is_not_is_given_back(ledger_dsn: str) -> None:
    lines = a_history(2, 1)
    bad = [fact("bill.record", member_id="who", month="2008-01", amount_fen=1), b"{}"]
    rejected, reasons = io.BytesIO(), io.BytesIO()
    done = load(ledger_dsn, [*lines, *bad], rejects=Rejects(rejected, reasons))
    assert done.kept
    assert (done.facts, done.rejected) == (5, 2)
    assert rejected.getvalue().splitlines() == [line.strip() for line in bad]
    told = [json.loads(line) for line in reasons.getvalue().splitlines()]
    assert [(each["line"], each["code"]) for each in told] == [
        (6, "unknown_member"),
        (7, "not_valid"),
    ]
    assert_sound(ledger_dsn)


def test_only_so_many_rejections_are_named(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_REJECTIONS", 3)
    done = load(ledger_dsn, [b"{}"] * 10)
    assert (len(done.rejections), done.rejected) == (3, 10)


def test_facts_with_keys_are_answered_once_live_or_imported(ledger_dsn: str) -> None:
    said = fact("unit.open", unit_id="u1", title="x", key="k1")
    executed(
        ledger_dsn,
        command("unit.open", unit_id="u1", title="x", key="k1", actor="system:test"),
    )
    done = load(ledger_dsn, [said, said])
    assert (done.facts, done.replayed_facts, done.kept) == (0, 2, True)
    other = load(ledger_dsn, [fact("unit.open", unit_id="u1", title="y", key="k1")], key="other")
    reason = "key_reused: This idempotency key was used for another command."
    assert other.rejections == [Rejection(1, "key_reused", reason, command="unit.open", key="k1")]
    fresh = fact("unit.open", unit_id="u2", title="x", key="k2")
    assert load(ledger_dsn, [fresh, fresh], key="third").replayed_facts == 1
    live = command("unit.open", unit_id="u2", title="x", key="k2", actor="system:test")
    (receipt,) = executed(ledger_dsn, live)
    assert receipt.replayed


def test_a_live_command_in_between_is_seen(ledger_dsn: str) -> None:
    """Decided on old snapshots, found out at the end, and decided again with the lanes in hand."""
    executed(ledger_dsn, command("unit.open", unit_id="u1", title="x"), *a_member("m1", 100))
    debit = fact("points.debit", member_id="m1", points=60, reason="x")
    asked_in_between: list[str] = []

    def lines() -> Iterable[bytes]:
        yield debit
        if not asked_in_between:
            live = command("points.debit", member_id="m1", points=60, reason="live")
            asked_in_between.append("")
            for _ in range(CHUNK):
                yield b"\n"
            asked_in_between[0] = asked(ledger_dsn, live)

    done = Importer(ledger_dsn, now=NOW).load(lines, key="file")
    assert asked_in_between == ["done"]
    assert [r.code for r in done.rejections] == ["not_enough_points"]
    assert not done.kept
    assert_sound(ledger_dsn)


def test_a_live_command_in_between_keeps_recorded_times_in_order(ledger_dsn: str) -> None:
    def lines() -> Iterable[bytes]:
        yield fact("unit.open", unit_id="u1", title="x")
        yield from [b"\n"] * CHUNK
        live = command("unit.open", unit_id="u2", title="x")
        assert asked(ledger_dsn, live) == "done"

    early = NOW - timedelta(days=10)
    assert Importer(ledger_dsn, now=early).load(lines, key="file").kept
    assert_sound(ledger_dsn)


def test_a_cohort_that_is_frozen_meanwhile_takes_nobody_in(ledger_dsn: str) -> None:
    """A stream that is only read is looked at again when the file is written."""
    opened = command(
        "cohort.open",
        cohort_id="c1",
        title="x",
        purpose="retention",
        criterion="x",
        taken_on=MOMENT.date(),
    )
    executed(ledger_dsn, command("unit.open", unit_id="u1", title="x"), *a_member("m1"), opened)
    frozen: list[str] = []

    def lines() -> Iterable[bytes]:
        yield fact("cohort.include", member_id="m1", cohort_id="c1")
        if not frozen:
            yield from [b"\n"] * CHUNK
            frozen.append(asked(ledger_dsn, command("cohort.freeze", cohort_id="c1", size=0)))

    done = Importer(ledger_dsn, now=NOW).load(lines, key="file")
    assert frozen == ["done"]
    assert [r.code for r in done.rejections] == ["cohort_is_frozen"]


def test_the_same_file_twice_at_once_is_taken_once(ledger_dsn: str) -> None:
    twin: list[Any] = []

    def lines() -> Iterable[bytes]:
        yield from a_history(3, 1)[:2]
        if not twin:
            twin.append(None)
            yield from [b"\n"] * CHUNK
            twin[0] = Importer(ledger_dsn, now=NOW).load(lines, key="file")
        yield from a_history(3, 1)[2:]

    late = Importer(ledger_dsn, now=NOW).load(lines, key="file")
    assert (twin[0].kept, twin[0].replayed) == (True, False)
    assert (late.kept, late.replayed, late.rejections) == (True, True, [])
    assert_sound(ledger_dsn)


def test_a_file_and_a_command_never_share_a_key(ledger_dsn: str) -> None:
    """What a file writes is under keys that nobody else may bring, live or in a line."""
    lines = a_history(1, 1)
    for key in ("file:file", "file:file:2", "due:expiry:member:m1:1:2008-07-01"):
        assert asked(ledger_dsn, command("unit.open", unit_id="u9", title="x", key=key)) == (
            "key_reserved"
        )
        line = fact("unit.open", unit_id="u9", title="x", key=key)
        assert [r.code for r in load(ledger_dsn, [line], key="o").rejections] == ["key_reserved"]
    assert load(ledger_dsn, lines).kept
    live = command("unit.open", unit_id="u2", title="x", key="file")
    assert asked(ledger_dsn, live) == "done"  # the name of a file is not yet its key


def test_a_log_in_which_somebody_took_the_files_key_refuses_the_file(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as connection:
        connection.execute(
            "INSERT INTO command_log (key, digest, bucket, position, response)"
            " VALUES ('file:file', 'x', 0, 0, '{}')"
        )
    with pytest.raises(KeyReused):
        load(ledger_dsn, a_history())


@pytest.mark.parametrize("key", ["-", "", "  ", " - ", None])
def test_no_key_is_no_key_however_it_is_spelled(ledger_dsn: str, key: str | None) -> None:
    line = fact("unit.open", unit_id="u1", title="x", key=key)
    assert load(ledger_dsn, [line]).kept
    assert b'"key":"file:file:1"' in bytes(
        rows(ledger_dsn, "SELECT state FROM stored_events")[0][0]
    )
    said = {} if key is None else {"key": key}
    assert asked(ledger_dsn, command("unit.open", unit_id="u2", title="x", **said)) == (
        "done" if key is None else "key_missing"
    )


def test_blanks_around_a_key_are_none_of_it(ledger_dsn: str) -> None:
    line = fact("unit.open", unit_id="u1", title="x", key=" k1 ")
    same = fact("unit.open", unit_id="u1", title="x", key="k1")
    assert load(ledger_dsn, [line, same]).replayed_facts == 1


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (fact("unit.open", unit_id="u1", title="x")[:-2] + b',"title":"y"}', "repeated_key"),
        (fact("unit.open", unit_id="u1", title="x")[:-2] + b',"titl\\u0065" :"y"}', "repeated_key"),
        (
            fact("service.price", club_id="c", service_id="s", title="x", points=1)[:-2]
            + b',"tier_points":{"gold":1,"gold":2}}',
            "repeated_key",
        ),
        (fact("unit.open", unit_id="u1", title="x").decode().encode("utf-16"), "not_utf8"),
        (fact("unit.open", unit_id="u1", title="城").decode().encode("gb18030"), "not_utf8"),
        (fact("unit.open", unit_id="u1", title="x") + b"\x00", "json_invalid"),
        (fact("unit.open", unit_id="u1", title="x\x00"), "not_valid"),
        (fact("unit.open", unit_id="u1", title="x")[:-2] + b',"at":NaN}', "json_invalid"),
        (b'{"command":"unit.open","title":"\\ud83d"}', "half_a_character"),
        (b"[" * 60_000, "nested_too_deeply"),
        (b'{"command":"points.debit","points":1e400}', "not_valid"),
        (b'{"command":"points.debit","points":' + b"9" * 5000 + b"}", "number_too_long"),
        (b'{"command":"points.debit","points":' + b"9" * 40 + b"}", "not_valid"),
        (b"\xff\xfe\x00\x00", "not_utf8"),
        (b"x" * 65_537, "line_too_long"),
    ],
)
def test_a_line_that_is_no_json_of_ours_is_named(ledger_dsn: str, line: bytes, code: str) -> None:
    done = load(ledger_dsn, [*a_history(1, 0), line])
    assert [(r.line, r.code) for r in done.rejections] == [(3, code)]


def test_the_limit_of_a_line_counts_no_line_end(ledger_dsn: str) -> None:
    at_the_limit = fact("unit.open", unit_id="u1", title="x").rstrip().ljust(MAX_LINE_BYTES)
    for n, end in enumerate((b"", b"\n", b"\r\n")):
        done = load(ledger_dsn, [at_the_limit + end], key=f"f{n}")
        assert [r.code for r in done.rejections] == ([] if n == 0 else ["nothing_changes"])


def test_marks_and_line_ends_of_other_systems_are_taken(ledger_dsn: str) -> None:
    joined = [b"\xef\xbb\xbf" + line.replace(b"\n", b"\r\n") for line in a_history(2, 1)]
    rejected = io.BytesIO()
    bad = b"\xef\xbb\xbf{}\r\n"
    done = load(ledger_dsn, [*joined, bad], rejects=Rejects(rejected))
    assert (done.facts, done.rejected, rejected.getvalue()) == (5, 1, b"{}\n")


@pytest.mark.parametrize(
    "line",
    [
        b'{"command":"13812345678 Wang","at":"2008-07-01T10:00:00Z","actor":"a:b"}',
        fact("unit.open", unit_id="u1", title="x", **{"13812345678 Wang": "1"}),
        fact(
            "service.price",
            club_id="c",
            service_id="s",
            title="x",
            points=1,
            tier_points={"13812345678 Wang": 1},
        ),
    ],
)
def test_a_rejection_repeats_no_value_of_its_line(ledger_dsn: str, line: bytes) -> None:
    (rejection,) = load(ledger_dsn, [line]).rejections
    assert rejection.code == "not_valid"
    assert "13812345678" not in rejection.reason


def test_snapshots_are_remembered_between_files_and_live_commands_noticed(ledger_dsn: str) -> None:
    importer = Importer(ledger_dsn, now=NOW)
    lines = a_history(3, 1)
    importer.load(lambda: lines, key="one")
    executed(ledger_dsn, command("bill.record", member_id="m1", month="2008-02", amount_fen=1))
    more = [fact("bill.record", member_id="m1", month="2008-03", amount_fen=1)]
    assert importer.load(lambda: more, key="two").kept
    assert_sound(ledger_dsn)


def test_demo_history_is_recorded_as_it_happened(ledger_dsn: str) -> None:
    lines = [
        fact("unit.open", "2008-01-01T00:00:00+08:00", unit_id="u1", title="a"),
        fact("unit.open", "2008-03-01T00:00:00+08:00", unit_id="u1", title="b"),
        fact("unit.open", "2008-02-01T00:00:00+08:00", unit_id="u1", title="c"),
    ]
    Importer(ledger_dsn, now=NOW, recorded_as_occurred=True).load(lambda: lines, key="file")
    question = "SELECT recorded_at FROM stored_events ORDER BY originator_version"
    march = datetime(2008, 2, 29, 16, tzinfo=UTC)
    assert [at for (at,) in rows(ledger_dsn, question)] == [
        datetime(2007, 12, 31, 16, tzinfo=UTC),
        march,
        march,
    ]
    load(ledger_dsn, [fact("unit.open", unit_id="u1", title="d")], key="real")
    assert rows(ledger_dsn, f"{question} DESC LIMIT 1")[0][0] == NOW


LOADS = """
import sys
from datetime import datetime
from ledger.importing import Importer
dsn, members = sys.argv[1], int(sys.argv[2])
from tests.ledger.test_importing import NOW, a_history
importer = Importer(dsn, now=NOW)
lines = a_history(members, 12)
importer.load(lambda: lines, key="file", progress=lambda n: print(n, flush=True))
print("loaded", flush=True)
"""


@pytest.mark.parametrize("after", [0, pytest.param(1, marks=pytest.mark.slow), 3])
def test_a_load_killed_in_the_middle_leaves_nothing_and_can_be_repeated(
    ledger_dsn: str, after: int
) -> None:
    arguments = [sys.executable, "-c", LOADS, ledger_dsn, "1500"]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        if after == 3:
            a_moment()
        os.kill(process.pid, signal.SIGKILL)
        told = process.stdout.read()
    if b"loaded" not in told:
        assert rows(ledger_dsn, "SELECT count(*) FROM stored_events") == [(0,)]
    done = load(ledger_dsn, a_history(1500, 12))
    assert done.events == 1 + 1500 * 13
    assert rows(ledger_dsn, "SELECT count(*) FROM stored_events") == [(done.events,)]
    with connect(ledger_dsn) as connection:
        assert connection.execute("SELECT sum(position) FROM log_end").fetchone() == (done.events,)


def test_a_live_visit_follows_an_import(ledger_dsn: str) -> None:
    lines = [
        fact("unit.open", unit_id="u1", title="x"),
        fact("club.open", club_id="health", title="健康", opens_on="2008-06-30", tiers=["gold"]),
        fact("service.price", club_id="health", service_id="escort", title="导诊", points=5),
        fact("member.join", member_id="m1", unit_id="u1"),
        fact("tier.change", member_id="m1", tier="gold", reason="x"),
        fact("points.credit", member_id="m1", points=12, source="x", rule="r1"),
        fact(
            "visit.record",
            member_id="m1",
            club_id="health",
            service_id="escort",
            desk="d1",
        ),
    ]
    done = load(ledger_dsn, lines)
    assert (done.facts, done.events) == (7, 8)
    (receipt,) = executed(ledger_dsn, a_visit("m1"))
    assert receipt.body["spendable_points"] == 2
    assert_sound(ledger_dsn)
