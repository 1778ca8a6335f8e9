"""The command line beside it: ordinary questions and imports under strange circumstances.

Every end is judged: an exit code of the table, no traceback, no defect, JSON where JSON was asked
for, nothing that hangs. An import is taken in whole or not at all, however often it is killed.
"""

import json
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.runtime.failures import EXIT_CODES
from tests.api.running import COMMAND
from tests.hostile import processes
from tests.hostile.house import LIMIT_S, House
from tests.hostile.world import CAMPAIGN, CLUB, VICTIM, fact, lines, member_of

FACTS = 40
"""Members that a file takes on, unless it is to be a big one."""
ASKED: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("member", VICTIM),
    ("member", member_of(0, 0), "--statement", "--limit", "5"),
    ("member", "nobody-at-all"),
    ("figures",),
    ("figures", "--report", "vip-2008", "--explain", "no.such.claim"),
    ("events", "--limit", "200"),
    ("events", "--stream", f"club:{CLUB}"),
    ("events", "--stream", f"campaign:{CAMPAIGN}"),
    ("compare", "--sample", "5"),
    ("project",),
    ("rebuild",),
    ("member", VICTIM, "--limit", "0"),
    ("figures", "--known-at", "yesterday"),
)
ENVIRONMENTS: tuple[Mapping[str, str], ...] = (
    {"PGHOSTADDR": "192.0.2.1", "PGPORT": "1", "PGDATABASE": "nowhere"},
    {"PGSERVICE": "nobody", "PGSERVICEFILE": "/nonexistent"},
    {"PGGSSENCMODE": "require", "PGSSLMODE": "verify-full"},
    {"PGREQUIREPEER": "nobody", "PGREQUIREAUTH": "none", "PGCHANNELBINDING": "require"},
    {"PGCLIENTENCODING": "SQL_ASCII", "PGDATESTYLE": "SQL, DMY", "PGTZ": "Mars/Olympus"},
    {"PGOPTIONS": "-c statement_timeout=1 -c search_path=nowhere", "PGAPPNAME": "x" * 500},
    {"PGUSER": "nobody", "PGPASSWORD": "wrong", "PGPASSFILE": "/nonexistent"},
    {"PGTARGETSESSIONATTRS": "standby", "PGCONNECT_TIMEOUT": "1"},
    {"LANG": "xx_XX.nonsense", "LC_ALL": "tr_TR.UTF-8"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"TZ": "Mars/Olympus"},
    {"TZ": "Pacific/Apia", "LANGUAGE": "zh:tr"},
    {"HOME": "/nonexistent", "XDG_DATA_HOME": "relative"},
    {"HOME": "", "USER": "", "PATH": ""},
    {"TMPDIR": "/nonexistent"},
    {"PYTHONWARNINGS": "error", "PYTHONHASHSEED": "0"},
)
ENDINGS = ("", "", "", "", "SIGINT", "SIGTERM", "SIGKILL", "SIGHUP", "unread", "/dev/full")


