"""Workers: processes that answer on one socket, under a parent that tells what becomes of them.

The parent ends when it is told to, or says why it cannot go on. A worker that dies is replaced,
ever more slowly if it dies again and again; one that serves and gives no sign of life is killed.
"""

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process, resource_tracker
from multiprocessing.process import BaseProcess
from socket import socket
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from api.cli.serving import unread
from api.cli.terminal import notes
from api.runtime import metrics
from api.runtime.failures import CannotOpen

log = logging.getLogger("clubledger")

LOOK_AGAIN_S = 0.2
BEATS_TICKS = 10
"""A worker gives a sign of life every so many ticks of its loop, of 0.1 s each."""
SILENT_S = 30.0
"""How long one that serves may give none: its loop hangs, or it is frozen."""
START_S = 180.0
"""How long a start may take on a machine that is busy; a part of it waits for the database."""
STOP_S = 20.0
"""How long workers may take to end, which let requests under way end first."""
PAUSE_S, PAUSE_MAX_S = 0.5, 30.0
"""How long it takes until one that died is replaced: twice as long each time."""
SETTLED_S = 60.0
"""Who served so long is replaced at once again."""
TRIES = 5
"""How often each may fail to start while none has ever served."""
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

spawning = multiprocessing.get_context("spawn")


class Worker(uvicorn.Server):
    """A server that gives signs of life while its loop turns."""

    def __init__(
        self,
        config: uvicorn.Config,
        life: "connection.Connection[Any, Any]",
        stderr: unread.Unread | None,
    ) -> None:
        super().__init__(config)
        self._life, self._stderr = life, stderr

    async def on_tick(self, counter: int) -> bool:
        """Once a tick of the loop, as soon as it serves."""
        if counter % BEATS_TICKS == 0:
            with suppress(OSError):  # The parent has gone: another thread sees to that.
                self._life.send_bytes(b".")
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Only its parent ends it: Ctrl-C reaches that too. A second one would leave what is under
        way, and a traceback."""
        if sig != signal.SIGINT:
            super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        """End; the signal that told it to ends the process next, so its last words come first."""
        await super().shutdown(sockets)
        if self._stderr is not None:
            self._stderr.drain()


def work(
    configure: Callable[[], uvicorn.Config],
    listener: socket,
    life: "connection.Connection[Any, Any]",
    as_json: bool,
) -> None:
    """The life of a worker. Only its parent ends it: a terminal's signals reach the parent too."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    stderr = unread.wait_for_no_reader(as_json)
    notes.log_to_stderr(as_json)
    parent = parent_process()
    assert parent is not None
    threading.Thread(target=_follow_to_the_end, args=(parent.sentinel,), daemon=True).start()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Worker(configure(), life, stderr).run([listener])


def _follow_to_the_end(sentinel: int) -> None:
    connection.wait([sentinel])
    signal.raise_signal(signal.SIGTERM)


@dataclass
class _Place:
    """One of the workers, and who is it at present."""

    number: int
    process: BaseProcess | None = None
    life: "connection.Connection[Any, Any] | None" = None
    begun_at: float = 0.0
    beat_at: float | None = None  # None: it does not serve yet
    served_at: float | None = None
    deaths: int = 0  # in a row
    due_at: float = 0.0

    def shown(self) -> str:
        return f"Worker {self.number} (process {self.process.pid if self.process else None})"


