"""Parts in the ledger: those that a command takes are read and written, and no others."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from io import BytesIO
from pathlib import Path

import pytest
from eventsourcing.persistence import StoredEvent

from domain.bindings import BindingStarted
from domain.kernel.command import Command
from ledger.database import bucket_of, connect
from ledger.importing import Importer
from ledger.library import LaneRecorder, datastore
from ledger.lines import CHUNK
from ledger.log import snapshots
from ledger.log.batcher import CommandFailed
from ledger.rejects import Rejects
from tests.ledger.facts import (
    MOMENT,
    NOW,
    a_club,
    a_member,
    a_visit,
    command,
    executed,
    stored_states,
)
from tests.ledger.test_importing import fact, load
from tests.ledger.test_ledger import assert_sound, rows, together

ROOT = Path(__file__).parents[2]
PARTS = "SELECT part FROM snapshot_parts WHERE originator_id = 'member:m1' ORDER BY part"
WRITTEN = "SELECT part, xmin::text, ctid::text FROM snapshot_parts ORDER BY part"


def campaign() -> Command:
    days = {"opens_on": date(2008, 7, 1), "closes_on": date(2008, 12, 31)}
    return command("campaign.launch", campaign_id="c", title="c", kind="prepay", months_bound=3,
                   tiers=("gold",), **days)  # fmt: skip


def enrolled(member: str = "m1") -> Command:
    return command("campaign.enrol", member_id=member, campaign_id="c")


def ended(member: str = "m1", binding: int = 1, day: int = 2) -> Command:
    return command("binding.end", member_id=member, binding=binding, ended_on=date(2008, 7, day),
                   cause="cancelled", reason="asked")  # fmt: skip


def bound(member: str = "m1", year: int = 2008) -> Command:
    return command("binding.start", member_id=member, policy="handset",
                   starts_on=date(year, 8, 1), ends_on=date(year, 9, 1))  # fmt: skip


@pytest.fixture
def dsn(installed: Callable[[int], str]) -> str:
    """A ledger with a club, a campaign, and a member who is in it and bound."""
    dsn = installed(1)
    executed(dsn, *a_club(10), campaign(), *a_member("m1", 500), enrolled())
    assert rows(dsn, PARTS) == [("bindings",), ("participation",)]
    return dsn


def damaged(dsn: str, statement: str) -> None:
    with connect(dsn) as connection:
        connection.execute(statement.encode())


EVERYDAY = [
    a_visit("m1"),
    command("visit.undo", member_id="m1", visit=1, desk="d1", reason="x", actor="supervisor:li"),
    command("points.debit", member_id="m1", points=10, reason="x"),
    command("points.credit", member_id="m1", points=10, source="x", rule="x"),
    command("tier.change", member_id="m1", tier="diamond", reason="x"),
    command("bill.record", member_id="m1", month="2008-06", amount_fen=1),
]


def test_a_part_that_a_command_does_not_take_is_neither_read_nor_written(dsn: str) -> None:
    """It could not even be read: what lies there is no state."""
    before = rows(dsn, WRITTEN)
    executed(dsn, *EVERYDAY)
    assert rows(dsn, WRITTEN) == before
    damaged(dsn, "UPDATE snapshot_parts SET state = 'nonsense'")
    before = rows(dsn, WRITTEN)
    again = [each.model_copy(update={"key": f"again-{n}"}) for n, each in enumerate(EVERYDAY[:1])]
    executed(dsn, *again)
    assert load(dsn, [fact("points.debit", member_id="m1", points=1, reason="x")]).events == 1
    assert rows(dsn, WRITTEN) == before
    (answer,) = together(dsn, ended())
    assert isinstance(answer, CommandFailed), "this one takes it"


def test_what_changes_one_part_writes_no_other(dsn: str) -> None:
    before = {part: xmin for part, xmin, _ in rows(dsn, WRITTEN)}
    executed(dsn, ended())
    after = {part: xmin for part, xmin, _ in rows(dsn, WRITTEN)}
    assert after["participation"] == before["participation"]
    assert after["bindings"] != before["bindings"]
    assert_sound(dsn)


def test_a_part_that_never_changed_has_no_row(dsn: str) -> None:
    executed(dsn, *a_member("m2"), a_visit("m2"))
    assert rows(dsn, "SELECT DISTINCT originator_id FROM snapshot_parts") == [("member:m1",)]
    executed(dsn, enrolled("m2"))
    assert_sound(dsn)


# --------------------------------------------------------------------------- other rules folded it
def test_a_part_that_other_rules_folded_is_folded_again_alone(dsn: str) -> None:
    damaged(dsn, "UPDATE snapshot_parts SET fold = 'older', state = 'x' WHERE part = 'bindings'")
    damaged(dsn, "UPDATE snapshot_parts SET state = 'never read' WHERE part = 'participation'")
    executed(dsn, *EVERYDAY[:3], ended())
    found = rows(dsn, "SELECT fold, state FROM snapshot_parts ORDER BY part")
    assert found[0][0] == snapshots.part_version("bindings")
    assert snapshots.decode_part("bindings", found[0][1]).bindings[0].ended_on == date(2008, 7, 2)
    assert found[1][1] == b"never read"


def test_a_row_that_other_rules_folded_leaves_the_parts_beside_it(dsn: str) -> None:
    damaged(
        dsn,
        "UPDATE snapshots SET state = 'x', fold = 'olderolder' || right(fold, 6)"
        " WHERE originator_id = 'member:m1'",
    )
    before = rows(dsn, WRITTEN)
    executed(dsn, *EVERYDAY[:3])
    assert rows(dsn, WRITTEN) == before
    executed(dsn, ended())
    assert_sound(dsn)


@pytest.mark.parametrize("by", ["live", "import"])
def test_a_part_that_is_new_is_folded_from_the_events_that_there_are(dsn: str, by: str) -> None:
    """It has no row anywhere, and not because nothing had happened. All parts beside the row are
    looked at then, once: what the next one takes is known."""
    executed(dsn, *a_member("m2"), bound("m2"))
    damaged(dsn, "UPDATE snapshots SET fold = left(fold, 10) || 'before'")
    damaged(dsn, "DELETE FROM snapshot_parts")
    if by == "live":
        executed(dsn, a_visit("m1"))
    else:
        load(dsn, [fact("points.debit", member_id="m1", points=1, reason="x")])
    assert rows(dsn, PARTS) == [("bindings",), ("participation",)]
    executed(dsn, ended(), a_visit("m2"))
    assert_sound(dsn)


@pytest.mark.parametrize("first", [a_visit("m1"), ended()], ids=["a visit", "who takes it"])
def test_what_the_librarys_recorder_appends_is_in_every_part(dsn: str, first: Command) -> None:
    event = BindingStarted(
        binding=2,
        policy="handset",
        unit_id="u1",
        starts_on=date(2009, 8, 1),
        ends_on=date(2009, 9, 1),
        actor="clerk:li",
        key="k",
        occurred_at=MOMENT,
    )
    ((version,),) = rows(dsn, "SELECT version FROM snapshots WHERE originator_id = 'member:m1'")
    stored = StoredEvent("member:m1", version + 1, event.topic, snapshots.bytes_of(event))
    store = datastore(dsn)
    LaneRecorder(store).insert_events([stored])
    store.close()
    executed(dsn, first)
    assert len(stored_states(dsn)["member:m1", 0]["bindings"].bindings) == 2
    assert_sound(dsn)


# ------------------------------------------------------------------------------- many at one time
def test_parts_are_loaded_for_streams_that_are_in_flight(ledger_dsn: str) -> None:
    """A batch starts from what the one before it will have written, and asks for what that had
    not."""
    executed(ledger_dsn, *a_club(1), campaign())
    executed(ledger_dsn, *[each for n in range(3) for each in a_member(f"m{n}", 5_000)])
    sent: list[Command] = []
    for n in range(600):
        member = f"m{n % 3}"
        sent.append(a_visit(member))
        if n % 5 == 0:
            sent.append(bound(member, 2008 + n // 400))
        if n == 300:
            sent += [enrolled("m0"), enrolled("m1")]
    answers = Counter(type(answer).__name__ for answer in together(ledger_dsn, *sent))
    assert answers["Receipt"] > 600
    assert answers.keys() <= {"Receipt", "AlreadyBound"}
    assert_sound(ledger_dsn)


def test_a_part_that_somebody_wrote_since_its_snapshot_was_read_is_not_taken(dsn: str) -> None:
    """A file has read the member's snapshot; before it asks for a part of him he is bound live. So
    it is decided again, with the lanes in hand."""
    first = fact("points.debit", member_id="m1", points=1, reason="x")
    last = fact("binding.start", member_id="m1", policy="handset",
                starts_on="2009-08-01", ends_on="2009-09-01")  # fmt: skip
    met: list[int] = []

    def lines() -> Iterator[bytes]:
        yield first
        yield from [b"\n"] * CHUNK
        if not met:
            executed(dsn, bound("m1"))
        met.append(1)
        yield last

    done = Importer(dsn, now=NOW).load(lines, key="file", rejects=Rejects(BytesIO()))
    assert (len(met), done.events, done.rejected) == (2, 2, 0)
    member = stored_states(dsn)["member:m1", 0]
    assert [each.id for each in member["bindings"].bindings] == [1, 2, 3]
    assert_sound(dsn)


# ------------------------------------------------------------------------- two members in a command
@pytest.mark.parametrize("how", ["live", "import"])
@pytest.mark.parametrize("lanes", [1, 2])
def test_two_members_in_one_command_share_what_there_is(
    installed: Callable[[int], str], lanes: int, how: str
) -> None:
    dsn = installed(lanes)
    assert len({bucket_of(f"member:m{n}", lanes) for n in range(1, 5)}) == lanes
    arguments = [sys.executable, "-m", "tests.ledger.family", dsn, how]
    ran = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    refused = json.loads(ran.stdout)
    assert set(refused) <= {"not_enough_points"}
    given = 36 - len(refused)
    assert given > 10
    states = [
        state["points"] for (name, _), state in stored_states(dsn).items() if "points" in state
    ]
    assert sum(lot.points for points in states for lot in points.lots.values()) == 4 * 40
    assert sum(points.debits_made for points in states) == given
    assert sum(points.lots_opened for points in states) == given + 4
    assert_sound(dsn)
    assert rows(dsn, "SELECT count(*) FROM command_log WHERE key LIKE 'm%'") == [(given,)]