@dataclass
class Commands:
    """Runs one after the other until told to stop. `name` keeps its files and members apart."""

    name: str
    house: House
    dice: random.Random
    faults: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    imports: dict[str, list[str]] = field(default_factory=dict)
    """File -> the members that it takes on."""
    taken: set[str] = field(default_factory=set)
    """Files of which an import said that it is in."""
    peak_bytes: int = 0
    peak_of: str = ""
    """The command that took them."""
    longest_s: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """One command after the other."""
        while not self.stop.wait(self.dice.uniform(0.2, 1.0)):
            environment: Mapping[str, str] = {}
            if self.dice.random() < 0.4:
                environment = self.dice.choice(ENVIRONMENTS)
            descriptors = 32 if self.dice.random() < 0.05 else 1_024
            ending = self.dice.choice(ENDINGS)
            if self.dice.random() < 0.25:
                self.take_in(environment, descriptors, ending)
            else:
                asked = self.dice.choice(ASKED)
                as_json = ("--json",) if self.dice.random() < 0.5 else ()
                self.one((*asked, *as_json), environment, descriptors, ending)

    def finish(self) -> None:
        """Every file that is not in yet is sent again, undisturbed."""
        for name in self.imports:
            if name not in self.taken and self.one(("import", name), {}, 1_024, "") == 0:
                self.taken.add(name)

    def take_in(
        self, environment: Mapping[str, str], descriptors: int, ending: str, size: int = FACTS
    ) -> None:
        """A new file, or one that did not get through."""
        open_files = [name for name in self.imports if name not in self.taken]
        if open_files and self.dice.random() < 0.7:
            name = self.dice.choice(open_files)
        else:
            number = len(self.imports)
            members = [f"{self.name}{number}-{n}" for n in range(size)]
            name = str(self.house.place / f"{self.name}-{number}.jsonl")
            made = [fact("member.join", member_id=each, unit_id="h-unit") for each in members]
            Path(name).write_bytes(lines(made))
            self.imports[name] = members
        with self.house.importing:
            code = self.one(("import", name, "--json"), environment, descriptors, ending)
        if code == 0:
            self.taken.add(name)

    def one(
        self, asked: tuple[str, ...], environment: Mapping[str, str], descriptors: int, ending: str
    ) -> int:
        """Run one and judge how it ended; its exit code."""
        limited = ("/bin/sh", "-c", f'ulimit -Sn {descriptors}; exec "$@"', "sh")
        told, complained = (self.house.place / f"{self.name}.{end}" for end in ("out", "err"))
        with (
            open("/dev/full" if ending == "/dev/full" else told, "wb") as out,
            complained.open("wb") as err,
        ):
            process = subprocess.Popen(
                [*limited, *COMMAND, *asked],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if ending == "unread" else out,
                stderr=err,
                env={**self.house.environment(), **environment},
                start_new_session=True,
            )
        if process.stdout is not None:
            process.stdout.close()
        begun = time.monotonic()
        if ending.startswith("SIG"):
            time.sleep(self.dice.uniform(0.05, 2))
            processes.send(process.pid, signal.Signals[ending])
        code, hung, peak = _waited(process)
        words = [Path(word).name if "/" in word else word for word in asked]
        shown = (
            f"`{' '.join(words)}`"
            f" ({dict(environment)} nofile={descriptors} {ending or 'undisturbed'})"
        )
        if peak > self.peak_bytes:
            self.peak_bytes, self.peak_of = peak, shown
        self.longest_s = max(self.longest_s, time.monotonic() - begun)
        self.ends[f"{asked[0]} {code}"] += 1
        out_said = told.read_bytes() if told.exists() and ending != "/dev/full" else b""
        wrong = judged(asked, code, ending, hung, out_said, complained.read_bytes())
        if wrong:
            self.faults.append(f"{shown}: {wrong}")
        return code


def _waited(process: subprocess.Popen[bytes]) -> tuple[int, bool, int]:
    """(exit code, whether it had to be killed, bytes it took at its most)."""
    until, hung, peak = time.monotonic() + LIMIT_S, False, 0
    while (code := process.poll()) is None:
        peak = max(peak, processes.most_bytes(process.pid))
        if not hung and time.monotonic() > until:
            hung = True
            process.kill()
        time.sleep(0.02)
    return code, hung, peak


OURS = re.compile(
    r"/api/(?!cli/__init__\.py|cli/terminal/signals\.py|.*, in <module>$).*, in ", re.MULTILINE
)
"""A line of a traceback in a function of ours: there signals are handled. In those two files they
are about to be."""


def judged(
    asked: tuple[str, ...], code: int, ending: str, hung: bool, out: bytes, err: bytes
) -> str | None:
    """What is wrong with how it ended, or None."""
    said = err.decode(errors="replace")
    # Before our first line and after our last one Python ends as it ends: by the signal, or with 1.
    python = ending.startswith("SIG") and not OURS.search(said)
    last = (said.strip().splitlines() or [""])[-1][:300]
    signalled = {-signal.Signals[ending]} if ending == "SIGKILL" else set[int]()
    if hung:
        return f"hung for {LIMIT_S:.0f} s; {last}"
    if code not in EXIT_CODES.keys() | signalled:
        if not (python and code == -signal.Signals[ending]):
            return f"exit code {code} is not in the table; {last}; {where(said)}"
    elif python and code == 1 and said.startswith("Fatal Python error: init_"):
        pass
    elif code == 5 or "Traceback" in said or "defect" in said:
        return f"exit code {code}: {last}; {where(said)}"
    if code not in (0, 1) and not said.strip() and not ending.startswith("SIG"):
        return f"exit code {code} without a word"
    if "--json" in asked and ending in ("", "/dev/full"):
        if not all(_is_json(line) for line in said.splitlines()):
            return f"stderr is no JSON: {last}"
        if not ending and code == 0 and not _is_json(out.decode()):
            return "stdout is no JSON"
    return None


def where(said: str) -> str:
    """The innermost places of the last traceback in what was said."""
    found = re.findall(r'File \\?"([^"\\]+)\\?", line (\d+), in (\w+)', said)
    return " < ".join(
        f"{Path(file).name}:{line} {name}" for file, line, name in reversed(found[-4:])
    )


def _is_json(text: str) -> bool:
    try:
        _: Any = json.loads(text)
    except ValueError:
        return False
    return True
