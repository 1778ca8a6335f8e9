"""`serve` and what befalls its workers, its database and its directory: it goes on, or says why it
ends."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psycopg
import pytest

from api.cli.serving import unread, workers
from ledger.embedded import EmbeddedServer, running
from tests.api.running import (
    Server,
    clubledger,
    environment,
    serving,
    started,
    stopped,
)
from tests.ledger.recovering import children, crash, startup_process
from tests.patience import PATIENCE_S, eventually
from tests.places import in_memory, place

NEVER = """
import socket, sys
from api.cli import main
from api.cli.serving import workers

def configure():
    sys.exit(3)

def serve(*_):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return workers.Supervisor(2, configure, listener, False).run()

if __name__ == "__main__":
    from api.cli.serving import serve as door
    door.run, sys.argv = serve, ["clubledger", "serve"]
    main()
"""
"""A server none of whose workers can start."""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A place for a data directory, which may be moved from there."""
    with place(in_memory()) as directory:
        yield directory / "data"


def workers_of(server: Server) -> list[int]:
    """The processes that answer."""
    return sorted(
        pid
        for pid in children(server.process.pid)
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )


def healthy(server: Server) -> bool:
    try:
        return httpx.get(f"{server.address}/v1/status", timeout=PATIENCE_S).status_code == 200
    except httpx.HTTPError:
        return False


def said(server: Server, words: str) -> str:
    """What it says on stderr, up to a line with these words."""
    assert server.process.stderr is not None
    lines = ""
    for line in server.process.stderr:
        lines += line.decode()
        if words in lines:
            return lines
    raise AssertionError(f"it ended without saying {words}: {lines}")


def has_ended(server: Server) -> tuple[int, str]:
    _, err = server.process.communicate(timeout=PATIENCE_S)
    return server.process.returncode, err.decode()


@pytest.mark.slow
def test_a_worker_that_dies_is_told_of_and_replaced(data_dir: Path) -> None:
    server = serving(data_dir, "--workers", "2")
    first, other = workers_of(server)
    os.kill(first, signal.SIGKILL)
    lines = said(server, "another is started")
    assert f"(process {first}) was ended by signal 9 (SIGKILL)" in lines
    assert eventually(lambda: len(workers_of(server)) == 2)
    assert other in workers_of(server)
    assert eventually(lambda: healthy(server))
    ended = stopped(server)
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.slow
def test_a_worker_that_is_told_of_ctrl_c_goes_on_until_its_parent_ends_it(data_dir: Path) -> None:
    """A terminal tells all of them, and twice if somebody is impatient."""
    server = serving(data_dir, "--workers", "2")
    crew = workers_of(server)
    for _ in range(2):
        for worker in crew:
            os.kill(worker, signal.SIGINT)
    os.kill(crew[0], signal.SIGTERM)
    said(server, "another is started")
    assert crew[1] in workers_of(server)
    os.kill(crew[1], signal.SIGINT)
    ended = stopped(server, signal.SIGINT)
    assert (ended.code, ended.err) == (130, "")


def fill(pipe: int) -> int:
    """Leave no room in a pipe of which this is the end to read from; how much that took."""
    line = os.open(f"/proc/self/fd/{pipe}", os.O_WRONLY | os.O_NONBLOCK)
    filled_bytes = 0
    with suppress(BlockingIOError):
        while True:
            filled_bytes += os.write(line, b"\n" * 4096)
    with suppress(BlockingIOError):
        while True:
            filled_bytes += os.write(line, b"\n")
    os.close(line)
    return filled_bytes


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_whose_stderr_nobody_reads_goes_on(data_dir: Path, workers: str) -> None:
    server = serving(data_dir, "--workers", workers)
    assert server.process.stderr is not None
    here = running(data_dir)
    assert here is not None
    fill(server.process.stderr.fileno())
    os.kill(here.pid, signal.SIGKILL)  # which every process has something to say about
    for worker in workers_of(server)[:1]:
        os.kill(worker, signal.SIGKILL)
    revived = eventually(lambda: running(data_dir) not in (None, here))
    logs = [path.read_text("utf-8")[-2_000:] for path in data_dir.rglob("*.log")]
    assert revived, (server.process.poll(), *logs)
    assert eventually(lambda: healthy(server))
    assert eventually(lambda: len(workers_of(server)) == (2 if workers == "2" else 0))
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_S) == 0
    server.process.communicate()


