"""What befalls the house: kills, signals, a full disk, clocks that jump, strange environments.

A harm is done and over when its function returns. Whoever did it then waits for the recovery.
"""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM

from tests.hostile import processes
from tests.hostile.commands import ENVIRONMENTS, Commands
from tests.hostile.house import DESCRIPTORS, LIMIT_S, House

FACTS_TOO_MANY = 10_000
YEARS_S = 10 * 365 * 86_400


@dataclass
class Scene:
    """The house, the luck, and the switch of its disk (None if it has none of its own)."""

    house: House
    dice: random.Random
    fill: Callable[[bool], None] | None
    commands: Commands

    def kill(self, pids: list[int], what: str, sent: signal.Signals = SIGKILL) -> int | None:
        """Send one of them a signal; which."""
        if not pids:
            return None
        pid = self.dice.choice(sorted(pids))
        self.house.life.asked.append(f"{what} {sent.name}")
        processes.send(pid, sent)
        return pid

    def stop(self, sent: signal.Signals) -> None:
        """Tell the server to end, and see that it does."""
        life = self.house.life
        self.house.send(sent)
        try:
            life.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.give_up()

    def give_up(self) -> None:
        """It neither comes up nor ends: that is written down, and all of it killed."""
        self.house.life.asked.append("hung")
        for pid in self.house.everybody():
            processes.send(pid, SIGKILL)

    def postgres(self) -> list[int]:
        """Its postmaster and every process of it."""
        main = processes.postmaster(self.house.data_dir)
        return [] if main is None else processes.family(main)


def worker_is_killed(scene: Scene) -> None:
    """As the kernel does when memory is short."""
    scene.kill(scene.house.workers(), "worker")


def worker_is_told_to_end(scene: Scene) -> None:
    """By somebody who took it for the server."""
    scene.kill(scene.house.workers(), "worker", scene.dice.choice((SIGTERM, SIGINT, SIGHUP)))


def parent_is_killed(scene: Scene) -> None:
    """Its workers must not outlive it, nor keep the port."""
    scene.stop(SIGKILL)


def helper_is_killed(scene: Scene) -> None:
    """Python's own helper process beside the workers."""
    found = processes.family(scene.house.life.process.pid)[1:]
    scene.kill([pid for pid in found if "resource_tracker" in processes.words(pid)], "helper")


def backend_is_killed(scene: Scene) -> None:
    """A session or one of PostgreSQL's own: it ends all of them and recovers."""
    scene.kill(scene.postgres()[1:], "backend")


def postmaster_is_killed(scene: Scene) -> None:
    """Nobody but `serve` brings it up again."""
    scene.kill(scene.postgres()[:1], "postmaster")


def postmaster_is_told_to_end(scene: Scene) -> None:
    """By somebody who does not know whose it is."""
    scene.kill(scene.postgres()[:1], "postmaster", scene.dice.choice((SIGTERM, SIGINT)))


def everybody_is_killed(scene: Scene) -> None:
    """The power fails, nearly."""
    life, pids = scene.house.life, scene.house.everybody()
    life.asked.append("SIGKILL")
    for pid in pids:
        processes.send(pid, SIGKILL)


def somebody_is_frozen(scene: Scene) -> None:
    """Stopped for some seconds, then told to go on."""
    house = scene.house
    pids = scene.dice.choice((house.workers(), scene.postgres(), [house.life.process.pid]))
    pid = scene.kill(pids, "somebody", SIGSTOP)
    time.sleep(scene.dice.uniform(1, 4))
    if pid is not None:
        processes.send(pid, SIGCONT)


def server_is_stopped(scene: Scene) -> None:
    """By each of the signals that mean it."""
    scene.stop(scene.dice.choice((SIGTERM, SIGINT, SIGHUP)))


def server_is_stopped_in_recovery(scene: Scene) -> None:
    """The database is being brought up again at that moment."""
    scene.kill(scene.postgres()[scene.dice.choice((0, 1)) :][:1], "postgres")
    time.sleep(scene.dice.uniform(0, 0.5))
    scene.stop(scene.dice.choice((SIGTERM, SIGINT)))


def disk_is_full(scene: Scene) -> None:
    """Not a block is left for some seconds, and somebody takes in a file that needs many."""
    if scene.fill is None:
        return
    scene.house.life.asked.append("full disk")
    scene.fill(True)
    try:
        scene.commands.take_in({}, DESCRIPTORS, "", FACTS_TOO_MANY)
        time.sleep(scene.dice.uniform(1, 4))
    finally:
        scene.fill(False)


def clock_jumps(scene: Scene) -> None:
    """Ten years ahead, a day back, a minute: for some seconds."""
    scene.house.clock(scene.dice.choice((YEARS_S, YEARS_S, -86_400, 90, -90)))
    try:
        time.sleep(scene.dice.uniform(2, 4))
    finally:
        scene.house.clock(0)


def directory_goes_away(scene: Scene) -> None:
    """It is moved: the server ends and says so, nobody makes another there, and it comes back."""
    house = scene.house
    moved = house.data_dir.with_name("moved")
    with house.starting, house.importing:
        life = house.life
        life.asked.append("directory away")
        house.data_dir.rename(moved)
        try:
            life.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            house.faults.append(f"its directory goes away, and it goes on for {LIMIT_S:.0f} s")
        if house.data_dir.exists():
            house.faults.append("somebody made a directory where one had gone away")
            house.data_dir.rename(house.data_dir.with_name(f"made-{len(house.faults)}"))
        moved.rename(house.data_dir)
    if life.process.poll() is None:
        scene.give_up()


def environment_changes(scene: Scene) -> None:
    """It is started again under a strange one, or with few descriptors, and then as always."""
    house = scene.house
    if scene.dice.random() < 0.2:
        house.descriptors = scene.dice.choice((24, 64, 128))
    else:
        house.extra = scene.dice.choice(ENVIRONMENTS)
    lives = len(house.lives)
    try:
        scene.stop(SIGTERM)
        until = time.monotonic() + LIMIT_S
        while len(house.lives) == lives:
            time.sleep(0.05)
        while house.life.process.poll() is None and not house.up(0):
            if time.monotonic() > until:
                scene.give_up()
                break
    finally:
        house.extra, house.descriptors = {}, DESCRIPTORS
    scene.stop(SIGTERM)


Harm = Callable[[Scene], None]
HARMS: tuple[Harm, ...] = (
    worker_is_killed,
    clock_jumps,
    postmaster_is_killed,
    server_is_stopped_in_recovery,
    directory_goes_away,
    parent_is_killed,
    backend_is_killed,
    disk_is_full,
    everybody_is_killed,
    worker_is_told_to_end,
    postmaster_is_told_to_end,
    server_is_stopped,
    somebody_is_frozen,
    helper_is_killed,
    environment_changes,
)
"""Where there is little time they are taken in this order: each takes some seconds, the last ten
times as many."""
