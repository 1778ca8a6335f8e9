"""Names and numbers: one number however it is spelt, changed at each door, seen nowhere else."""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import sql

from ledger.database import connect
from ledger.embedded import EmbeddedServer
from tests.api.facts import fact
from tests.api.running import Ended, clubledger, serving, stopped
from tests.patience import PATIENCE_S

JOINED, LATER, LAST = (f"2008-0{month}-01T10:00:00+08:00" for month in (2, 5, 9))
NAMES = ("张标记", "Zhangbiaoji", "李印记")
NUMBERS = ("13899990001", "13899990002", "13899990003", "13899990004")


def join(member_id: str, phone: str | None = None, at: str = JOINED, **more: Any) -> dict[str, Any]:
    return fact("member.join", at, member_id=member_id, unit_id="south", phone=phone, **more)


def change(member_id: str, at: str, **more: Any) -> dict[str, Any]:
    return fact("member.change_details", at, member_id=member_id, **more)


def taken(data_dir: Path, *facts: dict[str, Any]) -> Ended:
    lines = "\n".join(json.dumps(each, ensure_ascii=False) for each in facts)
    ended = clubledger("import", "-", "--json", data_dir=data_dir, stdin=lines.encode())
    assert ended.code == 0, ended
    return ended


UNIT = fact("unit.open", "2008-01-01T10:00:00+08:00", unit_id="south", title="城南")


@pytest.fixture
def south(own_ledger: Path) -> Path:
    """A ledger with one unit."""
    taken(own_ledger, UNIT)
    return own_ledger


def shown(data_dir: Path, *words: str) -> dict[str, Any]:
    ended = clubledger("member", *words, "--json", data_dir=data_dir)
    assert ended.code == 0, ended
    card: dict[str, Any] = ended.json
    return card


def test_an_id_and_a_number_that_look_alike_are_both_told(south: Path) -> None:
    leaver = "13800000001"
    taken(
        south,
        join(leaver, "13900000009"),
        fact("member.leave", LATER, member_id=leaver, reason="gave the number back"),
        join("p2", leaver, at=LAST),
    )
    card = shown(south, leaver)
    assert (card["member_id"], card["number_of"]) == (leaver, ["p2"])
    said = clubledger("member", leaver, data_dir=south).out
    assert f"{leaver} is also the phone number of p2." in said
    assert (
        "also the phone number of p2"
        in clubledger("member", leaver, "--statement", data_dir=south).err
    )
    for spelt in ("138 0000 0001", "+86 138-0000-0001"):
        assert (shown(south, spelt)["member_id"], shown(south, spelt)["number_of"]) == ("p2", [])
    assert shown(south, leaver, "--known-at", "0:4")["number_of"] == ["p2"]


def test_a_number_is_one_number_however_it_is_spelt(south: Path) -> None:
    taken(
        south,
        join("p3", "+8613700000003"),
        join("p4", "8613700000003"),
        join("p5", "13700000003"),
        join("p6", "１３７ 0000-0003"),
        join("p7", "(0086) 137.0000.0003"),
    )
    for spelt in ("13700000003", "+86 137 0000 0003", "0086-137-0000-0003"):
        ended = clubledger("member", spelt, data_dir=south)
        assert ended.code == 3
        assert "Several members share this phone number: p3, p4, p5, p6, p7." in ended.err
    assert shown(south, "p4")["phone"] == shown(south, "p6")["phone"] == "137****0003"
    running = serving(south)
    try:
        found = httpx.post(
            f"{running.address}/members/lookup",
            json={"phone": "＋86 13700000003"},
            timeout=PATIENCE_S,
        )
    finally:
        stopped(running)
    assert [each["member_id"] for each in found.json()["members"]] == ["p3", "p4", "p5", "p6", "p7"]


def test_a_number_that_is_none_is_refused_with_the_reason(south: Path) -> None:
    line = json.dumps(join("p1", "10086"))
    ended = clubledger("import", "-", "--json", data_dir=south, stdin=line.encode())
    assert ended.code == 3
    assert "its area code among them" in ended.out + ended.err
    assert "10086" not in ended.out + ended.err


def test_who_has_changed_his_number_is_found_by_the_new_one(south: Path) -> None:
    taken(south, join("p1", NUMBERS[0], name=NAMES[0]))
    taken(south, change("p1", LAST, phone=NUMBERS[1]), change("p1", LAST, name=NAMES[2]))
    # Told late: it held between the two, and changes nothing of what holds now.
    taken(south, change("p1", LATER, phone=NUMBERS[2], name=NAMES[1]))
    for old in (NUMBERS[0], NUMBERS[2]):
        assert clubledger("member", old, data_dir=south).code == 3
    assert shown(south, NUMBERS[1])["name"] == NAMES[2]

    def then(*moment: str) -> tuple[str, str]:
        card = shown(south, "p1", *moment)
        return card["name"], card["phone"]

    assert then("--effective-at", "2008-03-01") == (NAMES[0], "138****0001")
    assert then("--effective-at", "2008-06-01") == (NAMES[1], "138****0003")
    assert then("--known-at", "0:2") == (NAMES[0], "138****0001")
    assert then("--known-at", "0:4", "--effective-at", "2008-06-01") == (NAMES[0], "138****0001")
    assert then("--known-at", "0:5") == (NAMES[2], "138****0002")
    taken(south, change("p1", LAST, phone=None))
    assert clubledger("member", NUMBERS[1], data_dir=south).code == 3
    assert shown(south, "p1")["phone"] is None


