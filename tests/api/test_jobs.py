"""Jobs over HTTP: files are taken in, whatever dies meanwhile, and nobody else knows of it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from ledger.database import connect
from ledger.embedded import EmbeddedServer, running
from tests.addresses import Client
from tests.api import facts
from tests.api.contract import Contract
from tests.api.running import (
    REPOSITORY,
    Server,
    clubledger,
    environment,
    serving,
    stopped,
)
from tests.api.test_stream import told
from tests.patience import PATIENCE_S, eventually
from tests.places import empty_directory

PAGE = REPOSITORY / "docs" / "how-to" / "jobs.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = dict(BLOCK.findall(PAGE.read_text("utf-8")))
"""Of the page, by its language."""
KNOWN = [
    facts.fact("unit.open", unit_id="north", title="North"),
    facts.fact("member.join", member_id="m1", unit_id="north", phone=facts.PHONE),
]
CREDIT = facts.fact("points.credit", member_id="m1", points=1, source="test", rule="test-1")
OCTETS = {"Content-Type": "application/octet-stream"}


def brought(http: httpx.Client, content: bytes) -> str:
    """The id of a file, sent in parts."""
    answer = http.post("/files", content=content[:30_000], headers=OCTETS)
    assert answer.status_code == 201, answer.text
    file_id = str(answer.json()["file_id"])
    for at in range(30_000, len(content), 30_000):
        part = content[at : at + 30_000]
        answer = http.post(
            f"/files/{file_id}/parts", params={"offset": at}, content=part, headers=OCTETS
        )
        assert answer.status_code == 200, answer.text
    assert answer.json()["bytes"] == len(content)
    return file_id


def started(http: httpx.Client, key: str, **asked: Any) -> httpx.Response:
    return http.post("/jobs", json=asked, headers={"Idempotency-Key": key})


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """A job that has ended."""
    found: dict[str, Any] = {}

    def look() -> bool:
        found.update(http.get(f"/jobs/{job_id}").json())
        return found["ended_at"] is not None

    assert eventually(look), found
    return found


def done(http: httpx.Client, key: str, **asked: Any) -> dict[str, Any]:
    answer = started(http, key, **asked)
    assert answer.status_code == 202, answer.text
    return ended(http, answer.json()["job_id"])


@pytest.fixture(scope="module")
def office() -> Iterator[tuple[Server, list[str]]]:
    """A server on a ledger that knows a member, and the keys of two managers."""
    with empty_directory() as path, EmbeddedServer(path):
        assert clubledger("import", "-", data_dir=path, stdin=facts.lines(KNOWN)).code == 0
        tokens = []
        for key in ("till", "other"):
            said = (f"api_key_id={key}", "role_id=manager", "--json")
            tokens.append(clubledger("do", "apikey.issue", *said, data_dir=path).json["token"])
        server = serving(path)
        yield server, tokens
        assert stopped(server).code == 0


@pytest.fixture
def clients(
    office: tuple[Server, list[str]], contract: Contract
) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two managers, whose answers are held against the document."""
    server, tokens = office
    hooks = {"response": [contract.check]}
    one, other = (
        Client(
            base_url=server.address,
            event_hooks=hooks,
            timeout=PATIENCE_S,
            headers={"Authorization": f"Bearer {token}"},
        )
        for token in tokens
    )
    with one, other:
        yield one, other