def test_what_nobody_read_is_counted_once_somebody_does() -> None:
    ours, theirs = os.pipe()
    fill(ours)
    said = unread.Unread(theirs, "utf-8", as_json=False)
    for number in range(unread.LINES + 100):
        said.write(f"line {number}\n")
    lines: list[str] = []
    with os.fdopen(ours, encoding="utf-8") as read:
        while not (lines and "lines are lost" in lines[-1]):
            lines.append(read.readline().strip())
    said.drain()
    os.close(theirs)
    told = [line for line in lines if line]
    lost = int(told[-1].split()[1])
    kept = [int(line.split()[1]) for line in told[:-1]]
    assert kept == sorted(set(kept))
    assert kept[: unread.LINES] == list(range(unread.LINES)), "what came first is kept"
    assert 0 < lost <= 100
    assert len(kept) + lost == unread.LINES + 100, "whatever the thread took meanwhile"


def waits_to_be_buried(pid: int) -> bool:
    """Whether a child is dead with all its threads, so that its parent may ask how it ended."""
    status = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2]
    return status.startswith("Z") and len(list(Path(f"/proc/{pid}/task").iterdir())) == 1


@pytest.mark.slow
def test_a_worker_that_dies_just_before_a_stop_is_told_of(data_dir: Path) -> None:
    server = serving(data_dir, "--workers", "2")
    first, _ = workers_of(server)
    os.kill(server.process.pid, signal.SIGSTOP)
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: waits_to_be_buried(first))
    server.process.send_signal(signal.SIGTERM)
    os.kill(server.process.pid, signal.SIGCONT)
    code, err = has_ended(server)
    assert (code, f"(process {first}) was ended by signal 9 (SIGKILL)" in err) == (0, True), err


@pytest.mark.slow
def test_workers_that_start_while_the_database_recovers_wait_for_it(data_dir: Path) -> None:
    server = serving(data_dir, "--workers", "2")
    here = running(data_dir)
    assert here is not None
    crash(here.dsn)
    replays = startup_process(here.pid)
    os.kill(replays, signal.SIGSTOP)
    for worker in workers_of(server):
        os.kill(worker, signal.SIGKILL)
    assert "Waiting for the database" in said(server, "Waiting for the database")
    assert server.process.poll() is None
    os.kill(replays, signal.SIGCONT)
    assert eventually(lambda: healthy(server))
    assert stopped(server).code == 0


@pytest.mark.slow
def test_a_stop_while_the_database_recovers_ends(data_dir: Path) -> None:
    server = serving(data_dir, "--workers", "2")
    here = running(data_dir)
    assert here is not None
    crash(here.dsn)
    os.kill(startup_process(here.pid), signal.SIGSTOP)
    server.process.send_signal(signal.SIGTERM)
    code, err = has_ended(server)
    assert code == 0, err
    assert "it recovers at its next start" in err
    assert clubledger("status", data_dir=data_dir).code == 0


