"""Options that every command takes, and the settings they amount to."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import typer

from api.failures import WrongUse

if TYPE_CHECKING:
    from api.cli.files import Target
    from api.moments import Asked
    from api.settings import Settings

T = TypeVar("T")

DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
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
        help="As it was known then: a day (its end), an instant with its offset, or positions"
        " (0:1234567).",
        show_default=False,
    ),
]
EffectiveAt: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="By what had happened until then, a day (its end) or an instant: what was told late"
        " counts if it is known.",
        show_default=False,
    ),
]


def target_of(path: Path | None, force: bool) -> "Target | None":
    """The file that a list is to be written to; refused before any work is done for it."""
    if path is None:
        if force:
            raise WrongUse("--force goes with --export.")
        return None
    from api.cli.files import Target

    target = Target(path, force)
    target.check()
    return target


def asked_of(known_at: str | None, effective_at: str | None) -> "Asked | None":
    """The moment that is asked about; none is now."""
    if known_at is None and effective_at is None:
        return None
    from api import moments

    return moments.Asked(
        _read("--known-at", moments.known_at, known_at),
        _read("--effective-at", moments.effective_at, effective_at),
    )


def _read(option: str, reader: Callable[[str], T], text: str | None) -> T | None:
    try:
        return None if text is None else reader(text)
    except ValueError as error:
        raise WrongUse(f"{option}: {error}.") from None


def settings_of(data_dir: Path | None = None, **said: Any) -> "Settings":
    """The settings: what the command line says, else what the environment says."""
    from pydantic import ValidationError

    from api.settings import Settings

    given = {name: value for name, value in said.items() if value is not None}
    if data_dir is not None:
        # Whoever names a directory means it, whatever database the environment names.
        given |= {"data_dir": data_dir, "database_url": None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = "_".join(map(str, first["loc"]))
        raise WrongUse(f"CLUBLEDGER_{name.upper()}: {first['msg']}.") from error
