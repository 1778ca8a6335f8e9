"""Stderr of a server that must not stand still because nobody reads it.

Whoever writes into a full pipe waits until somebody reads it: the loop of a worker would, in the
middle of a log line, and with it every desk. So the lines wait for a thread that may wait.
"""

import atexit
import io
import json
import os
import sys
import threading
from queue import Full, Queue

LINES = 1_000
"""How many wait to be written; more are lost, and their number is told once there is room."""
LAST_WORDS_S = 1.0
"""How long the end of a process waits for them to be written."""


class Unread(io.TextIOBase):
    """A stream of lines whose writer never waits."""

    def __init__(self, descriptor: int, encoding: str, as_json: bool) -> None:
        super().__init__()
        self._descriptor, self._encoding, self._as_json = descriptor, encoding, as_json
        self._lines: Queue[str] = Queue(LINES)
        self._lost = 0
        threading.Thread(target=self._run, name="stderr", daemon=True).start()

    def writable(self) -> bool:
        """It is for writing."""
        return True

    def fileno(self) -> int:
        """Where the lines go in the end."""
        return self._descriptor

    def write(self, text: str, /) -> int:
        """Have it written."""
        try:
            self._lines.put_nowait(text)
        except Full:
            self._lost += 1
        return len(text)

    def drain(self) -> None:
        """Wait for what was said to be written, but not for long."""
        lines = self._lines
        with lines.all_tasks_done:
            lines.all_tasks_done.wait_for(lambda: not lines.unfinished_tasks, LAST_WORDS_S)

    def _run(self) -> None:
        while True:
            self._put(self._lines.get())
            if self._lost and self._lines.empty():
                lost, self._lost = self._lost, 0
                note = f"{lost:,} lines are lost: nobody read what is written here."
                shown = json.dumps({"level": "warning", "note": note})
                self._put(f"{shown}\n" if self._as_json else f"clubledger: {note}\n")
            self._lines.task_done()

    def _put(self, text: str) -> None:
        rest = text.encode(self._encoding, "backslashreplace")
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            pass  # Nobody reads it any more.


def wait_for_no_reader(as_json: bool) -> Unread | None:
    """From now on nothing of this process waits for stderr. What it had written stays in order."""
    try:
        sys.stderr.flush()
        found = Unread(sys.stderr.fileno(), sys.stderr.encoding, as_json)
    except (AttributeError, OSError, ValueError):
        return None  # There is none, or it is no file.
    sys.stderr = found
    atexit.register(found.drain)
    return found