def test_a_table_is_checked_by_a_proposed_mapping_and_nobody_else_knows_of_it(
    clients: tuple[httpx.Client, httpx.Client],
) -> None:
    http, other = clients
    content = CODE["csv"].encode() * 1_000  # in parts
    file_id = brought(http, content)
    files = [{"file_id": file_id, "name": "credits.csv"}]
    answer = http.post(f"/files/{file_id}/parts?offset=1", content=b"x", headers=OCTETS)
    assert (answer.status_code, answer.json()["code"]) == (409, "wrong_offset")
    answer = http.post("/files", headers=OCTETS)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    unknown = started(other, "alien", kind="guess", files=files)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_file")
    bad = started(http, "bad", kind="import", files=files, mapping="?")
    assert (bad.status_code, bad.json()["code"]) == (422, "bad_mapping")
    found = done(http, "check", kind="import", files=files, guess=True, check=True)
    assert found["state"] == "succeeded", found
    assert found["result"]["kept"] is False
    (mapping,) = [each for each in found["files"] if each["name"] == "mapping.toml"]
    answer = http.get(f"/jobs/{found['job_id']}/files/{mapping['number']}")
    assert answer.text == found["result"]["mapping"]
    assert sha256(answer.content).hexdigest() == mapping["sha256"]
    assert mapping["name"] in answer.headers["content-disposition"]
    (listed,) = http.get("/jobs").json()["jobs"]
    assert (listed["job_id"], listed["files"]) == (found["job_id"], found["files"])
    assert other.get("/jobs").json()["jobs"] == []
    place = f"/jobs/{found['job_id']}"
    for answer in (
        other.get(place),
        other.get(f"{place}/events"),
        other.get(f"{place}/files/1"),
        other.post(f"{place}/cancel"),
        http.get(f"/jobs/{'0' * 16}"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job")
    answer = http.post(f"{place}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_ended")
    moved = brought(http, "客户编号,网点,入网日期\nm2,North,2020-01-01\n".encode())
    named = [{"file_id": moved, "name": "joined.csv"}]
    guessed = done(http, "named", kind="guess", files=named)["result"]["mapping"]
    assert 'words = { "North" = "north" }' in guessed, "the ledger knows what is called so"
    again = started(http, "check", kind="guess", files=files)
    assert (again.status_code, again.json()["code"]) == (422, "key_reused")


def test_the_page_is_true(office: tuple[Server, list[str]], tmp_path: Path) -> None:
    """Its program takes in its file by its mapping, and prints what it says."""
    server, tokens = office
    for name, kind in (("credits.csv", "csv"), ("mapping.toml", "toml")):
        (tmp_path / name).write_text(CODE[kind], "utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", CODE["python"], "mapping.toml", "credits.csv"],
        env=environment(CLUBLEDGER=server.address, TOKEN=tokens[0]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == CODE["text"], ran.stderr
    headers = {"Authorization": f"Bearer {tokens[0]}"}
    events = httpx.get(f"{server.address}/v1/events?limit=1000", headers=headers).json()["events"]
    credited = [each for each in events if each["topic"] == "points.credited"]
    assert [each["actor"] for each in credited] == ["manager:cl_till"]


# ------------------------------------------------------------------------- what may die meanwhile
@contextmanager
def lanes_held(dsn: str) -> Iterator[None]:
    """Within, nothing is appended: an import stands before its commit."""
    with connect(dsn) as conn, conn.transaction():
        conn.execute("SELECT ledger.take_lanes(ARRAY[0]::int2[])")
        yield


def at_work(server: Server) -> list[int]:
    """The processes in which a server has jobs done."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status, words = (each / "status").read_text(), (each / "cmdline").read_bytes()
            if f"\nPPid:\t{server.process.pid}\n" in status and b"spawn_main" in words:
                found.append(int(each.name))
    return found


def waits_in(dsn: str, http: httpx.Client, job_id: str, attempt: int) -> None:
    """Wait until this attempt at a job stands before its commit."""

    def look() -> bool:
        with connect(dsn) as conn:
            waiting = conn.execute(
                "SELECT FROM pg_stat_activity WHERE application_name = %s"
                " AND wait_event_type = 'Lock' AND query LIKE '%%append_staged%%'",
                (f"clubledger job {job_id}",),
            ).fetchall()
        return bool(waiting) and http.get(f"/jobs/{job_id}").json()["attempt"] == attempt

    assert eventually(look)


def test_who_dies_at_work_is_followed_by_another_and_who_cancels_has_nothing_written(
    own_ledger: Path,
) -> None:
    assert clubledger("import", "-", data_dir=own_ledger, stdin=facts.lines(KNOWN)).code == 0
    embedded = running(own_ledger)
    assert embedded is not None
    lines = [CREDIT, CREDIT, {**CREDIT, "member_id": "nobody"}]
    content, server = facts.lines(lines), serving(own_ledger)
    with Client(base_url=server.address, timeout=PATIENCE_S) as http:
        files = [{"file_id": brought(http, content), "name": "credits.jsonl"}]
        with lanes_held(embedded.dsn):
            asked: dict[str, Any] = {"kind": "import", "files": files, "keep_good": True}
            job_id = started(http, "k", **asked).json()["job_id"]
            waits_in(embedded.dsn, http, job_id, 1)
            (process,) = at_work(server)
            os.kill(process, signal.SIGKILL)
            waits_in(embedded.dsn, http, job_id, 2)
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.communicate()
    server = serving(own_ledger)
    with Client(base_url=server.address, timeout=PATIENCE_S) as http:
        found = ended(http, job_id)
        assert (found["state"], found["attempt"]) == ("succeeded", 3)
        assert (found["result"]["facts"], found["result"]["rejected"]) == (2, 1)
        assert [each["name"] for each in found["files"]] == ["credits.jsonl", "reasons.jsonl"]
        again = started(http, "k", **asked)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json()["job_id"] == job_id
        with http.stream("GET", f"/jobs/{job_id}/events", headers={"Last-Event-ID": "1"}) as old:
            event = told(old.iter_lines())
        assert (event["event"], int(event["id"])) == ("ended", found["version"])
        seen = {"Last-Event-ID": event["id"]}
        assert http.get(f"/jobs/{job_id}/events", headers=seen).status_code == 204
        files = [{"file_id": brought(http, facts.lines([CREDIT])), "name": "credits.jsonl"}]
        with lanes_held(embedded.dsn):
            job_id = started(http, "k2", kind="import", files=files).json()["job_id"]
            waits_in(embedded.dsn, http, job_id, 1)
            told_to = http.post(f"/jobs/{job_id}/cancel").json()
            assert (told_to["state"], told_to["cancel_asked"]) == ("running", True)
            found = ended(http, job_id)
        assert (found["state"], found["result"]) == ("cancelled", None)
        assert (found["so_far"]["stage"], found["so_far"]["done"]) == ("importing", 1)
        events = http.get("/events", params={"limit": 1000}).json()["events"]
        assert [each["topic"] for each in events].count("points.credited") == 2
    assert stopped(server).code == 0
