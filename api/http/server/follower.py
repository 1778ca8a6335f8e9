"""The follower: a thread that folds new events into the answers, while no other process does."""

import logging
import threading

from ledger.trouble import Once, cause_of
from projections.engine import runner

log = logging.getLogger("clubledger")

AGAIN_S = 5.0
"""How long after a failure it is tried again."""
PATIENCE_S = 10.0
"""How long a stop waits for the window that is being folded."""


class Follower:
    """Runs `runner.follow` until it is stopped. What stops it by itself is told and tried again."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._stop = threading.Event()
        self._new = Once()
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after the window that is being folded."""
        self._stop.set()
        self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                runner.follow(self._dsn, self._stop, self._met)
            except runner.PoisonedEvent as poisoned:
                log.error("The answers stand still: %s", poisoned)
            except runner.OtherVersion as other:
                if self._new(str(other)):
                    log.error("It stands aside: %s", other)
            except Exception as error:  # noqa: BLE001 - it follows again in a while
                self._met(error)
            self._stop.wait(AGAIN_S)

    def _met(self, error: Exception) -> None:
        cause = cause_of(error)
        if self._new(cause):
            log.error("The answers stand still: %s", cause)
