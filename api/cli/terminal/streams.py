"""The three streams as they come: closed, full or of another encoding, they make no defect."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO

from api.runtime.failures import CannotWrite

READS, WRITES = os.O_RDONLY, os.O_WRONLY


class _Answers(TextIOWrapper):
    """Stdout: what cannot be written ends the command with a sentence, unless nobody reads."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise not_written(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise not_written(error) from error


class _Notes(TextIOWrapper):
    """Stderr: what cannot be written there can be told nowhere."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def not_written(error: OSError) -> CannotWrite:
    """The sentence for an answer that does not get out."""
    return CannotWrite(f"The answer cannot be written: {error.strerror}.")


def prepare() -> None:
    """Once, before anything is opened: a file or socket must not get the number of a stream.

    A closed stdin is empty, nothing can be written to a closed stdout, and what goes to a closed
    stderr is gone. A letter that an encoding lacks is shown as `?`, and ends no command.
    """
    for number, how in enumerate((READS, READS, WRITES)):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, how), number)
    sys.stdin = sys.stdin or open(0, encoding="utf-8")  # noqa: SIM115 - as long as we live
    sys.stdout = _made(_Answers, sys.stdout, 1, line_buffering=False)
    sys.stderr = _made(_Notes, sys.stderr, 2, line_buffering=True)


def _made(
    kind: type[TextIOWrapper], stream: TextIO | None, number: int, line_buffering: bool
) -> TextIOWrapper:
    """The stream by another class, in its own encoding."""
    if isinstance(stream, TextIOWrapper):
        encoding, at_once = stream.encoding, stream.write_through
        line_buffering = line_buffering or stream.line_buffering
        return kind(
            stream.detach(),
            encoding,
            "replace",
            line_buffering=line_buffering,
            write_through=at_once,  # with PYTHONUNBUFFERED
        )
    raw = os.fdopen(number, "wb", closefd=False)
    return kind(raw, "utf-8", "replace", line_buffering=line_buffering)


def let_go() -> None:
    """Nothing more is written to stdout, not even what waits in its buffer."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, WRITES), 1)
