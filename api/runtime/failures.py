"""Failures of a command: one sentence for the reader, one code for programs, one exit code."""

import errno
from dataclasses import dataclass, field
from typing import Any, ClassVar

EXIT_CODES: dict[int, str] = {
    0: "Done. `figures`, `demo`: every exact figure agrees, or the history is a scaled demo.",
    1: "`figures` and `demo`: a figure differs from what the report says. `report check`: a claim"
    " differs, contradicts itself or mixes populations, or a target is odd. `compare`: a row"
    " differs from what the events give. `changes`: a sum did not change by what its events add up"
    " to. `doctor`: something is wrong.",
    2: "The command was used wrongly: an unknown option, a value out of range.",
    3: "Refused: a command, rejected lines (now or when the file was taken), an unknown member,"
    " figure or report, a mistake in a report's file, a scenario that cannot be, a demo that will"
    " not mix.",
    4: "The database, its directory, the port, stdout or the file to write cannot be used, a clock"
    " or the log is ahead, or an event of the log cannot be taken into the answers.",
    5: "A defect of clubledger.",
    130: "Interrupted by Ctrl-C. What was committed stays; run the command again to go on.",
    143: "Stopped by SIGTERM or SIGHUP. It is how `serve` and `project --follow` end: they end"
    " with 0.",
}
"""Every way a command can end. docs/cli.md is checked against this table."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What an OSError says when a file may not grow."""


@dataclass
class Failure(Exception):
    """A command could not be carried out; `detail` says why in one sentence."""

    code: ClassVar[str]
    title: ClassVar[str]
    exit_code: ClassVar[int]

    detail: str
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.detail


class CannotOpen(Failure):
    """The ledger cannot be opened."""

    code, title, exit_code = "cannot_open", "The ledger cannot be opened.", 4


class CannotListen(Failure):
    """The address or port cannot be used."""

    code, title, exit_code = "cannot_listen", "The address cannot be listened on.", 4


class CannotWrite(Failure):
    """A file cannot be written: no room, no right."""

    code, title, exit_code = "cannot_write", "The file cannot be written.", 4


class ClockAhead(Failure):
    """The clock here runs ahead of the database's."""

    code, title, exit_code = "clock_ahead", "The clock here is ahead of the database's.", 4


class LogAhead(Failure):
    """The log was last written at a time that has not come."""

    code, title, exit_code = "log_ahead", "The log is ahead of every clock.", 4


class WrongUse(Failure):
    """An argument makes no sense."""

    code, title, exit_code = "wrong_use", "The command was used wrongly.", 2


class Rejected(Failure):
    """What was handed in was refused."""

    code, title, exit_code = "rejected", "It was refused.", 3


class NotFound(Failure):
    """What was asked for is not there."""

    code, title, exit_code = "not_found", "There is no such thing.", 3


class Stopped(BaseException):
    """SIGTERM came: leave, tidying up on the way out."""
