"""Backups of an embedded ledger: a copy of all of it while it is written to, and a new ledger made
of it and of an archive of the write-ahead log, as of any time since the copy.

A backup is a directory: `pgdata/`, and the `password` of the database's user. Nothing else of the
data directory is in it, the keys with which personal data is encrypted neither.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from ledger.embedded import binaries, postmaster
from ledger.embedded.account import ourselves
from ledger.embedded.archive import usable
from ledger.embedded.errors import EmbeddedError
from ledger.embedded.files import locked, sync_directory, write_private
from ledger.embedded.home import Home, looked_at, open_home
from ledger.embedded.server import EmbeddedServer
from ledger.embedded.waiting import Wait

STEP_S = 600.0
"""How long a step of a recovery may say nothing."""
UNREACHED = {
    "recovery target was reached": "The archive ends before that time.",
    "before consistent recovery point": "That time is before the end of the backup: an older one"
    " reaches it.",
}
"""Of what PostgreSQL says of a time that it cannot recover to, what it means."""


def back_up(data_dir: Path, dsn: str, target: Path) -> int:
    """Copy the cluster of a running server to a new directory, and check the copy: it is there
    whole, or not at all. Returns its bytes."""
    looked_at(data_dir)
    target = target.expanduser().absolute()
    if target.exists():
        raise EmbeddedError(f"{target} is there already: a backup is a new directory.")
    if not target.parent.is_dir():
        raise EmbeddedError(f"There is no directory {target.parent}.")
    making = Path(tempfile.mkdtemp(prefix=".backup-", dir=target.parent))
    try:
        pgdata = making / "pgdata"
        known = conninfo_to_dict(dsn)
        password = str(known.pop("password"))
        known.pop("dbname")
        _run(
            "pg_basebackup",
            f"--dbname={make_conninfo('', **known)}",
            f"--pgdata={pgdata}",
            "--checkpoint=fast",
            "--wal-method=stream",
            "--no-password",
            PGPASSWORD=password,
        )
        _run("pg_verifybackup", "--quiet", str(pgdata))
        write_private(making / "password", f"{password}\n", ourselves())
        making.rename(target)
        sync_directory(target.parent)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return sum(each.stat().st_size for each in target.rglob("*") if each.is_file())


def _run(program: str, *arguments: str, **environment: str) -> None:
    done = subprocess.run(
        [str(binaries.binary(program)), *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={"LC_ALL": "C", "PATH": os.defpath, **environment},
    )
    if done.returncode:
        raise EmbeddedError(f"{program} failed: {done.stderr.strip()}")


# ------------------------------------------------------------------------------------ restoring
def restore(backup: Path, data_dir: Path, archive: Path | None, until: datetime | None) -> None:
    """Make a new ledger of a backup: as it was copied, or with an archive as it was later, at the
    end of that or at a time."""
    if not (backup / "pgdata" / "PG_VERSION").is_file() or not (backup / "password").is_file():
        raise EmbeddedError(f"{backup} is no backup that `clubledger backup` made.")
    if until is not None and archive is None:
        raise EmbeddedError("As of a time it is restored with an archive of the write-ahead log.")
    if (data_dir.expanduser() / "pgdata").exists():
        raise EmbeddedError(f"There is a ledger in {data_dir} already: name a new directory.")
    home = open_home(data_dir, create=True)
    with _placed(home, backup) as pgdata:
        if archive is not None:
            said = [
                f"restore_command = 'cp {usable(archive)}/%f %p'",
                "recovery_target_timeline = 'latest'",
                "recovery_target_action = 'promote'",
            ]
            if until is not None:
                said.append(f"recovery_target_time = '{until.astimezone(UTC).isoformat(' ')}'")
            write_private(pgdata / "postgresql.auto.conf", "\n".join([*said, ""]), home.account)
            write_private(pgdata / "recovery.signal", "", home.account)
    try:
        _recover(home)
    except (EmbeddedError, psycopg.Error) as error:  # it may stop before it answered once
        told = postmaster.last_words(home)
        shutil.rmtree(home.pgdata)
        why = next((why for words, why in UNREACHED.items() if words in told), error)
        raise EmbeddedError(f"It could not be restored. {why}") from error
    write_private(home.pgdata / "postgresql.auto.conf", "", home.account)


@contextmanager
def _placed(home: Home, backup: Path) -> Iterator[Path]:
    """A copy of a backup's cluster, owned by who runs it; put in its place at the end."""
    with locked(home.lock("start"), home.owner):
        making = Path(tempfile.mkdtemp(prefix=".build-", dir=home.path))
        home.account.own(making)
        pgdata = making / "pgdata"
        shutil.copytree(backup / "pgdata", pgdata, symlinks=True)
        for folder, _, files in os.walk(pgdata):
            Path(folder).chmod(0o700)
            for each in (folder, *(os.path.join(folder, name) for name in files)):
                home.account.own(Path(each))
        yield pgdata
        write_private(home.path / "password", (backup / "password").read_text("ascii"), home.owner)
        pgdata.rename(home.pgdata)
        sync_directory(home.path)
        shutil.rmtree(making)
    home.check_version()


def _recover(home: Home) -> None:
    """Start it, and wait until it has recovered so far as it was told."""
    with (
        EmbeddedServer(home.path, create=False) as server,
        psycopg.connect(server.dsn, autocommit=True) as conn,
    ):

        def look() -> tuple[bool, str]:
            try:
                cursor = conn.execute("SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn()::text")
                (found,) = cursor.fetchall()
            except psycopg.Error as error:
                raise EmbeddedError(f"PostgreSQL stopped: {error}") from error
            return found

        wait = Wait(lambda: f"{home.path} is brought up to that time", STEP_S, life=look)
        while look()[0]:
            if wait.over:
                raise EmbeddedError(f"Nothing was recovered for {STEP_S:.0f} s.")
            wait.pause()
