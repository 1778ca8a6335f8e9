"""The process in which a job is done. It gives way to the desks, keeps what people brought in
memory alone, and ends with who started it: then the job is begun again by whoever leads next.
"""

import os
import signal
import sys
import threading
import traceback
from multiprocessing import connection, parent_process
from typing import Any

import psycopg

from api.jobs import kinds
from api.jobs.work import Stopped, Work
from api.runtime import problems
from api.runtime.failures import NO_ROOM
from api.runtime.keys import take_keys
from api.runtime.settings import Settings
from domain.kernel.refusal import Refusal
from ledger import jobs
from ledger.database import connect
from ledger.jobs import Job
from ledger.keyring import Tampered, UnusableKeys
from ledger.locks import Lock
from ledger.scratch import IN_MEMORY
from projections.engine.schemas import session_lock

NICENESS = 10
MOST_SCRATCH_BYTES = 512 << 20
"""Of all that a job keeps in memory to read it again, beside what it works on."""


def carry_out(dsn: str, settings: Settings, job: Job) -> None:
    """Do this job, and say what it came to."""
    _settle_in()
    try:
        take_keys(settings)
        # Who was at work before may still be about to notice that he is not any more.
        with connect(dsn) as conn, session_lock(conn, Lock.WORKING):
            state, told, code = _done(dsn, job, conn)
            jobs.end(conn, job, state, told, code)
    except (psycopg.Error, Refusal, UnusableKeys, Tampered):
        sys.exit(1)  # It is begun again, a few times.


def _settle_in() -> None:
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # They are for whoever started us.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    IN_MEMORY.begin(MOST_SCRATCH_BYTES)
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _done(dsn: str, job: Job, conn: jobs.Conn) -> tuple[str, dict[str, Any], str]:
    """(state, what is told, the code of the problem) in which it ends."""
    work: Work | None = None
    try:
        asked = kinds.asked_of(jobs.asked_of(conn, job.job_id))
        work = Work(dsn, job, conn)
        kinds.require_may(work.who, asked)
        with work.watched(dsn):
            result = kinds.KINDS[job.kind].run(work, asked)
        return "succeeded", {"result": result}, ""
    except Exception as failure:  # noqa: BLE001 - whatever it is, it is told
        return _ended(failure, work)


def _ended(failure: Exception, work: Work | None) -> tuple[str, dict[str, Any], str]:
    if isinstance(failure, psycopg.errors.QueryCanceled) and work is not None:
        try:
            work.go_on()
        except Stopped as stopped:
            failure = stopped
    so_far = {} if work is None else work.so_far
    match failure:
        case Stopped(args=("cancelled",)):
            return "cancelled", {"so_far": so_far}, ""
        case Stopped():
            problem = problems.document(failure.args[0])
        case problems.DoorProblem():
            problem = problems.document(failure.code, failure.detail, **(failure.more or {}))
        case Refusal():
            problem = problems.of_refusal(failure)
        case OSError() if failure.errno in NO_ROOM:
            problem = problems.document("files_too_large")
        case psycopg.OperationalError():
            raise failure  # It is begun again.
        case _:
            where = traceback.extract_tb(failure.__traceback__)[-1]
            name = "/".join(where.filename.split("/")[-2:])
            detail = f"A defect: {type(failure).__name__} at {name}:{where.lineno}"
            problem = problems.document("internal", detail)
    return "failed", {"problem": problem, "so_far": so_far}, problem["code"]
