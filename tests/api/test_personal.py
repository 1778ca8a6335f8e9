"""Names and numbers: one number however it is spelt, changed at each door, seen nowhere else."""

import gzip
import json
import subprocess
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
import xlsxwriter  # type: ignore[import-untyped]
from psycopg import sql

from api.runtime.keys import source_of
from api.runtime.settings import Settings
from ledger.database import connect
from ledger.embedded import EmbeddedServer
from ledger.embedded.binaries import binary
from ledger.keyring import KEY_BYTES, keys_in
from tests.addresses import Client
from tests.api.facts import fact
from tests.api.running import ENDLESS, Ended, clubledger, serving, stopped
from tests.patience import PATIENCE_S, eventually

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
            f"{running.address}/v1/members/lookup",
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
    """(name, all that it holds) of every table, that of persons among them."""
    with connect(dsn) as connection:
        names = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
        ).fetchall()
        for schema, table in names:
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


MAPPING = """
[missing]
actor = "system:test"

[[table]]
files = "members.*"

[[table.fact]]
kind = "member.join"
[table.fact.fields]
member_id = "id"
unit_id = { value = "south" }
name = "who"
phone = "number"
at = { value = "2008-02-01T10:00:00+08:00" }
"""


def sheets(where: Path) -> list[Path]:
    """Files of members as people have them: two good rows each, and one whose number is none."""
    found = [where / "members.csv", where / "members.xlsx"]
    for start, path in enumerate(found):
        table = [["id", "who", "number"], [f"bad{start}", NAMES[2], NUMBERS[2] + "x"]]
        table += [[f"t{2 * start + n}", NAMES[n], NUMBERS[n]] for n in range(2)]
        if path.suffix == ".csv":
            path.write_text("".join(",".join(row) + "\n" for row in table), "utf-8")
            continue
        with xlsxwriter.Workbook(path) as book:
            sheet = book.add_worksheet()
            for number, row in enumerate(table):
                sheet.write_row(number, 0, row)
    return found


def dumped(dsn: str) -> bytes:
    """It as pg_dump writes it."""
    command = [str(binary("pg_dump")), "--dbname", dsn]
    return subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S).stdout


def streamed(http: httpx.Client, upto: str) -> bytes:
    """What the log says as server-sent events, to the first of this topic."""
    said = b""
    with http.stream("GET", f"{ENDLESS}?after=0:0") as answer:
        for piece in answer.iter_bytes():
            said += piece
            if f"event: {upto}\n".encode() in said:
                return said
    raise AssertionError("it ended")


def by_a_job(http: httpx.Client) -> None:
    """A file is taken in over HTTP: what was brought goes, and its rejects are kept."""
    rows = (("id", "who", "number"), ("j0", NAMES[0], NUMBERS[0]), ("bad", NAMES[2], "1x"))
    content = "".join(",".join(row) + "\n" for row in rows).encode()
    octets = {"Content-Type": "application/octet-stream"}
    unused, file_id = (
        http.post("/files", content=content, headers=octets).json()["file_id"] for _ in range(2)
    )
    files = [{"file_id": file_id, "name": f"members.{NAMES[1]}"}]
    asked = {"kind": "import", "files": files, "mapping": MAPPING, "keep_good": True}
    started = http.post("/jobs", json=asked, headers={"Idempotency-Key": "door-5"}).json()
    place = f"/jobs/{started['job_id']}"
    assert eventually(lambda: http.get(place).json()["ended_at"] is not None)
    result = http.get(place).json()["result"]
    assert (result["facts"], result["rejected"]) == (1, 1)
    assert NAMES[2] in http.get(f"{place}/files/1").text
    assert http.delete(f"/files/{unused}").status_code == 204


