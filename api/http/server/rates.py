"""Rates: how often somebody may ask what could be guessed at, with what is left of it in headers
(RateLimit, an IETF draft). Each worker counts for itself.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic

from fastapi import Request

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
"""Of one name at one address: 120 guesses in an hour, at passwords of twelve characters."""
SIGN_IN_ANYWHERE = Quota("sign-in-anywhere", 100, 300)
"""Of one name at all addresses where it has not signed in lately: who has many addresses guesses no
faster, and keeps nobody from signing in where he did before."""
LOOK_UP = Quota("look-up", 60, 60)
"""Of one who asks: more than a queue at a desk has, and years for the numbers of a city."""
FORWARDED_HEADER = "X-Forwarded-For"
POLICY_HEADER, LEFT_HEADER = "RateLimit-Policy", "RateLimit"


class Rates:
    """What was asked lately."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._begun: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._at_home: OrderedDict[tuple[str, str], None] = OrderedDict()

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

    def knock(self, user_id: str, address: str) -> dict[str, str]:
        """Count one more who would sign in, there being such a user or not. Raises
        `too_many_requests`."""
        left = self.spend(SIGN_IN, f"{user_id} {address}")
        if (user_id, address) not in self._at_home:
            self.spend(SIGN_IN_ANYWHERE, user_id)
        return left

    def let_in(self, user_id: str, address: str) -> None:
        """Keep in mind where he has signed in."""
        self._at_home[user_id, address] = None
        self._at_home.move_to_end((user_id, address))
        if len(self._at_home) > MOST_COUNTED:
            self._at_home.popitem(last=False)


def address_of(request: Request, behind_proxy: bool) -> str:
    """Where a request comes from: as the proxy in front has seen it, if it says so (the last that
    X-Forwarded-For names), else who has connected."""
    peer = request.client.host if request.client else ""
    said = ",".join(request.headers.getlist(FORWARDED_HEADER)).rpartition(",")[2].strip()
    try:
        return str(ip_address(said)) if behind_proxy else peer
    except ValueError:
        return peer
