"""The embedded server is stopped, whatever it is at: recovering, frozen, moved, deleted."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.embedded import EmbeddedError, EmbeddedServer, files, postmaster, running
from tests.ledger.recovering import crash, startup_process
from tests.patience import eventually
from tests.places import kill_servers, place
from tests.postgres import CHEAP

HOLDER = """
import sys
from pathlib import Path
from ledger.embedded import account
from ledger.embedded.files import locked
with locked(Path(sys.argv[1]), account.ourselves()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data() -> Iterator[Path]:
    with place() as directory:
        yield directory / "data"
        kill_servers(directory)


def pid_of(data: Path) -> int:
    return int((data / "pgdata" / "postmaster.pid").read_text().splitlines()[0])


def has_ended(pid: int) -> bool:
    """A process that has ended and waits for its parent has no directory any more."""
    return eventually(lambda: postmaster.place_of(Path(f"/proc/{pid}/cwd")) is None)


@pytest.mark.slow
def test_a_stop_during_recovery_ends(data: Path) -> None:
    for _ in range(3):
        server = EmbeddedServer(data, CHEAP)
        server.start()
        pid = pid_of(data)
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("DROP TABLE IF EXISTS public.much")
        crash(server.dsn)
        startup_process(pid_of(data))
        server.stop()
        assert has_ended(pid)
    with EmbeddedServer(data, CHEAP) as server, psycopg.connect(server.dsn) as connection:
        assert connection.execute("SELECT count(*) FROM much").fetchone() == (1_500_000,)


@pytest.mark.parametrize("then", ["joined", "stopped"])
def test_a_server_that_waits_for_its_last_session_is_let_end(data: Path, then: str) -> None:
    """SIGTERM by somebody else: it would take nobody until that session has ended."""
    server = EmbeddedServer(data, CHEAP)
    server.start()
    session = psycopg.connect(server.dsn, autocommit=True)
    try:
        pid = pid_of(data)
        os.kill(pid, signal.SIGTERM)
        assert eventually(lambda: (found := running(data)) is not None and found.stopping)
        if then == "joined":
            with EmbeddedServer(data, CHEAP) as other:
                psycopg.connect(other.dsn).close()
                assert pid_of(data) != pid
        server.stop()
        assert has_ended(pid)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    finally:
        session.close()


@pytest.mark.slow
@pytest.mark.parametrize("frozen", ["what replays", "the postmaster"])
def test_a_frozen_server_is_stopped(
    data: Path, frozen: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postmaster, "ACCEPT_S", 1.0)
    steps = tuple((how, min(limit_s, 7.0)) for how, limit_s in postmaster.STEPS)
    monkeypatch.setattr(postmaster, "STEPS", steps)
    server = EmbeddedServer(data, CHEAP)
    server.start()
    pid = pid_of(data)
    if frozen == "the postmaster":
        os.kill(pid, signal.SIGSTOP)
    else:
        crash(server.dsn)
        os.kill(startup_process(pid_of(data)), signal.SIGSTOP)
    server.stop()
    assert has_ended(pid)
    assert "takes too long to recover" in caplog.text
    assert "recovers at its next start" in caplog.text
    with EmbeddedServer(data, CHEAP) as again:
        psycopg.connect(again.dsn).close()


@pytest.mark.slow
def test_a_start_gives_up_on_a_server_that_says_nothing(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledger.embedded.server.RECOVERY_SILENT_S", 2.0)
    with EmbeddedServer(data, CHEAP) as server:
        pid = pid_of(data)
        crash(server.dsn)
        replays = startup_process(pid_of(data))
        os.kill(replays, signal.SIGSTOP)
        with pytest.raises(EmbeddedError, match=rf"process {pid} \(postgres\).*no connections yet"):
            EmbeddedServer(data, CHEAP).start()
        os.kill(replays, signal.SIGCONT)
        assert eventually(lambda: (found := running(data)) is not None and found.accepting)


def test_a_frozen_holder_of_the_lock_is_named(
    data: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedServer(data, CHEAP):
        pass
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data / "start.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        monkeypatch.setattr(files, "SILENT_S", 4.0)
        try:
            with pytest.raises(EmbeddedError, match=rf"held by process {holder.pid} \(.*, frozen"):
                EmbeddedServer(data, CHEAP).start()
            assert f"process {holder.pid}" in caplog.text, "told while it waited"
        finally:
            holder.kill()
    with EmbeddedServer(data, CHEAP):
        pass


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_data_that_is_gone_is_left_without_making_any(data: Path, how: str) -> None:
    server = EmbeddedServer(data, CHEAP)
    server.start()
    pid = pid_of(data)
    assert not server.gone
    if how == "deleted":
        shutil.rmtree(data)
    else:
        data.rename(data.with_name("elsewhere"))
    if how == "replaced":
        data.mkdir()
    assert server.gone
    server.stop()
    assert has_ended(pid)
    assert not data.exists() or not any(data.iterdir())
    if how == "moved":
        with EmbeddedServer(data.with_name("elsewhere"), CHEAP, create=False) as moved:
            psycopg.connect(moved.dsn).close()


def test_a_server_left_in_data_that_was_moved_is_found_and_restarted(data: Path) -> None:
    server = EmbeddedServer(data, CHEAP)
    server.start()
    pid = pid_of(data)
    server._leave()  # as who is killed does
    data.rename(data.with_name("elsewhere"))
    with EmbeddedServer(data.with_name("elsewhere"), CHEAP) as moved:
        assert pid_of(data.with_name("elsewhere")) != pid
        psycopg.connect(moved.dsn).close()


def test_nothing_is_made_where_none_is_to_be(data: Path) -> None:
    for directory in (data, data.parent):
        with pytest.raises(EmbeddedError, match="There is no ledger in"):
            EmbeddedServer(directory, CHEAP, create=False).start()
    assert not any(data.parent.iterdir())