def test_nobody_is_found_in_anything_the_system_wrote(south: Path, tmp_path: Path) -> None:
    """Through every door that takes a name or a number, well and wrongly; then whatever was told,
    logged and stored is searched, the files of the database, a dump and a backup among it."""
    alone = json.dumps(join("p8", NUMBERS[1])).encode()  # whoever guesses it knows its digest
    said = [
        clubledger("import", "-", data_dir=south, stdin=alone),
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
    (mapping := tmp_path / "members.toml").write_text(MAPPING)
    for file in sheets(tmp_path):
        keep_good = ("--keep-good", tmp_path / f"{file.name}.rejects")
        for more in (("--check",), (), keep_good):
            ended = clubledger("import", file, "--mapping", mapping, *more, data_dir=south)
            assert ended.code == 3
            said.append(ended)
    assert shown(south, "t3")["phone"] == "138****0002"
    running = serving(south, environ={"CLUBLEDGER_ACCESS_LOG": "1"})
    with Client(base_url=running.address, timeout=PATIENCE_S) as http:
        headers = {"Idempotency-Key": "door-1"}
        body = {"phone": f"+86 {NUMBERS[3]}", "name": NAMES[0], "at": LAST}
        dry = {**headers, "Prefer": "dry-run"}
        answers = [http.post("/members/p1/details", json=body, headers=dry)]
        assert answers[0].json()["dry_run"]
        wrote = http.post("/members/p1/details", json=body, headers=headers)
        assert (wrote.status_code, wrote.json().keys()) == (201, {"bucket", "position"})
        again = http.post("/members/p1/details", json=body, headers=headers)
        assert again.headers["Idempotent-Replayed"] == "true"
        other = {**body, "phone": NUMBERS[2]}
        reused = http.post("/members/p1/details", json=other, headers=headers)
        assert reused.json()["code"] == "key_reused"
        answers += [wrote, again, reused]
        headers = {"Idempotency-Key": "door-2"}
        for bad in ({}, {"phone": NUMBERS[2] + "x"}, {"name": NAMES[0] + "\n"}, {"x": NAMES[0]}):
            answers.append(http.post("/members/p1/details", json=bad, headers=headers))
            assert answers[-1].status_code in (409, 422)
        unknown = http.post("/members/no/details", json=body, headers=headers)
        assert unknown.json()["code"] == "unknown_member"
        unmask = fact("member.unmask", LAST, member_id="p1", purpose="x", key="b3")
        several = [join("b1", NUMBERS[1], name=NAMES[1], key="b1"),
                   join("b2", NUMBERS[1] + "x", key="b2"), unmask]  # fmt: skip
        for each in several:
            each.pop("actor")
        batch = http.post("/commands", json={"commands": several})
        assert [each["status"] for each in batch.json()["outcomes"]] == [201, 422, 201]
        found = http.post("/members/lookup", json={"phone": NUMBERS[3]}).json()["members"]
        assert [each["member_id"] for each in found] == ["p1"]
        assert http.post("/members/lookup", json={"phone": NUMBERS[0]}).json()["members"]  # t0's
        # In full, once, and what for is a fact.
        headers, purpose = {"Idempotency-Key": "door-3"}, {"purpose": "called back"}
        unmasked = http.post("/members/p1/unmask", json=purpose, headers=headers).json()
        assert (unmasked["name"], unmasked["phone"]) == (NAMES[0], f"+86{NUMBERS[3]}")
        repeated = http.post("/members/p1/unmask", json=purpose, headers=headers)
        assert (repeated.json()["name"], repeated.json()["phone"]) == (None, None)
        own = http.post("/members/p1/own-data", headers={"Idempotency-Key": "door-4"}).json()
        assert [each["value"] for each in own["told"]] == [
            *(NAMES[0], f"+86{NUMBERS[0]}", NAMES[2]),
            *(NAMES[0], f"+86{NUMBERS[3]}"),
        ]
        assert own["events"][-1]["state"] == {"purpose": "access to one's own data"}
        answers += [unknown, batch, repeated]
        for path in ("/members/p1/events", "/events", "/lists/members", "/metrics", "/readyz"):
            answers.append(http.get(path))
            assert answers[-1].status_code == 200, path
        by_a_job(http)
        stream = streamed(http, "member.unmasked")
    said.append(stopped(running))
    assert '"route": "/v1/members/{member_id}/unmask"' in said[-1].err
    said.append(clubledger("backup", south / "backup", data_dir=south))
    assert said[-1].code == 0, said[-1]
    said.append(clubledger("project", data_dir=south))
    said += [clubledger("command", key, "--json", data_dir=south) for key in ("door-3", "b3")]
    said.append(clubledger("list", "members", "--json", data_dir=south))
    said.append(clubledger("member", NUMBERS[3] + "0", data_dir=south))
    everything = [(str(n), (each.out + each.err).encode()) for n, each in enumerate(said)]
    everything += [(str(each.url), each.content) for each in answers]
    with EmbeddedServer(south) as server:
        held = {**dict(tables(server.dsn)), "dump": dumped(server.dsn), "stream": stream}
        with connect(server.dsn) as connection:
            connection.execute("CHECKPOINT")
            (rows,) = connection.execute("SELECT count(*) FROM ledger.persons").fetchone() or (0,)
    assert rows > 10
    assert {"ledger.stored_events", "ledger.command_log", "ledger.file_lines"} <= held.keys()
    assert b"member.details_changed" in held["ledger.stored_events"]
    everything += held.items()
    files = [path for path in south.rglob("*") if path.is_file()]
    assert any("pg_wal" in path.parts for path in files)
    everything += [(str(path), path.read_bytes()) for path in files]
    marks = [*spellings(), sha256(alone).hexdigest()[:32].encode()]
    for where, content in everything:
        for mark in marks:
            assert mark not in content, where


def test_keys_that_are_added_at_once_are_all_kept(tmp_path: Path) -> None:
    source = source_of(Settings(data_dir=tmp_path))
    keys = [token_hex(KEY_BYTES) for _ in range(16)]
    assert source.keep is not None
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(source.keep, keys))
    assert sorted(map(bytes.hex, keys_in(source.read(), source.place))) == sorted(keys)


