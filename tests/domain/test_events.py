"""Every event ever stored still loads, and says the same when it is written again.

`STORED` holds real bytes, one entry per name ever written, as the ledger stores them: JSON without
the absent fields. Add to it, never edit it: the log cannot be edited either.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from domain.catalogue import CATALOGUE, KINDS
from domain.event import Event
from domain.points import PointsDebited
from domain.postings import Posting
from domain.values import Text
from tests.domain.scenario import local

STORED: dict[str, bytes] = {
    "member.joined": (
        b'{"occurred_at":"2005-03-01T02:00:00Z","actor":"clerk:li","key":"k1","unit_id":"west"}'
    ),
    "member.details_changed": (
        b'{"occurred_at":"2008-09-01T02:00:00Z","actor":"clerk:li","key":"k1",'
        b'"changed":["name","phone"]}'
    ),
    "member.marked_important": (
        b'{"occurred_at":"2008-01-05T01:00:00Z","actor":"clerk:li","key":"k1",'
        b'"important":true,"reason":"key account"}'
    ),
    "tier.changed": (
        b'{"occurred_at":"2006-12-31T16:00:00Z","actor":"clerk:li","key":"k1",'
        b'"tier":"gold","unit_id":"west","reason":"as asked"}'
    ),
    "member.left": (
        b'{"occurred_at":"2008-12-01T01:00:00Z","actor":"clerk:li","key":"k1",'
        b'"unit_id":"west","tier":"gold","reason":"moved away"}'
    ),
    "bill.issued": (
        b'{"occurred_at":"2008-06-30T16:10:00Z","actor":"system:billing","key":"k1",'
        b'"month":"2008-06","amount_fen":18850,"margin_fen":-120}'
    ),
    "binding.started": (
        b'{"occurred_at":"2008-07-15T04:00:00Z","actor":"clerk:li","key":"k1","binding":1,'
        b'"policy":"prepay","campaign_id":"spring","starts_on":"2008-07-15",'
        b'"ends_on":"2009-07-15","unit_id":"west"}'
    ),
    "binding.ended": (
        b'{"occurred_at":"2008-09-01T01:00:00Z","actor":"clerk:li","key":"k1","binding":1,'
        b'"ended_on":"2008-09-01","cause":"breach","reason":"below the minimum spend"}'
    ),
    "campaign.launched": (
        '{"occurred_at":"2008-06-01T01:00:00Z","actor":"clerk:li","key":"k1",'
        '"title":"健康俱乐部","kind":"prepay","opens_on":"2008-07-01",'
        '"closes_on":"2008-07-31","tiers":["diamond","gold"],"untiered":false,'
        '"excludes":["handset"],"cap":1000,"control_bp":1,"control_seed":"s1",'
        '"costs":[{"item":"posters","cost_fen":100000}],"prepaid_min_fen":10000,'
        '"gift_bp":1000,"months_bound":12,"min_monthly_fen":0}'
    ).encode(),
    "campaign.terms_changed": (
        b'{"occurred_at":"2008-07-20T01:00:00Z","actor":"clerk:li","key":"k1",'
        b'"terms_version":2,"prepaid_min_fen":5000,"gift_bp":500,"months_bound":6,'
        b'"min_monthly_fen":100}'
    ),
    "campaign.closed": (
        b'{"occurred_at":"2008-07-25T01:00:00Z","actor":"clerk:li","key":"k1","reason":"sold out"}'
    ),
    "campaign.place_freed": (
        b'{"occurred_at":"2008-07-16T04:00:00Z","actor":"clerk:li","key":"k1","place":1,'
        b'"member_id":"m1","gift_fen":1000}'
    ),
    "fact.corrected": (
        b'{"occurred_at":"2008-07-16T04:00:00Z","actor":"clerk:li","key":"k1",'
        b'"fact":"campaign.enrolled","which":"spring","reason":"wrong member"}'
    ),
    "club.fact_corrected": (
        b'{"occurred_at":"2008-07-20T04:00:00Z","actor":"clerk:li","key":"k1",'
        b'"fact":"activity.held","which":"drive","reason":"rained off"}'
    ),
    "campaign.fact_corrected": (
        b'{"occurred_at":"2008-07-26T04:00:00Z","actor":"clerk:li","key":"k1",'
        b'"fact":"campaign.closed","which":"-","reason":"not sold out"}'
    ),
    "visit.emergency_corrected": (
        b'{"occurred_at":"2008-07-17T02:00:00Z","actor":"clerk:li","key":"k1",'
        b'"fact":"visit.emergency_admitted","which":"1","reason":"told twice"}'
    ),
    "campaign.place_taken": (
        b'{"occurred_at":"2008-07-15T04:00:00Z","actor":"clerk:li","key":"k1","place":1,'
        b'"member_id":"m1","gift_fen":1000}'
    ),
    "campaign.offered": (
        b'{"occurred_at":"2008-06-20T01:00:00Z","actor":"clerk:li","key":"k1",'
        b'"campaign_id":"spring","arm":"offered","closes_on":"2008-07-31"}'
    ),
    "campaign.enrolled": (
        b'{"occurred_at":"2008-07-15T04:00:00Z","actor":"clerk:li","key":"k1",'
        b'"campaign_id":"spring","place":1,"terms_version":1,"prepaid_fen":10000,'
        b'"gift_fen":1000,"months_bound":12,"min_monthly_fen":0,"closes_on":"2008-07-31",'
        b'"tier":"gold","unit_id":"west"}'
    ),
    "club.opened": (
        '{"occurred_at":"2008-06-01T01:00:00Z","actor":"clerk:li","key":"k1",'
        '"title":"健康俱乐部","opens_on":"2008-06-30","opens_minute":540,"closes_minute":1320,'
        '"tiers":["diamond","gold"],"important":true}'
    ).encode(),
    "service.priced": (
        '{"occurred_at":"2008-06-01T01:30:00Z","actor":"clerk:li","key":"k1",'
        '"service_id":"room","title":"健康俱乐部","price_version":1,"points":70,'
        '"tier_points":{"diamond":50},"companion_points":30,"free_visits":{"gold":2}}'
    ).encode(),
    "emergency.declared": (
        b'{"occurred_at":"2008-07-17T01:00:00Z","actor":"clerk:li","key":"k1",'
        b'"reason":"snow storm"}'
    ),
    "emergency.ended": (b'{"occurred_at":"2008-07-18T01:00:00Z","actor":"clerk:li","key":"k1"}'),
    "activity.held": (
        '{"occurred_at":"2008-07-19T01:00:00Z","actor":"clerk:li","key":"k1",'
        '"activity_id":"drive","title":"自驾游 2008","cost_fen":500000,"fee_fen":5000,'
        '"commission_fen":10000}'
    ).encode(),
    "cohort.opened": (
        b'{"occurred_at":"2008-01-01T01:00:00Z","actor":"clerk:li","key":"k1",'
        b'"title":"high value","purpose":"retention",'
        b'"criterion":"200 yuan a month or more","taken_on":"2007-12-31"}'
    ),
    "cohort.frozen": (
        b'{"occurred_at":"2008-01-03T01:00:00Z","actor":"clerk:li","key":"k1","size":1}'
    ),
    "cohort.included": (
        b'{"occurred_at":"2008-01-02T01:00:00Z","actor":"clerk:li","key":"k1",'
        b'"cohort_id":"vips","tier":"gold","unit_id":"west"}'
    ),
    "points.credited": (
        b'{"occurred_at":"2008-01-01T01:00:00Z","actor":"system:billing","key":"k1",'
        b'"postings":[[1,"outside","spendable",100]],"available_from":"2008-02-01T01:00:00Z",'
        b'"expires_at":"2008-07-31T16:00:00Z","source":"bill 2008-06","rule":"v1"}'
    ),
    "points.debited": (
        b'{"occurred_at":"2008-07-01T01:30:00Z","actor":"clerk:li","key":"k1",'
        b'"postings":[[1,"spendable","spent",100]],"debit":1,"reason":"health/room","visit":1}'
    ),
    "points.expired": (
        b'{"occurred_at":"2008-07-31T16:00:00Z","actor":"system:sweep","key":"k1",'
        b'"postings":[[1,"spendable","expired",100]]}'
    ),
    "points.expiry_reversed": (
        b'{"occurred_at":"2008-07-31T16:00:00Z","actor":"clerk:li","key":"k1",'
        b'"postings":[[1,"expired","spendable",40]]}'
    ),
    "points.debit_reversed": (
        b'{"occurred_at":"2008-07-01T01:40:00Z","actor":"clerk:li","key":"k1",'
        b'"postings":[[1,"spent","spendable",100]],"debit":1,"reason":"wrong member"}'
    ),
    "points.credit_reversed": (
        b'{"occurred_at":"2008-07-16T02:00:00Z","actor":"clerk:li","key":"k1",'
        b'"postings":[[2,"spendable","reversed",10]],"lot":2,"asked_points":10,"policy":"forgive",'
        b'"reason":"bill corrected"}'
    ),
    "unit.opened": (
        '{"occurred_at":"2000-01-01T01:00:00Z","actor":"clerk:li","key":"k1","title":"城西分局"}'
    ).encode(),
    "visit.recorded": (
        b'{"occurred_at":"2008-07-01T01:30:00Z","actor":"clerk:li","key":"k1","visit":1,'
        b'"club_id":"health","service_id":"room","companions":1,"tier":"gold","important":true,'
        b'"unit_id":"west","payment":"points","points":100,"price_version":1,"desk":"d1",'
        b'"debit":1}'
    ),
    "visit.undone": (
        b'{"occurred_at":"2008-07-01T01:40:00Z","actor":"clerk:li","key":"k1","visit":1,'
        b'"visited_at":"2008-07-01T01:30:00Z","club_id":"health","service_id":"room",'
        b'"reason":"wrong member"}'
    ),
    "visit.emergency_admitted": (
        b'{"occurred_at":"2008-07-17T01:30:00Z","actor":"clerk:li","key":"k1",'
        b'"admission":1,"category":"elderly","people":3,"desk":"d1"}'
    ),
    "activity.attended": (
        b'{"occurred_at":"2008-07-20T01:00:00Z","actor":"clerk:li","key":"k1",'
        b'"club_id":"health","activity_id":"drive","held_at":"2008-07-19T01:00:00Z",'
        b'"tier":"gold"}'
    ),
}


def known() -> dict[str, type[Event]]:
    """The domain's own events, whatever other tests have defined."""
    return {name: kind for name, kind in CATALOGUE.items() if kind.__module__.startswith("domain.")}


