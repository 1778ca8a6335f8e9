"""Commands are kept as they were asked: live ones, and the lines of an import."""

import json
import zlib
from datetime import UTC, datetime

from ledger import commands
from ledger.commands import Kept, parse
from ledger.database import connect
from ledger.lines import CHUNK
from ledger.log import persons
from ledger.rejects import Rejects
from tests.ledger.facts import MOMENT, NOW, a_club, a_member, a_visit, command, executed
from tests.ledger.test_importing import a_history, fact, load
from tests.ledger.test_ledger import rows


def everything(dsn: str) -> dict[str, Kept]:
    """What was asked, by key; each is met once."""
    with (
        connect(dsn) as connection,
        connection.transaction(),
        commands.everything(connection) as pieces,
    ):
        met = [kept for piece in pieces for kept in piece]
    found = {kept.key: kept for kept in met}
    assert len(found) == len(met)
    return found


def test_a_live_command_is_kept_with_the_fields_that_were_sent(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(), *a_member("m1"))
    visit = a_visit("m1", shown_points=10, key="desk-7")
    executed(ledger_dsn, visit)
    with connect(ledger_dsn) as connection:
        (found,) = commands.of_key(connection, "desk-7")
    assert json.loads(found.kept.asked) == {
        "command": "visit.record", "at": "2008-07-01T02:00:00Z", "actor": "clerk:li",
        "member_id": "m1", "club_id": "health", "service_id": "escort", "desk": "d1",
        "shown_points": 10, "confirm_repeat": True,
    }  # fmt: skip
    assert found.kept.command() == visit
    assert found.response is not None
    assert json.loads(found.response)["points"] == 10
    assert [each.topic for each in found.events] == ["points.debited", "visit.recorded"]


def test_where_no_time_was_named_it_is_kept_for_which_it_was_decided(ledger_dsn: str) -> None:
    now = command("unit.open", unit_id="u1", title="城南", at=None, key="now")
    dated = command("unit.open", unit_id="u2", title="城北", key="dated")
    executed(ledger_dsn, now, dated)
    found = everything(ledger_dsn)
    assert "at" not in json.loads(found["now"].asked)
    assert (found["now"].decided_at, found["now"].command().at) == (NOW, NOW)
    assert (found["dated"].decided_at, found["dated"].command().at) == (None, MOMENT)


def test_what_identifies_a_person_is_kept_with_persons_alone(ledger_dsn: str) -> None:
    told = {"unit_id": "u1", "name": "王小明", "phone": "13900000001"}
    executed(ledger_dsn, *a_club(), command("member.join", member_id="live", key="live", **told))
    escaped = fact("member.join", member_id="line", **told).replace(b'"name"', b'"na\\u006de"')
    load(ledger_dsn, [escaped, fact("member.join", member_id="own", key="own", **told)])
    with connect(ledger_dsn) as connection:
        for each in ("live", "line", "own"):
            assert persons.in_full(connection, each)["name"] == "王小明"
    found = everything(ledger_dsn)
    for key in ("live", "own", "file:file:1"):
        assert json.loads(found[key].asked)["unit_id"] == "u1"
    kept = [each.asked for each in found.values()]
    kept += [zlib.decompress(row[0]) for row in rows(ledger_dsn, "SELECT content FROM file_lines")]
    for asked in kept:
        for personal in ("王小明".encode(), b"u738b", b"13900000001", b"name", b"phone"):
            assert personal not in asked.replace(b"command", b"")


def test_lines_are_kept_in_pieces_and_found_by_their_keys(ledger_dsn: str) -> None:
    lines = a_history(50, 1)
    lines += [fact("points.credit", member_id=f"m{n % 50}", points=n + 1, source="s", rule="r")
              for n in range(CHUNK)]  # fmt: skip
    done = load(ledger_dsn, lines)
    assert done.kept
    pieces = rows(ledger_dsn, "SELECT first_line, lines, facts FROM file_lines ORDER BY 1")
    assert pieces == [(1, CHUNK, CHUNK), (CHUNK + 1, 101, 101)]
    found = everything(ledger_dsn)
    assert found.keys() == {f"file:file:{line}" for line in range(1, len(lines) + 1)}
    with connect(ledger_dsn) as connection:
        for line in (1, CHUNK, CHUNK + 1, len(lines)):
            (one,) = commands.of_key(connection, f"file:file:{line}")
            assert one.kept.asked == found[one.kept.key].asked
            if line > 101:
                assert one.kept.asked == lines[line - 1].strip()
            assert len(one.events) == 1
            assert one.response is None
        for key in ("file:file:0", f"file:file:{len(lines) + 1}", "file:file:x", "file:file", "no"):
            assert commands.of_key(connection, key) == []


def test_only_what_was_taken_is_kept(ledger_dsn: str, tmp_path: object) -> None:
    from io import BytesIO

    lines = [*a_history(2, 1), b"\n", fact("member.join", member_id="m0", unit_id="u1")]
    lines.append(fact("unit.open", unit_id="u2", title="城北", key="mine"))
    assert not load(ledger_dsn, [*lines, b"{}"], key="undone").kept
    done = load(ledger_dsn, lines, rejects=Rejects(BytesIO()))
    assert (done.facts, done.rejected) == (6, 1)
    assert rows(ledger_dsn, "SELECT key, lines, facts FROM file_lines") == [("file:file", 5, 5)]
    assert everything(ledger_dsn).keys() == {f"file:file:{n}" for n in range(1, 6)} | {"mine"}
    again = command("unit.open", unit_id="u2", title="城北", key="again")
    try:
        executed(ledger_dsn, again)
    except Exception:  # noqa: BLE001 - a refusal, of whatever kind
        assert "again" not in everything(ledger_dsn)
    else:
        raise AssertionError("it was to be refused")


def test_every_event_has_the_command_that_made_it(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(), *a_member("m9"), a_visit("m9"))
    load(ledger_dsn, [line for line in a_history(4, 2) if b"unit.open" not in line])
    keys = rows(
        ledger_dsn, "SELECT DISTINCT convert_from(state, 'UTF8')::json ->> 'key' FROM stored_events"
    )
    assert everything(ledger_dsn).keys() == {key for (key,) in keys}


def test_with_several_lanes_a_file_stands_in_that_of_its_key(installed: object) -> None:
    dsn = installed(4)  # type: ignore[operator]
    load(dsn, a_history(8, 1))
    with connect(dsn) as connection:
        (found,) = commands.of_key(connection, "file:file:5")
    assert found.kept.command().at == datetime(2008, 7, 1, 2, tzinfo=UTC)
    assert len(everything(dsn)) == 17


def test_a_kept_command_is_read_as_a_line_is() -> None:
    kept = Kept("k", command("member.leave", member_id="m1", reason="moved").asked())
    assert parse(kept.asked).key == "-"
    assert kept.command().key == "k"
