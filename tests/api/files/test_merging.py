"""Facts of several files in the order of time."""

import json

import pytest

from api.files import merging
from api.files.turns import TURN, missing_time, turn_of
from domain.catalogue import COMMANDS
from tests.api.files.tables import Taken, as_csv, book

MAPPING = """
    [missing]
    actor = "system:x"
    [[table]]
    files = "customers*"
    [[table.fact]]
    kind = "member.join"
    fields = { member_id = "member", unit_id = { value = "u1" }, at = "joined" }
    [[table.fact]]
    kind = "tier.change"
    when = "tier"
    fields = { member_id = "member", tier = "tier", reason = { value = "x" }, at = "joined" }
    [[table.fact]]
    kind = "member.leave"
    when = { "state" = ["left", "gone"] }
    fields = { member_id = "member", reason = { value = "x" }, at = "until" }
    [[table]]
    files = "flows*"
    sheet = "2025*"
    [[table.fact]]
    kind = "points.credit"
    when = { "points" = "positive" }
    [table.fact.fields]
    member_id = "member"
    points = "points"
    source = { text = "{what} of {day}" }
    rule = { value = "r" }
    at = { column = "day", time_column = "hour" }
    [[table.fact]]
    kind = "points.debit"
    when = { "points" = "negative" }
    [table.fact.fields]
    member_id = "member"
    points = { column = "points", absolute = true }
    reason = "what"
    at = { column = "day", time_column = "hour" }
"""
CUSTOMERS = as_csv(
    [
        ["member", "joined", "tier", "state", "until"],
        ["m2", "2025-01-02", "gold", "left", "2025-01-02"],
        ["m1", "2025-01-01", "", "", ""],
    ]
)
FLOWS: list[list[object]] = [
    ["member", "points", "what", "day", "hour"],
    ["m2", -5, "an umbrella", "2025-01-02", "9:30"],
    ["m2", 10, "a gift", "2025-01-02", ""],
    ["m1", "(7)", "tea", "2025-01-01", "0930"],
]


def called(taken: Taken) -> list[tuple[str, str]]:
    return [(c.called, getattr(c, "member_id")) for c in taken.commands]  # noqa: B009


def test_rows_of_all_tables_come_in_the_order_of_time() -> None:
    flows = book({"notes": [["nothing"]], "2025-01": FLOWS})
    taken = Taken(MAPPING, flows__xlsx=flows, customers__csv=CUSTOMERS)
    assert taken.unread == []
    assert called(taken) == [
        ("member.join", "m1"),
        ("points.debit", "m1"),
        ("member.join", "m2"),
        ("tier.change", "m2"),
        ("points.debit", "m2"),
        ("points.credit", "m2"),  # without an hour it is of noon
        ("member.leave", "m2"),  # and a leaving of the day's end
    ]
    assert b'"source":"a gift of 2025-01-02"' in taken.asked[5]


def test_facts_of_a_file_of_lines_join_in_and_keep_their_order_within_an_instant() -> None:
    at = "2025-01-01T09:30:00+08:00"
    said = [
        {"command": "points.credit", "actor": "a:b", "at": at, "member_id": "m1", "points": 1,
         "source": str(n), "rule": "r"}
        for n in range(5)
    ]  # fmt: skip
    lines = "\n".join(map(json.dumps, said)).encode() + b'\n\nnot json\n{"at": 5}\n'
    taken = Taken(MAPPING, a__jsonl=b"\xef\xbb\xbf" + lines, customers__csv=CUSTOMERS)
    raw = [text for _, _, text in taken.lines]
    assert raw[:2] == [b"not json", b'{"at": 5}']  # the ledger says why they are none
    assert [line for place, line, _ in taken.lines if place == 0] == [7, 8, 1, 2, 3, 4, 5]


def test_much_is_sorted_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["member", "joined", "tier", "state", "until"]]
    rows += [
        [f"m{n}", f"2025-{n * 7 % 12 + 1:02}-{n * 11 % 28 + 1:02}", "", "", ""] for n in range(300)
    ]
    whole = Taken(MAPPING, customers__csv=as_csv(rows))
    monkeypatch.setattr(merging, "RUN_BYTES", 2_000)
    runs = Taken(MAPPING, customers__csv=as_csv(rows))
    assert runs.lines == whole.lines
    at = [command.at for command in runs.commands]
    assert at == sorted(at, key=lambda each: each.timestamp() if each else 0)


def test_a_kind_of_fact_of_a_table_has_a_key_of_its_own_by_the_file() -> None:
    one = Taken(MAPPING, customers__csv=CUSTOMERS)
    other = Taken(MAPPING.replace('"u1"', '"u2"'), customers2__csv=CUSTOMERS)
    assert [p.key for p in one.places] == [p.key for p in other.places]
    assert len({p.key for p in one.places}) == 3
    changed = Taken(MAPPING, customers__csv=CUSTOMERS + b"m3,2025-01-03,,,\r\n")
    assert not {p.key for p in one.places} & {p.key for p in changed.places}


def test_what_happened_despite_a_rule_is_said_of_a_table_or_in_a_column() -> None:
    rows = [["member", "day", "broke"], ["m1", "2025-01-01", "club_closed; not_eligible"]]
    rows.append(["m2", "2025-01-02", ""])
    mapping = """
        [missing]
        actor = "system:x"
        [[table]]
        files = "*"
        despite = ["visit_repeated"]
        [[table.fact]]
        kind = "activity.attend"
        [table.fact.fields]
        member_id = "member"
        club_id = { value = "tea" }
        activity_id = { value = "a1" }
        at = "day"
    """
    of_table = Taken(mapping, a__csv=as_csv(rows)).commands
    assert [command.despite for command in of_table] == [("visit_repeated",)] * 2
    of_column = Taken(f"{mapping}\n        despite = 'broke'", a__csv=as_csv(rows)).commands
    assert [command.despite for command in of_column] == [("club_closed", "not_eligible"), ()]


def test_every_turn_is_of_a_command_and_what_ends_comes_last() -> None:
    assert TURN.keys() <= COMMANDS.keys()
    order = [
        "unit.open",
        "member.join",
        "tier.change",
        "bill.record",
        "visit.record",
        "member.leave",
    ]
    assert order == sorted(order, key=turn_of)
    times = [missing_time(kind) for kind in order]
    assert times == sorted(times)
