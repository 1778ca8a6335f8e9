"""Every event ever stored still loads, and says the same when it is written again.

`stored_events.txt` holds real bytes, one line per name ever written, as the ledger stores them:
JSON without the absent fields. `make generate` adds a line for a new name, and nobody ever edits
one: the log cannot be edited either.
"""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from pydantic import ValidationError

from domain.catalogue import CATALOGUE, KINDS
from domain.kernel.event import Event
from domain.kernel.postings import Posting
from domain.kernel.values import Text
from domain.points.movements import PointsDebited
from tests.domain import usual
from tests.domain.scenario import local

STORED = usual.stored()


def known() -> dict[str, type[Event]]:
    """The domain's own events, whatever other tests have defined."""
    return {name: kind for name, kind in CATALOGUE.items() if kind.__module__.startswith("domain.")}


def test_there_are_stored_bytes_of_every_event() -> None:
    assert STORED.keys() == known().keys(), "run: make generate"


def test_bytes_that_are_stored_stay_as_they_are() -> None:
    """Where there are some of every event, nothing is to be added."""
    assert usual.STORED.read_bytes() == usual.stored_of(known().values())


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
