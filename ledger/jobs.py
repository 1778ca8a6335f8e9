"""What is kept of jobs beside the log: how each stands, what it was asked, and the files that it
takes and makes. What people brought or are told lies here encrypted, under a key that goes with
its row.

Who leads (Lock.LEADING) begins jobs; who works (Lock.WORKING) tells how far his is, under the
number of its attempt: whoever was taken for dead changes nothing more. Time is the database's.
"""

import hmac
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from errno import EFBIG
from hashlib import sha256
from secrets import token_bytes, token_hex
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from domain.kernel.refusal import Refusal
from ledger.database import meta
from ledger.keyring import KEY_BYTES, Secrets, decrypt, encrypt
from ledger.lines import Readable
from ledger.log.working import KeyReused

Conn = Connection[Any]

ENDED = ("succeeded", "failed", "cancelled")
STATES = ("queued", "running", *ENDED)
KEPT = timedelta(hours=24)
"""So long a job and what it made are there after it has ended."""
UNUSED = timedelta(hours=1)
"""So long a file waits for the job that takes it."""
MOST_WAITING, MOST_OF_ONE = 64, 16
"""Jobs that have not ended: of all, and of one who asks."""
MOST_FILES = 20
"""Files of one job; and of one who asks, that no job has taken yet."""
MOST_BYTES = 64 << 20
"""Of all files that no job of his has ended yet."""
ATTEMPTS = 3
"""So often a job is begun: whatever kills the process that works at it is not done for ever."""
MOST_MADE_BYTES = 1 << 30
"""Of a file that a job has made."""
CHUNK_BYTES = 1 << 18


@dataclass
class UnknownJob(Refusal):
    """There is no such job of who is asking, or no more."""

    code = "unknown_job"
    job_id: str


@dataclass
class UnknownFile(Refusal):
    """There is no such file of who is asking, or a job has taken it, or it is there no more."""

    code = "unknown_file"
    file_id: str


@dataclass
class TooManyJobs(Refusal):
    """More jobs have not ended than may wait."""

    code = "too_many_jobs"
    most: int


@dataclass
class TooManyFiles(Refusal):
    """More files wait for jobs than may, or longer ones."""

    code = "too_many_files"
    most: int
    most_bytes: int


@dataclass
class WrongOffset(Refusal):
    """The file goes on elsewhere: a part was sent before, or one is missing."""

    code = "wrong_offset"
    bytes: int


@dataclass
class JobEnded(Refusal):
    """The job has ended, and what it came to stays."""

    code = "job_ended"
    state: str


class Job(NamedTuple):
    """How a job stands: see 0010_jobs.sql."""

    job_id: str
    owner: str
    actor: str | None
    kind: str
    state: str
    version: int
    attempt: int
    cancel_asked: bool
    made_at: datetime
    begun_at: datetime | None
    ended_at: datetime | None
    stage: str
    done: int
    total: int
    code: str

    @property
    def ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.state in ENDED


class MadeFile(NamedTuple):
    """A file that a job has made."""

    number: int
    file_id: str
    bytes: int
    chunks: int
    name: str
    media_type: str
    sha256: str


_COLUMNS = ", ".join(Job._fields)


# ------------------------------------------------------------------------------------------- keys
def _fresh(conn: Conn, of: str) -> tuple[bytes, bytes]:
    """A key, and as it is kept."""
    key = token_bytes(KEY_BYTES)
    return key, encrypt(Secrets.of(meta(conn)).jobs, key, of)


def _opened(conn: Conn, sealed: bytes, of: str) -> bytes:
    return decrypt(Secrets.of(meta(conn)).jobs, bytes(sealed), of)


def _job_place(job_id: str, what: str) -> str:
    return f"job|{job_id}|{what}"


def _file_place(file_id: str, what: object) -> str:
    return f"job file|{file_id}|{what}"


