"""Who leads: of all processes one begins jobs, under Lock.LEADING, one after the other and each in
a process of its own. What ran when a process died is begun again, a few times.
"""

import logging
import multiprocessing
import signal
import threading
from multiprocessing import connection, resource_tracker
from time import monotonic

from api.jobs.doing import carry_out
from api.runtime import problems
from api.runtime.settings import Settings
from ledger import jobs
from ledger.database import connect
from ledger.jobs import Job
from ledger.locks import Lock
from ledger.trouble import Once, cause_of
from projections.engine.schemas import try_session_lock

log = logging.getLogger("clubledger")

LOOK_AGAIN_S = 0.25
OTHERS_S = 2.0
"""How often a process looks whether the one that leads has gone, or a failure is over."""
SWEEP_S = 60.0
STOP_S = 10.0
"""How long a stop waits for a process that was told to end."""

spawning = multiprocessing.get_context("spawn")
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Leader:
    """A thread that has jobs carried out while no other process does."""

    def __init__(self, dsn: str, settings: Settings) -> None:
        self._dsn, self._settings = dsn, settings
        self._stop, self._new = threading.Event(), Once()
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; the job that is under way goes back, and is begun again by who leads next."""
        self._stop.set()
        self._thread.join(2 * STOP_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._dsn) as conn:
                    if try_session_lock(conn, Lock.LEADING):
                        self._lead(conn)
            except Exception as error:  # noqa: BLE001 - it leads again in a while
                cause = cause_of(error)
                if self._new(cause):
                    log.error("No job is begun: %s", cause)
            self._stop.wait(OTHERS_S)

    def _lead(self, conn: jobs.Conn) -> None:
        for left in jobs.abandoned(conn):
            _again(conn, left)
        swept_at = 0.0
        while not self._stop.is_set():
            if monotonic() - swept_at > SWEEP_S:
                jobs.sweep(conn)
                swept_at = monotonic()
            job = jobs.claim(conn)
            if job is None:
                self._stop.wait(LOOK_AGAIN_S)
            else:
                self._see_through(conn, job)

    def _see_through(self, conn: jobs.Conn, job: Job) -> None:
        """Have it done by a process; what that leaves undone is begun again."""
        resource_tracker.ensure_running()
        process = spawning.Process(target=carry_out, args=(self._dsn, self._settings, job))
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)  # until it has settled in
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            while not connection.wait([process.sentinel], LOOK_AGAIN_S):
                if self._stop.is_set():
                    process.terminate()
                    process.join(STOP_S)
                    jobs.give_back(conn, job, counts=False)
                    return
                conn.execute("SELECT")  # While we lead: else somebody else may begin it.
        finally:
            process.kill()
            process.join()
            process.close()
        _again(conn, job)


def _again(conn: jobs.Conn, job: Job) -> None:
    """Let it be begun again, if it has not come to anything."""
    now = jobs.get(conn, job.owner, job.job_id)
    if now.code == "internal":
        log.error("A job failed by a defect of ours: %s", jobs.told_of(conn, job.job_id))
    if now.ended or now.attempt != job.attempt:
        return
    if now.cancel_asked:
        jobs.end(conn, now, "cancelled", {"so_far": {}})
    elif now.attempt >= jobs.ATTEMPTS:
        problem = problems.document("job_interrupted", attempts=now.attempt)
        jobs.end(conn, now, "failed", {"problem": problem}, "job_interrupted")
    else:
        log.warning("A job was interrupted, and is begun again.")
        jobs.give_back(conn, now, counts=True)
