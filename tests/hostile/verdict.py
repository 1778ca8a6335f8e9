"""What must have held: nothing lost or doubled, the honest rate, memory, hangs, last words."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from statistics import median
from typing import Any

from tests.hostile.attacks.broken import FORGED
from tests.hostile.commands import where
from tests.hostile.house import LIMIT_S, Life
from tests.hostile.world import CAP, PRICE_POINTS, START_POINTS, VICTIM

SHARE = 0.5
"""The part of their calm rate that honest clients keep under attack."""
TRIES, MANY = 4, 12
"""Tries of an attack before anybody is guilty, and how many have a median that means something."""
MEMORY_BYTES = 1_000_000_000
SLACK_S = 60.0
"""How far the journals of several clients may be out of order when they are read one by one."""
SHOWN = 900
"""Letters of what convicts a life."""
WORDS = {"SIGTERM": {0}, "SIGHUP": {0}, "SIGINT": {130}, "SIGKILL": {-9}}
REFUSED = {
    "enrol": {"cap_reached"},
    "undo": set[str](),
    "visit": set[str](),
}
"""What honest clients may be refused while the clock is right."""
BY_THE_CLOCK = {
    "undo_needs_supervisor",
    "unknown_visit",
    "campaign_over",
    "campaign_not_open",
    "before_joining",
    "not_open_yet",
    "dated_in_future",
}
"""What they may be refused besides while it is not; a code of its own may be added."""


@dataclass(frozen=True)
class Phase:
    """A stretch of time (monotonic) and what it was."""

    kind: str
    begun: float
    ended: float
    share: float = 1.0
    """For an attack: the part that honest clients kept of their rate in the calm around it."""


class Journals:
    """What the honest clients wrote down."""

    def __init__(self, place: Path) -> None:
        self.sent: dict[str, dict[str, Any]] = {}
        self.answers: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        self._place = place
        self._read_upto: dict[Path, int] = {}

    def read_on(self) -> list[dict[str, Any]]:
        """Read what was written since; the answers in it."""
        known = len(self.answers)
        for file in sorted(self._place.glob("*.jsonl")):
            with file.open("rb") as journal:
                journal.seek(self._read_upto.get(file, 0))
                whole = journal.read().rpartition(b"\n")[0]
            self._read_upto[file] = self._read_upto.get(file, 0) + len(whole) + bool(whole)
            for line in whole.splitlines():
                self._read(json.loads(line))
        return list(self.answers.values())[known:]

    def _read(self, said: dict[str, Any]) -> None:
        if "fault" in said:
            self.faults.append(said["fault"])
        elif "answered" in said:
            self.answers[said["key"]] = said
        else:
            self.sent[said["key"]] = said

    def rate(self, begun: float, ended: float) -> float:
        """Answers a second of a stretch of time."""
        times = (each["answered"] for each in reversed(self.answers.values()))
        recent = takewhile(lambda at: at > begun - SLACK_S, times)
        return sum(1 for at in recent if begun < at <= ended) / (ended - begun)


def of_rates(attacks: list[list[Phase]]) -> tuple[dict[str, float], list[str]]:
    """(median share of the calm rate by kind of attack, what is wrong with them).

    Attack and calm alternate within seconds, so that another load of the machine weighs on both.
    An attack under which honest clients fall short is made again at once: guilty is under which
    they do so TRIES times out of TRIES, or by the median of many. A stolen second does not do that.
    """
    shares: dict[str, list[float]] = {}
    wrong = []
    for tries in attacks:
        kept = [phase.share for phase in tries]
        shares.setdefault(tries[0].kind, []).extend(kept)
        if len(kept) >= TRIES and all(share < SHARE for share in kept):
            said = ", ".join(f"{share:.2f}" for share in kept)
            wrong.append(f"{tries[0].kind}: honest clients kept {said} of their rate")
    medians = {kind: round(median(each), 2) for kind, each in sorted(shares.items())}
    for kind, middle in medians.items():
        if len(shares[kind]) >= MANY and middle < SHARE:
            wrong.append(f"{kind}: honest clients kept {middle} of their rate, by the median")
    return medians, wrong


def of_journals(journals: Journals, jumps: list[Phase]) -> Iterator[str]:
    """Commands without an answer, answers that were too long in coming, refusals without reason."""
    yield from journals.faults
    for key in journals.sent.keys() - journals.answers.keys():
        yield f"{key} never got an answer"
    for key, answer in journals.answers.items():
        if answer["took_s"] > LIMIT_S:
            yield f"{key} took {answer['took_s']:.0f} s in {answer['tries']} tries"
        code = answer.get("refused")
        jumped = any(each.begun <= answer["answered"] <= each.ended + 5 for each in jumps)
        if code and code not in REFUSED[answer["kind"]] | (BY_THE_CLOCK if jumped else set()):
            yield f"{key} ({answer['kind']}) was refused: {code}"


def of_log(
    journals: Journals,
    events: list[dict[str, Any]],
    imports: dict[str, list[str]],
    taken: set[str],
) -> Iterator[str]:
    """Every acknowledged command is in the log once and where it was said to be, and no other."""
    positions = [each["position"] for each in events]
    if positions != list(range(1, len(positions) + 1)):
        yield "the log has gaps"
    last: dict[str, int] = {}
    times: Counter[tuple[str, str]] = Counter()
    joined: set[str] = set()
    for each in events:
        last[each["key"]] = each["position"]
        times[each["key"], each["topic"]] += 1
        if each["actor"] == FORGED:
            yield f"position {each['position']} was written in the name of a trailer"
        if each["topic"] == "member.joined":
            joined.add(each["stream"].partition(":")[2])
    for key, answer in journals.answers.items():
        if "position" in answer and last.get(key) != answer["position"]:
            yield f"{key} was acknowledged at {answer['position']}; the log has {last.get(key)}"
        if "refused" in answer and key in last:
            yield f"{key} was refused ({answer['refused']}) and is in the log"
    for (key, topic), number in times.items():
        if key.startswith("h-") and number > 1:
            yield f"{key} wrote {topic} {number} times"
    places = [each["state"]["place"] for each in events if each["topic"] == "campaign.place_taken"]
    if places != list(range(1, len(places) + 1)) or len(places) > CAP:
        yield f"places of the campaign: {len(places)} of {CAP}, not one after the other"
    for name, members in imports.items():
        inside = len(joined.intersection(members))
        if inside not in ({len(members)} if name in taken else {0, len(members)}):
            yield f"{inside} of {len(members)} facts of {Path(name).name} are in"


def of_cards(journals: Journals, spendable: Callable[[str], int], most: int) -> Iterator[str]:
    """The cards of members hold what their clients' receipts add up to."""
    left: dict[str, int] = {}
    for answer in journals.answers.values():
        if "position" in answer:
            change = {"visit": -PRICE_POINTS, "undo": PRICE_POINTS}.get(answer["kind"], 0)
            left[answer["member"]] = left.get(answer["member"], START_POINTS) + change
    for member in sorted(left)[:most]:
        if (says := spendable(member)) != left[member]:
            yield f"the card of {member} says {says} points where {left[member]} are left"
    if spendable(VICTIM) < 0:
        yield "the victim owes points"