# ------------------------------------------------------------------------------------------- jobs
def start(
    conn: Conn,
    owner: str,
    kind: str,
    asked: Mapping[str, Any],
    *,
    key: str,
    actor: str | None = None,
    files: tuple[str, ...] = (),
) -> tuple[Job, bool]:
    """(a job that waits for its turn, whether it was started before under this key). It takes
    these files of the same owner."""
    with conn.transaction():
        conn.execute("LOCK TABLE ledger.jobs IN SHARE ROW EXCLUSIVE MODE")
        request = msgspec.json.encode([kind, actor, asked], order="sorted")
        found = conn.execute(
            f"SELECT {_COLUMNS}, sealed_key, asked FROM ledger.jobs WHERE owner = %s AND key = %s",
            (owner, key),
        ).fetchone()
        if found is not None:
            *row, sealed_key, before = found
            job = Job(*row)
            place = _job_place(job.job_id, "asked")
            data_key = _opened(conn, sealed_key, _job_place(job.job_id, "key"))
            if not hmac.compare_digest(decrypt(data_key, bytes(before), place), request):
                raise KeyReused
            return job, True
        waiting = conn.execute(
            "SELECT count(*), count(*) FILTER (WHERE owner = %s) FROM ledger.jobs"
            " WHERE ended_at IS NULL",
            (owner,),
        ).fetchone()
        assert waiting is not None
        for number, most in zip(waiting, (MOST_WAITING, MOST_OF_ONE), strict=True):
            if number >= most:
                raise TooManyJobs(most)
        job_id = token_hex(8)
        data_key, sealed_key = _fresh(conn, _job_place(job_id, "key"))
        conn.execute(
            "INSERT INTO ledger.jobs (job_id, owner, actor, kind, key, state, sealed_key, asked)"
            " VALUES (%s, %s, %s, %s, %s, 'queued', %s, %s)",
            (
                *(job_id, owner, actor, kind, key, sealed_key),
                encrypt(data_key, request, _job_place(job_id, "asked")),
            ),
        )
        for number, file_id in enumerate(files):
            taken = conn.execute(
                "UPDATE ledger.job_files SET job_id = %s, number = %s"
                " WHERE file_id = %s AND owner = %s AND job_id IS NULL RETURNING file_id",
                (job_id, number, file_id, owner),
            ).fetchone()
            if taken is None:
                raise UnknownFile(file_id)
        return get(conn, owner, job_id), False


_OF = "owner = coalesce(%(owner)s, owner)"


def get(conn: Conn, owner: str | None, job_id: str, lock: str = "") -> Job:
    """A job of this owner, whoever that is where none is said, as it stands. Raises UnknownJob."""
    found = conn.execute(
        f"SELECT {_COLUMNS} FROM ledger.jobs WHERE job_id = %(job_id)s AND {_OF} {lock}",
        {"job_id": job_id, "owner": owner},
    ).fetchone()
    if found is None:
        raise UnknownJob(job_id)
    return Job(*found)


def newest(conn: Conn, owner: str | None, limit: int, before: str | None = None) -> list[Job]:
    """The jobs of this owner, or of all, the newest first; those older than one of them."""
    rows = conn.execute(
        f"SELECT {_COLUMNS} FROM ledger.jobs WHERE {_OF} AND (%(before)s::text IS NULL"
        " OR (made_at, job_id) < (SELECT made_at, job_id FROM ledger.jobs"
        f" WHERE job_id = %(before)s AND {_OF}))"
        " ORDER BY made_at DESC, job_id DESC LIMIT %(limit)s",
        {"owner": owner, "before": before, "limit": limit},
    )
    return [Job(*row) for row in rows.fetchall()]


def cancel(conn: Conn, owner: str | None, job_id: str) -> Job:
    """Let it end as soon as it can: at once, if it has not begun. Raises UnknownJob; and JobEnded,
    unless it was cancelled."""
    with conn.transaction():
        job = get(conn, owner, job_id, "FOR UPDATE")
        if job.ended and job.state != "cancelled":
            raise JobEnded(job.state)
        if job.state == "queued":
            _end(conn, job_id, "cancelled")
        elif not job.ended:
            conn.execute("UPDATE ledger.jobs SET cancel_asked = true WHERE job_id = %s", (job_id,))
    return get(conn, owner, job_id)


