"""Options that every command takes, and the settings they amount to."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from api.failures import WrongUse

if TYPE_CHECKING:
    from api.settings import Settings

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