def test_an_image_of_the_disk_without_the_key_opens_for_nobody(south: Path) -> None:
    taken(south, join("p1", NUMBERS[0], name=NAMES[0]), join("p2", NUMBERS[1], name=NAMES[1]))
    key = (south / "keys").read_text()
    assert (south / "keys").stat().st_mode & 0o777 == 0o600
    with EmbeddedServer(south) as server, connect(server.dsn) as connection:
        wrapped = connection.execute("SELECT * FROM person_keys WHERE member_id = 'p1'").fetchall()
    (south / "keys").unlink()
    examined = clubledger("doctor", data_dir=south).out
    assert "key_not_here" in examined
    assert "of an earlier version: it is loaded or imported anew" in " ".join(examined.split())
    for words in (("member", "p1"), ("member", NUMBERS[0]), ("list", "members"), ("keys", "show")):
        ended = clubledger(*words, data_dir=south)
        assert ended.code == 4
        assert "personal data is encrypted with the key" in ended.err
    other = clubledger("member", "p1", data_dir=south, CLUBLEDGER_KEYS="0f" * 32)
    assert "which is not in CLUBLEDGER_KEYS" in other.err
    wrong = clubledger("member", "p1", data_dir=south, CLUBLEDGER_KEYS_COMMAND="echo 0f0f")
    assert "64 hexadecimal digits" in wrong.err
    assert "0f0f" not in wrong.err
    digits = key.split()[-1]
    asked = ("member", "p1", "--json")
    for found in (
        clubledger(*asked, data_dir=south, CLUBLEDGER_KEYS=digits),
        clubledger(*asked, data_dir=south, CLUBLEDGER_KEYS_COMMAND=f"echo {digits}"),
    ):
        assert found.json["name"] == NAMES[0]
    # Another takes over, and the first is needed no more.
    (south / "keys").write_text(key)
    first = clubledger("keys", "rotate", "--json", data_dir=south).json
    with EmbeddedServer(south) as server, connect(server.dsn) as connection:
        connection.execute("DELETE FROM person_keys WHERE member_id = 'p1'")
        connection.cursor().executemany("INSERT INTO person_keys VALUES (%s, %s, %s, %s)", wrapped)
    cut = clubledger("keys", "rotate", "--json", data_dir=south).json  # as if that had been
    assert (cut["before"], cut["after"], cut["persons"]) == (first["after"], first["after"], 1)
    turned = clubledger("keys", "rotate", "--json", data_dir=south).json
    assert (first["persons"], turned["persons"], turned["before"]) == (2, 2, first["after"])
    lines = (south / "keys").read_text().splitlines()
    (south / "keys").write_text(lines[-1])
    assert shown(south, NUMBERS[1])["name"] == NAMES[1]
    (only,) = clubledger("keys", "show", "--json", data_dir=south).json["keys"]
    assert (only["key_id"], only["wraps"], only["persons"]) == (turned["after"], True, 2)
    # Lost for good: what nobody can read goes, and all else stays.
    (south / "keys").unlink()
    assert clubledger("keys", "give-up", data_dir=south).code == 2
    assert clubledger("keys", "give-up", "--lost", data_dir=south).code == 0
    card = shown(south, "p1")
    assert (card["name"], card["phone"], card["unit_id"]) == (None, None, "south")
    taken(south, change("p1", LAST, name=NAMES[0]))
    assert shown(south, "p1")["name"] == NAMES[0]


