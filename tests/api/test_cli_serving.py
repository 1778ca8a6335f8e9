"""`serve`: where it listens, what it says, how it ends."""

import re
import signal
import socket
from pathlib import Path

import pytest

from tests.api.running import clubledger, serving, started, stopped
from tests.patience import PATIENCE_S


def test_a_port_that_is_taken_is_one_sentence(demo_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = clubledger("serve", "--port", port, data_dir=demo_dir)
    assert ended.code == 4
    assert ended.err == (
        f"clubledger: Cannot listen on http://127.0.0.1:{port}: Address already in use;"
        " --port takes another.\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_a_server_with_130(data_dir: Path, workers: str) -> None:
    """On an empty directory, which serving makes a ledger."""
    ended = stopped(serving(data_dir, "--workers", workers), signal.SIGINT)
    assert ended.code == 130, ended.err
    assert ended.err == ""


def test_a_server_says_in_one_line_that_it_serves(own_ledger: Path) -> None:
    process = started("serve", "--port", "0", data_dir=own_ledger, cold=True)
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    assert re.fullmatch(r"clubledger serves on http://127\.0\.0\.1:\d+\n", line)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert re.fullmatch(
        rb"(To be its administrator, open once: http://.+#in_-_[0-9a-f]{64}\n)?", out
    )
    assert err == b""