@pytest.mark.parametrize(("serves", "limit_s", "why"), [
    (False, workers.START_S, "has not started within 180 s"),
    (True, workers.SILENT_S, "has given no sign of life for 30 s"),
])  # fmt: skip
def test_who_starts_may_take_his_time_and_who_serves_may_not_be_silent(
    serves: bool, limit_s: float, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On a busy machine those that were still starting were killed, and nobody was told."""
    with socket.socket() as unused:
        parent = workers.Supervisor(1, lambda: None, unused, as_json=False)  # type: ignore[arg-type,return-value]
        life, theirs = workers.spawning.Pipe(duplex=False)
        silent = workers.spawning.Process(target=signal.pause)
        silent.start()
        place = workers._Place(1, silent, life)
        if serves:
            theirs.send_bytes(b".")
        parent._look_at(place, 0.0)
        parent._look_at(place, limit_s)
        assert silent.is_alive()
        assert caplog.messages == []
        parent._look_at(place, limit_s + 1)
    assert place.process is None
    assert f"{why} and was killed; another is started" in caplog.text
    theirs.close()


@pytest.mark.slow
def test_a_server_whose_workers_never_start_says_so(tmp_path: Path) -> None:
    (tmp_path / "never.py").write_text(NEVER)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "never.py")],
        capture_output=True,
        env=environment(),
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.count(b"could not start") == 10
    assert b"No worker could be started" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_hangup_ends_a_server_like_sigterm(data_dir: Path, workers: str) -> None:
    ended = stopped(serving(data_dir, "--workers", workers), signal.SIGHUP)
    assert (ended.code, ended.err) == (0, "")
    assert not (data_dir / "pgdata" / "postmaster.pid").exists()


@pytest.mark.slow
def test_a_hangup_ends_a_follower_like_sigterm(data_dir: Path) -> None:
    assert clubledger("import", "-", data_dir=data_dir).code == 0
    process = started("project", "--follow", data_dir=data_dir)
    assert process.stderr is not None
    assert b"folds what comes in" in process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (0, b"")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moved", "deleted"])
def test_a_server_whose_directory_goes_away_ends(data_dir: Path, how: str) -> None:
    server = serving(data_dir)
    here = running(data_dir)
    assert here is not None
    if how == "moved":
        data_dir.rename(data_dir.with_name("elsewhere"))
    else:
        while data_dir.exists():  # Its database makes files meanwhile.
            shutil.rmtree(data_dir, ignore_errors=True)
    code, err = has_ended(server)
    assert code == 4, err
    problem = json.loads(err.splitlines()[-1])
    assert problem["code"] == "cannot_open"
    # Of what is being deleted its database may be the first to notice, and says what it misses.
    gone = "has gone: unmounted, moved, deleted or replaced" if how == "moved" else str(data_dir)
    assert gone in problem["detail"], problem["detail"]
    assert not data_dir.exists()
    if how == "moved":
        assert clubledger("status", data_dir=data_dir.with_name("elsewhere")).code == 0


@pytest.mark.slow
def test_a_killed_database_makes_no_ledger_where_one_has_gone(data_dir: Path) -> None:
    server = serving(data_dir)
    here = running(data_dir)
    assert here is not None
    data_dir.rename(data_dir.with_name("elsewhere"))
    data_dir.mkdir()
    os.kill(here.pid, signal.SIGKILL)
    assert has_ended(server)[0] == 4
    assert not any(data_dir.iterdir())


@pytest.mark.parametrize("command", ["status", "serve", "demo", "figures"])
@pytest.mark.parametrize("name", ["", " ", "a\nb", "~nosuchuser/x", "x\x07", "n" * 300])
def test_a_name_that_is_none_is_one_sentence(command: str, name: str) -> None:
    for said in (("--data-dir", name), ()):
        extra = {} if said else {"CLUBLEDGER_DATA_DIR": name}
        if not name and not said:
            continue  # an empty variable is unset
        ended = clubledger(command, *said, **extra)  # type: ignore[arg-type]
        assert ended.code in (2, 4), ended.err
        assert ended.err.startswith("clubledger: ")
        assert ended.err.count("\n") == 1
        assert "defect" not in ended.err


@pytest.mark.parametrize("host", ["", " ", "a\nb", "a..b", "x" * 300, "nowhere.invalid"])
def test_a_host_that_is_none_is_one_sentence(demo_dir: Path, host: str) -> None:
    ended = clubledger("serve", "--host", host, "--port", "0", data_dir=demo_dir)
    assert ended.code in (2, 4), ended.err
    assert ended.err.startswith("clubledger: ")
    assert ended.err.count("\n") == 1
    assert "defect" not in ended.err


def test_more_connections_than_the_database_takes_are_refused_with_the_arithmetic(
    demo_dir: Path,
) -> None:
    with EmbeddedServer(demo_dir) as server:
        url = server.dsn
        ended = clubledger(
            "serve",
            "--workers",
            "8",
            "--port",
            "0",
            "--json",
            CLUBLEDGER_DATABASE_URL=url,
            CLUBLEDGER_KEYS_FILE=str(demo_dir / "keys"),
            CLUBLEDGER_READ_CONNECTIONS="20",
        )
    assert ended.code == 4
    needed = 8 * (20 + 12) + 16 + 10
    assert (ended.problem["needed"], ended.problem["taken"]) == (needed, 97)
    assert f"{needed} = 8 x 32 + 16 + 10" in ended.problem["detail"]


@pytest.mark.slow
def test_the_embedded_server_takes_as_many_as_the_settings_need(data_dir: Path) -> None:
    server = serving(data_dir, environ={"CLUBLEDGER_READ_CONNECTIONS": "100"})
    here = running(data_dir)
    assert here is not None
    with psycopg.connect(here.dsn) as connection:
        (takes,) = connection.execute("SHOW max_connections").fetchone() or ("",)
    assert int(takes) == 100 + 12 + 16 + 10 + 3
    os.kill(here.pid, signal.SIGKILL)
    assert eventually(lambda: running(data_dir) is not None and healthy(server))
    assert stopped(server).code == 0
