"""The how-to of backups, run: while a server is written to, killed, and restored twice."""

import os
import re
import shlex
import shutil
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ledger.database import connect
from ledger.embedded import running
from tests.addresses import Client
from tests.api.running import clubledger, serving
from tests.patience import PATIENCE_S, a_moment, eventually
from tests.places import empty_directory

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "back-up.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ clubledger (.+)$", PAGE, re.MULTILINE)


@pytest.fixture
def place() -> Iterator[Path]:
    """A place for data and backups that the server's account can enter."""
    with empty_directory() as path:
        path.chmod(0o711)
        (path / "backups" / "log").mkdir(parents=True)
        for each in ("backups", "backups/log"):
            (path / each).chmod(0o777)
        yield path


def told(place: Path, number: int, **then: str) -> None:
    """A command of the page, in this place."""
    said = COMMANDS[number]
    for word, instead in {"/backups": f"{place}/backups", "/srv": str(place), **then}.items():
        said = said.replace(word, instead)
    done = clubledger(*shlex.split(said))
    assert done.code == 0, done.err


def units(data_dir: Path) -> set[str]:
    """Those that a ledger knows."""
    found = clubledger("events", "--limit", "10000", "--json", data_dir=data_dir)
    return {each["stream"] for each in found.json["events"]}


class Writer:
    """Opens a unit after another, and remembers those that were acknowledged."""

    def __init__(self, address: str, name: str) -> None:
        self.done: list[str] = []
        self._address, self._name, self._stop = address, name, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with Client(base_url=self._address, timeout=PATIENCE_S) as client:
            while not self._stop.is_set():
                a_moment()
                unit = f"{self._name}{len(self.done)}"
                said = {"command": "unit.open", "key": unit, "unit_id": unit, "title": "U"}
                answer = client.post("/commands", json={"commands": [said]})
                assert answer.json()["outcomes"][0]["status"] == 201, answer.text
                self.done.append(f"unit:{unit}")

    def end(self) -> None:
        self._stop.set()
        self._thread.join()


def test_the_page_is_true_of_a_server_that_is_written_to_and_killed(place: Path) -> None:
    data_dir = place / "clubledger"
    assert clubledger("import", "-", data_dir=data_dir).code == 0  # which makes a ledger
    told(place, 0)
    server = serving(data_dir)
    try:
        writer = Writer(server.address, "a")
        assert eventually(lambda: len(writer.done) > 5)
        told(place, 1)
        copied = len(writer.done)
        assert eventually(lambda: len(writer.done) > copied + 5)
        writer.end()
        found = running(data_dir)
        assert found is not None
        with connect(found.dsn) as conn:
            ((then,),) = conn.execute("SELECT clock_timestamp()").fetchall()
        before = set(writer.done)
        later = Writer(server.address, "b")
        assert eventually(lambda: len(later.done) > 5)
        later.end()
        with connect(found.dsn) as conn:
            (last,) = conn.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        assert eventually((place / "backups" / "log" / last).exists)
    finally:
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.communicate()
    found = running(data_dir)
    assert found is not None
    os.kill(found.pid, signal.SIGQUIT)  # as good as a kill, and takes its children along

    told(place, 2)
    shutil.copy(data_dir / "keys", place / "anew")
    told(place, 3)
    assert units(place / "anew") == before | set(later.done)
    told(place, 4, **{"2009-01-05T18:00:00+08:00": then.isoformat()})
    assert "encrypted with the key" in clubledger("status", data_dir=place / "then").err
    shutil.copy(data_dir / "keys", place / "then")
    assert units(place / "then") == before

    refused = clubledger("restore", place / "backups" / "monday", data_dir=place / "then")
    assert refused.code == 4
    assert "There is a ledger in" in refused.err
    for days, why in ((1, "The archive ends before"), (-1, "That time is before the end of the")):
        to = "--archive", place / "backups" / "log", "--to", (then + timedelta(days)).isoformat()
        refused = clubledger("restore", place / "backups" / "monday", *to, data_dir=place / "off")
        assert refused.code == 4
        assert f"could not be restored. {why}" in refused.err
        assert len(refused.err.splitlines()) == 1
        assert not (place / "off" / "pgdata").exists()
    assert clubledger("backup", place / "backups" / "monday", data_dir=place / "then").code == 4


def test_what_is_no_backup_or_no_archive_is_refused(place: Path, own_ledger: Path) -> None:
    refused: tuple[tuple[str | Path, ...], ...] = (
        ("restore", place, "--data-dir", place / "new"),
        ("backup", place / "none" / "x", "--data-dir", own_ledger),
        ("archive", place / "none", "--data-dir", own_ledger),
        ("archive", place / "backups" / "log", "--data-dir", place / "none"),
    )
    for words in refused:
        done = clubledger(*words)
        assert done.code == 4, done.err
    for wrong in ("archive", "restore x --to monday", "backup x"):
        done = clubledger(*wrong.split(), CLUBLEDGER_DATABASE_URL="postgresql://h/d")
        assert done.code == 2, done.err
    assert not (place / "new" / "pgdata").exists()
