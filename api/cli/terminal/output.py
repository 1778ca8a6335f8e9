"""Output: answers on stdout, everything else on stderr."""

import json
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from api.cli.terminal import layouts, notes
from api.runtime.clock import Clock
from api.runtime.failures import Failure
from domain.kernel.values import PROGRAMME

WIDE = 200
"""Columns where nobody watches: a table in a file is not folded to 80."""
json_only = False
"""Whether the command was asked for JSON: then nothing else goes to either stream."""
LINE_EVERY_S = 5.0
"""How often progress is told in a line where there is no terminal."""


class _Console(Console):
    """A console that leaves the exit code of a broken pipe to the command line."""

    def on_broken_pipe(self) -> None:
        """Whoever read us has gone."""
        raise BrokenPipeError


def stdout() -> Console:
    """Where answers go."""
    wide = None if sys.stdout.isatty() else WIDE
    return _Console(width=wide, highlight=False, soft_wrap=False)


def stderr() -> Console:
    """Where everything else goes."""
    return _Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else WIDE)


def say(text: str) -> None:
    """A line of the answer, as it is."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """A line beside the answer."""
    sys.stderr.write(f"{notes.line(text)}\n")


def tell(answer: BaseModel | dict[str, Any]) -> None:
    """The answer as JSON."""
    if isinstance(answer, BaseModel):
        text = answer.model_dump_json(indent=2)
    else:
        text = json.dumps(answer, ensure_ascii=False, indent=2, default=_as_json)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(json.loads(text), indent=2)  # what cannot be written is escaped
    sys.stdout.write(f"{text}\n")


def complain(failure: Failure, as_json: bool) -> None:
    """Why it could not be done: one sentence, or a problem."""
    if as_json:
        problem = {
            "type": f"/problems/{failure.code}",
            "title": failure.title,
            "detail": failure.detail,
            "code": failure.code,
            "exit_code": failure.exit_code,
            **failure.more,
        }
        sys.stderr.write(json.dumps(problem, ensure_ascii=False, default=_as_json) + "\n")
    else:
        sys.stderr.write(f"clubledger: {failure.detail}\n")


def _as_json(value: Any) -> str:
    """What JSON has no word for: days and instants as ISO 8601 has them, like everywhere."""
    return value.isoformat() if isinstance(value, date) else str(value)


def demo_clock(clock: Clock) -> None:
    """Tell the time of a demo, which is not that of the wall; an answer in JSON holds it."""
    if clock.is_demo and not json_only:
        note(f"demo clock: {clock.shown()}")


def say_rows(
    names: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()
) -> None:
    """A table; the columns named in `right` hold numbers."""
    console = stdout()
    columns = [layouts.Column(name, right=name in right) for name in names]
    for line in layouts.listed(columns, rows, console.width):
        console.print(line, soft_wrap=True)


def local(instant: datetime | None) -> str:
    """An instant for a reader, in the programme's zone."""
    return "" if instant is None else f"{instant.astimezone(PROGRAMME.zone):%Y-%m-%d %H:%M:%S}"


def number(value: Any) -> str:
    """A number for a reader."""
    return "" if value is None else f"{value:,}"


def counted(count: int, noun: str) -> str:
    """So many of them, in words."""
    return f"{count:,} {noun if abs(count) == 1 else noun + 's'}"


class Steps:
    """Progress in steps: a bar on a terminal, else a line now and then."""

    def __init__(self, bar: Progress | None, quiet: bool = False) -> None:
        self._bar, self._quiet = bar, quiet
        self._task: Any = None
        self._title, self._done, self._total = "", 0, 0
        self._told = self._begun = time.monotonic()
        self._found = 0
        """What was done of it before it began: a rebuild goes on with that."""

    def begin(self, title: str, total: int) -> None:
        """A step begins; `total` may be an estimate."""
        self._title, self._done, self._total, self._found = title, 0, total, 0
        self._told = self._begun = time.monotonic()
        if self._bar is None:
            if not self._quiet:
                note(f"{title} ...")
            return
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(title, total=total or None)

    def advance(self, by: int) -> None:
        """So much more of the step is done."""
        self.reach(self._title, self._done + by, self._total)

    def reach(self, title: str, done: int, total: int) -> None:
        """The step is so far; another title begins another step."""
        if title != self._title:
            self.begin(title, total)
            self._found = done
        self._done, self._total = done, total
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=max(total, done) or None)
        elif not self._quiet and time.monotonic() - self._told >= LINE_EVERY_S:
            self._told = time.monotonic()
            note(f"{title}: {done:,} of {total:,}{self._left()}")

    def _left(self) -> str:
        """How long the rest will take, at the pace of what was done since it began."""
        done, rest = self._done - self._found, self._total - self._done
        if done <= 0 or rest <= 0:
            return ""
        return f", {(time.monotonic() - self._begun) / done * rest:,.0f} s left"


@contextmanager
def steps() -> Iterator[Steps]:
    """Show progress while this lasts."""
    console = stderr()
    if json_only or not console.is_terminal:
        yield Steps(None, quiet=json_only)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield Steps(bar)
