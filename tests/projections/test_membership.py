"""Members who move and come back: counted where and when they are, at any day, on both cards."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from projections import bindings, exceptions, members
from projections.asof import member as as_of
from projections.audit import doubts
from projections.engine import views
from projections.engine.measure import measured
from projections.engine.moments import Asked
from projections.engine.views import VIEWS
from projections.exceptions import Wanted
from tests.projections.histories import World, furnished, on
from tests.projections.tables import answers

Installed = Callable[[int], str]
YEAR_END = date(2008, 12, 31)
AWAY = (date(2008, 4, 1), date(2008, 6, 1))


def moved_and_back() -> World:
    """m1, a diamond of the east, moves west in March, is away in April and May, and moves on."""
    world = furnished()
    world.does("cohort.include", cohort_id="kept", member_id="m1")
    world.does("cohort.include", cohort_id="base", member_id="m1")
    bound: dict[str, Any] = {
        "policy": "handset",
        "starts_on": date(2008, 2, 1),
        "ends_on": date(2009, 2, 1),
    }
    world.does("binding.start", member_id="m1", **bound)
    world.does("member.move", member_id="m1", unit_id="west", at=on("2008-03-01"))
    world.does("member.leave", member_id="m1", at=on("2008-04-01"))
    world.does("member.return", member_id="m1", unit_id="west", at=on("2008-06-01"))
    world.does("member.move", member_id="m1", unit_id="east", at=on("2008-07-01"))
    assert not world.refused
    return world


def test_a_member_is_counted_in_the_unit_of_the_day(installed: Installed) -> None:
    with answers(installed, moved_and_back()) as conn:
        days = ("2008-02-29", "2008-03-01", "2008-05-01", "2008-06-30", "2008-07-01")
        west = [0, 1, 1, 1, 0]
        for day, count in zip(days, west, strict=True):
            for said, held in (({"unit_id": "west"}, count), ({}, 1)):
                asked = {"tier": "diamond", **said}
                found = measured(conn, "members.vips", asked, date.fromisoformat(day))
                assert found.value == held
        card = members.member(conn, "m1", datetime(2008, 12, 31, tzinfo=UTC))
        assert card is not None
        assert (card.unit_id, card.left_at) == ("east", None)


def test_who_came_back_is_lost_in_between_and_kept_again(installed: Installed) -> None:
    with answers(installed, moved_and_back()) as conn:
        days = (date(2008, 3, 31), AWAY[0], date(2008, 5, 31), AWAY[1], YEAR_END)
        for day, left in zip(days, (0, 1, 1, 0, 0), strict=True):
            found = measured(conn, "retention.lost", {"cohort_id": "kept"}, day)
            assert found.value == left
            assert measured(conn, "members.on_network", {}, day).value == 5 - left
        spring = {"first": date(2008, 4, 1)}
        assert measured(conn, "members.left", spring, date(2008, 6, 30)).value == 1


def test_what_had_bound_him_does_not_when_he_is_back(installed: Installed) -> None:
    world = moved_and_back()
    again: dict[str, Any] = {
        "policy": "handset",
        "starts_on": date(2008, 8, 1),
        "ends_on": date(2009, 8, 1),
    }
    world.does("binding.start", member_id="m1", **again, at=on("2008-07-15"))
    assert not world.refused
    with answers(installed, world) as conn:
        days = (date(2008, 3, 31), AWAY[0], AWAY[1], date(2008, 7, 31), date(2008, 8, 1))
        for day, bound in zip(days, (1, 0, 0, 0, 1), strict=True):
            for measure in ("bindings.bound", "bindings.active"):
                said = {"cohort_id": "base"} if measure == "bindings.bound" else {}
                assert measured(conn, measure, said, day).value == bound
        first, second = bindings.bindings(conn, "m1")
        assert (first.ended_on, first.cause) == (AWAY[0], "left")
        assert (second.ended_on, second.cause) == (None, None)
        listed = views.page(conn, VIEWS["bindings"], {"member_id": "m1"}, 5, None).rows
        assert [(row.until, row.cause) for row in listed] == [
            (AWAY[0], "left"), (date(2009, 8, 1), None),
        ]  # fmt: skip
        assert doubts.doubts(conn) == []


def test_the_card_as_of_a_day_is_that_of_the_day(installed: Installed) -> None:
    with answers(installed, moved_and_back()) as conn:

        def then(day: str) -> tuple[Any, ...]:
            asked = Asked(None, on(day, 23))
            found = as_of.member_then(conn, "m1", asked, datetime(2009, 1, 1, tzinfo=UTC))
            assert found is not None
            (bound,) = found.bindings
            return found.unit_id, found.left_at and found.left_at.date(), bound.cause

        assert then("2008-02-10") == ("east", None, None)
        assert then("2008-03-10") == ("west", None, None)
        assert then("2008-04-10") == ("west", AWAY[0], "left")
        assert then("2008-06-10") == ("west", None, "left")
        assert then("2008-07-10") == ("east", None, "left")


def test_facts_told_of_his_absence_are_in_doubt_and_no_others(installed: Installed) -> None:
    world = furnished()
    for day in ("2008-03-20", "2008-05-01", "2008-06-20"):
        words = {"points": 1, "source": "bill", "rule": "v1"}
        world.does("points.credit", member_id="m1", **words, at=on(day))
    world.does("member.leave", member_id="m1", at=on("2008-04-01"))
    world.does("member.return", member_id="m1", unit_id="east", at=on("2008-06-01"))
    with answers(installed, world) as conn:
        doubted = doubts.doubts(conn)
        assert [(d.topic, d.occurred_at) for d in doubted] == [
            ("points.credited", on("2008-05-01"))
        ]
        assert [each.about for each in doubted[0].differences] == ["left"]


def test_exceptions_are_found_by_what_they_are(installed: Installed) -> None:
    world = furnished()
    out = {"club_id": "health", "service_id": "room", "despite": ("not_eligible",)}
    world.does("visit.record", member_id="m3", **out, at=on("2008-03-01"))
    world.does("visit.record", member_id="m4", **out, at=on("2008-03-02"))
    full = {"campaign_id": "plain", "prepaid_fen": 5, "despite": ("campaign_over",)}
    world.does("campaign.enrol", member_id="m3", **full, at=on("2008-07-01"))
    assert not world.refused
    with answers(installed, world) as conn:

        def found(limit: int = 10, **wanted: Any) -> list[tuple[str | None, str, list[str]]]:
            page = exceptions.page(conn, Wanted(**wanted), limit)
            return [(e.member_id, e.topic, e.despite) for e in page.exceptions]

        third = ("m3", "campaign.enrolled", ["campaign_over"])
        assert len(found()) == 3
        assert found(code="campaign_over") == found(topic="campaign.enrolled") == [third]
        assert [each[0] for each in found(member_id="m3")] == ["m3", "m3"]
        assert [each[0] for each in found(first=date(2008, 3, 2), last=date(2008, 3, 2))] == ["m4"]
        page = exceptions.page(conn, Wanted(), 2)
        assert page.next is not None
        (last,) = exceptions.page(conn, Wanted(), 2, page.next).exceptions
        assert last.despite == ["campaign_over"]
        assert doubts.doubts(conn) == [], "what a history says it broke is in no doubt"
        left_out = f"SELECT count(*) FROM visit v WHERE NOT {exceptions.excepted('v')}"
        assert conn.execute(left_out).fetchone() == (0,)
