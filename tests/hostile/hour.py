"""The hour: calm and attack by turns, harms in between, and the verdict at its end."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL
from typing import Any, TypeVar

from tests.hostile import processes, verdict, world
from tests.hostile.commands import Commands
from tests.hostile.disk import NoDisk, disk
from tests.hostile.evidence import KEPT, Evidence
from tests.hostile.harms import HARMS, Harm, Scene, clock_jumps, disk_is_full
from tests.hostile.house import LIMIT_S, House
from tests.hostile.verdict import SHARE, TRIES, Journals, Phase
from tests.hostile.watcher import Watcher
from tests.places import kill_servers, place

T = TypeVar("T")
KINDS = ("slow", "huge", "broken", "pipelined", "abandoned", "crowd")
CALM_S, ATTACK_S = 2.0, 3.0
ATTACKS, HARMS_THEN = 2, 4
"""How many of each by turns; at first every kind of attack alone."""
SETTLE_S = 1.0
"""After a harm, before a new command counts as recovery, and after that before rates are taken."""
MOST_CARDS = 400
BUSY = 0.25
"""What others may take of the machine; where they take more, no rate is judged, and that is said.
"""


@dataclass
class Report:
    """What happened, and what was wrong with it."""

    seed: int
    minutes: float
    written: int = 0
    attacks: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    harms: dict[str, list[float]] = field(default_factory=dict)
    """Harm -> how many seconds until an honest client was answered again, each time."""
    lives: int = 0
    commands: dict[str, int] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    longest_s: dict[str, float] = field(default_factory=dict)
    not_done: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    """Files that tell more of the faults."""


def live(
    seed: int,
    minutes: float,
    say: Callable[[str], object],
    keep: Path | None = None,
    *,
    in_order: bool = False,
) -> Report:
    """Live through it; everything that is chosen is chosen by the seed.

    `keep` is a directory for what everybody wrote down, beside the data. `in_order` takes every
    attack and then every harm in its turn, the cheapest first: for who has little time.
    """
    report = Report(seed, minutes)
    _listen_to_signals()
    with ExitStack() as stack:
        home = stack.enter_context(place())
        data_dir = home / "disk" / "data"
        data_dir.parent.mkdir(mode=0o711)
        fill = None
        try:
            fill = stack.enter_context(disk(data_dir.parent))
        except NoDisk as error:
            report.not_done.append(f"full disk: {error}")
        data_dir.mkdir(mode=0o711)
        stack.callback(kill_servers, data_dir)
        house = House(home, data_dir)
        hour = _Hour(house, report, _scene(house, seed, fill), say, in_order)
        if keep is not None:
            stack.callback(
                shutil.copytree, home, keep, ignore=lambda *_: ["disk"], dirs_exist_ok=True
            )
        hour.settle_in()
        hour.run(time.monotonic() + minutes * 60)
    return report


def _listen_to_signals() -> None:
    """What runs in the background of a shell ignores these, and so would all that we start."""
    for number in (SIGINT, SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _scene(house: House, seed: int, fill: Callable[[bool], None] | None) -> Scene:
    commands = Commands("f", house, random.Random(f"{seed} full"))
    return Scene(house, random.Random(f"{seed} harms"), fill, commands)


class _Hour:
    def __init__(
        self,
        house: House,
        report: Report,
        scene: Scene,
        say: Callable[[str], object],
        in_order: bool,
    ) -> None:
        self.house, self.report, self.scene, self.say = house, report, scene, say
        self.in_order = in_order
        self.dice = random.Random(f"{report.seed} hour")
        self.attacks: list[list[Phase]] = []
        self.jumps: list[Phase] = []
        self.unjudged: list[float] = []
        self.fair = True
        """Whether the last attack could be judged."""
        self.written = house.place / "journals"
        self.written.mkdir()
        self.journals = Journals(self.written)
        self.begun = time.monotonic()
        self.watcher = Watcher(house)
        self.evidence = Evidence(KEPT / str(report.seed))
        self.commands = Commands("i", house, random.Random(f"{report.seed} commands"))

    def settle_in(self) -> None:
        """A ledger with the world in it."""
        file = self.house.place / "world.jsonl"
        file.write_bytes(world.lines(world.facts()))
        code = self.commands.one(("import", str(file)), {}, 1_024, "")
        assert code == 0, self.commands.faults or code

    def run(self, until: float) -> None:
        """All of it."""
        with self.house.kept():
            assert self.house.up(LIMIT_S), "it does not even start"
            threads = [
                threading.Thread(target=each.run, daemon=True)
                for each in (self.watcher, self.commands)
            ]
            with self._honest():
                self._await_answers(time.monotonic())
                for thread in threads:
                    thread.start()
                self._live(until)
                self.commands.stop.set()
                threads[1].join()
                self._await_answers(time.monotonic())
            for commands in (self.commands, self.scene.commands):
                commands.finish()
            self.watcher.stop.set()
            threads[0].join()
            try:
                self._judge()
            finally:
                took_s = self.house.stop()
        self._judge_ends(took_s)

    @contextmanager
    def _honest(self) -> Iterator[None]:
        command = [sys.executable, "-m", "tests.hostile.honest", str(self.house.port)]
        clients = subprocess.Popen(
            [*command, str(self.report.seed), str(self.written)],
            env=self.house.environment(),
            start_new_session=True,
        )
        try:
            yield
        finally:
            clients.terminate()
            try:
                clients.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                clients.kill()
                clients.wait()

    def _live(self, until: float) -> None:
        """Some attacks between calms, then some harms, and again, until the time is over."""
        harms = cycle(HARMS) if self.in_order else _deck(self.dice, HARMS)
        kinds, round_ = _deck(self.dice, KINDS), 0
        while time.monotonic() < until:
            calm = self._calm()
            for _ in range(ATTACKS if round_ else len(KINDS)):
                together = self.dice.randrange(1, 4) if round_ else 1
                chosen = [next(kinds) for _ in range(together)]
                calm = self._attack(chosen, calm)
                while self._short() and time.monotonic() < until:
                    calm = self._attack(chosen, calm, again=True)
            for _ in range(len(HARMS) if self.in_order else HARMS_THEN):
                beside = [next(kinds)] if round_ and self.dice.random() < 0.5 else []
                if time.monotonic() < until:
                    self._harm(next(harms), beside)
            round_ += 1

    def _calm(self) -> Phase:
        self.watcher.phase = "calm"
        begun = time.monotonic()
        time.sleep(CALM_S)
        return Phase("calm", begun, time.monotonic())

    def _short(self) -> bool:
        """Whether honest clients have kept too little so far under the last attack."""
        tries = self.attacks[-1] if self.attacks else []
        return self.fair and 0 < len(tries) < TRIES and all(each.share < SHARE for each in tries)

    def _attack(self, kinds: list[str], before: Phase, again: bool = False) -> Phase:
        """An attack between two calms gives one share of the rate; the calm after it."""
        with self._attacking(kinds, ATTACK_S):
            self.watcher.phase = " and ".join(kinds)
            begun, used = time.monotonic(), processes.used(self._ours())
            time.sleep(ATTACK_S)
            attack = Phase(self.watcher.phase, begun, time.monotonic())
            by_others = processes.by_others(used, processes.used(self._ours()))
        after = self._calm()
        self.journals.read_on()
        rate, *calm = (self.journals.rate(it.begun, it.ended) for it in (attack, before, after))
        if not again:
            self.attacks.append([])
        self.fair = by_others <= BUSY and sum(calm) > 0
        if self.fair:
            self.attacks[-1].append(replace(attack, share=rate / (sum(calm) / 2)))
        else:
            self.unjudged.append(by_others)
        self._tell(f"{attack.kind}: {rate:.0f} of {sum(calm) / 2:.0f} commands a second"
                   f" ({by_others:.0%} of the machine taken by others)")  # fmt: skip
        if rate == 0:
            self._await_answers(attack.ended - SETTLE_S)
        return after

    def _ours(self) -> list[int]:
        return processes.family(os.getpid(), *self.house.everybody())

    @contextmanager
    def _attacking(self, kinds: list[str], seconds: float) -> Iterator[None]:
        command = [sys.executable, "-m", "tests.hostile.attacks"]
        attackers = []
        for kind in kinds:
            said = [kind, str(self.house.port), str(self.dice.random()), str(seconds)]
            attackers.append(
                subprocess.Popen(
                    [*command, *said],
                    stdout=subprocess.PIPE,
                    env=self.house.environment(),
                    start_new_session=True,
                )
            )
        try:
            for attacker in attackers:
                assert attacker.stdout is not None
                attacker.stdout.readline()
            yield
        finally:
            for attacker in attackers:
                attacker.kill()
                attacker.communicate()

    def _harm(self, harm: Harm, beside: list[str]) -> None:
        """Harm it, and wait until an honest client is answered again."""
        if harm is disk_is_full and self.scene.fill is None:
            return
        name = harm.__name__.replace("_", " ")
        self.watcher.phase = name
        begun = time.monotonic()
        with self._attacking(beside, 10.0):
            harm(self.scene)
        over = time.monotonic()
        if harm is clock_jumps:
            self.jumps.append(Phase(name, begun, over))
        took_s = self._await_answers(over)
        self.report.harms.setdefault(name, []).append(round(took_s, 1))
        self._tell(f"{name}: answers again after {took_s:.1f} s")
        time.sleep(SETTLE_S)

    def _await_answers(self, since: float) -> float:
        """How long until commands are acknowledged again; that it takes too long is a fault."""
        while time.monotonic() < since + LIMIT_S + 5:
            for answer in self.journals.read_on():
                first = answer["answered"] - answer["took_s"]
                if first > since + SETTLE_S and "position" in answer:
                    return float(answer["answered"]) - since - SETTLE_S
            time.sleep(0.3)
        self.report.faults.append(f"nothing was acknowledged for {LIMIT_S:.0f} s, at {self._at()}"
                                  f" after {self.watcher.phase}")  # fmt: skip
        self.evidence.of_silence(self.house)
        return LIMIT_S

    def _judge(self) -> None:
        """While it still runs: the log and the cards."""
        report, journals = self.report, self.journals
        journals.read_on()
        report.written = sum("position" in each for each in journals.answers.values())
        report.attacks = sum(map(len, self.attacks))
        report.faults += verdict.of_journals(journals, self.jumps)
        if self.unjudged:
            taken = f"others took {min(self.unjudged):.0%} to {max(self.unjudged):.0%}"
            number = len(self.unjudged)
            report.not_done.append(f"the rates of {number} attacks: {taken} of the machine")
        report.shares, wrong = verdict.of_rates([tries for tries in self.attacks if tries])
        report.faults += wrong
        if not self.house.up(LIMIT_S):
            report.faults.append("it does not answer at the end")
            return
        events = self._events()
        commands = self.commands
        beside = self.scene.commands
        report.faults += verdict.of_log(
            journals, events, commands.imports | beside.imports, commands.taken | beside.taken
        )
        self.house.answers(f"/v1/status?wait_for=0:{len(events)}")
        report.faults += verdict.of_cards(journals, self._spendable, MOST_CARDS)
        if (code := commands.one(("compare", "--json"), {}, 1_024, "")) != 0:
            report.faults.append(f"compare ends with {code}: answers or snapshots are no replay")

    def _events(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            status, said = self.house.answers(f"/v1/events?limit=1000&after={after}", 30)
            if status != 200:
                self.report.faults.append(f"/v1/events answers {status}: {said[:200]}")
                return found
            page = json.loads(said)
            if not page["events"]:
                return found
            found += page["events"]
            after = page["next"]

    def _spendable(self, member: str) -> int:
        status, said = self.house.answers(f"/v1/members/{member}", 30)
        return int(json.loads(said)["spendable_points"]) if status == 200 else -1

    def _judge_ends(self, took_s: float) -> None:
        """When all of it has ended: who is left, what was said, what it took."""
        report, watcher, commands = self.report, self.watcher, self.commands
        report.lives = len(self.house.lives)
        for life in self.house.lives:
            lost = [pid for number, pid in watcher.lost if number == life.number]
            if wrong := list(verdict.of_life(life, lost)):
                report.faults += wrong
                self.evidence.keep(life.told.name, life.said())
        report.faults += self.house.faults + commands.faults + self.scene.commands.faults
        report.commands = dict(sorted((commands.ends + self.scene.commands.ends).items()))
        left = self.house.everybody()
        if left:
            words = "; ".join(processes.words(pid)[:80] for pid in left)
            report.faults.append(f"{len(left)} processes are left: {words}")
            for pid in left:
                processes.send(pid, SIGKILL)
        largest = max(commands, self.scene.commands, key=lambda each: each.peak_bytes)
        report.peak_mb = {
            "server": round(watcher.peak.own / 1e6),
            "shared buffers then": round(watcher.peak.shared / 1e6),
            largest.peak_of: round(largest.peak_bytes / 1e6),
        }
        for who, most in (
            (f"the server in {watcher.peak_in}", watcher.peak.own),
            (largest.peak_of, largest.peak_bytes),
        ):
            if most > verdict.MEMORY_BYTES:
                report.faults.append(f"{who} took {most / 1e6:.0f} MB")
        report.longest_s = {
            "stop": round(took_s, 1),
            "command": round(commands.longest_s, 1),
            "unfinished request held": round(watcher.longest_held_s, 1),
        }
        if watcher.longest_held_s > LIMIT_S + 5:
            held = f"{watcher.longest_held_s:.0f} s"
            report.faults.append(f"a connection with an unfinished request was held for {held}")
        report.evidence = [str(file) for file in self.evidence.files]

    def _tell(self, what: str) -> None:
        self.say(f"{self._at()}  {what}")

    def _at(self) -> str:
        seconds = int(time.monotonic() - self.begun)
        return f"{seconds // 60:02}:{seconds % 60:02}"


def _deck(dice: random.Random, cards: tuple[T, ...]) -> Iterator[T]:
    """All of them in some order, then all of them in another, and so on."""
    while True:
        yield from dice.sample(cards, len(cards))
