"""What is kept of jobs: each of who started it, under limits, and nothing that can be read."""

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from psycopg import Connection

from api.jobs import face
from domain.access import Principal
from ledger import jobs
from ledger.database import connect
from ledger.log.working import KeyReused

MARK = "张伟13900000001"
ASKED = {"files": [{"name": MARK}]}


@pytest.fixture
def conn(installed: Callable[[int], str]) -> Iterator[Connection[Any]]:
    with connect(installed(1)) as connection:
        yield connection


def begun(conn: Connection[Any], key: str = "k", owner: str = "li") -> jobs.Job:
    """A job that runs."""
    jobs.start(conn, owner, "import", ASKED, key=key)
    job = jobs.claim(conn)
    assert job is not None
    return job


def test_the_same_request_under_the_same_key_is_the_same_job(conn: Connection[Any]) -> None:
    first, before = jobs.start(conn, "li", "import", ASKED, key="k")
    assert (before, first.state) == (False, "queued")
    assert jobs.start(conn, "li", "import", ASKED, key="k") == (first, True)
    with pytest.raises(KeyReused):
        jobs.start(conn, "li", "import", {}, key="k")
    other, before = jobs.start(conn, "wang", "import", {}, key="k")
    assert not before
    assert other.job_id != first.job_id


def test_a_job_is_seen_by_who_started_it(conn: Connection[Any]) -> None:
    job = begun(conn)
    file_id, _ = jobs.bring(conn, "li", b"x")
    for alien in (
        lambda: jobs.get(conn, "wang", job.job_id),
        lambda: jobs.cancel(conn, "wang", job.job_id),
        lambda: jobs.add(conn, "wang", file_id, 1, b"y"),
        lambda: jobs.drop(conn, "wang", file_id),
        lambda: jobs.start(conn, "wang", "import", {}, key="w", files=(file_id,)),
    ):
        with pytest.raises((jobs.UnknownJob, jobs.UnknownFile)):
            alien()
    assert jobs.newest(conn, "wang", 10) == []
    second, _ = jobs.start(conn, "li", "guess", {}, key="k2")
    assert [each.job_id for each in jobs.newest(conn, "li", 10)] == [second.job_id, job.job_id]
    assert jobs.newest(conn, "li", 10, before=second.job_id) == [job]


def test_a_file_is_brought_in_order_and_taken_once(conn: Connection[Any]) -> None:
    file_id, length = jobs.bring(conn, "li", b"one ")
    assert jobs.add(conn, "li", file_id, length, b"two") == 7
    with pytest.raises(jobs.WrongOffset) as wrong:
        jobs.add(conn, "li", file_id, length, b"two")
    assert wrong.value.numbers() == {"bytes": 7}
    job, _ = jobs.start(conn, "li", "guess", {}, key="k", files=(file_id,))
    with pytest.raises(jobs.UnknownFile):
        jobs.start(conn, "li", "guess", {}, key="k2", files=(file_id,))
    assert jobs.taken(conn, job.job_id) == [file_id]
    read = jobs.Reader(jobs.content(conn, file_id))
    assert [read.read(3), read.read(3), read.read(9), read.read(9)] == [b"one", b" ", b"two", b""]