def test_there_are_stored_bytes_of_every_event() -> None:
    assert STORED.keys() == known().keys()


@pytest.mark.parametrize("topic", STORED)
def test_every_event_ever_stored_still_loads(topic: str) -> None:
    event = CATALOGUE[topic].model_validate_json(STORED[topic])
    assert event.topic == topic
    assert event.model_dump_json(exclude_none=True).encode() == STORED[topic]
    with_nulls = event.model_dump_json().encode()
    assert CATALOGUE[topic].model_validate_json(with_nulls) == event


@pytest.mark.parametrize("topic", STORED)
def test_an_event_is_frozen_and_has_no_field_it_does_not_know(topic: str) -> None:
    event = CATALOGUE[topic].model_validate_json(STORED[topic])
    with pytest.raises(ValidationError, match="frozen"):
        setattr(event, "actor", "clerk:wu")  # noqa: B010
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        CATALOGUE[topic].model_validate({**event.model_dump(), "surprise": 1})


@pytest.mark.parametrize("topic", STORED)
def test_an_event_does_not_load_without_one_of_its_fields(topic: str) -> None:
    """Only what may be absent has a default: a truncated fact is never half understood."""
    kind, fields = CATALOGUE[topic], json.loads(STORED[topic])
    for name in fields:
        rest = json.dumps({key: value for key, value in fields.items() if key != name})
        if kind.model_fields[name].is_required():
            with pytest.raises(ValidationError, match="Field required"):
                kind.model_validate_json(rest)
        else:
            assert getattr(kind.model_validate_json(rest), name) is None


