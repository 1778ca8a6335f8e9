"""PostgreSQL's own load generator, on scripts of ours."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg

from bench.children import environment
from bench.ground import Ground, pg_environment
from bench.parts import Outcome
from bench.words import FaultError
from ledger.embedded import binary

SQL = Path(__file__).parent / "sql"
GRACE_S = 60
_TPS = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_DONE = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)
_LATENCY = re.compile(r"^latency average = ([0-9.]+) ms", re.MULTILINE)


def execute_file(dsn: str, path: Path) -> None:
    """Run a file of statements."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(path.read_bytes())


def runner(ground: Ground, dsn: str, script: str, clients: int) -> Callable[[int], Outcome]:
    """A subject's `run`: prepared statements, two threads at most, every commit durable."""
    command = [str(binary("pgbench")), "--no-vacuum", "--protocol=prepared"]
    command += [f"--file={SQL / script}", f"--client={clients}", f"--jobs={min(2, clients)}"]
    command += ["-D", f"members={ground.options.members}"]

    def run(seconds: int) -> Outcome:
        found = once(seconds)
        while found is None and seconds < GRACE_S:  # a busy machine only opened connections
            seconds *= 2
            found = once(seconds)
        if found is None:
            raise FaultError("pgbench told no figures")
        return found

    def once(seconds: int) -> Outcome | None:
        # A number, because pgbench would paste a word into the statement unquoted.
        token = int(ground.token(), 16)
        done = subprocess.run(
            [*command, "-D", f"run={token}", f"--time={seconds}"],
            env=environment(**pg_environment(dsn)),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + GRACE_S,
        )
        tps, processed = _TPS.search(done.stdout), _DONE.search(done.stdout)
        failed, latency = _FAILED.search(done.stdout), _LATENCY.search(done.stdout)
        if done.returncode:
            raise FaultError((done.stderr.strip().splitlines() or ["pgbench failed"])[0])
        if tps is None or processed is None or latency is None:
            return None
        if failed is not None and int(failed[1]):
            raise FaultError(f"pgbench: {failed[1]} transactions failed")
        count = int(processed[1])
        return Outcome(count, count / float(tps[1]), {"mean_ms": float(latency[1])})

    return run
