"""The gate: all connections of one worker, their places, their memory and their time."""

import asyncio
import logging
from collections import Counter, OrderedDict
from typing import Protocol

from api.http.server.limits import Limits
from api.runtime import metrics

log = logging.getLogger("clubledger")

LOOK_AGAIN_S = 1.0
"""How often the time limits are looked at, for all connections at once: no timer a request."""
TELL_AGAIN_S = 60.0
"""How often the log tells who was turned away."""


class Guest(Protocol):
    """A connection, as the gate sees it."""

    answered: bool
    held_bytes: int

    def overdue(self, now: float) -> bool: ...

    def expire(self) -> None: ...

    def make_way(self) -> None: ...


class Gate:
    """Who is inside. When it is full, who has kept us waiting for longest makes way.

    `waiting` are those whose next move is theirs and not ours, the longest first: who never had an
    answer, and who did. Of the newcomers one goes first while they are many, so that a flood of
    them does not throw out the desks.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.places = limits.places()
        self.held_bytes = 0
        self.turned_away: Counter[str] = Counter()
        self.inside: set[Guest] = set()
        self._newcomers: OrderedDict[Guest, None] = OrderedDict()
        self._known: OrderedDict[Guest, None] = OrderedDict()
        self._loop = asyncio.get_running_loop()
        self._sweeping = False
        self._told_at = self._loop.time()
        if self.places < limits.connections:
            log.warning(
                "Each worker takes %d connections and not %d: for more it needs more descriptors.",
                self.places,
                limits.connections,
            )

    def enter(self, guest: Guest) -> bool:
        """Take a connection in. False if all places are taken by requests that we work on."""
        if len(self.inside) >= self.places and not self._make_a_place():
            return False
        self.inside.add(guest)
        metrics.connections.inc()
        self._newcomers[guest] = None
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(LOOK_AGAIN_S, self._sweep)
        return True

    def leave(self, guest: Guest) -> None:
        """It is gone."""
        if guest in self.inside:
            self.inside.remove(guest)
            metrics.connections.dec()
        self.work_on(guest)

    def wait_for(self, guest: Guest) -> None:
        """The next move is the guest's, from now on."""
        self._newcomers.pop(guest, None)
        if guest.answered:
            self._known[guest] = None
            self._known.move_to_end(guest)
        else:
            self._newcomers[guest] = None

    def work_on(self, guest: Guest) -> None:
        """The next move is ours."""
        self._known.pop(guest, None)
        self._newcomers.pop(guest, None)

    def make_room(self) -> None:
        """Let those go who hold most, while all hold too much."""
        while self.held_bytes > self.limits.held_bytes:
            waiting = [*self._newcomers, *self._known]
            largest = max(waiting, key=lambda guest: guest.held_bytes, default=None)
            if largest is None or not largest.held_bytes:
                return  # The rest is being answered, and is held for that.
            self._let_go(largest)

    def _make_a_place(self) -> bool:
        many = 2 * len(self._newcomers) > self.places
        waiting = self._newcomers if many or not self._known else self._known
        if not waiting:
            return False
        self._let_go(next(iter(waiting)))
        return True

    def _let_go(self, guest: Guest) -> None:
        self.work_on(guest)
        self.turn_away("overloaded")
        guest.make_way()

    def turn_away(self, code: str) -> None:
        """Somebody is turned away."""
        self.turned_away[code] += 1
        metrics.turned_away.labels(code).inc()

    def _sweep(self) -> None:
        now = self._loop.time()
        for guest in [each for each in self.inside if each.overdue(now)]:
            guest.expire()
        if self.turned_away and now - self._told_at > TELL_AGAIN_S:
            self._told_at = now
            told = ", ".join(f"{code} {count:,}" for code, count in self.turned_away.items())
            log.warning("Turned away in front of the application: %s.", told)
            self.turned_away.clear()
        self._sweeping = bool(self.inside or self.turned_away)
        if self._sweeping:
            self._loop.call_later(LOOK_AGAIN_S, self._sweep)
