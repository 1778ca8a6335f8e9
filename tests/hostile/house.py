"""The house under attack: `serve --workers 2` on a data directory, and somebody who starts it again
whenever it has ended, as a service manager would, and writes down how it ended."""

import http.client
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.api.running import COMMAND, REPOSITORY, environment
from tests.hostile import processes

CLOCK = Path(__file__).parent / "clock"
DESCRIPTORS = 1_024
"""What a session usually gives; a server that is asked for more must live with it."""
AGAIN_S = 0.3
LIMIT_S = 60.0
"""Nothing hangs longer."""


@dataclass
class Life:
    """One run of `serve`, from its start to its end."""

    number: int
    process: subprocess.Popen[bytes]
    told: Path
    why: str
    """What was special about its start."""
    asked: list[str] = field(default_factory=list)
    """The signals that we sent to it, and what else befell it."""
    workers: set[int] = field(default_factory=set)
    """Those seen at the last look."""
    crew: set[int] = field(default_factory=set)
    """Those that it had when the last of them was new."""

    def said(self) -> str:
        """What it has written to stderr."""
        return self.told.read_text(errors="replace")


@dataclass
class House:
    """Where it lives, and every life that it has had."""

    place: Path
    data_dir: Path
    port: int = 0
    lives: list[Life] = field(default_factory=list)
    extra: Mapping[str, str] = field(default_factory=dict)
    descriptors: int = DESCRIPTORS
    starting: threading.Lock = field(default_factory=threading.Lock)
    importing: threading.Lock = field(default_factory=threading.Lock)
    """Held while `serve` starts, and while an import runs: where there is no ledger they make one.
    """
    faults: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        self.clock(0)

    def clock(self, ahead_s: int) -> None:
        """Move the clock of every process of ours."""
        new = self.place / "clock.new"
        new.write_text(str(ahead_s))
        new.replace(self.place / "clock")

    def environment(self, **extra: str) -> dict[str, str]:
        """That of a process of ours."""
        path = os.pathsep.join((str(CLOCK), str(REPOSITORY)))
        known = environment(HOSTILE_CLOCK=str(self.place / "clock"), **extra)
        return {**known, "PYTHONPATH": path, "CLUBLEDGER_DATA_DIR": str(self.data_dir)}

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside, somebody starts it again whenever it has ended."""
        keeper = threading.Thread(target=self._keep, name="keeper")
        keeper.start()
        try:
            yield
        finally:
            self._stop.set()
            keeper.join()

    def _keep(self) -> None:
        while not self._stop.is_set():
            if not self.lives or self.lives[-1].process.poll() is not None:
                with self.starting:
                    self._start()
            self._stop.wait(AGAIN_S)

    def _start(self) -> None:
        number = len(self.lives)
        told = self.place / f"serve-{number}.err"
        limited = ("/bin/sh", "-c", f'ulimit -Sn {self.descriptors}; exec "$@"', "sh")
        serve = ("serve", "--port", str(self.port), "--workers", "2", "--json")
        with told.open("wb") as err:
            process = subprocess.Popen(
                [*limited, *COMMAND, *serve],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=err,
                env={**self.environment(), **self.extra},
                start_new_session=True,
            )
        why = " ".join([*self.extra, *([f"nofile={self.descriptors}"] * (self.descriptors < 999))])
        self.lives.append(Life(number, process, told, why))

    @property
    def life(self) -> Life:
        """The present one, or the last."""
        return self.lives[-1]

    def workers(self) -> list[int]:
        """The processes that answer."""
        found = processes.family(self.life.process.pid)[1:]
        return [pid for pid in found if "spawn_main" in processes.words(pid)]

    def everybody(self) -> list[int]:
        """Every process of `serve`, past lives' orphans apart, and of PostgreSQL."""
        main = processes.postmaster(self.data_dir)
        mains = [self.life.process.pid] if self.lives else []
        return processes.family(*mains, *([] if main is None else [main]))

    def send(self, sent: signal.Signals) -> None:
        """Send the parent a signal."""
        life = self.life
        life.asked.append(sent.name)
        if life.process.poll() is None:
            life.process.send_signal(sent)

    def answers(self, path: str = "/v1/status", timeout_s: float = 5) -> tuple[int, str]:
        """(status, body) of a question; (0, why) if there is no answer."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            line.request("GET", path)
            answer = line.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, type(error).__name__
        finally:
            line.close()

    def up(self, within_s: float) -> bool:
        """Whether it answers before that time is over."""
        until = time.monotonic() + within_s
        while self.answers()[0] != 200:
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    def stop(self) -> float:
        """End it for good; how long that took. It is killed when it takes too long."""
        self._stop.set()
        begun = time.monotonic()
        self.send(signal.SIGTERM)
        try:
            self.life.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.life.asked.append("hung")
            for pid in self.everybody():
                processes.send(pid, signal.SIGKILL)
            self.life.process.wait()
        return time.monotonic() - begun
