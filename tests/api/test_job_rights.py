"""An import by a job opens nothing that the doors do not: each line by the rights of who started
it; and what is no file of facts is told so."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from api.jobs import kinds
from api.jobs.work import Stopped, Work
from api.runtime.problems import DoorProblem
from domain.kernel.refusal import Refusal
from ledger import credentials, jobs
from ledger.database import connect
from projections.engine.measure import UnknownMeasure
from tests.api import facts
from tests.api.running import clubledger
from tests.ledger.facts import command, executed

Conn = Connection[Any]
AT = "2008-07-02T10:00:00+08:00"


@pytest.fixture
def dsn(installed: Callable[[int], str]) -> str:
    """A ledger with two units, a member in each, and a key of the head of one."""
    found = installed(1)
    executed(
        found,
        *(command("unit.open", unit_id=each, title=each) for each in ("north", "south")),
        command("member.join", member_id="m1", unit_id="north"),
        command("member.join", member_id="m2", unit_id="south"),
        command("apikey.issue", api_key_id="n", role_id="head", units=("north",)),
    )
    with connect(found) as conn:
        credentials.mint(conn, "apikey:n", 1)
    return found


@pytest.fixture
def conn(dsn: str) -> Iterator[Conn]:
    with connect(dsn) as connection:
        yield connection


def working(dsn: str, conn: Conn, *contents: bytes, owner: str = "cl_n", **asked: Any) -> Work:
    """A job that is being carried out."""
    ids = [jobs.bring(conn, owner, content)[0] for content in contents]
    files = [{"file_id": each, "name": f"f{n}"} for n, each in enumerate(ids)]
    said = {"kind": "import", **({"files": files} if files else {}), **asked}
    jobs.start(conn, owner, said["kind"], said, key="k", files=tuple(ids))
    job = jobs.claim(conn)
    assert job is not None
    return Work(dsn, job, conn)


def done(work: Work) -> dict[str, Any]:
    asked = kinds.asked_of(jobs.asked_of(work.conn, work.job.job_id))
    return kinds.KINDS[work.job.kind].run(work, asked)


def told(code: str, **fields: Any) -> dict[str, Any]:
    """A line of facts."""
    return {"command": code, "at": AT, **fields}


def test_each_line_needs_what_its_own_door_needs(dsn: str, conn: Conn) -> None:
    mine = told("member.change_details", member_id="m1", name="A")
    lines = [
        mine,
        {**mine, "member_id": "m2"},
        {**mine, "actor": "head:li", "name": "B"},
        {**mine, "actor": "clerk:li"},
        {**mine, "actor": "system:import", "name": "C"},
        told("unit.open", unit_id="east", title="East"),
        {**mine, "despite": ["in_control_group"]},
        {**mine, "command": "no.such"},
        told("apikey.issue", api_key_id="x", role_id="manager"),
    ]
    found = done(working(dsn, conn, facts.lines(lines), keep_good=True))
    assert {each["line"]: each["code"] for each in found["rejections"]} == {
        2: "not_allowed",
        4: "not_in_your_name",
        6: "not_allowed",
        7: "not_allowed",
        8: "not_valid",
        9: "not_allowed",
    }
    assert found["facts"] == 3
    actors = conn.execute(
        "SELECT state FROM ledger.stored_events WHERE topic = 'member.details_changed'"
        " ORDER BY originator_version"
    ).fetchall()
    named = [json.loads(bytes(state))["actor"] for (state,) in actors]
    assert named == ["head:cl_n", "head:li@cl_n", "head:cl_n"]


def test_who_is_killed_after_the_commit_finds_what_he_has_rejected(dsn: str, conn: Conn) -> None:
    """He is begun again, and takes nothing twice."""
    mine = told("member.change_details", member_id="m1", name="A")
    lines = facts.lines([mine, {**mine, "member_id": "m2"}])
    work = working(dsn, conn, lines, keep_good=True)
    first = done(work)
    made = jobs.made(conn, [work.job.job_id])[work.job.job_id]
    jobs.give_back(conn, work.job, counts=True)
    job = jobs.claim(conn)
    assert job is not None
    again = done(Work(dsn, job, conn))
    assert (first["replayed"], again["replayed"]) == (False, True)
    assert (again["facts"], again["rejected"]) == (first["facts"], first["rejected"]) == (1, 1)
    assert jobs.made(conn, [job.job_id])[job.job_id] == made
    assert [each.name for each in made] == ["f0", "reasons.jsonl"]


def test_a_key_that_is_revoked_ends_its_job_before_anything_is_written(
    dsn: str, conn: Conn
) -> None:
    line = told("member.change_details", member_id="m1", name="A")
    work = working(dsn, conn, facts.lines([line]))
    executed(dsn, command("apikey.revoke", api_key_id="n"))
    with pytest.raises(Stopped, match="not_allowed"):
        done(work)
    found = conn.execute(
        "SELECT count(*) FROM ledger.stored_events WHERE topic = 'member.details_changed'"
    ).fetchone()
    assert found == (0,)
    jobs.give_back(conn, work.job, counts=False)
    job = jobs.claim(conn)
    assert job is not None
    with pytest.raises(Stopped, match="not_allowed"):
        Work(dsn, job, conn)


def test_who_needs_no_key_has_none_once_there_is_one(dsn: str, conn: Conn) -> None:
    with pytest.raises(Stopped, match="not_allowed"):
        working(dsn, conn, kind="compare", owner="")


def bomb() -> bytes:
    """A workbook that holds far more than it is long."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"<a>" * 1_000_000)
    return into.getvalue()