@dataclass
class Supervisor:
    """`size` workers on `listener`."""

    size: int
    configure: Callable[[], uvicorn.Config]
    listener: socket
    as_json: bool
    _told: list[int] = field(default_factory=list, init=False)
    _served: bool = field(default=False, init=False)
    _places: list[_Place] = field(default_factory=list, init=False)

    def run(self) -> int:
        """Until a signal comes; the exit code. Raises CannotOpen if no worker can ever start."""
        resource_tracker.ensure_running()  # It would unblock signals that are blocked at a start.
        self._places = [_Place(number) for number in range(1, self.size + 1)]
        with self._signals():
            try:
                looked_at = time.monotonic()
                while not self._told:
                    if (now := time.monotonic()) - looked_at > SILENT_S / 2:
                        self._forgive(now)  # We were frozen, and so, perhaps, were they.
                    looked_at = now
                    for place in self._places:
                        self._look_at(place, now)
                    self._give_up_if_none_can_start()
                    self._doze()
            finally:
                self._end_all()
        return 128 + signal.SIGINT if signal.SIGINT in self._told else 0

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def remember(number: int, _: FrameType | None) -> None:
            self._told.append(number)

        before = {each: signal.getsignal(each) for each in STOPS}
        for each, handler in before.items():
            if handler is not signal.SIG_IGN:  # `nohup` means it.
                signal.signal(each, remember)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _doze(self) -> None:
        ends = [place.process.sentinel for place in self._places if place.process]
        connection.wait(ends, LOOK_AGAIN_S) if ends else time.sleep(LOOK_AGAIN_S)

    def _forgive(self, now: float) -> None:
        for place in self._places:
            place.begun_at = now
            if place.beat_at is not None:
                place.beat_at = now

    def _look_at(self, place: _Place, now: float) -> None:
        if place.process is None:
            if now >= place.due_at:
                self._start(place, now)
            return
        self._listen_to(place, now)
        if place.process.exitcode is not None:
            code = place.process.exitcode
            self._bury(place, now, f"{place.shown()} {_how_it_ended(code)}")
        elif place.beat_at is None and now - place.begun_at > START_S:
            self._kill(place, now, f"has not started within {START_S:.0f} s")
        elif place.beat_at is not None and now - place.beat_at > SILENT_S:
            self._kill(place, now, f"has given no sign of life for {SILENT_S:.0f} s")

    def _listen_to(self, place: _Place, now: float) -> None:
        with suppress(OSError, EOFError):
            while place.life is not None and place.life.poll():
                place.life.recv_bytes()
                place.beat_at = now
                if place.served_at is None:
                    place.served_at, self._served = now, True
                if now - place.served_at > SETTLED_S:
                    place.deaths = 0

    def _start(self, place: _Place, now: float) -> None:
        life, theirs = spawning.Pipe(duplex=False)
        place.process = spawning.Process(
            target=work, args=(self.configure, self.listener, theirs, self.as_json)
        )
        # Nothing ends it by a traceback out of its imports: it takes the mask over.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            place.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        theirs.close()
        place.life, place.begun_at, place.beat_at, place.served_at = life, now, None, None

    def _kill(self, place: _Place, now: float, why: str) -> None:
        assert place.process is not None
        place.process.kill()
        place.process.join()
        self._bury(place, now, f"{place.shown()} {why} and was killed")

    def _bury(self, place: _Place, now: float, what: str) -> None:
        """Tell of a death, and when it will be replaced."""
        pause_s = min(PAUSE_S * 2**place.deaths, PAUSE_MAX_S)
        place.deaths += 1
        place.due_at = now + pause_s
        _close(place)
        log.warning("%s; another is started in %.1f s.", what, pause_s)

    def _give_up_if_none_can_start(self) -> None:
        if not self._served and all(place.deaths >= TRIES for place in self._places):
            raise CannotOpen(
                f"No worker could be started, {TRIES} times each: what was said before tells why."
            )

    def _end_all(self) -> None:
        """Tell all to end, and kill those who do not. Of who was faster it is told how he ended."""
        alive = [place for place in self._places if place.process is not None]
        for place in alive:
            assert place.process is not None
            if (code := place.process.exitcode) is not None:
                log.warning("%s %s.", place.shown(), _how_it_ended(code))
            place.process.terminate()
        until, hurried = time.monotonic() + STOP_S, len(self._told) + 1
        for place in alive:
            assert place.process is not None
            while place.process.exitcode is None and time.monotonic() < until:
                connection.wait([place.process.sentinel], LOOK_AGAIN_S)
                if len(self._told) > hurried:  # Ctrl-C again
                    until = time.monotonic()
            if place.process.exitcode is None:
                log.warning("%s did not end in time and is killed.", place.shown())
                place.process.kill()
                place.process.join()
            _close(place)


def _close(place: _Place) -> None:
    if place.process is not None:
        place.process.join()
        if place.process.pid is not None:
            metrics.forget(place.process.pid)
        place.process.close()
    if place.life is not None:
        place.life.close()
    place.process = place.life = None


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    if code == STARTUP_FAILURE:
        return "could not start: its log says why"
    return f"ended by itself with code {code}"
