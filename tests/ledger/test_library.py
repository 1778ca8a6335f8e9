"""The eventsourcing library's own contract tests, and its tools on our log."""

from collections.abc import Callable
from typing import ClassVar
from uuid import uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, ProgrammingError, StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
)

from domain.units import UnitOpened
from ledger.database import bucket_of
from ledger.library import (
    EventMapper,
    Factory,
    LaneRecorder,
    Recorded,
    StreamRecorder,
    datastore,
    environment,
)
from tests.ledger.facts import MOMENT, asked, command, executed

LANES: list[type[LaneRecorder]] = [LaneRecorder, type("Lane2", (LaneRecorder,), {"bucket": 2})]


class OnAFreshLedger:
    """Gives the library's test cases a recorder on a database of their own."""

    installed: ClassVar[Callable[[int], str]]
    recorder_class: ClassVar[type[LaneRecorder]]

    @pytest.fixture(autouse=True)
    def _ledger(self, installed: Callable[[int], str]) -> None:
        type(self).installed = staticmethod(installed)
        self.stores: list[LaneRecorder] = []

    def create_recorder(self) -> LaneRecorder:
        buckets = 4 if self.recorder_class.bucket else 1
        recorder = self.recorder_class(datastore(type(self).installed(buckets)))
        self.stores.append(recorder)
        return recorder

    def new_originator_id(self) -> str:
        buckets = 4 if self.recorder_class.bucket else 1
        while bucket_of(stream := f"test:{uuid4()}", buckets) != self.recorder_class.bucket:
            pass
        return stream

    def tearDown(self) -> None:
        for recorder in self.stores:
            recorder.datastore.close()


def cases(base: type) -> list[type]:
    """The same contract for lane 0 of one and lane 2 of four."""
    streams = base is AggregateRecorderTestCase
    return [
        type(
            f"Test{base.__name__}Lane{lane.bucket}",
            (OnAFreshLedger, base),
            {
                "recorder_class": type("Streams", (StreamRecorder,), {"bucket": lane.bucket})
                if streams
                else lane
            },
        )
        for lane in LANES
    ]


TestStreams0, TestStreams2 = cases(AggregateRecorderTestCase)
TestLog0, TestLog2 = cases(ApplicationRecorderTestCase)
TestOrder0, TestOrder2 = cases(NonInterleavingNotificationIDsBaseCase)
TestLog0.test_insert_subscribe = ApplicationRecorderTestCase.optional_test_insert_subscribe  # type: ignore[attr-defined]


def test_the_mapper_keeps_our_names_and_validates_both_ways() -> None:
    mapper = EventMapper(None)  # type: ignore[arg-type]
    event = UnitOpened(occurred_at=MOMENT, actor="clerk:li", key="k", title="城南")
    stored = mapper.to_stored_event(Recorded("unit:u1", 1, event))
    assert stored.topic == "unit.opened"
    assert mapper.to_domain_event(stored) == Recorded("unit:u1", 1, event)
    with pytest.raises(ValueError, match="title"):
        mapper.to_domain_event(StoredEvent("unit:u1", 1, "unit.opened", b'{"title": 5}'))
    with pytest.raises(TypeError, match="not an event of this ledger"):
        mapper.to_stored_event(event)  # type: ignore[arg-type]


def test_an_application_of_the_library_reads_our_log(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    executed(dsn, command("unit.open", unit_id="u1", title="城南"))
    application: Application[str] = Application(env=environment(dsn))
    try:
        assert isinstance(application.factory, Factory)
        notifications = application.notification_log.select(start=1, limit=10)
        assert [n.topic for n in notifications] == ["unit.opened"]
        (recorded,) = application.events.get("unit:u1")
        assert isinstance(recorded, Recorded)
        assert recorded.event == UnitOpened(
            occurred_at=MOMENT, actor="clerk:li", key=recorded.event.key, title="城南"
        )
    finally:
        application.close()


def test_the_stock_recorder_reads_our_log(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    executed(dsn, command("unit.open", unit_id="u1", title="城南"))
    store = datastore(dsn)
    try:
        stock = PostgresApplicationRecorder(store)
        assert stock.max_notification_id() == 1
        assert [e.topic for e in stock.select_notifications(1, 10)] == ["unit.opened"]
        assert [e.originator_version for e in stock.select_events("unit:u1")] == [1]
    finally:
        store.close()


def test_a_stream_lives_in_one_lane(installed: Callable[[int], str]) -> None:
    store = datastore(installed(4))
    lane = bucket_of("unit:u1", 4)
    foreign = type("Foreign", (LaneRecorder,), {"bucket": (lane + 1) % 4})(store)
    try:
        with pytest.raises(ProgrammingError, match=f"a stream of lane {lane}"):
            foreign.insert_events([StoredEvent("unit:u1", 1, "unit.opened", b"{}")])
    finally:
        store.close()


def test_a_rule_sees_what_the_library_appended(installed: Callable[[int], str]) -> None:
    dsn = installed(1)
    store = datastore(dsn)
    try:
        recorder = LaneRecorder(store)
        event = UnitOpened(occurred_at=MOMENT, actor="clerk:li", key="k", title="城南")
        stored = EventMapper(None).to_stored_event(Recorded("unit:u1", 1, event))  # type: ignore[arg-type]
        assert recorder.insert_events([stored]) == [1]
        with pytest.raises(IntegrityError):
            recorder.insert_events([stored])
        assert recorder.insert_events([]) == []
    finally:
        store.close()
    assert asked(dsn, command("unit.open", unit_id="u1", title="城南")) == "nothing_changes"
    (receipt,) = executed(dsn, command("unit.open", unit_id="u1", title="城北"))
    assert receipt.position == 2
