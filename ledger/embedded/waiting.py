"""Waiting: never without a limit, and after some seconds not without saying for what."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ledger.embedded.errors import EmbeddedError

log = logging.getLogger("clubledger")

LOOK_AGAIN_S = 0.01
TELL_AFTER_S = 3.0
TELL_EVERY_S = 15.0
MOST_S = 5.0
"""How long one look may take."""
SILENT_S = 60.0
"""How long somebody else may show no sign of life before we give up on him."""


@dataclass
class Wait:
    """Looks at something again and again; whoever looks asks whether it has been long enough.

    `for_what` is a sentence without its full stop. `sign`, the descriptor of a lock that we hold
    meanwhile, shows those who wait for us that we are alive. While what `life` gives changes, what
    is waited for is on its way, and the limit counts from there.
    """

    for_what: Callable[[], str]
    limit_s: float
    sign: int | None = None
    call_off: threading.Event | None = None
    life: Callable[[], object] | None = None
    _at: float = field(default_factory=time.monotonic, init=False)
    _seen: object = field(default=None, init=False)
    _waited_s: float = field(default=0.0, init=False)
    _told_s: float = field(default=TELL_AFTER_S - TELL_EVERY_S, init=False)
    _since_sign_of_life_s: float = field(default=0.0, init=False)

    def pause(self, pause_s: float = LOOK_AGAIN_S) -> None:
        """Sleep until the next look. Raises EmbeddedError if all this is called off."""
        if self.call_off is not None and self.call_off.is_set():
            raise EmbeddedError("The start was called off.")
        time.sleep(pause_s)
        now = time.monotonic()
        # If this very process was frozen or suspended, little of that counts.
        passed_s, self._at = min(now - self._at, MOST_S), now
        before_s, self._waited_s = self._waited_s, self._waited_s + passed_s
        self._since_sign_of_life_s += passed_s
        if int(before_s) != int(self._waited_s):
            self._look_for_life()
        if self._waited_s - self._told_s >= TELL_EVERY_S:
            self._told_s = self._waited_s
            log.warning("%s: waited %d s.", self.for_what(), self._waited_s)

    def _look_for_life(self) -> None:
        if self.sign is not None:
            os.utime(self.sign)
        if self.life is not None and (seen := self.life()) != self._seen:
            self._seen = seen
            self._since_sign_of_life_s = 0.0

    @property
    def over(self) -> bool:
        """Whether it has been long enough."""
        return self._since_sign_of_life_s >= self.limit_s


def process_shown(pid: int) -> str:
    """A process for a reader: its number, and its program and whether it is frozen where /proc
    says so."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"process {pid}"
    name, _, rest = said.partition("(")[2].rpartition(")")
    frozen = ", frozen" if rest.split()[0] in ("T", "t") else ""
    return f"process {pid} ({name}{frozen})"
