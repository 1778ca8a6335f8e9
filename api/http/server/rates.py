"""Rates: how often somebody may ask what could be guessed at, with what is left of it in headers
(RateLimit, an IETF draft). Each worker counts for itself.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from api.runtime.problems import DoorProblem

MOST_COUNTED = 10_000
"""Who is counted at once; then who began longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class Quota:
    """So many in a time, of one name."""

    name: str
    most: int
    window_s: int

    @property
    def policy(self) -> str:
        """As a header says it."""
        return f'"{self.name}";q={self.most};w={self.window_s}'


SIGN_IN = Quota("sign-in", 10, 300)
"""Of one name: 120 guesses in an hour, at passwords of twelve characters."""
LOOK_UP = Quota("look-up", 60, 60)
"""Of one who asks: more than a queue at a desk has, and years for the numbers of a city."""
POLICY_HEADER, LEFT_HEADER = "RateLimit-Policy", "RateLimit"


class Rates:
    """What was asked lately."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._begun: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def spend(self, quota: Quota, of: str) -> dict[str, str]:
        """Count one more, and tell what is left in headers. Raises `too_many_requests`."""
        now, known = self._now(), (quota.name, of)
        began, count = self._begun.get(known, (now, 0))
        if now - began >= quota.window_s:
            began, count = now, 0
            self._begun.pop(known, None)
        over_s = math.ceil(began + quota.window_s - now)
        if count >= quota.most:
            raise DoorProblem("too_many_requests", more={"retry_after_s": over_s})
        self._begun[known] = began, count + 1
        if len(self._begun) > MOST_COUNTED:
            self._begun.popitem(last=False)
        left = f'"{quota.name}";r={quota.most - count - 1};t={over_s}'
        return {POLICY_HEADER: quota.policy, LEFT_HEADER: left}
