"""Evidence: what tells afterwards why something went wrong. It is kept in `build/hostile/`."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGUSR2

from tests.api.running import REPOSITORY
from tests.hostile import processes
from tests.hostile.house import House

KEPT = REPOSITORY / "build" / "hostile"
WORDS_S = 20
"""How long those who are asked what they do may take to say it: who hangs may never do."""
ASK_AGAIN_S = 0.2
TAIL_BYTES = 100_000


@dataclass
class Evidence:
    """Of one hour, in a directory that is made for the first of it."""

    place: Path
    files: list[Path] = field(default_factory=list)

    def keep(self, name: str, text: str) -> None:
        """Keep it under a name, once."""
        self.place.mkdir(parents=True, exist_ok=True)
        file = self.place / name
        file.write_text(text)
        if file not in self.files:
            self.files.append(file)

    def of_silence(self, house: House) -> None:
        """Keep what everybody does at this moment, while nobody is answered."""
        before, until = len(house.life.said()), time.monotonic() + WORDS_S
        family = processes.family(house.life.process.pid)
        asked = {pid for pid in family if processes.catches(pid, SIGUSR2)}  # else it would die
        while asked and time.monotonic() < until:
            for pid in asked:  # and again: one that was about to wait may hear it when it awakes
                processes.send(pid, SIGUSR2)
            time.sleep(ASK_AGAIN_S)
            told = house.life.said()[before:]
            asked = {pid for pid in asked if f"process {pid} has told" not in told}
        texts = [
            "\n".join(map(processes.shown, house.everybody())),
            f"serve {house.life.number}: {', '.join(house.life.asked)}",
            house.life.said(),
            *(f"{file}\n{_tail(file)}" for file in _logs(house.data_dir)),
        ]
        self.keep(f"silence-{len(self.files)}.txt", "\n\n".join(texts) + "\n")


def _logs(data_dir: Path) -> list[Path]:
    """What PostgreSQL says, of its start and since."""
    return [data_dir / "start.log", *sorted((data_dir / "pgdata" / "log").glob("server-*.log"))]


def _tail(file: Path) -> str:
    try:
        return file.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
    except OSError as error:
        return str(error)
