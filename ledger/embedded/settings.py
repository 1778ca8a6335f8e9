"""The settings of the embedded server, written anew at each start so that upgrades apply."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ledger.embedded.errors import EmbeddedError

PORT = 5432  # It only names the socket file: nothing listens on the network.
HBA = "local all all scram-sha-256\nlocal replication all scram-sha-256\n"
MB = 1024 * 1024
CONNECTIONS = 100
RESERVED = 3
"""Connections beyond those that are needed, as PostgreSQL keeps them for superusers."""

# Others cannot be changed by the caller: the launcher depends on them.
OURS = {
    "allow_alter_system",
    "config_file",
    "data_directory",
    "external_pid_file",
    "hba_file",
    "include",
    "include_dir",
    "include_if_exists",
    "listen_addresses",
    "log_destination",
    "log_directory",
    "log_filename",
    "logging_collector",
    "port",
    "unix_socket_directories",
    "unix_socket_permissions",
}

FIXED: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    # What was promised is on the disk.
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "min_wal_size": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    "timezone": "UTC",
    "lc_messages": "C",
    "allow_alter_system": "off",
    # A week of files. Statements, parameters and quoted rows ("terse" drops them) stay out, because
    # they would carry personal data; so do the errors of our sessions, by a setting of our user.
    "logging_collector": "on",
    "log_destination": "stderr",
    "log_directory": "log",
    "log_filename": "server-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}


def check_options(options: Mapping[str, str]) -> None:
    """Refuse names that are no settings, and those that the launcher depends on."""
    for name in options:
        if not re.fullmatch(r"[a-z_][a-z0-9_.]*", name):
            raise EmbeddedError(f"{name!r} is not the name of a PostgreSQL setting.")
        if name in OURS:
            raise EmbeddedError(f"The embedded server depends on {name}: it cannot be set.")


def rendered(
    version: str,
    socket_dir: Path,
    options: Mapping[str, str],
    archiving: Mapping[str, str],
    *,
    lz4: bool,
    connections: int,
) -> str:
    """The text of postgresql.conf; a line of it keeps the caller's options for comparison."""
    settings = {
        **FIXED,
        "max_connections": str(max(CONNECTIONS, connections + RESERVED)),
        "superuser_reserved_connections": str(RESERVED),
        "unix_socket_directories": f'"{socket_dir}"',
        "wal_compression": "lz4" if lz4 else "off",
        **_of_this_machine(),
        **archiving,
        **options,
    }
    lines = [
        "# Written by clubledger at each start: changes made here are lost.",
        f"# version {version}",
        f"# options {json.dumps(dict(options), sort_keys=True)}",
        *(f"{name} = {_quoted(value)}" for name, value in settings.items()),
    ]
    return "\n".join(lines) + "\n"


def options_of(text: str) -> dict[str, str]:
    """The caller's options of a text that `rendered` gave."""
    line = next(
        (line for line in text.splitlines() if line.startswith("# options ")), "# options {}"
    )
    found: dict[str, str] = json.loads(line.removeprefix("# options "))
    return found


def connections_of(text: str) -> int:
    """How many connections a text that `rendered` gave was asked to take."""
    found = re.search(r"^max_connections = '(\d+)'$", text, re.MULTILINE)
    return int(found[1]) - RESERVED if found else 0


def version_of(text: str) -> str:
    """The version of a text that `rendered` gave."""
    found = re.search(r"^# version (.+)$", text, re.MULTILINE)
    return found[1] if found else "unknown"


def _quoted(value: str) -> str:
    if "\n" in value:
        raise EmbeddedError(f"A PostgreSQL setting has one line, not {value!r}.")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _of_this_machine() -> dict[str, str]:
    memory_mb = _memory_bytes() // MB
    cores = os.cpu_count() or 1
    found = {
        "shared_buffers": f"{min(1024, max(128, memory_mb // 16))}MB",
        "effective_cache_size": f"{max(256, memory_mb // 2)}MB",
        "max_worker_processes": str(max(8, cores + 4)),
        "max_parallel_workers": str(cores),
        "max_parallel_workers_per_gather": str(min(4, max(1, cores // 2))),
        "max_parallel_maintenance_workers": str(min(4, max(1, cores // 2))),
    }
    shared = Path("/dev/shm")
    if shared.is_dir() and (room := os.statvfs(shared)).f_frsize * room.f_blocks < 256 * MB:
        # A container's 64 MB are too few for a parallel hash join; System V segments do not count.
        found["dynamic_shared_memory_type"] = "sysv"
    return found


def _memory_bytes() -> int:
    """Of the machine, or of the container if that has less."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return memory
    return min(memory, int(limit)) if limit.isdigit() else memory
