"""The commands about keys: `keys show`, `keys new`, `keys rotate`, `keys give-up`."""

from typing import Annotated

import typer

from api.cli.terminal.options import DataDir, Json, settings_of
from api.runtime.failures import WrongUse

keys = typer.Typer(
    name="keys",
    help="The keys without which nobody's name or number can be read.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@keys.command()
def show(data_dir: DataDir = None, as_json: Json = False) -> int:
    """Which keys the ledger needs, which of them are here, and which may go."""
    from api.cli import keys as of_keys

    return of_keys.show(settings_of(data_dir), as_json)


@keys.command()
def new(as_json: Json = False) -> int:
    """Print a new key, for a file, an environment or a command that tells it."""
    from api.cli import keys as of_keys

    return of_keys.new(as_json)


@keys.command()
def rotate(
    to: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The key that is to wrap; else one that does not yet."),
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Let another key take over, while everybody goes on writing and reading.

    It may be called again, and goes on where it was cut. In the file of the data directory a new
    key is made; elsewhere every process has to have it first.
    """
    from api.cli import keys as of_keys

    return of_keys.rotate(settings_of(data_dir), to, as_json)


@keys.command("give-up")
def give_up(
    lost: Annotated[
        bool, typer.Option("--lost", help="Say that the key is lost: nothing brings it back.")
    ] = False,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> int:
    """Delete every name and number of a ledger whose key is lost, so that it opens again.

    Points and all that happened stay. Nothing is deleted where the key is here. Stop all programs
    of the ledger first, and import no file again that it had: it is not known any more.
    """
    from api.cli import keys as of_keys

    if not lost:
        raise WrongUse("--lost has to be said: all names and numbers are deleted.")
    return of_keys.give_up(settings_of(data_dir), as_json)
