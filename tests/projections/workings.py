"""A world to fold, followers at work on it, and what can be seen from outside."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck

from projections.engine import runner
from projections.engine import schemas as state
from projections.engine.runner import OtherVersion, PoisonedEvent
from tests.patience import PATIENCE_S
from tests.projections.histories import World, furnished

CARELESS = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
"""Of a busy machine, and of databases that the examples empty themselves."""


def busy(buckets: int, visits: int = 12) -> World:
    """A world in which something happened in every lane."""
    world = furnished(buckets)
    for number in range(visits):
        member = f"m{1 + number % 5}"
        if number < 5:
            world.does("tier.change", member_id=member, tier="gold")
        at: dict[str, Any] = {"club_id": "lounge", "service_id": "room", "confirm_repeat": True}
        world.does("visit.record", member_id=member, **at)
    return world


@contextmanager
def following(dsn: str) -> Iterator[list[BaseException]]:
    """A follower in a thread of its own, with what it died of."""
    stop, died = threading.Event(), list[BaseException]()

    def follow() -> None:
        try:
            runner.follow(dsn, stop)
        except (PoisonedEvent, OtherVersion) as ended:
            died.append(ended)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield died
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def a_newer_version_comes(conn: Any) -> None:
    """As another program enters, whose texts are none of ours."""
    conn.execute("UPDATE ledger.ledger_meta SET value = value || ' newer' WHERE name = 'folded_by'")


def caught_up(conn: Any) -> bool:
    return state.installed(conn) and all(lane.lag == 0 for lane in runner.status(conn))


def schemas(conn: Any) -> set[str]:
    found = conn.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE ANY (%s)", (["answers%", "typed%"],)
    )
    return {name for (name,) in found.fetchall()}
