"""How the command line ends: with an exit code of the table, never with a traceback."""

import os
import signal
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

import typer

from api.cli import notes
from api.cli.commands import app
from api.failures import (
    NO_ROOM,
    CannotOpen,
    CannotWrite,
    ClockAhead,
    Failure,
    LogAhead,
    Stopped,
    WrongUse,
)

if TYPE_CHECKING:
    from ledger import clocks


class Defect(Failure):
    """Something unforeseen."""

    code, title, exit_code = "internal", "A defect of clubledger.", 5


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def _stop(_: int, __: FrameType | None) -> None:
    raise Stopped


def main() -> None:
    """Run the command line."""
    sys.stdout = sys.stdout or _nowhere()  # Closed by whoever started us: he wants no answer.
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A letter that the encoding lacks is shown as `?`, and ends no command.
            stream.reconfigure(errors="replace")
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` means it.
        signal.signal(signal.SIGHUP, _stop)
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        notes.log_to_stderr("--json" in arguments)
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Failure as failure:
        return _complain(failure, arguments)
    except typer.TyperException as error:
        return _complain(WrongUse(_sentence(error)), arguments)
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    except Stopped:
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        return _unread()
    except SystemExit as end:
        # Typer makes it out of a broken pipe.
        if isinstance(end.__context__, BrokenPipeError):
            return _unread()
        raise
    except Exception as error:  # noqa: BLE001 - the last resort
        return _complain(_unforeseen(error), arguments)


def _unread() -> int:
    """Whoever read us has gone: no failure, but nothing may be flushed to him any more."""
    sys.stdout = None
    return 0


def _complain(failure: Failure, arguments: list[str]) -> int:
    """Say why. What cannot be written any more is let go of, or Python would end by that."""
    from api.cli.output import complain

    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = None
    try:
        complain(failure, "--json" in arguments)
    except OSError:
        sys.stderr = None
    return failure.exit_code


def _unforeseen(error: Exception) -> Failure:
    import psycopg

    from api.settings import Settings
    from api.wiring import first_line
    from ledger import clocks
    from projections.runner import PoisonedEvent

    if isinstance(error, clocks.ClockAhead):
        return ClockAhead(_clocks(error), error.numbers())
    if isinstance(error, clocks.LogAhead):
        return LogAhead(_clocks(error), error.numbers())
    if isinstance(error, psycopg.OperationalError):
        return CannotOpen(f"The database does not answer: {first_line(error)}")
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return CannotWrite(f"The answer cannot be written: {error.strerror}.")
    if isinstance(error, PoisonedEvent):
        return CannotOpen(f"The answers stand still: {error}")
    if Settings().traceback:
        traceback.print_exception(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    said = f"This is a defect: {type(error).__name__} at {where.filename}:{where.lineno}."
    return Defect(f"{said} CLUBLEDGER_TRACEBACK=1 shows more.")


def _clocks(error: "clocks.ClockAhead | clocks.LogAhead") -> str:
    """Which clock is ahead, by what, and what to do."""
    from api.cli.output import local
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
