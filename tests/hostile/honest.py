"""Honest clients: desks that admit members, take visits back, enrol, and look at cards.

`python -m tests.hostile.honest PORT SEED DIRECTORY` runs them until SIGTERM. Each keeps a journal:
what it is about to send, and the answer that it got in the end. Whatever happens it asks again
under the same key until there is an answer, and knows what the answer must be, since nobody else
touches its members.
"""

import http.client
import json
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from tests.hostile.world import (
    CAMPAIGN,
    CLIENTS,
    CLUB,
    MEMBERS,
    PRICE_POINTS,
    SERVICE,
    START_POINTS,
    member_of,
)

THINK_S = 0.05
AGAIN_S = 0.1
SOCKET_S = 15
"""How long one try waits. The next asks again under the same key."""
ASK_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass
class Client:
    """One desk with its members, one command at a time."""

    number: int
    port: int
    dice: random.Random
    journal: TextIO
    stop: threading.Event
    points: dict[str, int] = field(default_factory=dict)
    undoable: list[tuple[str, int]] = field(default_factory=list)
    enrolled: set[str] = field(default_factory=set)
    sent: int = 0
    line: http.client.HTTPConnection | None = None

    def run(self) -> None:
        """Work until told to stop, and then until the last command is answered."""
        while not self.stop.wait(self.dice.uniform(0.5, 1.5) * THINK_S):
            member = member_of(self.number, self.dice.randrange(MEMBERS))
            does = self.dice.choices(
                (self.visit, self.undo, self.enrol), weights=(8, 1, 1 if self.sent > 50 else 0)
            )[0]
            does(member)

    def visit(self, member: str) -> None:
        """Admit a member."""
        body = {
            "club_id": CLUB,
            "service_id": SERVICE,
            "desk": f"d{self.number}",
            "shown_points": PRICE_POINTS,
            "confirm_repeat": True,
        }
        if done := self.written("visit", f"/v1/members/{member}/visits", member, body):
            self.balance(member, done, -PRICE_POINTS)
            self.undoable.append((member, done["visit"]))
            self.look(member, done)

    def undo(self, member: str) -> None:
        """Take the last visit back, if there is one."""
        if not self.undoable:
            return self.visit(member)
        member, visit = self.undoable.pop()
        body = {"desk": f"d{self.number}", "reason": "hostile"}
        path = f"/v1/members/{member}/visits/{visit}/undo"
        if done := self.written("undo", path, member, body):
            self.balance(member, done, PRICE_POINTS)
        return None

    def enrol(self, member: str) -> None:
        """Ask for a place, of which there are fewer than members."""
        if member not in self.enrolled:
            self.enrolled.add(member)
            path = f"/v1/campaigns/{CAMPAIGN}/enrolments"
            self.written("enrol", path, member, {"member_id": member})

    def balance(self, member: str, done: dict[str, Any], change: int) -> None:
        """Hold what the receipt says is left against what must be."""
        self.points[member] = left = self.points.get(member, START_POINTS) + change
        if done["spendable_points"] != left:
            self.fault(f"a receipt says {done['spendable_points']} points where {left} are left")

    def look(self, member: str, done: dict[str, Any]) -> None:
        """Now and then look at the card, which must hold what was just written."""
        if self.dice.random() > 0.2:
            return
        path = f"/v1/members/{member}?wait_for={done['bucket']}:{done['position']}"
        with suppress(OSError, http.client.HTTPException, ValueError):
            status, told = self.asked("GET", path, None, {})
            if status == 200 and told["spendable_points"] != self.points[member]:
                says = told["spendable_points"]
                self.fault(f"a card says {says} points where {self.points[member]} are left")

    def written(
        self, kind: str, path: str, member: str, body: dict[str, Any]
    ) -> dict[str, Any] | None:
        """The receipt of a command, or None if it was refused; both stand in the journal then."""
        self.sent += 1
        key = f"h-{self.number}-{self.sent}"
        first = time.monotonic()
        about = {"key": key, "kind": kind, "member": member}
        self.note(sent=first, **about)
        headers = {
            "Idempotency-Key": key,
            "Clubledger-Actor": f"clerk:h{self.number}",
            "Content-Type": "application/json",
        }
        tries, status, told = 1, *self.tried(path, json.dumps(body), headers)
        while status in ASK_AGAIN:
            if status == 500:
                self.fault(f"{kind} {key} met {told.get('code')} with status 500")
            time.sleep(AGAIN_S)
            tries, status, told = tries + 1, *self.tried(path, json.dumps(body), headers)
        now = time.monotonic()
        end = {**about, "answered": now, "took_s": round(now - first, 3), "tries": tries}
        if status == 201:
            self.note(bucket=told["bucket"], position=told["position"], **end)
            return told
        self.note(refused=told.get("code"), status=status, **end)
        return None

    def tried(self, path: str, body: str, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """One try; 503 as well if there was no answer."""
        try:
            return self.asked("POST", path, body, headers)
        except (OSError, http.client.HTTPException, ValueError):
            self.hang_up()
            return 503, {}

    def asked(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any]]:
        """One request on the connection that is kept."""
        if self.line is None:
            self.line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SOCKET_S)
        self.line.request(method, path, body, headers)
        answer = self.line.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
        if answer.will_close:
            self.hang_up()
        return answer.status, told

    def hang_up(self) -> None:
        """The next request goes over a connection of its own."""
        if self.line is not None:
            self.line.close()
            self.line = None

    def fault(self, says: str) -> None:
        """Something that must not be."""
        self.note(fault=says, answered=time.monotonic())

    def note(self, **fields: Any) -> None:
        """A line of the journal."""
        self.journal.write(json.dumps(fields) + "\n")
        self.journal.flush()


def main(port: int, seed: int, place: Path) -> None:
    """Run them all."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    clients = [
        Client(n, port, random.Random(f"{seed} honest {n}"), (place / f"{n}.jsonl").open("w"), stop)
        for n in range(CLIENTS)
    ]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
