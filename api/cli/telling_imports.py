"""What is told of an import that ended: in words, or as JSON."""

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from api.cli.terminal import output
from api.cli.terminal.rejects import reasons_of
from api.files.merging import Place
from api.files.rejecting import Told
from api.files.taking import summary
from api.runtime.failures import Rejected
from ledger.imported import Imported
from ledger.rejects import Rejection

SHOWN = 20
"""How many rejected lines are named in words; --json and the file of reasons name them all."""


_ABOUT = {"column": "column", "member": "member_id", "key": "key"}
"""What is named of a rejected line beside its place."""


@dataclass(frozen=True)
class Asked:
    """What was asked of an import."""

    files: Sequence[str]
    mapping: str | None = None
    keep_good: Path | None = None
    check: bool = False
    as_told: bool = False
    as_json: bool = False
    despite: tuple[str, ...] = ()


@dataclass
class Telling:
    """What is told of an import that ended."""

    asked: Asked
    done: Imported
    places: Sequence[Place]
    written: Path | None
    reasons: BinaryIO
    by_code: Mapping[str, int]
    took_s: float

    def told(self) -> int:
        """Tell it; ends with Rejected if lines were."""
        done, written = self.done, self.written
        if self.asked.as_json:
            self._tell()
        elif self.asked.check or done.kept:
            self._say()
        if not done.rejected:
            return 0
        if done.replayed:
            now = f"are now in {written}" if written else "are not written out again"
            raise Rejected(
                f"This file was taken before, and {_lines(done)} rejected then: they are not in the"
                f" ledger, and {now}."
            )
        if not self.asked.as_json:
            self._name_rejected()
        if self.asked.check:
            count = output.counted(done.rejected, "line")
            raise Rejected(f"{count} would be rejected; nothing was written.")
        raise Rejected(
            f"{_lines(done)} rejected and written to {written}, the reasons to"
            f" {reasons_of(written)}; the rest was taken."
            if written
            else f"{_lines(done)} rejected, so nothing of the {self._what()} was taken: mend them,"
            " or take the rest with --keep-good."
        )

    def _what(self) -> str:
        return "files" if len({place.file.name for place in self.places}) > 1 else "file"

    def _say(self) -> None:
        done = self.done
        took = f"{output.counted(done.facts, 'fact')}, {output.counted(done.events, 'event')}"
        if done.replayed_facts:
            took += f", {output.counted(done.replayed_facts, 'fact')} done before"
        then = f", {_lines(done)} rejected then" if done.rejected and done.replayed else ""
        if done.replayed:
            these = "these files were" if self._what() == "files" else "this file was"
            output.say(f"{these} taken before: {took}{then}")
        elif self.asked.check:
            output.say(f"would take {took}; nothing was written ({self.took_s:.1f} s)")
        else:
            output.say(f"took {took} in {self.took_s:.1f} s")
        if len(self.places) > 1:
            for place, file in zip(self.places, done.files, strict=True):
                before = " (taken before)" if file.replayed and not done.replayed else ""
                kind = f" {place.fact}" if place.fact else ""
                facts = output.counted(file.facts, "fact")
                rejected = f", {file.rejected:,} rejected" if file.rejected else ""
                output.say(f"  {place.called}{kind}: {facts}{rejected}{before}")
        for late in done.late[:SHOWN]:
            where = f"{self.places[late.file].called}, line {late.line}"
            output.note(
                f"{where}: {late.command} of {output.local(late.at)} is judged by what was left"
                f" after facts up to {output.local(late.latest)}, known before"
            )
        if done.late_facts > SHOWN:
            more = output.counted(done.late_facts - SHOWN, "more line")
            output.note(f"... and {more} judged by a later state; `doubts` lists what may be wrong")

    def _name_rejected(self) -> None:
        told = Told(self.places)
        tables = Counter(place.called for place in self.places)
        for each in self._shown():
            known, place = told.told(each), self.places[each.file]
            where = f"line {each.line}"
            if place.fact or len(self.places) > 1:
                where = f"{place.called}, {where}"
            about = [f"{n} {known[k]}" for n, k in _ABOUT.items() if k in known]
            if place.fact and tables[place.called] > 1:  # a row of it gives several
                about.insert(0, place.fact)
            whose = f" ({', '.join(about)})" if about else ""
            output.note(f"{where}: {each.reason}{whose}; to mend it: {known['mend']}")
        if self.done.rejected > SHOWN:
            named = f"{reasons_of(self.written)} names" if self.written else "--json names"
            kinds = ", ".join(f"{count:,} {code}" for code, count in self.by_code.items())
            more = f"{self.done.rejected - SHOWN:,} more, {kinds} in all"
            output.note(f"... and {more}: {named} them")

    def _shown(self) -> Iterator[Rejection]:
        """Of each file and reason its first line, whatever the others are; then those that follow.
        What is wrong with a club comes before all that its visits are refused for."""
        rejections = self.done.rejections
        first: dict[tuple[int, str], int] = {}
        for n, each in enumerate(rejections):
            first.setdefault((each.file, each.code), n)
        chosen = [*dict.fromkeys((*first.values(), *range(len(rejections))))][:SHOWN]
        return (rejections[n] for n in sorted(chosen))

    def _tell(self) -> None:
        """All of it as JSON; the reasons one by one, for there may be more than fit into memory."""
        done = self.done
        told = summary(done, self.places, self.asked.check)
        late = told.pop("late")
        told = {**told, "took_s": round(self.took_s, 2), "late": late}
        text = json.dumps(told, indent=2, ensure_ascii=False)
        sys.stdout.write(text.removesuffix("\n}") + ',\n  "rejections": [')
        self.reasons.flush()
        self.reasons.seek(0)
        between = "\n    "
        for each in self.reasons:
            sys.stdout.write(between + each.decode().rstrip("\n"))
            between = ",\n    "
        sys.stdout.write("\n  ]\n}\n")


def _lines(done: Imported) -> str:
    count = done.rejected
    return f"{output.counted(count, 'line')} {'was' if count == 1 else 'were'}"
