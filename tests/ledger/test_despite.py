"""What broke a rule in a history, in the log: beside live commands, once, and as it was asked."""

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import pytest

from domain.kernel.refusal import NeverExcused
from ledger import commands
from ledger.database import connect
from ledger.importing import Importer
from ledger.lines import CHUNK
from ledger.log.working import OnlyHistories
from tests.ledger.facts import NOW, a_member, asked, command, executed, stored_states
from tests.ledger.test_importing import fact, load
from tests.ledger.test_ledger import assert_sound, rows

LAUNCHED = command(
    "campaign.launch",
    campaign_id="few",
    title="x",
    kind="care",
    opens_on=date(2008, 7, 1),
    closes_on=date(2008, 12, 31),
    tiers=("gold",),
    cap=2,
)


def founded(dsn: str, members: int) -> None:
    unit = command("unit.open", unit_id="u1", title="x")
    who = [each for n in range(members) for each in a_member(f"m{n}")]
    executed(dsn, unit, LAUNCHED, *who)


def enrolled(member: str, **said: Any) -> bytes:
    return fact("campaign.enrol", member_id=member, campaign_id="few", **said)


def exceptions(dsn: str) -> list[str | None]:
    """By place, what each enrolment says that it broke."""
    found = rows(
        dsn,
        "SELECT convert_from(state, 'UTF8') FROM stored_events WHERE topic = 'campaign.enrolled'",
    )
    told = sorted(json.loads(state)["place"] for (state,) in found)
    assert told == list(range(1, len(told) + 1)), "each place once"
    said = {json.loads(s)["place"]: json.loads(s).get("despite") for (s,) in found}
    return [said[place] and ",".join(said[place]) for place in told]


def test_a_live_enrolment_in_between_is_counted_and_the_file_says_what_it_then_broke(
    ledger_dsn: str,
) -> None:
    """Alone the file would have had room for both; decided again it has not, and says so."""
    founded(ledger_dsn, 4)
    live: list[str] = []

    def lines() -> Iterable[bytes]:
        yield enrolled("m0", despite=["cap_reached"])
        yield enrolled("m1", despite=["cap_reached"])
        if not live:
            yield from [b"\n"] * CHUNK
            one = command("campaign.enrol", member_id="m2", campaign_id="few")
            live.append(asked(ledger_dsn, one))

    done = Importer(ledger_dsn, now=NOW).load(lines, key="file")
    assert (live, done.rejected, done.facts) == (["done"], 0, 2)
    assert exceptions(ledger_dsn) == [None, None, "cap_reached"]
    last = command("campaign.enrol", member_id="m3", campaign_id="few")
    assert asked(ledger_dsn, last) == "cap_reached"
    (places,) = {state["places"].held for (name, _), state in stored_states(ledger_dsn).items()
                 if name == "places:few"}  # fmt: skip
    assert places == 3
    assert_sound(ledger_dsn)


def test_two_files_at_once_fill_no_place_twice(ledger_dsn: str) -> None:
    founded(ledger_dsn, 4)
    twin: list[int] = []

    def lines() -> Iterable[bytes]:
        yield enrolled("m0")
        yield enrolled("m1")
        if not twin:
            yield from [b"\n"] * CHUNK
            other = [enrolled("m2"), enrolled("m3")]
            twin.append(load(ledger_dsn, other, "other", despite=("cap_reached",)).facts)

    done = Importer(ledger_dsn, now=NOW).load(lines, key="file", despite=("cap_reached",))
    assert (twin, done.facts, done.rejected) == ([2], 2, 0)
    assert exceptions(ledger_dsn) == [None, None, "cap_reached", "cap_reached"]
    assert_sound(ledger_dsn)


def test_a_line_is_kept_with_what_its_file_said(ledger_dsn: str) -> None:
    """With a key of its own or by its line; and the key stands for the line as it was sent."""
    founded(ledger_dsn, 3)
    lines = [enrolled("m0"), enrolled("m1", key="e1"), enrolled("m2", key="e2")]
    done = load(ledger_dsn, lines, despite=("cap_reached", "in_control_group"))
    assert done.facts == 3
    with connect(ledger_dsn) as connection:
        for key in (f"{done.key}:1", "e1", "e2"):
            (answered,) = commands.of_key(connection, key)
            assert answered.kept.command().despite == ("cap_reached", "in_control_group")
    assert load(ledger_dsn, lines[1:], "again").replayed_facts == 2
    executed(ledger_dsn, command("campaign.enrol", member_id="m1", campaign_id="few", key="e1",
             actor="system:test", at="2008-07-01T10:00:00+08:00"))  # fmt: skip


def test_what_is_no_rule_of_a_desk_is_refused_for_the_file_and_on_the_line(
    ledger_dsn: str,
) -> None:
    founded(ledger_dsn, 1)
    with pytest.raises(NeverExcused):
        load(ledger_dsn, [enrolled("m0")], despite=("already_enrolled",))
    (rejected,) = load(ledger_dsn, [enrolled("m0", despite=["too_many"])]).rejections
    assert rejected.code == "never_excused"


def test_a_live_command_may_not_say_it(ledger_dsn: str) -> None:
    founded(ledger_dsn, 1)
    live = command("campaign.enrol", member_id="m0", campaign_id="few", despite=("cap_reached",))
    with pytest.raises(OnlyHistories):
        executed(ledger_dsn, live)
    assert exceptions(ledger_dsn) == []