def standing(conn: Conn) -> tuple[dict[str, int], float]:
    """(how many stand how, of those that are kept; for how many seconds the one has waited that has
    waited longest)."""
    rows = conn.execute(
        "SELECT state, count(*), extract(epoch FROM now() - min(made_at))::float8"
        " FROM ledger.jobs GROUP BY state"
    ).fetchall()
    waits = (since_s for state, _, since_s in rows if state == STATES[0])
    return {state: many for state, many, _ in rows}, next(waits, 0.0)


def asked_of(conn: Conn, job_id: str) -> dict[str, Any]:
    """What a job was asked."""
    key, asked, _ = _sealed(conn, job_id)
    _, _, said = msgspec.json.decode(decrypt(key, asked, _job_place(job_id, "asked")))
    return dict(said)


def told_of(conn: Conn, job_id: str) -> dict[str, Any] | None:
    """What it came to: `result` or `problem`; None as long as nothing is told."""
    key, _, told = _sealed(conn, job_id)
    if told is None:
        return None
    return dict(msgspec.json.decode(decrypt(key, told, _job_place(job_id, "told"))))


def _sealed(conn: Conn, job_id: str) -> tuple[bytes, bytes, bytes | None]:
    found = conn.execute(
        "SELECT sealed_key, asked, told FROM ledger.jobs WHERE job_id = %s", (job_id,)
    ).fetchone()
    if found is None:
        raise UnknownJob(job_id)
    sealed_key, asked, told = found
    key = _opened(conn, sealed_key, _job_place(job_id, "key"))
    return key, bytes(asked), None if told is None else bytes(told)


# -------------------------------------------------------------------------------- of who leads
def claim(conn: Conn) -> Job | None:
    """The job whose turn it is: it is running from now on."""
    found = conn.execute(
        "UPDATE ledger.jobs SET state = 'running', attempt = attempt + 1, version = version + 1,"
        " begun_at = coalesce(begun_at, now()), stage = '', done = 0, total = 0"
        " WHERE job_id = (SELECT job_id FROM ledger.jobs WHERE state = 'queued'"
        f" ORDER BY made_at LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING {_COLUMNS}"
    ).fetchone()
    return None if found is None else Job(*found)


def abandoned(conn: Conn) -> list[Job]:
    """Jobs that nobody works at any more, though they are running."""
    rows = conn.execute(f"SELECT {_COLUMNS} FROM ledger.jobs WHERE state = 'running'")
    return [Job(*row) for row in rows.fetchall()]


def give_back(conn: Conn, job: Job, *, counts: bool) -> None:
    """Let it wait for its turn again; whether its attempt counts as one."""
    conn.execute(
        "UPDATE ledger.jobs SET state = 'queued', attempt = attempt - %s, version = version + 1"
        " WHERE job_id = %s AND state = 'running' AND attempt = %s",
        (0 if counts else 1, job.job_id, job.attempt),
    )


def sweep(conn: Conn) -> None:
    """Delete what is kept no longer."""
    conn.execute("DELETE FROM ledger.jobs WHERE ended_at < now() - %s::interval", (KEPT,))
    conn.execute(
        "DELETE FROM ledger.job_files WHERE job_id IS NULL AND made_at < now() - %s::interval",
        (UNUSED,),
    )


# ------------------------------------------------------------------------------- of who works
def progress(conn: Conn, job: Job, stage: str, done: int, total: int) -> bool | None:
    """Tell how far it is; whether it is to be cancelled. None: it is somebody else's by now."""
    found = conn.execute(
        "UPDATE ledger.jobs SET stage = %(stage)s, done = %(done)s, total = %(total)s,"
        " version = version"
        " + ((stage, done, total) IS DISTINCT FROM (%(stage)s, %(done)s, %(total)s))::int"
        " WHERE job_id = %(job_id)s AND attempt = %(attempt)s AND state = 'running'"
        " RETURNING cancel_asked",
        {
            "stage": stage,
            "done": done,
            "total": total,
            "job_id": job.job_id,
            "attempt": job.attempt,
        },
    ).fetchone()
    return None if found is None else bool(found[0])


