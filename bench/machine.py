"""What was measured on: the machine, its disk, the versions, and what PostgreSQL promises."""

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from statistics import median
from sysconfig import get_config_var
from typing import Any

from psycopg import Connection

DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
SHOWN = (
    *DURABLE,
    "wal_sync_method",
    "wal_level",
    "wal_compression",
    "data_checksums",
    "shared_buffers",
    "wal_segment_size",
    "wal_buffers",
    "min_wal_size",
    "max_wal_size",
    "max_connections",
)
SYNCS = 200


class NotDurableError(Exception):
    """The server would forget what it promised: such figures are not comparable."""


def described(place: Path) -> dict[str, Any]:
    """The machine, and the disk below `place`."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": f"{platform.system()} {platform.release()}",
        "filesystem": _filesystem(place),
        "fdatasync_ms": round(fdatasync_ms(place), 3),
        "python": platform.python_version(),
        "python_optimized": "--enable-optimizations" in str(get_config_var("CONFIG_ARGS")),
        "load_at_start": round(os.getloadavg()[0], 2),
        "wrk": _said("wrk", "-v", only_first=True),
        "node": _said("node", "--version"),
    }


def promised(connection: Connection[Any]) -> dict[str, str]:
    """The server's version and settings, read back from it. Refuses one that is not durable."""
    found = {"version": str(_one(connection, "SHOW server_version"))}
    for name in SHOWN:
        found[name] = str(_one(connection, f"SHOW {name}"))
    weak = [name for name, value in DURABLE.items() if found[name] != value]
    if weak:
        raise NotDurableError(f"PostgreSQL runs without {', '.join(weak)}")
    return found


def fdatasync_ms(place: Path) -> float:
    """How long a written page takes to reach the disk, the median of many."""
    path = place / "sync-probe"
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    sync = getattr(os, "fdatasync", os.fsync)
    taken = []
    try:
        for _ in range(SYNCS):
            os.pwrite(handle, b"x" * 8192, 0)
            start = time.perf_counter()
            sync(handle)
            taken.append(time.perf_counter() - start)
    finally:
        os.close(handle)
        path.unlink()
    return median(taken) * 1000


def _one(connection: Connection[Any], query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _filesystem(place: Path) -> str:
    try:
        lines = Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        return "unknown"
    mounts = [(Path(words[1]), words[2]) for words in map(str.split, lines)]
    over = [(len(path.parts), kind) for path, kind in mounts if place.is_relative_to(path)]
    return max(over)[1] if over else "unknown"


def _said(program: str, *arguments: str, only_first: bool = False) -> str:
    found = shutil.which(program)
    if found is None:
        return "not installed"
    done = subprocess.run(
        [found, *arguments], capture_output=True, text=True, check=False, timeout=20
    )
    line = (done.stdout.strip() or done.stderr.strip()).splitlines()[0]
    return " ".join(line.split()[:2]) if only_first else line
