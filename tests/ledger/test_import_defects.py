"""A defect in one line of an import: the line is named, and the others are decided without it."""

import io
from typing import Any

import pytest

from domain.points.lots import Points
from domain.points.movements import CreditPoints, PointsCredited
from ledger.database import connect
from ledger.importing import Importer, LineFailed
from ledger.rejects import Rejects
from tests.ledger.facts import NOW, a_club, a_member, executed
from tests.ledger.test_importing import a_history, fact, load
from tests.ledger.test_ledger import assert_sound, rows

BREAKS = "breaks"


def credit(source: str, member: str = "m0") -> bytes:
    return fact("points.credit", member_id=member, points=5, source=source, rule="r")


LINES = [
    *a_history(2, 0),
    credit("x"),
    credit(BREAKS),
    credit("x"),
    credit(BREAKS, "m1"),
    fact("points.debit", member_id="m0", points=10, reason="x"),
    fact("points.debit", member_id="m0", points=1, reason="x"),
]


@pytest.fixture(params=["while it is decided", "half applied", "applied, but not written"])
def a_broken_rule(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that breaks on the credits of one source."""
    decide, apply = CreditPoints.decide, PointsCredited.apply

    def breaks_at_once(self: CreditPoints, at: Any, membership: Any, points: Any) -> Any:
        if self.source == BREAKS:
            raise ZeroDivisionError
        return decide(self, at, membership, points)

    def breaks_half_way(self: PointsCredited, points: Points) -> None:
        apply(self, points)
        if self.source == BREAKS:
            points.debits_made = 99
            raise ZeroDivisionError

    def breaks_on_paper(self: Any, event: Any, **_: Any) -> bytes:
        if event.source == BREAKS:
            raise ZeroDivisionError
        return PAPER.to_json(event, exclude_none=True)

    if request.param == "while it is decided":
        monkeypatch.setattr(CreditPoints, "decide", breaks_at_once)
    elif request.param == "half applied":
        monkeypatch.setattr(PointsCredited, "apply", breaks_half_way)
    else:
        paper = type("Paper", (), {"to_json": breaks_on_paper})()
        monkeypatch.setattr(PointsCredited, "__pydantic_serializer__", paper)


PAPER = PointsCredited.__pydantic_serializer__


@pytest.mark.usefixtures("a_broken_rule")
def test_a_line_on_which_a_rule_breaks_is_named_and_the_others_are_decided(
    ledger_dsn: str,
) -> None:
    done = load(ledger_dsn, LINES)
    named = [(each.line, each.code) for each in done.rejections]
    assert named == [(5, "internal"), (7, "internal"), (9, "not_enough_points")]
    assert not done.kept
    assert "ZeroDivisionError at " in done.rejections[0].reason
    assert rows(ledger_dsn, "SELECT count(*) FROM stored_events") == [(0,)]


@pytest.mark.usefixtures("a_broken_rule")
def test_nothing_of_such_a_line_gets_into_the_log(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = load(ledger_dsn, LINES, rejects=Rejects(io.BytesIO()))
    assert (done.kept, done.facts, done.rejected) == (True, 6, 3)
    monkeypatch.undo()
    assert_sound(ledger_dsn)
    assert rows(
        ledger_dsn,
        "SELECT originator_version FROM stored_events WHERE originator_id = 'member:m0' ORDER BY 1",
    ) == [(1,), (2,), (3,), (4,)]


@pytest.mark.usefixtures("a_broken_rule")
def test_files_that_are_loaded_together_end_with_the_line_named(ledger_dsn: str) -> None:
    importer = Importer(ledger_dsn, now=NOW)
    with pytest.raises(LineFailed, match="line 5 of file:one"):
        list(importer.load_all([("one", lambda: LINES)]))
    assert rows(ledger_dsn, "SELECT count(*) FROM stored_events") == [(0,)]


def test_a_stream_that_cannot_be_read_stops_its_own_lines_only(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(1), *a_member("m0"), *a_member("m1"))
    with connect(ledger_dsn) as connection:
        connection.execute(
            "UPDATE snapshots SET state = 'nonsense' WHERE originator_id = 'member:m1'"
        )
    done = load(ledger_dsn, [credit("x", "m1"), credit("x"), b"{}", credit("x", "m1")])
    named = [(each.line, each.code) for each in done.rejections]
    assert named == [(1, "internal"), (3, "not_valid"), (4, "internal")]


def test_what_broke_once_is_named_as_any_other_refusal(ledger_dsn: str) -> None:
    """The lot is spent, and the expiry that its reversal writes down drops it."""

    def at(called: str, day: str, **said: Any) -> bytes:
        return fact(called, f"{day}T11:00:00+08:00", member_id="m0", **said)

    lines = [
        *a_history(1, 0),
        at("points.credit", "2008-07-01", points=10, source="x", rule="v"),
        at("points.debit", "2008-08-01", points=10, reason="x"),
        at(
            "points.credit",
            "2008-08-02",
            points=5,
            source="x",
            rule="v",
            expires_at="2008-10-01T00:00:00+08:00",
        ),
        at("points.reverse_credit", "2008-10-02", lot=1, points=1, reason="x"),
    ]
    assert [(r.line, r.code) for r in load(ledger_dsn, lines).rejections] == [(6, "unknown_lot")]
