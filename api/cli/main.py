"""`clubledger`: its commands gathered, and how each of them ends."""

import signal
import sys
import traceback
from types import FrameType

import psycopg
import typer

from api.cli import demo, figures, importing, log, members, serve, upkeep
from api.cli.output import complain
from api.failures import CannotOpen, Failure, Stopped, WrongUse
from api.settings import Settings
from api.wiring import first_line

app = typer.Typer(
    name="clubledger",
    help="A points ledger for clubs: an event log in PostgreSQL, and answers folded from it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for commands in (demo, figures, serve, upkeep, importing, members, log):
    commands.register(app)


class Defect(Failure):
    """Something unforeseen."""

    code, title, exit_code = "internal", "A defect of clubledger.", 5


def _stop(_: int, __: FrameType | None) -> None:
    raise Stopped


def main() -> None:
    """Run the command line; end with an exit code of the table, never with a traceback."""
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    try:
        return _ended(app(arguments, standalone_mode=False))
    except Failure as failure:
        complain(failure, as_json)
        return failure.exit_code
    except typer.TyperException as error:
        complain(WrongUse(_sentence(error.format_message())), as_json)
        return WrongUse.exit_code
    except psycopg.OperationalError as error:
        complain(CannotOpen(f"The database does not answer: {first_line(error)}"), as_json)
        return CannotOpen.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return 128 + signal.SIGINT
    except Stopped:
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        # Whoever read us has gone, which is no failure: but nothing may be flushed to him any more.
        sys.stdout = None
        return 0
    except Exception as error:  # noqa: BLE001 - the last resort
        if Settings().traceback:
            traceback.print_exc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"This is a defect: {type(error).__name__} at {where.filename}:{where.lineno}."
        complain(Defect(f"{said} CLUBLEDGER_TRACEBACK=1 shows more."), as_json)
        return Defect.exit_code


def _ended(code: object) -> int:
    return code if isinstance(code, int) else 0


def _sentence(text: str) -> str:
    line = " ".join(text.split())
    return line if line.endswith((".", "?")) else f"{line}."