@pytest.mark.parametrize(
    ("contents", "asked", "code"),
    [
        ([b"a,b\n1,2\n"], {}, "mapping_missing"),
        ([b"a,b\n1,\xff\xff\n"], {}, "unreadable_file"),
        ([b"a,b\n1,\0\n"], {"guess": True}, "unreadable_file"),
        ([b'a,b\n"1,2\n'], {"guess": True}, "unreadable_file"),
        ([bomb()], {"guess": True}, "unreadable_file"),
        ([gzip.compress(b"{}" * 1000)], {"guess": True}, "unreadable_file"),
        ([b"a,b\n1,2\n", b"a,b\n1,2\n"], {}, "files_unfit"),
    ],
)
def test_what_is_no_file_of_facts_is_told_so(
    dsn: str, conn: Conn, contents: list[bytes], asked: dict[str, Any], code: str
) -> None:
    with pytest.raises(DoorProblem) as problem:
        done(working(dsn, conn, *contents, **asked))
    assert problem.value.code == code


def test_a_mapping_that_is_none_is_refused_before_it_waits() -> None:
    asked = kinds.asked_of(
        {
            "kind": "import",
            "files": [{"file_id": "0" * 16, "name": "f"}],
            "mapping": "[[table]]\nfiles = 1\n",
        }
    )
    with pytest.raises(DoorProblem) as problem:
        kinds.KINDS["import"].require(asked)
    assert problem.value.code == "bad_mapping"


def test_a_comparison_by_a_job_finds_what_the_command_finds(dsn: str, conn: Conn) -> None:
    found = done(working(dsn, conn, kind="compare", second_opinion=True))
    assert (found["different"], found["behind"]) == (0, 0)
    assert found["events"] > 0


def of(work: Work) -> Any:
    return kinds.asked_of(jobs.asked_of(work.conn, work.job.job_id))


def file_of(work: Work) -> tuple[str, bytes]:
    """(name, content) of the one file that a job has made."""
    (made,) = jobs.made(work.conn, [work.job.job_id])[work.job.job_id]
    return made.name, b"".join(jobs.content(work.conn, made.file_id))


def test_a_list_is_a_file_of_what_is_ones_own(dsn: str, conn: Conn) -> None:
    asked: dict[str, Any] = {"kind": "export", "rows": "list", "name": "members"}
    own = working(dsn, conn, **asked, filters={"unit_id": "north"})
    kinds.require_may(own.who, of(own))
    assert done(own)["rows"] == 1
    name, content = file_of(own)
    assert name.startswith("members")
    assert b"m1" in content
    assert b"m2" not in content
    for filters in ({}, {"unit_id": "south"}, {"unit_id": "north,south"}):
        with pytest.raises(DoorProblem, match="not_allowed"):
            kinds.require_may(own.who, kinds.asked_of({**asked, "filters": filters}))
    for bad in ({**asked, "name": "no_such"}, {**asked, "filters": {"no_such": "x"}}):
        with pytest.raises((DoorProblem, Refusal)):
            kinds.KINDS["export"].require(kinds.asked_of(bad))


def test_the_rows_of_a_measure_are_a_file_as_of_a_moment(dsn: str, conn: Conn) -> None:
    asked: dict[str, Any] = {
        "kind": "export",
        "rows": "measure",
        "name": "members.vips",
        "format": "jsonl",
    }
    work = working(dsn, conn, **asked, filters={"unit_id": "north"}, known_at="0:4")
    found = done(work)
    assert found["moment"]["positions"] == "0:4"
    said, *rows = file_of(work)[1].splitlines()
    assert json.loads(said)["export"].startswith("members.vips")
    assert len(rows) == found["rows"]


