"""Webhooks: which programs elsewhere are told of events, and of which. Their secrets are kept
apart, encrypted; how far each was told is kept beside the log, and is no fact of the programme.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Struct, field
from pydantic import Field, StringConstraints

from domain.kernel.bounds import AtMost
from domain.kernel.command import Command, Receipt, saying
from domain.kernel.correction import Topic
from domain.kernel.event import CATALOGUE, Event
from domain.kernel.parts import part_of
from domain.kernel.refusal import Refusal
from domain.kernel.values import CampaignId, ClubId, Id, Instant

MOST_TOPICS, MOST_PLACES, MOST_LANES = 200, 100, 64
Url = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]{1,500}$")]
"""Visible ASCII alone: no blank, no line break."""
Topics = Annotated[tuple[Topic, ...], Field(max_length=MOST_TOPICS)]
Clubs = Annotated[tuple[ClubId, ...], Field(max_length=MOST_PLACES)]
Campaigns = Annotated[tuple[CampaignId, ...], Field(max_length=MOST_PLACES)]
Bucket = Annotated[int, Field(ge=0, le=MOST_LANES - 1)]
Place = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
OverlapHours = Annotated[int, Field(ge=0, le=24 * 30)]


class Replay(Struct, array_like=True, gc=False):
    """From where a lane is told again, and by the how manieth resumption."""

    resumption: int
    after: int


@part_of("webhook")
class Webhook(Struct, array_like=True, gc=False):
    """A subscription: where it goes, of what it is told, and which of its secrets sign."""

    url: str = ""
    topics: Annotated[list[str], AtMost(MOST_TOPICS)] = field(default_factory=list)
    clubs: Annotated[list[str], AtMost(MOST_PLACES)] = field(default_factory=list)
    campaigns: Annotated[list[str], AtMost(MOST_PLACES)] = field(default_factory=list)
    secret: int = 0
    """The number of the newest secret; the one before it signs too, until `overlap_until`."""
    overlap_until: datetime | None = None
    removed_at: datetime | None = None
    resumptions: int = 0
    letters: int = 0
    """The latest resumption that wanted its dead letters told again."""
    replays: Annotated[dict[str, Replay], AtMost(MOST_LANES)] = field(default_factory=dict)
    """By lane, the latest that wanted it told again."""

    def secrets(self, now: datetime) -> list[int]:
        """The numbers of the secrets that sign at a time, the newest first."""
        overlap = self.overlap_until is not None and now < self.overlap_until
        return [self.secret, self.secret - 1] if overlap else [self.secret]

    def wants(self, topic: str, about: Mapping[str, Any]) -> bool:
        """Whether it is told of an event: of its topics, and of its clubs or campaigns."""
        if self.topics and topic not in self.topics:
            return False
        if not (self.clubs or self.campaigns):
            return True
        return about.get("club_id") in self.clubs or about.get("campaign_id") in self.campaigns


# ------------------------------------------------------------------------------------------ events
class WebhookAdded(Event, name="webhook.added", stream="webhook"):
    """A program elsewhere is told of events from now on: of all, or of these topics, clubs and
    campaigns."""

    url: Url
    topics: Topics
    clubs: Clubs
    campaigns: Campaigns

    def apply(self, webhook: Webhook) -> None:
        webhook.url, webhook.secret = self.url, 1
        webhook.topics, webhook.clubs = list(self.topics), list(self.clubs)
        webhook.campaigns = list(self.campaigns)


class WebhookRotated(Event, name="webhook.rotated", stream="webhook"):
    """A webhook got another secret; the one before signs too, for a while."""

    overlap_until: Instant

    def apply(self, webhook: Webhook) -> None:
        webhook.secret += 1
        webhook.overlap_until = self.overlap_until


class WebhookResumed(Event, name="webhook.resumed", stream="webhook"):
    """A webhook goes on: at once, if it was stopped or waits; perhaps from an earlier place of a
    lane; perhaps with its dead letters as well."""

    after_bucket: Bucket
    after: Place | None = None
    dead_letters: bool

    def apply(self, webhook: Webhook) -> None:
        webhook.resumptions += 1
        if self.after is not None:
            webhook.replays[str(self.after_bucket)] = Replay(webhook.resumptions, self.after)
        if self.dead_letters:
            webhook.letters = webhook.resumptions


class WebhookRemoved(Event, name="webhook.removed", stream="webhook"):
    """A program elsewhere is told of nothing any more."""

    def apply(self, webhook: Webhook) -> None:
        webhook.removed_at = self.occurred_at


# ---------------------------------------------------------------------------------------- refusals
@dataclass
class WebhookExists(Refusal):
    """There is a webhook of that name already, or was: no name is given twice."""

    code = "webhook_exists"
    webhook_id: str


@dataclass
class UnknownTopic(Refusal):
    """There are no events of that topic; `entry` says which of the list it is."""

    code = "unknown_topic"
    entry: int


@dataclass
class UnknownWebhook(Refusal):
    """There is no such webhook."""

    code = "unknown_webhook"
    webhook_id: str


@dataclass
class WebhookIsRemoved(Refusal):
    """The webhook is removed, for good."""

    code = "webhook_is_removed"
    removed_at: datetime


def require_topics(topics: tuple[str, ...]) -> None:
    """Refuses a topic that no event has: who mistyped it would wait for ever."""
    for number, topic in enumerate(topics, 1):
        if topic not in CATALOGUE:
            raise UnknownTopic(number)


def require_webhook(webhook: Webhook, webhook_id: str) -> None:
    """Refuses one that is not there, or is no more."""
    if not webhook.secret:
        raise UnknownWebhook(webhook_id)
    if webhook.removed_at is not None:
        raise WebhookIsRemoved(webhook.removed_at)


# ---------------------------------------------------------------------------------------- commands
class WebhookCommand(Command):
    """Of a webhook."""

    writes: ClassVar[dict[str, str]] = {"webhook": "webhook_id"}
    webhook_id: Id


class WebhookReceipt(Receipt):
    """The newest secret of it: which it is, and, this once, the secret itself."""

    secret: int
    signing_secret: str | None


class AddWebhook(WebhookCommand):
    """Tell a program elsewhere of events as they come. The secret with which each is signed is
    shown once, by this answer alone."""

    command: Literal["webhook.add"] = "webhook.add"
    discloses: ClassVar[bool] = True
    refuses = (WebhookExists, UnknownTopic)
    example = saying(
        webhook_id="billing", url="https://billing.example/hook", topics=["visit.recorded"]
    )
    url: Url = Field(description="where each is posted")
    topics: Topics = Field((), description="of which events; of all if it is left out")
    clubs: Clubs = Field((), description="only of these clubs, or of `campaigns`")
    campaigns: Campaigns = Field((), description="only of these campaigns, or of `clubs`")

    def decide(self, at: datetime, webhook: Webhook) -> list[Event]:
        if webhook.secret:
            raise WebhookExists(self.webhook_id)
        require_topics(self.topics)
        added = self.event(
            WebhookAdded,
            at,
            url=self.url,
            topics=self.topics,
            clubs=self.clubs,
            campaigns=self.campaigns,
        )
        return [added]

    def receipt(self, events: list[Event], **parts: Any) -> WebhookReceipt:
        return {"secret": parts["webhook"].secret, "signing_secret": None}


class RotateWebhook(WebhookCommand):
    """Give a webhook another secret, which is shown once. The one before it signs as well for some
    hours, so that whoever is told can take the new one over meanwhile."""

    command: Literal["webhook.rotate"] = "webhook.rotate"
    discloses: ClassVar[bool] = True
    refuses = (UnknownWebhook, WebhookIsRemoved)
    example = saying(webhook_id="crm", overlap_hours=24)
    overlap_hours: OverlapHours = Field(24, description="for which the secret before it signs too")

    def decide(self, at: datetime, webhook: Webhook) -> list[Event]:
        require_webhook(webhook, self.webhook_id)
        until = at + timedelta(hours=self.overlap_hours)
        return [self.event(WebhookRotated, at, overlap_until=until)]

    def receipt(self, events: list[Event], **parts: Any) -> WebhookReceipt:
        return {"secret": parts["webhook"].secret, "signing_secret": None}


class ResumeWebhook(WebhookCommand):
    """Let a webhook go on at once, though it was stopped or waits to try again; tell it again what
    lies behind an earlier place, or what it was given up on."""

    command: Literal["webhook.resume"] = "webhook.resume"
    refuses = (UnknownWebhook, WebhookIsRemoved)
    example = saying(webhook_id="crm", after=0)
    after_bucket: Bucket = Field(0, description="the lane in which `after` is")
    after: Place | None = Field(
        None, description="tell again what is behind this position; else it goes on where it was"
    )
    dead_letters: bool = Field(False, description="tell its dead letters again as well")

    def decide(self, at: datetime, webhook: Webhook) -> list[Event]:
        require_webhook(webhook, self.webhook_id)
        resumed = self.event(
            WebhookResumed,
            at,
            after_bucket=self.after_bucket,
            after=self.after,
            dead_letters=self.dead_letters,
        )
        return [resumed]


class RemoveWebhook(WebhookCommand):
    """Tell a program of nothing any more, for good."""

    command: Literal["webhook.remove"] = "webhook.remove"
    refuses = (UnknownWebhook, WebhookIsRemoved)
    example = saying(webhook_id="crm")

    def decide(self, at: datetime, webhook: Webhook) -> list[Event]:
        require_webhook(webhook, self.webhook_id)
        return [self.event(WebhookRemoved, at)]
