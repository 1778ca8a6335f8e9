"""Options that every command takes, and the settings they amount to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from api.cli.terminal.signals import leave_in_order
from api.runtime.failures import WrongUse

if TYPE_CHECKING:
    from api.cli.terminal.files import Target
    from api.runtime.settings import Settings
    from projections.engine.moments import Asked


def _directory(text: str) -> Path:
    if not text.strip():  # else it would be where one happens to be
        raise typer.BadParameter("it is empty.")
    return Path(text)


DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="PATH",
        parser=_directory,
        help="Where the embedded PostgreSQL keeps its data; else CLUBLEDGER_DATA_DIR.",
        show_default=False,
    ),
]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Say it as JSON on stdout, problems as JSON on stderr.")
]

ExportFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="FILE",
        help="Write the whole list to a file: .csv, .jsonl or .xlsx.",
        show_default=False,
    ),
]
Force: TypeAlias = Annotated[
    bool, typer.Option("--force", help="Replace the file if it is there already.")
]
KnownAt: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="MOMENT",
        help="As it was known then: a day (its end; today up to now), an instant with its"
        " offset, or positions (0:1234567).",
        show_default=False,
    ),
]
EffectiveAt: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="By what had happened until then, a day (its end; today up to now) or an instant: what"
        " was told late counts if it is known.",
        show_default=False,
    ),
]


def target_of(path: Path | None, force: bool) -> "Target | None":
    """The file that a list is to be written to; refused before any work is done for it."""
    if path is None:
        if force:
            raise WrongUse("--force goes with --export.")
        return None
    from api.cli.terminal.files import Target

    target = Target(path, force)
    target.check()
    return target


def asked_of(
    known_at: str | None,
    effective_at: str | None,
    names: tuple[str, str] = ("known-at", "effective-at"),
) -> "Asked":
    """The moment that these options name; without either it is now."""
    from api.runtime import moments

    try:
        return moments.asked(known_at, effective_at, names)
    except moments.Unreadable as error:
        raise WrongUse(f"--{error.name}: {error.detail}.") from None


def maybe_asked_of(known_at: str | None, effective_at: str | None) -> "Asked | None":
    """The same; without either the live answers are meant."""
    return None if known_at is None is effective_at else asked_of(known_at, effective_at)


def settings_of(data_dir: Path | None = None, **said: Any) -> "Settings":
    """The settings: what the command line says, else what the environment says."""
    from pydantic import ValidationError

    from api.runtime.settings import Settings

    given = {name: value for name, value in said.items() if value is not None}
    if data_dir is not None:
        # Whoever names a directory means it, whatever database the environment names.
        given |= {"data_dir": data_dir, "database_url": None}
    leave_in_order()
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(map(str, first["loc"]))
        where = f"--{name.replace('_', '-')}" if name in given else f"CLUBLEDGER_{name.upper()}"
        raise WrongUse(f"{where}: {first['msg'].removeprefix('Value error, ')}.") from error
