"""The deliverer: tells each webhook of the events that it wants, in the order of the log.

It reads the log itself, so it waits for no answers and holds none up. Of all processes one
delivers, under Lock.TELLING. A webhook is sent one message at a time; the next of a lane goes when
this one was taken or is a dead letter, so that each lane arrives in order. How far it is is kept
after each, so a process that is killed sends the last one again, under the same id.
"""

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, NamedTuple

import psycopg

from api import log as events
from api.runtime.clock import Clock
from api.webhooks import message
from api.webhooks.sending import Network, Outcome, post
from domain.kernel.command import ADDRESSED
from domain.webhooks import Webhook
from ledger import reading, webhooks
from ledger.database import connect, meta
from ledger.keyring import KeyNotHere, Tampered, UnusableKeys
from ledger.locks import Lock
from ledger.trouble import Once, cause_of
from ledger.webhooks import Lane, Letter
from projections.engine.schemas import log_ends, try_session_lock

log = logging.getLogger("clubledger")

REAL = Clock()
"""The clock on the wall, by which messages are dated and tried again, also those of a demo."""

LOOK_AGAIN_S = 0.25
OTHERS_S = 5.0
"""How often a process looks whether the one that delivers has gone, or a failure is over."""
HEAR_OUT_S = 2.0
"""How long a stop waits for what is under way."""
AT_ONCE = 500
"""So many events of a lane are read at once."""
MOST_UNDER_WAY = 32
"""Messages to different webhooks."""

FIRST_S, FACTOR, MOST_S = 5.0, 4, 12 * 3600.0
"""How long until a message is tried again, how much longer each time, and the longest of it."""
JITTER = 0.25
"""By so much of itself a pause is longer or shorter, so that not all come again at once."""
TRIES = 12
"""Of a message: they take more than two days. Then it is a dead letter."""
REFUSED, REFUSED_TRIES = frozenset({400, 413, 414, 415, 422}), 5
"""Who answers so will not take this one message, whoever waits behind it: minutes are enough."""
GONE = 410
"""Who answers so wants nothing any more: the webhook is stopped at once."""
LONG = timedelta(days=5)
"""A webhook that has taken nothing for so long is stopped."""


def told(
    lane: Lane, position: int, outcome: Outcome, now: datetime, pause: Callable[[int], timedelta]
) -> tuple[Lane, Letter | None]:
    """How a webhook stands after it was sent the event at this position, its next; and the dead
    letter that this has become, if it has."""
    if outcome.taken:
        done = lane._replace(position=position, tries=0, due_at=now, failing_since=None, cause="")
        return done._replace(taken=lane.taken + 1), None
    tries, since = lane.tries + 1, lane.failing_since or now
    failing = lane._replace(
        tries=tries, failing_since=since, cause=outcome.cause, failed=lane.failed + 1
    )
    if outcome.status == GONE or now - since >= LONG:
        return failing._replace(stopped_at=now), None
    if tries < (REFUSED_TRIES if outcome.status in REFUSED else TRIES):
        asked = timedelta(seconds=min(outcome.retry_after_s, MOST_S))
        return failing._replace(due_at=now + max(pause(tries), asked)), None
    letter = Letter(lane.bucket, lane.webhook_id, position, now, tries, outcome.cause)
    return failing._replace(position=position, tries=0, due_at=now), letter


def pause(tries: int) -> timedelta:
    """How long until the next try, after so many."""
    seconds = min(FIRST_S * FACTOR ** (tries - 1), MOST_S)
    return timedelta(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))


class UnderWay(NamedTuple):
    """A message that was sent and is not answered yet."""

    bucket: int
    position: int
    letter: Letter | None


