"""`import`: history from a file of facts, all of it or what is good of it."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import BinaryIO

from api.cli.terminal import output
from api.cli.terminal.looking import refusable
from api.cli.terminal.rejects import held, reasons_of
from api.cli.terminal.sources import source
from api.runtime.failures import NO_ROOM, CannotWrite, Rejected
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger import lines
from ledger.importing import Imported, Importer
from ledger.lines import Lines
from ledger.rejects import Rejects

SHOWN = 20
"""How many rejected lines are named in words; --json and the file of reasons name them all."""


def run(settings: Settings, file: str, keep_good: Path | None, as_json: bool) -> int:
    """Take a file in, all of it or what is good of it."""
    begun = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(refusable())
        facts = stack.enter_context(_read(file))
        key = facts.digest[:32]
        into = None if keep_good is None else stack.enter_context(held(keep_good, key))
        reasons: BinaryIO = into.reasons if into else stack.enter_context(TemporaryFile())
        rejects = into.rejects if into else Rejects(reasons=reasons)
        database = stack.enter_context(opened(settings, create=True))
        with output.steps() as steps:
            steps.begin("importing", facts.count)
            importer = Importer(database.dsn, now=database.clock.now())
            try:
                done = importer.load(facts, key=key, progress=steps.advance, rejects=rejects)
            except OSError as error:
                raise CannotWrite(f"The rejects cannot be written: {error.strerror}.") from error
        written = into is not None and into.place(done.rejected)
        took_s = time.monotonic() - begun
        return _told(done, keep_good if written else None, reasons, took_s, as_json)


@contextmanager
def _read(name: str) -> Iterator[Lines]:
    """The file's lines as they are now: it is read once, whatever kind of file it is."""
    with ExitStack() as stack:
        with source(name) as file:
            try:
                copied = stack.enter_context(lines.read(file))
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                raise CannotWrite(
                    f"{name} does not fit into {gettempdir()}, where it is copied to while it is"
                    " read: TMPDIR names another directory."
                ) from error
        yield copied


def _told(
    done: Imported, written: Path | None, reasons: BinaryIO, took_s: float, as_json: bool
) -> int:
    if as_json:
        _tell(done, reasons, took_s)
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
            f"This file was taken before, and {_lines(done)} rejected then: they are not in the"
            f" ledger, and {f'are now in {written}' if written else 'are not written out again'}."
        )
    if not as_json:
        for each in done.rejections[:SHOWN]:
            output.note(f"line {each.line}: {each.reason}")
        if done.rejected > SHOWN:
            named = f"{reasons_of(written)} names" if written else "--json names"
            output.note(f"... and {done.rejected - SHOWN:,} more: {named} them all")
    raise Rejected(
        f"{_lines(done)} rejected and written to {written}, the reasons to {reasons_of(written)};"
        " the rest was taken."
        if written
        else f"{_lines(done)} rejected, so nothing of the file was taken: mend them, or take the"
        " rest with --keep-good."
    )


def _tell(done: Imported, reasons: BinaryIO, took_s: float) -> None:
    """All of it as JSON; the reasons one by one, for there may be more than fit into memory."""
    told = {
        "key": done.key,
        "kept": done.kept,
        "replayed": done.replayed,
        "facts": done.facts if done.kept else 0,
        "events": done.events if done.kept else 0,
        "replayed_facts": done.replayed_facts,
        "rejected": done.rejected,
        "took_s": round(took_s, 2),
    }
    sys.stdout.write(json.dumps(told, indent=2).removesuffix("\n}") + ',\n  "rejections": [')
    reasons.flush()
    reasons.seek(0)
    between = "\n    "
    for each in reasons:
        sys.stdout.write(between + each.decode().rstrip("\n"))
        between = ",\n    "
    sys.stdout.write("\n  ]\n}\n")


def _lines(done: Imported) -> str:
    return f"{output.counted(done.rejected, 'line')} {'was' if done.rejected == 1 else 'were'}"