def test_who_was_erased_is_said_to_be_and_has_what_happened(south: Path, tmp_path: Path) -> None:
    taken(south, join("p1", NUMBERS[0], name=NAMES[0]), fact(
        "points.credit", LATER, member_id="p1", points=40, source="s", rule="r"))  # fmt: skip
    file = tmp_path / "p1.json"
    assert clubledger("member", "p1", "--own-data", file, data_dir=south).code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    known = json.loads(file.read_bytes())
    assert {each["value"] for each in known["told"]} == {NAMES[0], f"+86{NUMBERS[0]}"}
    topics = ["member.joined", "points.credited", "member.unmasked"]
    assert [each["topic"] for each in known["events"]] == topics
    again = clubledger("member", "p1", "--own-data", file, data_dir=south)
    assert again.code == 2
    told = clubledger("do", "member.unmask", "member_id=p1", "purpose=x", "--json", data_dir=south)
    assert told.json["receipt"]["name"] == NAMES[0]
    for _ in range(2):
        erased = clubledger("do", "member.erase", "member_id=p1", "reason=asked", data_dir=south)
        assert erased.code == 0
    card = shown(south, "p1")
    assert (card["name"], card["phone"], card["spendable_points"]) == (None, None, 40)
    assert "p1  erased 20" in clubledger("member", "p1", data_dir=south).out
    assert clubledger("member", NUMBERS[0], data_dir=south).code == 3
    then = shown(south, "p1", "--known-at", "0:3")
    assert (then["name"], then["erased_at"]) == (None, None)
    (row,) = clubledger("list", "members", "--json", data_dir=south).json["members"]
    assert row["erased_at"] == card["erased_at"]
    refused = clubledger("do", "member.unmask", "member_id=p1", "purpose=x", data_dir=south)
    assert (refused.code, "erased" in refused.err) == (3, True)
    forced = clubledger("member", "p1", "--own-data", file, "--force", "--json", data_dir=south)
    known = json.loads(file.read_bytes())
    assert (known["told"], forced.json["events"], len(known["events"])) == ([], 5, 5)
    scenario = tmp_path / "scenario.json"
    scenario.write_text('{"changes": [{"change": "earning_rate", "factor": "3/2", "source": "s"}]}')
    assert clubledger("what-if", scenario, data_dir=south).code == 0
    assert clubledger("compare", "--full", data_dir=south).code == 0
