"""Tests that are killed leave nothing behind: no server, no database, no file."""

import os
import subprocess
import sys
from pathlib import Path

from tests.api.running import REPOSITORY, environment
from tests.patience import eventually

KILLED = """
import sys
from ledger.embedded import EmbeddedServer, running
from tests.api.running import serving
from tests.places import empty_directory

with empty_directory() as path, EmbeddedServer(path):
    print(path, serving(path).process.pid, running(path).pid, flush=True)
    sys.stdin.read()
"""


def test_what_killed_tests_had_started_ends_and_is_cleared() -> None:
    begun = [sys.executable, "-c", KILLED]
    with subprocess.Popen(
        begun, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, env=environment()
    ) as killed:
        assert killed.stdout is not None
        path, *pids = killed.stdout.readline().decode().split()
        killed.kill()
    assert eventually(lambda: not any(map(there, pids)))
    assert eventually(lambda: not Path(path).exists())


def there(pid: str) -> bool:
    """Whether a process still is."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True
