"""Webhooks: who is told of which events, by whose secrets, and from where again."""

from datetime import timedelta
from typing import Any

import pytest

from domain.webhooks import (
    AddWebhook,
    RemoveWebhook,
    Replay,
    ResumeWebhook,
    RotateWebhook,
    UnknownTopic,
    UnknownWebhook,
    Webhook,
    WebhookAdded,
    WebhookExists,
    WebhookIsRemoved,
    WebhookRemoved,
    WebhookResumed,
    WebhookRotated,
)
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import NOON

BEFORE = "2008-07-14 12:00"
ADDED = do(AddWebhook, BEFORE)
REMOVED = do(RemoveWebhook, BEFORE)


def test_a_webhook_is_added_once_for_topics_that_there_are() -> None:
    added = given().when(do(AddWebhook, NOON, topics=("visit.recorded",), clubs=("health",)))
    added.then(fact(WebhookAdded, topics=("visit.recorded",), clubs=("health",), campaigns=()))
    added.then_told(secret=1, signing_secret=None)
    given(ADDED).when(do(AddWebhook, NOON)).then_refused(WebhookExists("billing"))
    mistyped = do(AddWebhook, NOON, topics=("visit.recorded", "visit.rekorded"))
    given().when(mistyped).then_refused(UnknownTopic(2))


def test_a_webhook_that_is_rotated_signs_with_two_secrets_for_a_while() -> None:
    rotated = given(ADDED).when(do(RotateWebhook, NOON, overlap_hours=2))
    rotated.then(fact(WebhookRotated, overlap_until=local(NOON) + timedelta(hours=2)))
    rotated.then_told(secret=2, signing_secret=None)
    webhook = Webhook(secret=3, overlap_until=local(NOON))
    assert webhook.secrets(local(BEFORE)) == [3, 2]
    assert webhook.secrets(local(NOON)) == [3]
    assert Webhook(secret=1).secrets(local(NOON)) == [1]


def test_a_webhook_goes_on_perhaps_from_an_earlier_place_or_with_its_dead_letters() -> None:
    given(ADDED).when(do(ResumeWebhook, NOON)).then(fact(WebhookResumed, after=None))
    webhook = Webhook(secret=1)
    for said in (
        {},
        {"after_bucket": 3, "after": 17},
        {"dead_letters": True},
        {"after_bucket": 3, "after": 5},
    ):
        (event,) = do(ResumeWebhook, NOON, **said).decide(local(NOON), webhook)
        event.apply(webhook)
    assert (webhook.resumptions, webhook.letters) == (4, 3)
    assert webhook.replays == {"3": Replay(4, 5)}


def test_a_webhook_is_removed_for_good() -> None:
    given(ADDED).when(do(RemoveWebhook, NOON)).then(fact(WebhookRemoved))
    for kind in (RotateWebhook, ResumeWebhook, RemoveWebhook):
        again: Any = do(kind, NOON)
        given().when(again).then_refused(UnknownWebhook("billing"))
        given(ADDED, REMOVED).when(again).then_refused(WebhookIsRemoved(local(BEFORE)))
    given(ADDED, REMOVED).when(do(AddWebhook, NOON)).then_refused(WebhookExists("billing"))


VISIT = {"member_id": "m1", "club_id": "health"}


@pytest.mark.parametrize(
    ("said", "topic", "about", "wanted"),
    [
        ({}, "visit.recorded", VISIT, True),
        ({"topics": ["visit.recorded"]}, "visit.recorded", VISIT, True),
        ({"topics": ["visit.undone"]}, "visit.recorded", VISIT, False),
        ({"clubs": ["health"]}, "visit.recorded", VISIT, True),
        ({"clubs": ["lounge"]}, "visit.recorded", VISIT, False),
        ({"clubs": ["health"]}, "points.credited", {"member_id": "m1"}, False),
        ({"clubs": ["lounge"], "campaigns": ["spring"]}, "x", {"campaign_id": "spring"}, True),
        ({"topics": ["y"], "campaigns": ["spring"]}, "x", {"campaign_id": "spring"}, False),
    ],
)
def test_it_is_told_of_its_topics_and_of_its_clubs_or_campaigns(
    said: dict[str, Any], topic: str, about: dict[str, str], wanted: bool
) -> None:
    assert Webhook(**said).wants(topic, about) is wanted
