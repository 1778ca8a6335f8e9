"""Files as people have them: marks, pipes, line ends, changes, endless lines, many bad ones."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ledger import lines
from ledger.database import connect
from ledger.embedded import EmbeddedServer
from tests.api import facts
from tests.api.running import REPOSITORY, clubledger, environment, started
from tests.patience import eventually

GOOD = facts.lines([facts.fact("unit.open", unit_id="u1", title="城南")])
BAD = b'{"command": "unit.open", "unit_id": 13900000001}\n'
MARK = b"\xef\xbb\xbf"


def written(directory: Path) -> int:
    """How many files in it hold something."""
    return sum(path.stat().st_size > 0 for path in directory.iterdir())


def test_a_mark_is_no_part_of_the_file(own_ledger: Path, tmp_path: Path) -> None:
    """Saved with a mark or without one, it is the same file."""
    plain, marked = tmp_path / "plain.jsonl", tmp_path / "marked.jsonl"
    plain.write_bytes(GOOD)
    marked.write_bytes(MARK + GOOD)
    first = clubledger("import", marked, "--json", data_dir=own_ledger)
    assert (first.code, first.json["facts"]) == (0, 1)
    again = clubledger("import", plain, "--json", data_dir=own_ledger)
    assert (again.code, again.json["replayed"]) == (0, True)


def test_pipes_are_read_as_files_are(own_ledger: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=[GOOD])
    writer.start()
    first = clubledger("import", pipe, "--json", data_dir=own_ledger)
    writer.join()
    assert (first.code, first.json["facts"]) == (0, 1), first.err
    again = clubledger("import", "-", "--json", stdin=GOOD, data_dir=own_ledger)
    assert (again.code, again.json["replayed"]) == (0, True)
    nothing = clubledger("import", "-", "--json", stdin=b"", data_dir=own_ledger)
    assert (nothing.code, nothing.json["facts"]) == (0, 0)


def test_what_was_hashed_is_what_is_taken(tmp_path: Path) -> None:
    """Whatever becomes of the file after it was read."""
    file = tmp_path / "facts.jsonl"
    file.write_bytes(GOOD * 3)
    with file.open("rb") as source, lines.read(source) as read:
        digest = read.digest
        with file.open("r+b") as changed:
            changed.write(BAD)
            changed.truncate(len(BAD))
        assert [b"".join(read()), b"".join(read())] == [GOOD * 3] * 2
    with file.open("rb") as source, lines.read(source) as read:
        assert read.digest != digest


@pytest.mark.parametrize("source", ["/dev/zero", "a file"])
def test_a_line_without_end_is_refused_before_it_is_read_whole(
    own_ledger: Path, tmp_path: Path, source: str
) -> None:
    file = Path(source)
    if source == "a file":
        file = tmp_path / "long.jsonl"
        with file.open("wb") as out:
            out.write(GOOD)
            out.truncate(2 << 30)  # a hole: no disk is needed
    ended = clubledger("import", file, "--json", data_dir=own_ledger)
    assert (ended.code, ended.problem["code"]) == (3, "rejected")
    assert ended.problem["read_bytes"] < 2 * lines.ENDLESS_BYTES
    assert ended.problem["line"] == (2 if source == "a file" else 1)
    assert clubledger("status", "--json", data_dir=own_ledger).json["events"] == 0


PEAK = """
import sys
from api.cli.ending import _run
from bench.memory import peak_mb
code = _run(sys.argv[1:])
print(round(peak_mb()), file=sys.stderr)
sys.exit(code)
"""


def test_many_bad_lines_take_little_memory_and_all_are_told(
    own_ledger: Path, tmp_path: Path
) -> None:
    """150,000 took 370 MB; the program alone takes 60."""
    number = 150_000
    file = tmp_path / "bad.jsonl"
    file.write_bytes(BAD * number)
    words = ["import", str(file), "--json", "--data-dir", str(own_ledger)]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *words],
        capture_output=True,
        env=environment(),
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 3
    told = json.loads(done.stdout)
    assert (told["kept"], told["rejected"]) == (False, number)
    assert [each["line"] for each in told["rejections"]] == list(range(1, number + 1))
    assert int(done.stderr.split()[-1]) < 200  # MB


def test_rejects_can_be_mended_and_sent_again(own_ledger: Path, tmp_path: Path) -> None:
    file, rejects = tmp_path / "facts.jsonl", tmp_path / "rejects.jsonl"
    file.write_bytes(MARK + BAD.replace(b"\n", b"\r\n") + GOOD + MARK + b"{}" + b"\n" + BAD.strip())
    ended = clubledger("import", file, "--keep-good", rejects, data_dir=own_ledger)
    assert ended.code == 3
    assert rejects.read_bytes() == BAD + b"{}\n" + BAD
    beside = tmp_path / "rejects.jsonl.reasons"
    reasons = [json.loads(line) for line in beside.read_bytes().splitlines()]
    assert [(each["line"], each["code"]) for each in reasons] == [
        (1, "not_valid"),
        (3, "not_valid"),
        (4, "not_valid"),
    ]
    assert "13900000001" not in beside.read_text()
    assert {path.stat().st_mode & 0o777 for path in (rejects, beside)} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "facts.jsonl",
        "rejects.jsonl",
        "rejects.jsonl.reasons",
    ]
    mended = rejects.read_bytes().replace(BAD, GOOD.replace(b"u1", b"u2")).replace(b"{}\n", b"")
    rejects.write_bytes(mended)
    again = clubledger("import", rejects, "--json", data_dir=own_ledger)
    assert [each["code"] for each in again.json["rejections"]] == ["nothing_changes"]  # it is twice


def test_rejects_of_a_killed_import_are_in_nobodys_way(own_ledger: Path, tmp_path: Path) -> None:
    """Killed while it commits: nothing was taken, and the same command does it now."""
    file, rejects = tmp_path / "facts.jsonl", tmp_path / "rejects.jsonl"
    file.write_bytes(GOOD + BAD)
    clubledger("import", "-", stdin=b"", data_dir=own_ledger)
    words = ("import", file, "--keep-good", rejects)
    with EmbeddedServer(own_ledger) as server, connect(server.dsn) as holds:
        holds.execute("BEGIN")
        holds.execute("SELECT * FROM log_end FOR UPDATE")
        with started(*words, data_dir=own_ledger) as process:
            assert eventually(lambda: written(tmp_path) == 3)
            assert not rejects.exists()
            os.killpg(process.pid, signal.SIGKILL)
    ended = clubledger(*words, data_dir=own_ledger)
    assert ended.code == 3
    assert "the rest was taken" in ended.err
    assert rejects.read_bytes() == BAD
    assert len(list(tmp_path.iterdir())) == 3


def test_rejects_of_an_import_that_was_killed_once_it_was_in_are_not_lost(
    own_ledger: Path, tmp_path: Path
) -> None:
    file, rejects = tmp_path / "facts.jsonl", tmp_path / "rejects.jsonl"
    beside = tmp_path / "rejects.jsonl.reasons"
    file.write_bytes(GOOD + BAD)
    words = ("import", file, "--keep-good", rejects)
    first = clubledger(*words, "--json", data_dir=own_ledger)
    begins = first.json["key"].removeprefix("file:")[:8]
    rejects.rename(tmp_path / f".rejects.jsonl.{begins}")  # as if it had been killed before this
    beside.rename(tmp_path / f".rejects.jsonl.{begins}.reasons")
    again = clubledger(*words, data_dir=own_ledger)
    assert (again.code, rejects.read_bytes()) == (3, BAD)
    assert f"are now in {rejects}" in again.err
    assert len(list(tmp_path.iterdir())) == 3


def test_two_imports_do_not_write_the_same_rejects(own_ledger: Path, tmp_path: Path) -> None:
    file, rejects = tmp_path / "facts.jsonl", tmp_path / "rejects.jsonl"
    file.write_bytes(GOOD + BAD)
    words = ("import", file, "--keep-good", rejects)
    with EmbeddedServer(own_ledger) as server:
        clubledger("import", "-", stdin=b"", data_dir=own_ledger)
        with connect(server.dsn) as holds:
            holds.execute("BEGIN")
            holds.execute("SELECT * FROM log_end FOR UPDATE")
            with started(*words, data_dir=own_ledger) as process:
                assert eventually(lambda: written(tmp_path) == 3)
                second = clubledger(*words, data_dir=own_ledger)
                holds.execute("ROLLBACK")
                process.communicate()
    assert (second.code, process.returncode) == (2, 3)
    assert "Another import is writing" in second.err
    assert rejects.read_bytes() == BAD


@pytest.mark.parametrize(
    ("name", "code"), [("", 2), ("-", 2), (".", 2), ("no/such/place", 4), ("x" * 300, 4)]
)
def test_a_place_that_cannot_be_written_is_said_in_a_sentence(
    own_ledger: Path, tmp_path: Path, name: str, code: int
) -> None:
    words = ("import", "-", "--keep-good", name, "--json")
    ended = clubledger(*words, stdin=BAD, data_dir=own_ledger, cwd=tmp_path)
    assert (ended.code, len(ended.err.splitlines())) == (code, 1)


@pytest.mark.parametrize("command", ["import", "what-if"])
def test_a_file_without_a_name_is_no_directory(own_ledger: Path, command: str) -> None:
    ended = clubledger(command, "", data_dir=own_ledger)
    said = "clubledger: A file has a name; `-` is the standard input.\n"
    assert (ended.code, ended.err) == (2, said)


def test_a_copy_that_does_not_fit_is_said_in_a_sentence(own_ledger: Path, tmp_path: Path) -> None:
    script = "ulimit -f 100; trap '' XFSZ; exec \"$@\""
    done = subprocess.run(
        ["bash", "-c", script, "-", sys.executable, "-c", PEAK, "import", "-"],
        input=GOOD * 2_000,
        capture_output=True,
        env=environment(CLUBLEDGER_DATA_DIR=str(own_ledger), TMPDIR=str(tmp_path)),
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert b"TMPDIR names another directory" in done.stderr


def test_a_log_that_somebody_wrote_the_files_key_into_refuses_it(
    own_ledger: Path, tmp_path: Path
) -> None:
    file = tmp_path / "facts.jsonl"
    file.write_bytes(GOOD)
    told = clubledger("import", file, "--json", data_dir=own_ledger).json["files"]
    with EmbeddedServer(own_ledger) as server, connect(server.dsn) as connection:
        written = "UPDATE command_log SET digest = 'x' WHERE key = %s"
        assert connection.execute(written, (told[0]["key"],)).rowcount == 1
    ended = clubledger("import", file, "--json", data_dir=own_ledger)
    assert (ended.code, ended.problem["code"]) == (3, "rejected")
    assert "idempotency key" in ended.problem["detail"]
