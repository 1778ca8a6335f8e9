"""`import`: history from a file of facts, all of it or what is good of it."""

import hashlib
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from api.cli import output
from api.failures import Rejected, WrongUse
from api.settings import Settings
from api.wiring import opened
from ledger.importing import Imported, Importer

BLOCK_BYTES = 1 << 20
SHOWN = 20
"""How many rejected lines are named in words; --json names them all, up to the import's limit."""


def run(settings: Settings, file: str, keep_good: Path | None, as_json: bool) -> int:
    """Take a file in, all of it or what is good of it."""
    begun = time.monotonic()
    with ExitStack() as stack:
        facts, key, total = stack.enter_context(_read(file))
        rejects = stack.enter_context(_rejects(keep_good))
        database = stack.enter_context(opened(settings, create=True))
        steps = stack.enter_context(output.steps())
        steps.begin("importing", total)
        importer = Importer(database.dsn, now=database.clock.now())
        done = importer.load(
            lambda: _from_the_start(facts),
            key=key,
            progress=steps.advance,
            keep_good=rejects,
        )
    return _told(done, keep_good, time.monotonic() - begun, as_json)


def _from_the_start(facts: BinaryIO) -> BinaryIO:
    facts.seek(0)
    return facts


@contextmanager
def _read(name: str) -> Iterator[tuple[BinaryIO, str, int]]:
    """(the facts, a key made of their bytes, how many lines). Stdin is kept in a file first."""
    with ExitStack() as stack:
        if name == "-":
            facts: BinaryIO = stack.enter_context(tempfile.TemporaryFile())
            while block := sys.stdin.buffer.read(BLOCK_BYTES):
                facts.write(block)
            facts.seek(0)
        else:
            try:
                facts = stack.enter_context(Path(name).open("rb"))
            except OSError as error:
                raise WrongUse(f"{name} cannot be read: {error.strerror}.") from error
        digest, lines = hashlib.sha256(), 0
        try:
            while block := facts.read(BLOCK_BYTES):
                digest.update(block)
                lines += block.count(b"\n")
        except OSError as error:
            raise WrongUse(f"{name} cannot be read: {error.strerror}.") from error
        yield facts, f"file:{digest.hexdigest()[:32]}", lines


@contextmanager
def _rejects(path: Path | None) -> Iterator[BinaryIO | None]:
    """The file for rejected lines, which must not be there yet: it may hold somebody's work."""
    if path is None:
        yield None
        return
    try:
        rejects = path.open("x+b")
    except FileExistsError as error:
        raise WrongUse(f"{path} is there already: name a new file for the rejects.") from error
    except OSError as error:
        raise WrongUse(f"{path} cannot be written: {error.strerror}.") from error
    with rejects:
        try:
            yield rejects
        finally:
            if not rejects.tell():
                path.unlink()


def _told(done: Imported, keep_good: Path | None, took_s: float, as_json: bool) -> int:
    done.rejections.sort(key=lambda each: each.line)
    if as_json:
        told = {
            "key": done.key,
            "kept": done.kept,
            "replayed": done.replayed,
            "facts": done.facts if done.kept else 0,
            "events": done.events if done.kept else 0,
            "replayed_facts": done.replayed_facts,
            "rejected": done.rejected,
            "rejections": [
                {"line": each.line, "code": each.code, "reason": each.reason}
                for each in done.rejections
            ],
            "took_s": round(took_s, 2),
        }
        output.tell(told)
    elif done.kept:
        took = f"{output.counted(done.facts, 'fact')}, {output.counted(done.events, 'event')}"
        if done.replayed_facts:
            took += f", {output.counted(done.replayed_facts, 'fact')} done before"
        then = f", {_lines(done)} rejected then" if done.rejected else ""
        output.say(
            f"this file was taken before: {took}{then}"
            if done.replayed
            else f"took {took} in {took_s:.1f} s"
        )
    if not done.rejected:
        return 0
    if done.replayed:
        raise Rejected(
            f"This file was taken before, and {_lines(done)} rejected then:"
            " they are not in the ledger, and are not written out again."
        )
    if not as_json:
        for each in done.rejections[:SHOWN]:
            output.note(f"line {each.line}: {each.reason}")
        if done.rejected > SHOWN:
            output.note(f"... and {done.rejected - SHOWN:,} more")
    raise Rejected(
        f"{_lines(done)} rejected and written to {keep_good}; the rest was taken."
        if done.kept
        else f"{_lines(done)} rejected, so nothing of the file was taken."
    )


def _lines(done: Imported) -> str:
    return f"{output.counted(done.rejected, 'line')} {'was' if done.rejected == 1 else 'were'}"