def of_life(life: Life, lost: Iterable[int] = ()) -> Iterator[str]:
    """Every process that ended said why, with a code that means it. `lost` are workers that
    vanished while their parent went on."""
    code, said = life.process.returncode, life.said()
    about = f"serve {life.number} ({life.why or 'as always'}; {', '.join(life.asked[-3:])})"
    lines = said.strip().splitlines() or ["nothing"]
    last = lines[-1][:300]
    guilty = [line[:300] for line in lines if "Traceback" in line or "defect" in line]
    if guilty or code == 5:
        shown = " | ".join(dict.fromkeys(guilty or [last]))[:SHOWN]
        yield f"{about} ended with {code} and a traceback or defect: {shown}; {where(said)}"
    signals = [word for word in life.asked if word in WORDS]
    wanted = set[int]().union(*(WORDS[word] for word in signals))
    if "hung" in life.asked:
        yield f"{about} neither came up nor ended within {LIMIT_S:.0f} s: {last}"
    elif code not in wanted:
        if code not in (2, 4):
            yield f"{about} ended with {code}: {last}"
        elif not said.strip():
            yield f"{about} ended with {code} and said nothing"
    for pid in lost:
        # A server that gives up, and says why, tells its last crew to end first.
        told_to = code == 4 and pid in life.crew
        if not told_to and str(pid) not in said:
            yield f"worker {pid} of serve {life.number} ended, and nobody said so"
