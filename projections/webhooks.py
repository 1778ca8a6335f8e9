"""Webhooks: which programs elsewhere are told of events, and how far. Asked of the ledger itself,
as whoever delivers asks it.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from domain.kernel.values import Id
from domain.webhooks import UnknownWebhook
from ledger import reading
from ledger import webhooks as kept
from projections.engine.answer import Answer
from projections.engine.connection import Conn


class WebhookRow(Answer):
    """A webhook, without its secrets, which nobody can show any more."""

    webhook_id: str
    url: str
    topics: list[str] = Field(description="of which it is told; empty: of all")
    clubs: list[str]
    campaigns: list[str]
    secret: int = Field(description="the number of its newest secret")
    overlap_until: datetime | None = Field(description="until when the one before signs, too")
    removed_at: datetime | None
    standing: Literal["delivers", "tries again", "stopped", "removed"]
    lag: int = Field(description="events of the log that it has not come to yet")
    taken: int = Field(description="messages that were taken")
    failed: int = Field(description="tries that failed")
    dead_letters: int
    tries: int = Field(description="of the message that is tried just now, in vain so far")
    due_at: datetime | None = Field(description="when it is tried again")
    failing_since: datetime | None = Field(description="since when nothing was taken")
    stopped_at: datetime | None = Field(description="when it was given up: resume it")
    cause: str = Field(description="why the last try failed; empty if it did not")


class DeadLetterRow(Answer):
    """An event that a webhook was given up on: `GET /v1/events?bucket=...&after=...` shows it."""

    bucket: int
    position: int
    died_at: datetime
    tries: int
    cause: str


def webhooks(conn: Conn) -> list[WebhookRow]:
    """All webhooks, also those that are told nothing any more."""
    ends = {bucket: end for bucket, end, _ in reading.lanes(conn, {})}
    dead, lanes = kept.dead(conn), dict[str, list[kept.Lane]]()
    for lane in kept.lanes(conn):
        lanes.setdefault(lane.webhook_id, []).append(lane)
    found = []
    for webhook_id, webhook in kept.webhooks(conn).items():
        mine = lanes.get(webhook_id, [])
        # Of several lanes that which fares worst is told of.
        worst = max(mine, key=lambda lane: (lane.stopped_at is not None, lane.tries), default=None)
        tries = worst.tries if worst else 0
        stopped_at = worst.stopped_at if worst else None
        standing: Literal["delivers", "tries again", "stopped", "removed"] = "delivers"
        if webhook.removed_at is not None:
            standing = "removed"
        elif stopped_at is not None:
            standing = "stopped"
        elif tries:
            standing = "tries again"
        found.append(
            WebhookRow(
                webhook_id=webhook_id,
                url=webhook.url,
                topics=webhook.topics,
                clubs=webhook.clubs,
                campaigns=webhook.campaigns,
                secret=webhook.secret,
                overlap_until=webhook.overlap_until,
                removed_at=webhook.removed_at,
                standing=standing,
                lag=sum(ends[lane.bucket] - lane.position for lane in mine),
                taken=sum(lane.taken for lane in mine),
                failed=sum(lane.failed for lane in mine),
                dead_letters=dead.get(webhook_id, 0),
                tries=tries,
                due_at=worst.due_at if worst and tries and not stopped_at else None,
                failing_since=worst.failing_since if worst else None,
                stopped_at=stopped_at,
                cause=worst.cause if worst else "",
            )
        )
    return found


def dead_letters(conn: Conn, webhook_id: Id) -> list[DeadLetterRow]:
    """The dead letters of a webhook, the first thousand of them in the order of the log."""
    if webhook_id not in kept.webhooks(conn):
        raise UnknownWebhook(webhook_id)
    return [
        DeadLetterRow(
            bucket=each.bucket,
            position=each.position,
            died_at=each.died_at,
            tries=each.tries,
            cause=each.cause,
        )
        for each in kept.letters(conn, webhook_id)
    ]