class Telling:
    """What one process does for as long as it is the one that delivers."""

    def __init__(
        self,
        conn: psycopg.Connection[Any],
        allowed: Sequence[Network],
        now: Callable[[], datetime] = REAL.now,
    ) -> None:
        self._conn, self._allowed, self._now = conn, allowed, now
        known = meta(conn)
        self._ledger_id, self._clock = known["ledger_id"], Clock.of(known)
        self._webhooks: dict[str, Webhook] = {}
        self._lanes: dict[str, dict[int, Lane]] = {}
        for lane in webhooks.lanes(conn):
            self._lanes.setdefault(lane.webhook_id, {})[lane.bucket] = lane
        self._ends: dict[int, int] = {}
        self._ahead: dict[tuple[str, int], deque[dict[str, Any]]] = {}
        self._secrets: dict[tuple[str, tuple[int, ...]], list[bytes]] = {}
        self._with_letters = set(self._lanes)
        self._turn: dict[str, int] = {}
        self.under_way: dict[str, UnderWay] = {}
        self._answers: SimpleQueue[tuple[str, Outcome]] = SimpleQueue()

    def run(self, stop: threading.Event) -> None:
        """Deliver until it is told to stop; then hear out what is under way."""
        while not stop.is_set():
            self.look()
            wait_s = 0.0 if self.send() else LOOK_AGAIN_S
            if self.under_way:
                self.hear(wait_s)
            else:
                stop.wait(wait_s)
        until = monotonic() + HEAR_OUT_S
        while self.under_way and (left := until - monotonic()) > 0:
            self.hear(left)

    def look(self) -> None:
        """Take in where the log stands, and what it says of webhooks."""
        ends = log_ends(self._conn)
        if ends == self._ends:
            return
        self._ends, self._webhooks = ends, webhooks.webhooks(self._conn)
        for webhook_id, webhook in self._webhooks.items():
            if webhook.removed_at is not None:
                if self._lanes.pop(webhook_id, None) is not None:
                    webhooks.forget(self._conn, webhook_id)
            elif webhook_id not in self._lanes:
                webhooks.begin(self._conn, webhook_id)
                mine = [each for each in webhooks.lanes(self._conn) if each[1] == webhook_id]
                self._lanes[webhook_id] = {lane.bucket: lane for lane in mine}

    def send(self) -> bool:
        """Send each webhook that waits for no answer its next message, if there is one; whether
        more of the log is to be looked through for one."""
        more = False
        for webhook_id, lanes in self._lanes.items():
            if webhook_id in self.under_way or len(self.under_way) >= MOST_UNDER_WAY:
                continue
            for bucket in lanes:
                self._resume(webhook_id, bucket)
            if not any(lane.stopped_at for lane in lanes.values()):
                before = sum(lane.position for lane in lanes.values())
                self._send_next(webhook_id)
                more |= sum(lane.position for lane in lanes.values()) > before
        return more

    def hear(self, wait_s: float) -> None:
        """Take in an answer, if one comes meanwhile, and keep what it says."""
        try:
            webhook_id, outcome = self._answers.get(timeout=wait_s)
        except Empty:
            return
        sent, lanes = self.under_way.pop(webhook_id), self._lanes.get(webhook_id)
        if lanes is None:
            return  # It was removed meanwhile.
        with self._conn.transaction():
            if sent.letter is None:
                before = lanes[sent.bucket]
                lane, letter = told(before, sent.position, outcome, self._now(), pause)
            else:
                lane, letter = self._told_again(lanes[sent.bucket], sent.letter, outcome)
            if letter is not None:
                webhooks.bury(self._conn, letter)
            self._keep(lane)
        if lane.stopped_at:
            log.warning("A webhook is stopped: %s. `clubledger webhooks` tells of it.", lane.cause)

    # ------------------------------------------------------------------------------- one webhook
    def _told_again(
        self, lane: Lane, letter: Letter, outcome: Outcome
    ) -> tuple[Lane, Letter | None]:
        """The same of a dead letter, which is tried once."""
        if outcome.taken:
            webhooks.taken(self._conn, letter)
            return lane._replace(taken=lane.taken + 1), None
        now, failed = self._now(), lane._replace(failed=lane.failed + 1, cause=outcome.cause)
        again = letter._replace(died_at=now, tries=letter.tries + 1, cause=outcome.cause)
        return failed._replace(stopped_at=now if outcome.status == GONE else None), again

    def _resume(self, webhook_id: str, bucket: int) -> None:
        """Follow what was asked of it since, in this lane."""
        webhook, lane = self._webhooks[webhook_id], self._lanes[webhook_id][bucket]
        if lane.resumption >= webhook.resumptions:
            return
        replay, position = webhook.replays.get(str(bucket)), lane.position
        if replay is not None and replay.resumption > lane.resumption:
            position = min(replay.after, self._ends[bucket])
            self._ahead.pop((webhook_id, bucket), None)
        with self._conn.transaction():
            if webhook.letters > lane.resumption:
                webhooks.tell_again(self._conn, webhook_id, bucket)
                self._with_letters.add(webhook_id)
            self._keep(
                Lane(
                    *(bucket, webhook_id, position, webhook.resumptions),
                    due_at=self._now(),
                    taken=lane.taken,
                    failed=lane.failed,
                )
            )

    def _send_next(self, webhook_id: str) -> None:
        now, last = self._now(), self._turn.get(webhook_id, -1)
        if webhook_id in self._with_letters:
            for letter in webhooks.letters(self._conn, webhook_id, due=True):
                (stored,) = reading.log(self._conn, letter.bucket, letter.position - 1, 1)
                self._post(webhook_id, events.said(stored), letter)
                return
            self._with_letters.discard(webhook_id)
        lanes = self._lanes[webhook_id]
        for bucket in sorted(lanes, key=lambda bucket: (bucket <= last, bucket)):
            if lanes[bucket].due_at <= now and (event := self._next(webhook_id, bucket)):
                self._turn[webhook_id] = bucket
                self._post(webhook_id, event, None)
                return

    def _next(self, webhook_id: str, bucket: int) -> dict[str, Any] | None:
        """The next event of a lane that it wants; it is kept that it wants none of those before."""
        lane, webhook = self._lanes[webhook_id][bucket], self._webhooks[webhook_id]
        ahead, position = self._ahead.setdefault((webhook_id, bucket), deque()), lane.position
        if not (ahead and ahead[-1]["position"] > position) and position < self._ends[bucket]:
            found = reading.log(self._conn, bucket, position, AT_ONCE)
            ahead.extend(map(events.said, found))
        while ahead:
            event = ahead[0]
            if event["position"] > position:
                kind, _, stream_id = event["stream"].partition(":")
                about = {ADDRESSED.get(kind, kind): stream_id, **event["state"]}
                if webhook.wants(event["topic"], about):
                    break
                position = event["position"]
            ahead.popleft()
        if position > lane.position:
            self._keep(lane._replace(position=position))
        return ahead[0] if ahead else None

    def _keep(self, lane: Lane) -> None:
        webhooks.save(self._conn, lane)
        self._lanes[lane.webhook_id][lane.bucket] = lane

    # ------------------------------------------------------------------------------- one message
    def _post(self, webhook_id: str, event: dict[str, Any], letter: Letter | None) -> None:
        """Send it in a thread of its own: who is slow keeps no other webhook waiting."""
        bucket, position = event["bucket"], event["position"]
        self.under_way[webhook_id] = UnderWay(bucket, position, letter)
        try:
            secrets = self._secrets_of(webhook_id)
        except (KeyNotHere, Tampered, UnusableKeys):
            secrets = []
        if not secrets:
            cause = "it has no secret that can be read: rotate and resume it"
            self._answers.put((webhook_id, Outcome(None, cause)))
            return
        body = message.body_of(event, self._ledger_id)
        headers = message.headers(message.id_of(bucket, position), body, secrets, self._now())
        url = self._webhooks[webhook_id].url

        def send() -> None:
            outcome = Outcome(None, "a defect of ours")
            try:
                outcome = post(url, headers, body, self._allowed)
            finally:
                self._answers.put((webhook_id, outcome))

        threading.Thread(target=send, name="webhook", daemon=True).start()

    def _secrets_of(self, webhook_id: str) -> list[bytes]:
        numbers = tuple(self._webhooks[webhook_id].secrets(self._clock.now()))
        known = self._secrets.get((webhook_id, numbers))
        if known is None:
            known = webhooks.secrets_of(self._conn, webhook_id, numbers)
            if len(known) == len(numbers):  # A secret is made a moment after its event.
                self._secrets[webhook_id, numbers] = known
        return known


class Deliverer:
    """A thread that delivers while no other process does. What stops it by itself is told and tried
    again."""

    def __init__(self, dsn: str, allowed: Sequence[Network]) -> None:
        self._dsn, self._allowed = dsn, allowed
        self._stop, self._new = threading.Event(), Once()
        self._thread = threading.Thread(target=self._run, name="deliverer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, once what is under way is heard out."""
        self._stop.set()
        self._thread.join(2 * HEAR_OUT_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(self._dsn) as conn:
                    if try_session_lock(conn, Lock.TELLING):
                        Telling(conn, self._allowed).run(self._stop)
            except Exception as error:  # noqa: BLE001 - it tells again in a while
                cause = cause_of(error)
                if self._new(cause):
                    log.error("Webhooks are told nothing: %s", cause)
            self._stop.wait(OTHERS_S)
