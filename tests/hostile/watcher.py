"""Who looks on: memory, workers that vanish, and connections that are never let go."""

import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tests.hostile import processes
from tests.hostile.house import House

LOOK_AGAIN_S = 0.5
UNFINISHED = (
    b"GET /livez HTTP/1.1\r\nHost: h\r\n",
    b"POST /v1/members/x/visits HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    b"Idempotency-Key: x\r\nContent-Length: 50\r\n\r\n{",
)


@dataclass
class Watcher:
    """Looks every half second."""

    house: House
    peak: processes.Memory = field(default_factory=lambda: processes.Memory(0, 0))
    peak_in: str = ""
    longest_held_s: float = 0.0
    """How long a connection with an unfinished request was held open at most."""
    lost: list[tuple[int, int]] = field(default_factory=list)
    """(life, pid) of workers that vanished while their parent went on."""
    phase: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    _held: list[tuple[socket.socket, float]] = field(default_factory=list)

    def run(self) -> None:
        """Until told to stop."""
        while not self.stop.wait(LOOK_AGAIN_S):
            if not self.house.lives:
                continue
            self._weigh()
            self._count()
            self._hold()
        for held, _ in self._held:
            held.close()

    def _weigh(self) -> None:
        now = processes.memory(self.house.everybody())
        if now.own > self.peak.own:
            self.peak, self.peak_in = now, self.phase

    def _count(self) -> None:
        life = self.house.life
        known = set(self.house.workers())
        if life.process.poll() is None and not any(word.startswith("SIG") for word in life.asked):
            self.lost += [(life.number, pid) for pid in life.workers if pid not in known]
            life.workers = set()
        life.workers |= known
        if known - life.crew:
            life.crew = known

    def _hold(self) -> None:
        now = time.monotonic()
        for held, since in [*self._held]:
            self.longest_held_s = max(self.longest_held_s, now - since)
            if _let_go(held):
                held.close()
                self._held.remove((held, since))
        if len(self._held) < 4:
            with suppress(OSError):
                line = socket.create_connection(("127.0.0.1", self.house.port), timeout=1)
                line.sendall(UNFINISHED[int(now) % 2])
                line.setblocking(False)
                self._held.append((line, now))


def _let_go(line: socket.socket) -> bool:
    """Whether the other side has answered or ended it."""
    try:
        line.recv(4_096)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
