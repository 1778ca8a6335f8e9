"""How many connections the settings need, counted once: what `serve` is given, or refused at its
start with the arithmetic."""

from dataclasses import dataclass

from api.runtime.failures import CannotOpen
from api.runtime.settings import Settings
from ledger.database import connect

WRITES = 3
"""Of a worker's batcher: one loads, one appends, one tries what is not to be written."""
LOOKS = 2
FILES_AT_ONCE = 2
"""Whole lists that a worker writes at the same time; others wait their turn."""
FOLLOWS = 1
BUILDS = 2
SUPPOSES = 2
BUSIEST = 16
"""More for the one, of all workers, that folds, builds, supposes, tells webhooks or has a job done
just now."""
COMMANDS = 10
"""For commands beside `serve`, and a look by hand."""


@dataclass(frozen=True)
class Room:
    """Connections that `serve` needs."""

    workers: int
    reads: int

    @property
    def each(self) -> int:
        """Of one worker."""
        return WRITES + self.reads + LOOKS + FILES_AT_ONCE + FOLLOWS + BUILDS + SUPPOSES

    @property
    def all(self) -> int:
        """Of all workers, and of commands beside them."""
        return self.workers * self.each + BUSIEST + COMMANDS

    def shown(self) -> str:
        """The arithmetic."""
        return (
            f"{self.all} = {self.workers} x {self.each} + {BUSIEST} + {COMMANDS}: each worker"
            f" {self.reads} to read, {WRITES} to write, {LOOKS} to look, {FILES_AT_ONCE} for files,"
            f" {FOLLOWS} to follow, {BUILDS} to build and {SUPPOSES} to suppose; {BUSIEST} more for"
            f" who does so; {COMMANDS} for commands"
        )


def needed(settings: Settings) -> Room:
    """What these settings need."""
    return Room(settings.workers, settings.read_connections)


def check_room(dsn: str, settings: Settings) -> None:
    """Refuse to serve with more connections than the database takes."""
    room = needed(settings)
    with connect(dsn) as connection:
        (takes,) = connection.execute(_TAKES).fetchone() or (0,)
    if room.all > takes:
        raise CannotOpen(
            f"The database takes {takes} connections of us, and `serve` needs {room.shown()}."
            " Raise max_connections (of the embedded server by stopping those who use it), or"
            " lower CLUBLEDGER_WORKERS or CLUBLEDGER_READ_CONNECTIONS.",
            {"needed": room.all, "taken": takes},
        )


_TAKES = """
    SELECT least(
        current_setting('max_connections')::int
          - current_setting('superuser_reserved_connections')::int
          - coalesce(current_setting('reserved_connections', true)::int, 0),
        (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database()),
        (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
    )
"""
