"""Files as an import takes them in: each read once, mapped, and told in the order of time. The
command line and jobs both do it here."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.files.mapping import Mapping
from api.files.merging import Merger, Place
from api.files.readers import File
from api.runtime.failures import WrongUse
from ledger.imported import Imported, Late, Taken
from ledger.lines import Source, lines_of

AHEAD = 2
"""Workbooks that are read, each in memory, before they are asked for."""


class Unmapped(Exception):
    """(the name of a file): it is a table, and no mapping says what its columns are."""


@dataclass
class Taking:
    """What files give: the facts, the places that they come from, how many there are about. Without
    a mapping they are of one file of facts as it stands."""

    facts: Source
    places: Sequence[Place]
    count: int
    mapping: Mapping | None = None
    skipped: list[str] = field(default_factory=list)  # tables that the mapping says nothing of


def require_apart(files: Sequence[File]) -> None:
    """Refuses files that could not be told apart."""
    alike = {file.digest: file.name for file in files}
    for file in files:
        if alike[file.digest] != file.name:
            raise WrongUse(f"{file.name} and {alike[file.digest]} are the same file.")
    bases = [Path(file.name).name for file in files]
    if len(set(bases)) < len(bases):
        raise WrongUse("Two files have one name: the rejects could not be told apart.")


def is_plain(files: Sequence[File], mapping: Mapping | None) -> bool:
    """Whether it is one file of facts, which may be taken as it stands."""
    return mapping is None and len(files) == 1 and files[0].kind == "jsonl"


def plain(file: File, key_of: Callable[[str], str]) -> Taking:
    """A file of facts as it stands: `OutOfOrder` is raised of it where time goes back, and then it
    is merged, as several are."""
    place = Place(file, key_of(file.digest))
    return Taking(lines_of(place.key, file.lines), [place], file.lines.count)


def merged(
    stack: ExitStack,
    files: Sequence[File],
    mapping: Mapping,
    key_of: Callable[[str], str],
    begin: Callable[[str], None] = lambda name: None,
) -> Taking:
    """The facts of all files in the order of time. `begin`: this file is read next. Raises
    Unmapped."""
    merger = Merger(mapping, stack, key_of)
    for file in files:
        begin(file.name)
        before = len(merger.places)
        merger.take(file)
        if len(merger.places) == before and file.kind != "jsonl":
            raise Unmapped(file.name)
    return Taking(merger.source(), merger.places, merger.facts, mapping, merger.skipped)


def summary(done: Imported, places: Sequence[Place], check: bool) -> dict[str, Any]:
    """What is told of an import that ended, without its rejected lines, as JSON has it. Nothing was
    taken where a bad line undid it; a check says what would be."""
    counts = done.kept or check
    return {
        "key": done.key,
        "kept": done.kept,
        "replayed": done.replayed,
        "facts": done.facts if counts else 0,
        "events": done.events if counts else 0,
        "replayed_facts": done.replayed_facts,
        "rejected": done.rejected,
        "judged_late": done.late_facts,
        "files": [_file(*each) for each in zip(places, done.files, strict=True)],
        "late": [_late(places[late.file], late) for late in done.late],
    }


def _file(place: Place, file: Taken) -> dict[str, Any]:
    return {
        "file": place.file.name,
        "sheet": place.sheet,
        "fact": place.fact,
        "key": file.key,
        "facts": file.facts,
        "events": file.events,
        "rejected": file.rejected,
        "replayed": file.replayed,
    }


def _late(place: Place, late: Late) -> dict[str, Any]:
    return {
        "file": place.file.name,
        "sheet": place.sheet,
        "line": late.line,
        "command": late.command,
        "stream": late.stream,
        "at": late.at.isoformat(),
        "latest": late.latest.isoformat(),
    }
