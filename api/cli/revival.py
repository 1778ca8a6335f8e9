"""Revival: a server that must not be down brings its embedded PostgreSQL up again.

The kernel may kill PostgreSQL when memory is short, and nobody else would start it: what runs for
weeks would answer 503 from then on.
"""

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import pq
from psycopg.conninfo import make_conninfo

from api.failures import CannotOpen
from api.settings import Settings
from ledger.embedded import EmbeddedError, EmbeddedServer

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
    watcher = _Watcher(EmbeddedServer(settings.data_dir), dsn)
    watcher.start()
    try:
        yield
    finally:
        watcher.stop()
        if watcher.failure is not None:
            raise CannotOpen(watcher.failure)


class _Watcher:
    def __init__(self, server: EmbeddedServer, dsn: str) -> None:
        self.failure: str | None = None
        self._server = server
        self._dsn = dsn
        self._ping = make_conninfo(dsn, connect_timeout=PATIENCE_S).encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reviver", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, before the server is left: nothing is to be revived that was stopped."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_AGAIN_S):
            # While it recovers it rejects, which is an answer.
            if pq.Ping(pq.PGconn.ping(self._ping)) is not pq.Ping.NO_RESPONSE or _blind():
                continue
            try:
                with self._server:
                    moved = self._server.dsn != self._dsn
            except EmbeddedError as error:
                if _blind() or getattr(error.__cause__, "errno", None) in OUT_OF_DESCRIPTORS:
                    continue
                self.failure = str(error)
            else:
                if not moved:
                    continue
                self.failure = "The embedded server came up elsewhere: start `serve` again."
            os.kill(os.getpid(), signal.SIGTERM)
            return


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