def end(conn: Conn, job: Job, state: str, told: Mapping[str, Any], code: str = "") -> bool:
    """Say what it came to; whether it still was his to say. The files that it took are
    deleted; if it did not succeed, so are those that it made."""
    with conn.transaction():
        found = conn.execute(
            "SELECT FROM ledger.jobs WHERE job_id = %s AND attempt = %s AND state = 'running'"
            " FOR UPDATE",
            (job.job_id, job.attempt),
        ).fetchone()
        if found is None:
            return False
        key, _, _ = _sealed(conn, job.job_id)
        sealed = encrypt(key, msgspec.json.encode(told), _job_place(job.job_id, "told"))
        conn.execute(
            "UPDATE ledger.jobs SET told = %s, code = %s WHERE job_id = %s",
            (sealed, code, job.job_id),
        )
        _end(conn, job.job_id, state)
    return True


def _end(conn: Conn, job_id: str, state: str) -> None:
    conn.execute(
        "UPDATE ledger.jobs SET state = %s, ended_at = now(), version = version + 1"
        " WHERE job_id = %s",
        (state, job_id),
    )
    conn.execute(
        "DELETE FROM ledger.job_files WHERE job_id = %s AND NOT (made AND %s)",
        (job_id, state == "succeeded"),
    )


# ------------------------------------------------------------------------------------------- files
def bring(conn: Conn, owner: str, content: bytes) -> tuple[str, int]:
    """(id, length) of a file that begins so, for a job to come. Raises TooManyFiles."""
    with conn.transaction():
        conn.execute("LOCK TABLE ledger.job_files IN SHARE ROW EXCLUSIVE MODE")
        found = conn.execute(
            "SELECT count(*) FROM ledger.job_files WHERE owner = %s AND NOT made"
            " AND job_id IS NULL",
            (owner,),
        ).fetchone()
        assert found is not None
        if found[0] >= MOST_FILES:
            raise TooManyFiles(MOST_FILES, MOST_BYTES)
        file_id = token_hex(8)
        _, sealed = _fresh(conn, _file_place(file_id, "key"))
        conn.execute(
            "INSERT INTO ledger.job_files (file_id, owner, made, sealed_key)"
            " VALUES (%s, %s, false, %s)",
            (file_id, owner, sealed),
        )
        return file_id, add(conn, owner, file_id, 0, content)


def add(conn: Conn, owner: str, file_id: str, offset: int, content: bytes) -> int:
    """The length of a file with one more part, behind so many bytes. Raises WrongOffset."""
    with conn.transaction():
        found = conn.execute(
            "SELECT bytes, chunks, sealed_key FROM ledger.job_files"
            " WHERE file_id = %s AND owner = %s AND job_id IS NULL FOR UPDATE",
            (file_id, owner),
        ).fetchone()
        if found is None:
            raise UnknownFile(file_id)
        length, chunks, sealed_key = found
        if offset != length:
            raise WrongOffset(length)
        held = conn.execute(
            "SELECT coalesce(sum(bytes), 0)::bigint FROM ledger.job_files"
            " WHERE owner = %s AND NOT made",
            (owner,),
        ).fetchone()
        assert held is not None
        if held[0] + len(content) > MOST_BYTES:
            raise TooManyFiles(MOST_FILES, MOST_BYTES)
        key = _opened(conn, sealed_key, _file_place(file_id, "key"))
        if content:
            _put(conn, file_id, chunks, key, content)
            conn.execute(
                "UPDATE ledger.job_files SET bytes = bytes + %s, chunks = chunks + 1"
                " WHERE file_id = %s",
                (len(content), file_id),
            )
        return int(length) + len(content)


def drop(conn: Conn, owner: str, file_id: str) -> None:
    """Delete a file that no job has taken."""
    gone = conn.execute(
        "DELETE FROM ledger.job_files WHERE file_id = %s AND owner = %s AND job_id IS NULL"
        " RETURNING file_id",
        (file_id, owner),
    ).fetchone()
    if gone is None:
        raise UnknownFile(file_id)


def _put(conn: Conn, file_id: str, number: int, key: bytes, content: bytes) -> None:
    conn.execute(
        "INSERT INTO ledger.job_chunks VALUES (%s, %s, %s)",
        (file_id, number, encrypt(key, content, _file_place(file_id, number))),
    )


