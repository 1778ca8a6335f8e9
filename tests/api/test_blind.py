"""A watcher that can open nothing is no witness of a database's death."""

import subprocess
import sys
from pathlib import Path

from tests.api.running import REPOSITORY, environment
from tests.patience import PATIENCE_S

WATCHES = """
import errno, os, resource, signal, sys
from pathlib import Path

from api.cli.serving import revival
from api.runtime.settings import Settings
from ledger.embedded import EmbeddedServer

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
revival.LOOK_AGAIN_S = 0.01
data_dir = Path(sys.argv[1])
with EmbeddedServer(data_dir) as server:
    with revival.kept_alive(Settings(data_dir=data_dir), server.dsn):
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        taken = []
        for spare in (0, 1, 3, 6):  # nothing to ping with; nothing to start with
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError as error:
                assert error.errno == errno.EMFILE
            for _ in range(spare):
                os.close(taken.pop())
            told = signal.sigtimedwait([signal.SIGTERM], 1)
            assert told is None, (spare, "told to stop")
        for each in taken:
            os.close(each)
print("went on")
"""


def test_who_can_open_nothing_takes_no_database_for_dead(own_ledger: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHES, str(own_ledger)],
        env=environment(),
        cwd=REPOSITORY,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"went on\n"), done.stderr
    assert done.stderr == b""
