"""An import of several files: each known by its key, in whatever order their lines come."""

import json
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from ledger import commands
from ledger.database import connect
from ledger.importing import Importer
from ledger.lines import Line, Source, Unread, chunks
from ledger.rejects import Rejects
from tests.ledger.facts import NOW
from tests.ledger.test_importing import fact
from tests.ledger.test_ledger import assert_sound, rows

HOUSE = [fact("unit.open", unit_id="u1", title="城南").strip()]
MEMBERS = [fact("member.join", member_id=f"m{n}", unit_id="u1").strip() for n in range(40)]


def bill(member: int, month: int) -> bytes:
    return fact(
        "bill.record", member_id=f"m{member}", month=f"2008-{month:02}", amount_fen=1
    ).strip()


def load(dsn: str, keys: Sequence[str], lines: Sequence[Line], **options: Any) -> Any:
    source = Source(keys, lambda: chunks(iter(lines)))
    return Importer(dsn, now=NOW).load_files(source, **options)


HISTORY: list[Line] = [
    (0, 1, HOUSE[0]),
    *((1, n + 2, line) for n, line in enumerate(MEMBERS)),
    *((2, n * 1_000 + month, bill(n, month)) for month in (1, 2) for n in range(40)),
]
"""The last file is sorted by member, and its lines come by month, far apart."""


def test_each_file_is_known_by_its_key_and_its_lines_by_their_numbers(ledger_dsn: str) -> None:
    done = load(ledger_dsn, ["house", "members", "bills"], HISTORY)
    assert [(f.key, f.facts, f.replayed) for f in done.files] == [
        ("file:house", 1, False),
        ("file:members", 40, False),
        ("file:bills", 80, False),
    ]
    assert_sound(ledger_dsn)
    with connect(ledger_dsn) as connection:
        for key, asked in (("members:2", MEMBERS[0]), ("bills:39002", bill(39, 2))):
            (one,) = commands.of_key(connection, f"file:{key}")
            assert one.kept.command().asked() == commands.parse(asked).asked()
            assert len(one.events) == 1
        for key in ("bills:3", "bills:39003", "house:2"):
            assert commands.of_key(connection, f"file:{key}") == []
        with connection.transaction(), commands.everything(connection) as pieces:
            assert sum(map(len, pieces)) == 121
    (piece,) = rows(ledger_dsn, "SELECT content FROM file_lines WHERE key = 'file:bills'")
    assert zlib.decompress(piece[0]).startswith(b"1\t{")


def test_a_file_that_was_taken_is_left_out_and_the_others_are_taken(ledger_dsn: str) -> None:
    load(ledger_dsn, ["house", "members"], HISTORY[:41])
    done = load(ledger_dsn, ["house", "members", "bills"], HISTORY)
    assert done.kept
    assert not done.replayed
    assert [(f.facts, f.replayed) for f in done.files] == [(1, True), (40, True), (80, False)]
    again = load(ledger_dsn, ["bills", "house"], HISTORY)
    assert again.replayed
    assert_sound(ledger_dsn)
    assert rows(ledger_dsn, "SELECT count(*) FROM stored_events") == [(121,)]


def test_what_is_only_tried_leaves_nothing(ledger_dsn: str) -> None:
    tried = load(ledger_dsn, ["house", "members", "bills"], HISTORY, keep=False)
    assert (tried.kept, tried.facts, tried.rejected) == (False, 121, 0)
    for table in ("stored_events", "snapshots", "snapshot_parts", "command_log", "file_lines"):
        assert rows(ledger_dsn, f"SELECT count(*) FROM {table}") == [(0,)]
    assert load(ledger_dsn, ["house", "members", "bills"], HISTORY).kept


def test_lines_that_hold_no_fact_are_rejected_with_what_their_reader_says(ledger_dsn: str) -> None:
    unread = Unread("misspelt", "month: no month", "month", "m3")
    lines: list[Line] = [*HISTORY, (2, 77, unread), (2, 78, bill(99, 1)), (1, 90, b"{}")]
    bad = BytesIO()
    reasons = BytesIO()
    keys = ["house", "members", "bills"]
    done = load(ledger_dsn, keys, lines, rejects=Rejects(bad, reasons))
    assert (done.kept, done.facts, done.rejected) == (True, 121, 3)
    assert [f.rejected for f in done.files] == [0, 1, 2]
    told = [json.loads(line) for line in reasons.getvalue().splitlines()]
    assert told[1:] == [
        {"line": 77, "code": "misspelt", "reason": "month: no month", "field": "month",
         "member_id": "m3", "file": 3},
        {"line": 78, "code": "unknown_member", "reason": "unknown_member: There is no such member.",
         "field": "member_id", "command": "bill.record", "member_id": "m99", "file": 3},
    ]  # fmt: skip
    assert (told[0]["line"], told[0]["code"], told[0]["file"]) == (90, "not_valid", 2)


def test_what_later_facts_left_is_told_of_facts_that_hang_on_it(ledger_dsn: str) -> None:
    def credit(at: str) -> bytes:
        more = {"member_id": "m1", "points": 5, "source": "s", "rule": "r"}
        return fact("points.credit", at=f"2008-{at}T10:00:00+08:00", **more).strip()

    load(ledger_dsn, ["a", "b"], [*HISTORY[:41], (1, 99, credit("11-01"))])
    lines: list[Line] = [
        (0, 1, bill(1, 3)),  # which hangs on nothing that is counted
        (0, 2, credit("10-01")),
        (0, 3, credit("12-01")),
    ]
    done = load(ledger_dsn, ["c"], lines, tell_late=True, keep=False)
    assert done.late_facts == 1
    (late,) = done.late
    assert (late.line, late.stream, late.latest.month) == (2, "member:m1", 11)
    assert load(ledger_dsn, ["c"], lines).late == []  # who does not ask is told nothing