class Reader:
    """The bytes of a file, read as a file is."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, b""

    def read(self, most: int, /) -> bytes:
        """At most so many; none at the end."""
        if not self._rest:
            self._rest = next(self._blocks, b"")
        found, self._rest = self._rest[:most], self._rest[most:]
        return found


def content(conn: Conn, file_id: str) -> Iterator[bytes]:
    """The parts of a file, one after the other."""
    found = conn.execute(
        "SELECT chunks FROM ledger.job_files WHERE file_id = %s", (file_id,)
    ).fetchone()
    if found is None:
        raise UnknownFile(file_id)
    for number in range(found[0]):
        yield chunk(conn, file_id, number)


def chunk(conn: Conn, file_id: str, number: int) -> bytes:
    """One of these parts."""
    found = conn.execute(
        "SELECT f.sealed_key, c.sealed FROM ledger.job_files f JOIN ledger.job_chunks c"
        " USING (file_id) WHERE file_id = %s AND c.number = %s",
        (file_id, number),
    ).fetchone()
    if found is None:
        raise UnknownFile(file_id)
    sealed_key, sealed = found
    key = _opened(conn, sealed_key, _file_place(file_id, "key"))
    return decrypt(key, bytes(sealed), _file_place(file_id, number))


def taken(conn: Conn, job_id: str) -> list[str]:
    """The ids of the files that a job has taken, in its order."""
    rows = conn.execute(
        "SELECT file_id FROM ledger.job_files WHERE job_id = %s AND NOT made ORDER BY number",
        (job_id,),
    )
    return [file_id for (file_id,) in rows.fetchall()]


def begin_files(conn: Conn, job: Job) -> None:
    """Delete what an attempt before has made."""
    conn.execute("DELETE FROM ledger.job_files WHERE job_id = %s AND made", (job.job_id,))


def make_file(conn: Conn, job: Job, name: str, media_type: str, source: Readable) -> None:
    """Keep a file that a job has made as the next of its files. Raises OSError (EFBIG), if it is
    longer than it may be."""
    file_id = token_hex(8)
    key, sealed = _fresh(conn, _file_place(file_id, "key"))
    with conn.transaction():
        conn.execute(
            "INSERT INTO ledger.job_files (file_id, owner, job_id, made, number, sealed_key)"
            " SELECT %s, owner, job_id, true, (SELECT coalesce(max(number), 0) + 1"
            " FROM ledger.job_files f WHERE f.job_id = j.job_id AND made), %s"
            " FROM ledger.jobs j WHERE job_id = %s",
            (file_id, sealed, job.job_id),
        )
        digest, length, chunks = sha256(), 0, 0
        while block := source.read(CHUNK_BYTES):
            _put(conn, file_id, chunks, key, block)
            digest.update(block)
            length, chunks = length + len(block), chunks + 1
            if length > MOST_MADE_BYTES:
                raise OSError(EFBIG, os.strerror(EFBIG))
        about = msgspec.json.encode([name, media_type, digest.hexdigest()])
        conn.execute(
            "UPDATE ledger.job_files SET bytes = %s, chunks = %s, about = %s WHERE file_id = %s",
            (length, chunks, encrypt(key, about, _file_place(file_id, "about")), file_id),
        )


def made(conn: Conn, job_ids: Sequence[str]) -> dict[str, list[MadeFile]]:
    """The files that each of these jobs has made."""
    found: dict[str, list[MadeFile]] = {job_id: [] for job_id in job_ids}
    rows = conn.execute(
        "SELECT job_id, number, file_id, bytes, chunks, sealed_key, about FROM ledger.job_files"
        " WHERE job_id = ANY(%s) AND made ORDER BY job_id, number",
        (list(job_ids),),
    ).fetchall()
    for job_id, number, file_id, length, chunks, sealed_key, about in rows:
        key = _opened(conn, sealed_key, _file_place(file_id, "key"))
        said = msgspec.json.decode(decrypt(key, bytes(about), _file_place(file_id, "about")))
        found[job_id].append(MadeFile(number, file_id, length, chunks, *said))
    return found