def test_so_many_wait_and_no_more(conn: Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_OF_ONE", 1)
    monkeypatch.setattr(jobs, "MOST_FILES", 1)
    monkeypatch.setattr(jobs, "MOST_BYTES", 3)
    job, _ = jobs.start(conn, "li", "guess", {}, key="k")
    with pytest.raises(jobs.TooManyJobs):
        jobs.start(conn, "li", "guess", {}, key="k2")
    jobs.cancel(conn, "li", job.job_id)
    jobs.start(conn, "li", "guess", {}, key="k3")
    file_id, _ = jobs.bring(conn, "li", b"123")
    for more in (
        lambda: jobs.bring(conn, "li", b""),
        lambda: jobs.add(conn, "li", file_id, 3, b"4"),
    ):
        with pytest.raises(jobs.TooManyFiles):
            more()
    jobs.drop(conn, "li", file_id)
    jobs.bring(conn, "li", b"123")


def test_who_was_taken_for_dead_changes_nothing_more(conn: Connection[Any]) -> None:
    first = begun(conn)
    assert jobs.progress(conn, first, "importing", 1, 2) is False
    jobs.give_back(conn, first, counts=True)
    second = jobs.claim(conn)
    assert second is not None
    assert (second.attempt, second.done) == (2, 0)
    assert jobs.progress(conn, first, "importing", 2, 2) is None
    assert not jobs.end(conn, first, "succeeded", {"result": {}})
    jobs.cancel(conn, "li", second.job_id)
    assert jobs.progress(conn, second, "importing", 2, 2) is True
    assert jobs.end(conn, second, "cancelled", {"so_far": {}})
    assert jobs.cancel(conn, "li", second.job_id).state == "cancelled"


def test_its_version_counts_what_is_news(conn: Connection[Any]) -> None:
    job = begun(conn)
    seen = []
    for done in (1, 1, 2):
        jobs.progress(conn, job, "importing", done, 2)
        seen.append(jobs.get(conn, "li", job.job_id).version - job.version)
    assert seen == [1, 1, 2]


def test_what_has_succeeded_cannot_be_cancelled(conn: Connection[Any]) -> None:
    job = begun(conn)
    jobs.make_file(conn, job, MARK, "text/csv", io.BytesIO(b"x" * jobs.CHUNK_BYTES + b"y"))
    assert jobs.end(conn, job, "succeeded", {"result": {"mark": MARK}})
    with pytest.raises(jobs.JobEnded):
        jobs.cancel(conn, "li", job.job_id)
    assert jobs.told_of(conn, job.job_id) == {"result": {"mark": MARK}}
    (made,) = jobs.made(conn, [job.job_id])[job.job_id]
    assert (made.name, made.bytes, made.chunks) == (MARK, jobs.CHUNK_BYTES + 1, 2)
    assert b"".join(jobs.content(conn, made.file_id)).endswith(b"xy")


def test_nothing_that_was_brought_or_told_can_be_read_and_it_goes_in_time(
    conn: Connection[Any],
) -> None:
    tables = ("jobs", "job_files", "job_chunks")

    def held() -> str:
        rows = [row for each in tables for row in conn.execute(f"SELECT * FROM ledger.{each}")]
        return repr([[bytes(v) if isinstance(v, memoryview) else v for v in row] for row in rows])

    file_id, _ = jobs.bring(conn, "li", MARK.encode())
    jobs.bring(conn, "li", MARK.encode())
    jobs.start(conn, "li", "import", ASKED, key="k", files=(file_id,))
    job = jobs.claim(conn)
    assert job is not None
    jobs.make_file(conn, job, MARK, "text/csv", io.BytesIO(MARK.encode()))
    assert jobs.asked_of(conn, job.job_id) == ASKED
    for _ in range(2):
        told = held()
        assert MARK not in told
        assert repr(MARK.encode())[2:-1] not in told
        assert MARK[-8:] not in told
        jobs.end(conn, job, "succeeded", {"result": {"mark": MARK}})
    with pytest.raises(jobs.UnknownFile):
        list(jobs.content(conn, file_id))
    jobs.sweep(conn)
    assert len(jobs.newest(conn, "li", 10)) == 1
    times = (("jobs", "ended_at", jobs.KEPT), ("job_files", "made_at", jobs.UNUSED))
    for table, column, kept in times:
        conn.execute(
            f"UPDATE ledger.{table} SET {column} = {column} - %s::interval",
            (kept + timedelta(seconds=1),),
        )
    jobs.sweep(conn)
    assert held() == "[]"


def test_who_looks_while_a_job_ends_sees_it_before_or_after(
    conn: Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    li, job, get = Principal("li", ()), begun(conn), jobs.get

    def read_then_ended(*asked: Any) -> jobs.Job:
        found = get(*asked)
        jobs.make_file(conn, job, "x.csv", "text/csv", io.BytesIO(b"x"))
        assert jobs.end(conn, job, "succeeded", {"result": {"facts": 1}})
        return found

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "get", read_then_ended)
        shown = face.state(conn, li, job.job_id)
    assert (shown.state, shown.result, shown.files) == ("running", None, [])
    shown = face.state(conn, li, job.job_id)
    assert (shown.state, shown.result, len(shown.files)) == ("succeeded", {"facts": 1}, 1)