def test_a_wrong_number_is_corrected_as_of_its_own_time(south: Path) -> None:
    taken(south, join("p1", NUMBERS[0]))
    taken(south, change("p1", JOINED, phone=NUMBERS[1]))
    assert shown(south, "p1", "--effective-at", "2008-03-01")["phone"] == "138****0002"
    assert shown(south, "p1", "--known-at", "0:2")["phone"] == "138****0001"


def test_what_if_decides_a_kept_change_alike(south: Path) -> None:
    """It is kept without the name, and makes the same event."""
    taken(south, join("p1", NUMBERS[0]), change("p1", LATER, name=NAMES[0]))
    (event,) = (
        each
        for each in clubledger("events", "--json", data_dir=south).json["events"]
        if each["topic"] == "member.details_changed"
    )
    assert event["state"]["changed"] == ["name"]
    (told,) = clubledger("command", event["key"], "--json", data_dir=south).json["commands"]
    assert told["asked"]["name"] is None
    assert "phone" not in told["asked"]


def tables(dsn: str) -> Iterator[tuple[str, bytes]]:
    """(name, all that it holds) of every table but that of persons."""
    with connect(dsn) as connection:
        names = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
        ).fetchall()
        for schema, table in names:
            if (schema, table) == ("ledger", "persons"):
                continue
            columns = sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, table))
            held = b""
            for row in connection.execute(columns, binary=True):
                for value in row:
                    if isinstance(value, bytes):
                        held += value + _unpacked(value)
                    else:
                        held += str(value).encode() + b"\n"
            yield f"{schema}.{table}", held


def _unpacked(value: bytes) -> bytes:
    for unpack in (zlib.decompress, gzip.decompress):
        try:
            return unpack(value)
        except (OSError, EOFError, zlib.error):
            continue
    return b""


def spellings() -> list[bytes]:
    """How the marks may stand somewhere; of a number its last digits."""
    found = []
    for mark in (*NAMES, *(number[-8:] for number in NUMBERS)):
        found += [
            mark.encode(),
            json.dumps(mark)[1:-1].encode(),
            repr(mark.encode())[2:-1].encode(),
        ]
    return found


def test_nothing_but_the_table_of_persons_holds_them(south: Path) -> None:
    """Through every door that takes a name or a number, well and wrongly."""
    said = [
        taken(south, join("p1", NUMBERS[0], name=NAMES[0])),
        taken(south, join("p2", NUMBERS[1], name=NAMES[1], key="own")),
        taken(south, change("p1", LATER, name=NAMES[2])),
    ]  # fmt: skip
    wrong = [join("p1", NUMBERS[2], name=NAMES[0]), join("p9", NUMBERS[2] + "x"),
             change("p9", LAST, phone=NUMBERS[2]), change("p1", LAST, phone=[NUMBERS[2]]),
             change("p1", LAST, name=NAMES[1], nickname=NAMES[1])]  # fmt: skip
    lines = "\n".join(map(json.dumps, wrong)).encode()
    refused = clubledger("import", "-", data_dir=south, stdin=lines)
    assert refused.code == 3
    said.append(refused)
    running = serving(south)
    with httpx.Client(base_url=running.address, timeout=PATIENCE_S) as http:
        headers = {"Idempotency-Key": "door-1"}
        body = {"phone": f"+86 {NUMBERS[3]}", "name": NAMES[0], "at": LAST}
        wrote = http.post("/members/p1/details", json=body, headers=headers)
        assert (wrote.status_code, wrote.json().keys()) == (201, {"bucket", "position"})
        again = http.post("/members/p1/details", json=body, headers=headers)
        assert again.headers["Idempotent-Replayed"] == "true"
        other = {**body, "phone": NUMBERS[2]}
        reused = http.post("/members/p1/details", json=other, headers=headers)
        assert reused.json()["code"] == "key_reused"
        answers = [wrote, again, reused]
        headers = {"Idempotency-Key": "door-2"}
        for bad in ({}, {"phone": NUMBERS[2] + "x"}, {"name": NAMES[0] + "\n"}, {"x": NAMES[0]}):
            answers.append(http.post("/members/p1/details", json=bad, headers=headers))
            assert answers[-1].status_code in (409, 422)
        unknown = http.post("/members/no/details", json=body, headers=headers)
        assert unknown.json()["code"] == "unknown_member"
        found = http.post("/members/lookup", json={"phone": NUMBERS[3]}).json()["members"]
        assert [each["member_id"] for each in found] == ["p1"]
        assert http.post("/members/lookup", json={"phone": NUMBERS[0]}).json() == {"members": []}
        answers += [http.get("/members/p1/events"), http.get("/events")]
    said.append(stopped(running))
    said.append(clubledger("project", data_dir=south))
    said.append(clubledger("command", "door-1", "--json", data_dir=south))
    said.append(clubledger("member", NUMBERS[0], data_dir=south))
    everything = [(str(n), (each.out + each.err).encode()) for n, each in enumerate(said)]
    everything += [(str(each.url), each.content) for each in answers]
    with EmbeddedServer(south) as server:
        held = dict(tables(server.dsn))
        with connect(server.dsn) as connection:
            kept = connection.execute("SELECT name, phone FROM ledger.persons").fetchall()
    assert set(NAMES) <= {name for name, _ in kept}
    assert "+86" + NUMBERS[3] in {phone for _, phone in kept}
    assert {"ledger.stored_events", "ledger.command_log", "ledger.file_lines"} <= held.keys()
    assert b"member.details_changed" in held["ledger.stored_events"]
    everything += held.items()
    everything += [(str(path), path.read_bytes()) for path in south.rglob("*.log")]
    for where, content in everything:
        for mark in spellings():
            assert mark not in content, where
