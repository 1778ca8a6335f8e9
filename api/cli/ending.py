"""How the command line ends: with an exit code of the table, never with a traceback."""

import errno
import sys
import traceback
from typing import TYPE_CHECKING

import typer

from api.cli.commands import app
from api.cli.terminal import notes, output, streams
from api.cli.terminal.signals import INTERRUPTED, TERMINATED, leave_at_once
from api.runtime.failures import (
    NO_ROOM,
    CannotOpen,
    CannotWrite,
    ClockAhead,
    Failure,
    LogAhead,
    Stopped,
    WrongUse,
)
from api.runtime.settings import illegible, is_utf_8

if TYPE_CHECKING:
    from ledger import clocks


class Defect(Failure):
    """Something unforeseen."""

    code, title, exit_code = "internal", "A defect of clubledger.", 5


UNWRITTEN = NO_ROOM | {errno.EBADF, errno.EIO}
"""How a stream fails that is closed or full, where a library writes to it."""


def main() -> None:
    """Run the command line."""
    streams.prepare()
    arguments = sys.argv[1:]
    output.json_only = "--json" in arguments
    sys.exit(_run(arguments))


def _run(arguments: list[str]) -> int:
    try:
        _refuse_other_encodings(arguments)
        notes.log_to_stderr(output.json_only)
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
        leave_at_once()
        return code if isinstance(code, int) else 0
    except BaseException as end:  # noqa: BLE001 - the last resort
        leave_at_once()  # All is tidied up: nothing more is raised, not while this is told either.
        return _told(end)


def _told(end: BaseException) -> int:
    """The exit code of what ended the command, once its reader knows of it."""
    if isinstance(end, Failure):
        return _complain(end)
    if isinstance(end, typer.TyperException):
        return _complain(WrongUse(_sentence(end)))
    if isinstance(end, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if isinstance(end, Stopped):
        return TERMINATED
    if isinstance(end, SystemExit):  # Typer makes it out of a broken pipe.
        end = end.__context__ if isinstance(end.__context__, BrokenPipeError) else end
    if isinstance(end, BrokenPipeError):
        return _unread()
    if isinstance(end, Exception):
        return _complain(_unforeseen(end))
    raise end


def _unread() -> int:
    """Whoever read us has gone: no failure, but nothing may be flushed to him any more."""
    streams.let_go()
    return 0


def _complain(failure: Failure) -> int:
    if isinstance(failure, CannotWrite):
        streams.let_go()
    output.complain(failure, output.json_only)
    return failure.exit_code


def _refuse_other_encodings(arguments: list[str]) -> None:
    """What is no UTF-8 can be said nowhere again: no id, no name of a file, no answer."""
    for number, argument in enumerate(arguments, start=1):
        if not is_utf_8(argument):
            raise WrongUse(f"Argument {number} is not UTF-8.")
    for name in illegible():
        raise WrongUse(f"{name} is not UTF-8.")


def _unforeseen(error: Exception) -> Failure:
    import psycopg

    from api.runtime.settings import Settings
    from api.runtime.wiring import first_line
    from ledger import clocks
    from projections.engine.runner import OtherVersion, PoisonedEvent

    if isinstance(error, clocks.ClockAhead):
        return ClockAhead(_clocks(error), error.numbers())
    if isinstance(error, clocks.LogAhead):
        return LogAhead(_clocks(error), error.numbers())
    if isinstance(error, OSError) and error.errno in UNWRITTEN and error.filename is None:
        return streams.not_written(error)
    if isinstance(error, psycopg.OperationalError):
        return CannotOpen(f"The database does not answer: {first_line(error)}")
    if isinstance(error, OtherVersion):
        return CannotOpen(str(error))
    if isinstance(error, PoisonedEvent):
        return CannotOpen(f"The answers stand still: {error}")
    if Settings().traceback:
        traceback.print_exception(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    said = f"This is a defect: {type(error).__name__} at {where.filename}:{where.lineno}."
    return Defect(f"{said} CLUBLEDGER_TRACEBACK=1 shows more.")


def _clocks(error: "clocks.ClockAhead | clocks.LogAhead") -> str:
    """Which clock is ahead, by what, and what to do."""
    from api.cli.terminal.output import local
    from ledger.clocks import ClockAhead as Ahead

    database = f"the database's shows {local(error.database_now)}"
    if isinstance(error, Ahead):
        return (
            f"The clock here shows {local(error.now)} and {database}: nothing was written. Set both"
            " right, then run it again."
        )
    return (
        f"The log was last written at {local(error.recorded_at)} and {database}: nothing was"
        " written. Set the clocks right and run it again; if they are right, `clubledger clock`"
        " tells how to go on."
    )


ECHOING = {
    "Usage": "A command is missing: `clubledger --help` lists them",
    "No such option": "There is no such option: `clubledger COMMAND --help` lists them",
    "No such command": "There is no such command: `clubledger --help` lists them",
    "Got unexpected extra argument": "There is an argument too many",
}
"""What is said in place of Typer's own words where those repeat what was typed, or are a page."""


def _sentence(error: typer.TyperException) -> str:
    """What is wrong, without what was typed: it may be somebody's phone in the wrong place."""
    line = " ".join(error.format_message().split())
    line = next((said for words, said in ECHOING.items() if line.startswith(words)), line)
    if near := getattr(error, "possibilities", None):
        line = f"{line.partition(':')[0]}: perhaps {' or '.join(sorted(near))} is meant"
    return line if line.endswith((".", "?")) else f"{line}."
