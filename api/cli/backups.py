"""`backup`, `archive`, `restore`: of the embedded PostgreSQL; one of your own has its own tools."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from api.cli.terminal import output
from api.runtime.failures import CannotOpen, WrongUse
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from domain.kernel.values import Instant
from ledger.embedded import EmbeddedError, archive_to, back_up
from ledger.embedded import restore as restored

KEYS = (
    "The keys that names and numbers are encrypted with are not in it: keep a copy of them"
    " elsewhere, never beside the backup."
)


@contextmanager
def _own(settings: Settings) -> Iterator[None]:
    if settings.database_url is not None:
        raise WrongUse(
            "CLUBLEDGER_DATABASE_URL names a PostgreSQL of your own: it is backed up by its own"
            " tools (pg_basebackup, or those of whoever runs it). --data-dir names an embedded one."
        )
    try:
        yield
    except EmbeddedError as error:
        raise CannotOpen(str(error)) from error
    except OSError as error:
        raise CannotOpen(f"{error.filename} cannot be used: {error.strerror}.") from error


def backup(settings: Settings, target: Path, as_json: bool) -> int:
    """Copy the ledger while it is used."""
    with _own(settings), opened(settings) as database:
        size = back_up(settings.data_dir, database.dsn, target)
    if as_json:
        output.tell({"backup": str(target.absolute()), "bytes": size})
    else:
        output.say(f"backed up to {target.absolute()}: {size:,} bytes, checked")
        output.note(KEYS)
    return 0


def archive(settings: Settings, directory: Path | None, as_json: bool) -> int:
    """Say where the write-ahead log is archived."""
    with _own(settings):
        archive_to(settings.data_dir, directory)
    if as_json:
        output.tell({"archive": None if directory is None else str(directory.absolute())})
    elif directory is None:
        output.say("the write-ahead log is archived no more, from the server's next start on")
    else:
        output.say(f"archived to {directory.absolute()} from the server's next start on")
        output.note("A backup that is made after that start can be restored as of any time since.")
    return 0


def restore(
    settings: Settings,
    source: Path,
    archived: Path | None,
    to: str | None,
    as_json: bool,
) -> int:
    """Make a new ledger of a backup."""
    try:
        until = None if to is None else TypeAdapter(Instant).validate_python(to)
    except ValidationError:
        said = "an instant with its offset (2009-01-05T18:00:00+08:00)"
        raise WrongUse(f"--to: it must be {said}.") from None
    with _own(settings):
        restored(source, settings.data_dir, archived, until)
    if as_json:
        output.tell({"restored": str(settings.data_dir)})
    else:
        output.say(f"restored in {settings.data_dir}")
        output.note("Put the keys of personal data there, too, and tell it where to archive.")
    return 0
