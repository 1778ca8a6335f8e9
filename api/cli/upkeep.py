"""`project`, `rebuild`, `status`: how far the answers are, and making them anew."""

import signal
import threading
import time
from datetime import datetime
from functools import partial
from importlib.metadata import version
from types import FrameType

from api import answers
from api.cli.serving.revival import kept_alive
from api.cli.terminal import output
from api.runtime.clock import Clock
from api.runtime.settings import Settings
from api.runtime.wiring import embedded_version, opened
from api.webhooks.delivering import Deliverer
from domain.kernel.values import PROGRAMME
from ledger import clocks
from ledger.database import connect
from projections.engine import runner


def project(settings: Settings, follow: bool, as_json: bool) -> int:
    """Fold what the log holds into the answers, once or for ever."""
    with opened(settings) as database:
        if follow:
            return _follow(settings, database.dsn)
        begun = time.monotonic()
        with output.steps() as steps:
            folded = runner.project(
                database.dsn, lambda at: steps.reach(at.stage, at.done, at.total)
            )
        _told("folded", folded, time.monotonic() - begun, as_json)
    return 0


def _follow(settings: Settings, dsn: str) -> int:
    """Follow until SIGTERM (0) or Ctrl-C (130); either way the last window is folded whole."""
    stop = threading.Event()
    came: list[int] = []

    def leave(number: int, _: FrameType | None) -> None:
        came.append(number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` means it.
            signal.signal(number, leave)
    output.note("clubledger folds what comes in; Ctrl-C ends it")
    deliverer = Deliverer(dsn, settings.networks_of_webhooks)
    deliverer.start()
    with kept_alive(settings, dsn):
        runner.follow(dsn, stop)
        deliverer.stop()
    return 128 + signal.SIGINT if signal.SIGINT in came else 0


def rebuild(settings: Settings, anew: bool, as_json: bool) -> int:
    """Make all answers anew beside the live ones, then put them in their place at once."""
    with opened(settings) as database:
        begun = time.monotonic()
        with output.steps() as steps:
            folded = runner.rebuild(
                database.dsn, lambda at: steps.reach(at.stage, at.done, at.total), anew=anew
            )
        _told("rebuilt from", folded, time.monotonic() - begun, as_json)
    return 0


def _told(verb: str, folded: runner.Folded, took_s: float, as_json: bool) -> None:
    if as_json:
        told = {"events": folded.events, "rebuilt": folded.rebuilt, "took_s": round(took_s, 2)}
        output.tell(told)
    else:
        output.say(f"{verb} {folded.events:,} events in {took_s:.1f} s")


def status(settings: Settings, as_json: bool) -> int:
    """What the ledger holds, where it is, and how far its answers are."""
    running = None if settings.database_url else embedded_version(settings.data_dir)
    with opened(settings) as database, connect(database.dsn) as connection:
        question = partial(
            answers.status,
            meta=database.meta,
            version=version("clubledger"),
            place=database.place,
        )
        found = question(connection)
    if as_json:
        output.tell({**found.model_dump(mode="json"), "was_running": running is not None})
        return 0
    lines = {
        "version": found.version,
        "ledger": found.database,
        "PostgreSQL": found.server,
        "clock": f"{output.local(found.clock)} {found.zone}"
        + (" (demo clock)" if found.demo_clock else ""),
        "tiers": ", ".join(
            " ".join((tier, *PROGRAMME.titles.get(tier, ()))) for tier in PROGRAMME.tiers
        ),
        "phones": str(PROGRAMME.phones),
        "demo": "none"
        if found.demo is None
        else f"scale {found.demo.scale}, seed {found.demo.seed}"
        + ("" if found.demo.complete else ", loaded in part: `clubledger demo` goes on")
        + (
            f"; its day began at {output.local(found.demo.day_began)} when it was last served"
            if found.demo.day_began
            else ""
        ),
        "events": f"{found.events:,}, of which the answers lack {found.behind:,}"
        + (f", the oldest for {found.behind_s:,.1f} s" if found.behind else ""),
        "buckets": f"{found.buckets}",
    }
    for still in found.standstills:
        lines["answers"] = (
            f"stand still before position {still.position} of bucket {still.bucket} ({still.topic})"
        )
    for name, value in lines.items():
        output.say(f"{name:<12}{value}")
    return 0


def clock(settings: Settings, stand_still: bool, as_json: bool) -> int:
    """What the clocks show, and whether that keeps anybody from writing."""
    with opened(settings) as database, connect(database.dsn) as connection:
        if stand_still:
            clocks.stand_still(connection)
        found, now = clocks.read(connection), database.clock.now()
        try:
            clocks.check_wall(connection, Clock().now())
            ahead = None
        except (clocks.ClockAhead, clocks.LogAhead) as refusal:
            ahead = refusal.code
    if as_json:
        told = {
            "here": database.clock.stamp(),
            "database": _stamp(found.database_now),
            "recorded": _stamp(found.recorded_at),
            "stands_still_until": _stamp(found.stands_still_until),
            "writes": "taken" if ahead is None else ahead,
        }
        output.tell(told)
        return 0
    lines = {
        "here": output.local(now),
        "database": output.local(found.database_now),
        "recorded": output.local(found.recorded_at) or "never",
        "writes": "are taken" if ahead is None else f"are refused: {ahead}",
    }
    if found.stands_still_until is not None and found.stands_still_until > found.database_now:
        lines["recorded"] += ", and so is what is written until then"
    for name, value in lines.items():
        output.say(f"{name:<12}{value}")
    if ahead == clocks.LogAhead.code:
        output.note(
            "If the clocks are right, `clubledger clock --stand-still` goes on writing: recorded at"
            " that last time until it is reached."
        )
    return 0


def _stamp(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(PROGRAMME.zone).isoformat()