@pytest.mark.parametrize("topic", STORED)
def test_every_event_belongs_to_a_stream_and_is_folded_into_its_state(topic: str) -> None:
    kind = CATALOGUE[topic]
    assert kind.stream in KINDS
    assert kind.apply is not Event.apply
    assert kind.version == 1


def test_instants_come_in_with_any_offset_and_are_in_utc_ever_after() -> None:
    fields = json.loads(STORED["points.debited"])
    fields["occurred_at"] = "2008-07-15T12:00:00.5+08:00"
    event = PointsDebited.model_validate_json(json.dumps(fields))
    assert event.occurred_at == datetime.fromisoformat("2008-07-15T04:00:00.5+00:00")
    assert '"2008-07-15T04:00:00.500000Z"' in event.model_dump_json()


def test_no_two_events_have_one_name() -> None:
    with pytest.raises(TypeError, match=r"two events are called points\.debited"):

        class PaidAgain(Event, name="points.debited", stream="member"):
            pass

    assert CATALOGUE["points.debited"] is PointsDebited


@pytest.fixture
def greeted() -> Iterator[type[Event]]:
    """An event in the second version of its shape: `text` was called `words` before."""

    class Greeted(Event, name="test.greeted", stream="member", version=2):
        text: Text

        @classmethod
        def upcast(cls, state: dict[str, Any], version: int) -> dict[str, Any]:
            if version == 1:
                return {"text": state.pop("words"), **state}
            return super().upcast(state, version)

    yield Greeted
    del CATALOGUE["test.greeted"]


def test_an_older_shape_is_brought_up(greeted: type[Event]) -> None:
    old = {"occurred_at": local("2008-07-01"), "actor": "clerk:li", "key": "k1", "words": "你好"}
    event = greeted.model_validate(greeted.upcast(old, 1))
    assert event.model_dump()["text"] == "你好"
    assert greeted.version == 2


def test_a_shape_that_nobody_knows_is_an_error(greeted: type[Event]) -> None:
    with pytest.raises(ValueError, match=r"test\.greeted cannot read version 7"):
        greeted.upcast({}, 7)
    with pytest.raises(ValueError, match=r"points\.debited cannot read version 0"):
        PointsDebited.upcast({}, 0)


def test_an_event_that_changes_no_state_must_say_so(greeted: type[Event]) -> None:
    said = {"occurred_at": local("2008-07-01"), "actor": "clerk:li", "key": "k1", "text": "hello"}
    with pytest.raises(TypeError, match=r"test\.greeted says nothing of how it changes a state"):
        greeted.model_validate(said).apply(None)


def test_which_lots_paid_is_a_part_of_the_event() -> None:
    event = PointsDebited.model_validate_json(STORED["points.debited"])
    assert event.postings == (Posting(1, "spendable", "spent", 100),)
    assert all(isinstance(posting, Posting) for posting in event.postings)
