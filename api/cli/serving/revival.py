"""Revival: a server that must not be down brings its embedded PostgreSQL up again.

The kernel may kill PostgreSQL when memory is short, and nobody else would start it: what runs for
weeks would answer 503 from then on.
"""

import errno
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import pq
from psycopg.conninfo import make_conninfo

from api.runtime.failures import CannotOpen
from api.runtime.settings import Settings
from api.runtime.wiring import embedded
from ledger.embedded import EmbeddedError, place_of, running
from ledger.trouble import Once, cause_of

log = logging.getLogger("clubledger")

LOOK_AGAIN_S = 1.0
PATIENCE_S = 5
"""How long a look waits for an answer."""
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
A_LOOK_OPENS = 8
"""Descriptors that a look, or a start, needs at least."""


@contextmanager
def kept_alive(settings: Settings, dsn: str) -> Iterator[None]:
    """Inside, the embedded server is started again if it is gone; of any other we are guests.

    If it cannot be, this process is told to stop, and CannotOpen says why at the end.
    """
    if settings.database_url is not None:
        yield
        return
    watcher = _Watcher(settings, dsn)
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()
        if watcher.failure is not None:
            raise CannotOpen(watcher.failure)


class _Watcher:
    def __init__(self, settings: Settings, dsn: str) -> None:
        self.failure: str | None = None
        self._data_dir = settings.data_dir
        self._place = place_of(settings.data_dir)
        self._stop = threading.Event()
        # It makes no ledger where one has gone: only a start does.
        self._server = embedded(settings, create=False, call_off=self._stop)
        self._dsn = dsn
        self._ping = make_conninfo(dsn, connect_timeout=PATIENCE_S).encode()
        self._new = Once()
        self._thread = threading.Thread(target=self._run, name="reviver", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, before the server is left: nothing is to be revived that was stopped."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_AGAIN_S):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - it looks again in a while
                cause = cause_of(error)
                if self._new(cause):
                    log.error("It was not seen whether PostgreSQL runs: %s", cause)
            if self.failure is not None and not self._stop.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def _look(self) -> None:
        if place_of(self._data_dir) != self._place:
            self.failure = (
                f"The data in {self._data_dir} has gone: unmounted, moved, deleted or replaced."
                " What was acknowledged is in it."
            )
        elif self._needs_us() and not _blind():
            self._revive()

    def _needs_us(self) -> bool:
        """While it recovers it rejects, which is an answer; but so it does, for as long as our
        sessions last, when somebody has told it to stop."""
        answer = pq.Ping(pq.PGconn.ping(self._ping))
        if answer is not pq.Ping.REJECT:
            return answer is pq.Ping.NO_RESPONSE
        try:
            found = running(self._data_dir)
        except (EmbeddedError, OSError):
            return False  # It has gone meanwhile: the next look says so.
        return found is not None and found.stopping

    def _revive(self) -> None:
        log.warning("PostgreSQL does not answer: it is looked after.")
        try:
            with self._server:
                if self._server.dsn != self._dsn:
                    self.failure = "The embedded server came up elsewhere: start `serve` again."
        except EmbeddedError as error:
            blind = _blind() or getattr(error.__cause__, "errno", None) in OUT_OF_DESCRIPTORS
            if not blind and not self._stop.is_set():
                self.failure = str(error)
        else:
            log.warning("PostgreSQL answers again.")


def _blind() -> bool:
    """Whether we can open nothing more: that no ping comes back then says nothing of a server."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(A_LOOK_OPENS))
    except OSError:
        return True
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return False
