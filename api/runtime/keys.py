"""Where the key-encryption keys come from: what the settings say, else a file beside the data."""

import os
import shlex
import subprocess
from pathlib import Path

from api.runtime.settings import Settings
from ledger.embedded.account import owner_of
from ledger.embedded.files import read_if_there, take, write_private
from ledger.keyring import KEYRING, Source, UnusableKeys

REMARK = "Without these nobody's name or number can be read again: keep a copy elsewhere."
COMMAND_S = 30
"""How long the command that tells them may take."""


def take_keys(settings: Settings) -> None:
    """Let this process have the keys that these settings name, as far as there are any."""
    KEYRING.take(source_of(settings))


def source_of(settings: Settings) -> Source:
    """Where they are."""
    if settings.keys is not None:
        return Source("CLUBLEDGER_KEYS", settings.keys.get_secret_value)
    if settings.keys_command is not None:
        command = settings.keys_command
        return Source("what CLUBLEDGER_KEYS_COMMAND prints", lambda: _told_by(command))
    path = settings.keys_file or settings.data_dir / "keys"
    made = None if settings.keys_file else lambda key: _keep(path, key)
    return Source(str(path), lambda: _read(path), made)


def _read(path: Path) -> str:
    try:
        return read_if_there(path) or ""
    except OSError as error:
        raise UnusableKeys(f"{path} cannot be read: {error.strerror}") from error


def _keep(path: Path, key: str) -> None:
    """One key more in the file: mode 0600, beside the password of the database."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        take(directory)  # of two who add one at once, none may lose that of the other
        before = _read(path) or f"# {REMARK}\n"
        write_private(path, f"{before}{key}\n", owner_of(path.parent))
    finally:
        os.close(directory)


def _told_by(command: str) -> str:
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, text=True, timeout=COMMAND_S, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        kind = type(error).__name__
        raise UnusableKeys(f"CLUBLEDGER_KEYS_COMMAND cannot be run ({kind})") from None
    if done.returncode:
        raise UnusableKeys(f"CLUBLEDGER_KEYS_COMMAND ended with {done.returncode}")
    return done.stdout
