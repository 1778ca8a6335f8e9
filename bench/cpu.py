"""Time that processes spent on the processors, from /proc."""

import os
from collections.abc import Sequence
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


def known() -> bool:
    """Whether this machine tells."""
    return (PROC / "self" / "stat").exists()


def seconds_of(roots: Sequence[int]) -> float:
    """Seconds of processes and their descendants, those that ended and were waited for too."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold anything; what is wanted stands behind it.
                fields = (entry / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    return sum(spent for pid, spent in ticks.items() if _descends(pid, roots, parents)) / _TICKS


def stolen() -> tuple[int, int] | None:
    """(ticks that the machine's host kept for others, all ticks), of all processors since the
    machine was started; None where that is not told."""
    try:
        known = (PROC / "stat").read_text("ascii").splitlines()[0].split()[1:9]
        return int(known[7]), sum(map(int, known))
    except (OSError, IndexError):
        return None


def _descends(pid: int, roots: Sequence[int], parents: dict[int, int]) -> bool:
    while pid and pid not in roots:
        pid = parents.get(pid, 0)
    return pid in roots
