"""Processes as the kernel tells of them (Linux): families, memory, and who may be killed.

Nothing is found by its name alone: a process is ours if it descends from one that we started, or
if it is the postmaster of our data directory or descends from that.
"""

import os
import re
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PSS = re.compile(r"^(Pss\w*): +(\d+) kB", re.MULTILINE)


def parents() -> dict[int, int]:
    """pid -> pid of its parent, of every process there is."""
    found: dict[int, int] = {}
    for each in PROC.iterdir():
        if each.name.isdigit():
            with suppress(OSError):
                said = (each / "stat").read_text(errors="replace")
                found[int(each.name)] = int(said.rpartition(")")[2].split()[1])
    return found


def family(*mains: int) -> list[int]:
    """These processes and all that descend from them, as far as they are still there."""
    known = parents()
    found = [pid for pid in mains if pid in known]
    for pid in found:  # it grows as it is walked
        found += [child for child, parent in known.items() if parent == pid and child not in found]
    return found


def words(pid: int) -> str:
    """The command line of a process; of PostgreSQL's, what it says that it does."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def shown(pid: int) -> str:
    """A process for a reader: its number and its parent's, its state, what it waits for in the
    kernel, and its words."""
    try:
        state, parent = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[:2]
        waits = (PROC / str(pid) / "wchan").read_text()
    except OSError as error:
        return f"{pid} {error.strerror}"
    return f"{pid} of {parent} {state} {waits or '-'} {words(pid)}"


def catches(pid: int, sent: signal.Signals) -> bool:
    """Whether it has a handler for a signal."""
    try:
        said = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return False
    caught = re.search(r"^SigCgt:\s*(\w+)$", said, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (sent - 1) & 1)


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        said = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return False
    return said.rpartition(")")[2].split()[0] not in "ZX"


def postmaster(data_dir: Path) -> int | None:
    """The postmaster of our data directory, if it runs."""
    pgdata = data_dir / "pgdata"
    try:
        pid = int((pgdata / "postmaster.pid").read_text().split()[0])
        here = (PROC / str(pid) / "cwd").readlink() == pgdata
    except (OSError, ValueError, IndexError):
        return None
    return pid if here and alive(pid) else None


def send(pid: int, sent: signal.Signals) -> bool:
    """Send a signal; False if nobody is there any more."""
    try:
        os.kill(pid, sent)
    except ProcessLookupError:
        return False
    return True


def most_bytes(pid: int) -> int:
    """The most memory that a process has taken so far, since it began its program; 0 once it has
    ended. What `wait4` tells counts in what its parent had when it was forked."""
    try:
        said = (PROC / str(pid) / "status").read_text(errors="replace")
    except OSError:
        return 0
    most = re.search(r"^VmHWM:\s*(\d+) kB$", said, re.MULTILINE)
    return int(most[1]) * 1024 if most else 0


@dataclass(frozen=True)
class Used:
    """Seconds of processor since some time ago, by everybody and by some processes."""

    at: float
    everybody_s: float
    ours_s: float


def by_others(before: Used, now: Used) -> float:
    """The part of the machine that others have taken between two looks."""
    taken_s = now.everybody_s - before.everybody_s - (now.ours_s - before.ours_s)
    return max(0.0, taken_s / ((os.cpu_count() or 1) * (now.at - before.at)))


def used(pids: list[int]) -> Used:
    """What the machine has used, stolen time too, and what these processes have, with those of
    their children whom they have buried."""
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, softirq, steal, *_ = (
        int(word) for word in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    )
    ours = 0
    for pid in pids:
        with suppress(OSError):
            said = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2]
            ours += sum(map(int, said.split()[11:15]))
    return Used(
        time.monotonic(), (user + nice + system + irq + softirq + steal) * tick_s, ours * tick_s
    )


@dataclass(frozen=True)
class Memory:
    """Bytes of some processes. A page that several share is counted once (PSS)."""

    own: int
    """Anonymous memory and files: everything but shared memory."""
    shared: int
    """Shared memory, which is PostgreSQL's shared_buffers and little else."""


def memory(pids: list[int]) -> Memory:
    """What these processes take together."""
    own = shared = 0
    for pid in pids:
        with suppress(OSError):
            said = (PROC / str(pid) / "smaps_rollup").read_text()
            part = {name: int(kb) * 1024 for name, kb in PSS.findall(said)}
            shared += part.get("Pss_Shmem", 0)
            own += part.get("Pss", 0) - part.get("Pss_Shmem", 0)
    return Memory(own, shared)