def test_the_whole_log_is_a_file(dsn: str, conn: Conn) -> None:
    work = working(dsn, conn, kind="export_log")
    with pytest.raises(DoorProblem, match="not_allowed"):
        kinds.require_may(work.who, of(work))
    found = done(work)
    name, content = file_of(work)
    events = [json.loads(line) for line in content.splitlines()]
    assert (name, len(events)) == ("events.jsonl", found["events"])
    assert [each["position"] for each in events] == [*range(1, found["events"] + 1)]


def test_where_the_ledger_is_its_administrator_sees_and_ends_the_jobs_of_all(
    dsn: str, conn: Conn, tmp_path: Path
) -> None:
    def ran(*words: str | Path, code: int = 0) -> Any:
        ended = clubledger("jobs", *words, "--json", CLUBLEDGER_DATABASE_URL=dsn)
        assert ended.code == code, ended.err
        return ended.problem if code else ended.json

    assert ran("list") == {"jobs": []}
    work = working(dsn, conn, kind="export_log")
    job_id = work.job.job_id
    found = done(work)
    running = ran("cancel", job_id)
    assert (running["state"], running["cancel_asked"]) == ("running", True)
    assert jobs.end(conn, work.job, "succeeded", {"result": found})
    waits, _ = jobs.start(conn, "cl_other", "export_log", {"kind": "export_log"}, key="other")
    standing, waited_s = jobs.standing(conn)
    assert standing == {"succeeded": 1, "queued": 1}
    assert waited_s >= 0
    assert [(each["job_id"], each["owner"]) for each in ran("list")["jobs"]] == [
        (waits.job_id, "cl_other"),
        (job_id, "cl_n"),
    ]
    shown = ran("show", job_id)
    assert (shown["result"], [each["name"] for each in shown["files"]]) == (found, ["events.jsonl"])
    assert ran("cancel", waits.job_id)["state"] == "cancelled"
    assert ran("cancel", job_id, code=3)["refusal"] == "job_ended"
    assert ran("show", "0" * 16, code=3)["refusal"] == "unknown_job"
    to = tmp_path / "log.jsonl"
    assert ran("download", job_id, "1", to)["bytes"] == len(to.read_bytes())
    assert len(to.read_bytes().splitlines()) == found["events"]
    assert to.stat().st_mode & 0o077 == 0
    assert ran("download", job_id, "1", to, code=2)["code"] == "wrong_use"
    assert ran("download", job_id, "2", tmp_path / "x", code=3)["refusal"] == "unknown_file"
    said = [
        clubledger("jobs", *words, CLUBLEDGER_DATABASE_URL=dsn).out
        for words in (("list",), ("show", job_id))
    ]
    assert "export_log" in said[0]
    assert "events.jsonl" in said[1]


def test_two_moments_are_compared_and_answers_made_anew(dsn: str, conn: Conn) -> None:
    moments: dict[str, Any] = {"before": {"known_at": "0:2"}, "after": {"known_at": "0:4"}}
    found = done(working(dsn, conn, kind="changes", **moments))
    assert [(each["topic"], each["added"]) for each in found["events"]] == [("member.joined", 2)]
    bad = kinds.asked_of({"kind": "changes", **moments, "after": {"known_at": "0:1,0:2"}})
    with pytest.raises(DoorProblem, match="invalid"):
        kinds.KINDS["changes"].require(bad)


def test_the_rows_that_make_a_measure_change_add_up_to_its_difference(dsn: str, conn: Conn) -> None:
    asked: dict[str, Any] = {
        "kind": "changed_rows",
        "measure_id": "members.on_network",
        "before": {"known_at": "0:2"},
        "after": {"known_at": "0:4"},
        "limit": 1,
    }
    work = working(dsn, conn, **asked)
    found = done(work)
    (was,), (now,) = (found[name]["inputs"] for name in ("before", "after"))
    assert found["adds"] == {was["name"]: now["value"] - was["value"]}
    assert found["changed"] == 2
    name, content = file_of(work)
    rows = [json.loads(line) for line in content.splitlines()]
    assert name == "members.on_network.changed.jsonl"
    assert rows[:1] == found["rows"]
    assert [row["added"][0]["topic"] for row in rows] == ["member.joined", "member.joined"]
    assert sum(row["adds"][was["name"]] for row in rows) == found["adds"][was["name"]]
    with pytest.raises(UnknownMeasure):
        kinds.KINDS["changed_rows"].require(kinds.asked_of({**asked, "measure_id": "no.such"}))


def test_answers_are_made_anew_by_a_job(dsn: str, conn: Conn) -> None:
    found = done(working(dsn, conn, kind="rebuild", anew=True))
    assert found["events"] > 0
