"""Group commit: exactly once, all or nothing, gapless order, truth after a broken connection."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from domain.catalogue import COMMANDS
from domain.kernel.refusal import Refusal
from domain.points.lots import NotEnoughPoints
from domain.points.movements import PointsDebited
from domain.visits import PriceChanged
from ledger import database
from ledger.database import InstallError, connect, install, meta
from ledger.keyring import KEYRING, Secrets
from ledger.log import batcher, persons, snapshots
from ledger.log.batcher import Busy, CommandFailed, Ledger, Unanswered
from ledger.log.persons import digest_of
from ledger.log.receipts import Receipt
from ledger.log.working import DatedInFuture, KeyReused
from tests.ledger.facts import (
    NOW,
    a_club,
    a_member,
    a_visit,
    asked,
    command,
    executed,
    stored_states,
)
from tests.patience import PATIENCE_S, some_turns


def with_ledger(dsn: str, act: Callable[[Ledger], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with Ledger(dsn, now=lambda: NOW) as opened:
            return await act(opened)

    return asyncio.run(run())


def together(dsn: str, *commands: Any) -> list[Receipt | BaseException]:
    """Send commands at once: they meet in a batch."""

    async def act(opened: Ledger) -> list[Receipt | BaseException]:
        sent = [opened.execute(each) for each in commands]
        return await asyncio.gather(*sent, return_exceptions=True)

    return list(with_ledger(dsn, act))


def rows(dsn: str, question: str) -> list[tuple[Any, ...]]:
    with connect(dsn) as connection:
        return connection.execute(question.encode()).fetchall()


def assert_sound(dsn: str) -> None:
    """Positions are gapless in each lane, and every snapshot is the fold of its events."""
    counted = dict(rows(dsn, "SELECT bucket, count(*) FROM stored_events GROUP BY bucket"))
    ends = dict(rows(dsn, "SELECT bucket, max(notification_id) FROM stored_events GROUP BY bucket"))
    said = dict(rows(dsn, "SELECT bucket, position FROM log_end WHERE position > 0"))
    assert counted == ends == said
    back = (
        "SELECT count(*) FROM (SELECT recorded_at, lag(recorded_at) OVER (PARTITION BY bucket"
        " ORDER BY notification_id) AS before FROM stored_events) e WHERE recorded_at < before"
    )
    assert rows(dsn, back) == [(0,)], "a recorded time goes back"
    stored = stored_states(dsn)
    for name, lane, version in rows(dsn, "SELECT originator_id, bucket, version FROM snapshots"):
        with connect(dsn) as connection:
            events = connection.execute(
                "SELECT topic, state FROM stored_events WHERE originator_id = %s"
                " ORDER BY originator_version",
                (name,),
            ).fetchall()
        assert len(events) == version
        assert snapshots.refold(name, events) == stored[name, lane]


def test_a_visit_is_paid_once_however_often_it_is_sent(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(10), *a_member("m1", 100))
    visit = a_visit("m1")
    first, again = executed(ledger_dsn, visit, visit)
    at_once = together(ledger_dsn, *[visit] * 8)
    assert first.body == {
        "visit": 1,
        "payment": "points",
        "points": 10,
        "price_version": 1,
        "spendable_points": 90,
    }
    assert not first.replayed
    for each in [again, *at_once]:
        assert isinstance(each, Receipt)
        assert each.replayed
        assert (each.bucket, each.position, each.body) == (
            first.bucket,
            first.position,
            first.body,
        )
    assert_sound(ledger_dsn)


def test_the_same_key_at_once_is_one_visit(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(10), *a_member("m1", 100))
    answers = together(ledger_dsn, *[a_visit("m1", key="k")] * 32)
    assert all(isinstance(answer, Receipt) for answer in answers)
    assert sum(not answer.replayed for answer in answers if isinstance(answer, Receipt)) == 1
    assert rows(
        ledger_dsn, "SELECT count(*) FROM stored_events WHERE topic = 'points.debited'"
    ) == [(1,)]


def test_a_key_stands_for_one_command(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(), *a_member("m1"), a_visit("m1", key="k"))
    assert asked(ledger_dsn, a_visit("m1", key="k", desk="d2")) == "key_reused"
    answers = together(ledger_dsn, a_visit("m1", key="n"), a_visit("m1", key="n", companions=1))
    assert [type(answer) for answer in answers] == [Receipt, KeyReused]


def test_a_refusal_costs_its_neighbours_nothing(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(60), *a_member("rich", 1000), *a_member("poor", 100))
    answers = together(
        ledger_dsn,
        a_visit("rich"),
        a_visit("poor"),
        a_visit("poor"),
        a_visit("rich"),
        command("points.debit", member_id="nobody", points=1, reason="x"),
    )
    kinds = [type(answer).__name__ for answer in answers]
    assert kinds == ["Receipt", "Receipt", "NotEnoughPoints", "Receipt", "UnknownMember"]
    assert answers[2] == NotEnoughPoints(needed_points=60, spendable_points=40)
    assert_sound(ledger_dsn)


def test_a_refused_key_may_be_used_again(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(60), *a_member("m1", 50))
    visit = a_visit("m1")
    assert asked(ledger_dsn, visit) == "not_enough_points"
    executed(ledger_dsn, command("points.credit", member_id="m1", points=50, source="x", rule="r1"))
    assert asked(ledger_dsn, visit) == "done"


def test_a_cap_is_exact_however_many_come_at_once(ledger_dsn: str) -> None:
    executed(
        ledger_dsn,
        *a_club(),
        command(
            "campaign.launch",
            campaign_id="c1",
            title="一路走过",
            kind="prepay",
            opens_on=(NOW - timedelta(days=300)).date(),
            closes_on=NOW.date(),
            tiers=("gold",),
            cap=7,
            months_bound=12,
        ),
        *[each for n in range(20) for each in a_member(f"m{n}")],
    )
    answers = together(
        ledger_dsn,
        *[command("campaign.enrol", member_id=f"m{n}", campaign_id="c1") for n in range(20)],
    )
    places = [answer.body["place"] for answer in answers if isinstance(answer, Receipt)]
    assert sorted(places) == list(range(1, 8))
    refused = {answer.code for answer in answers if isinstance(answer, Refusal)}
    assert refused == {"cap_reached"}
    assert_sound(ledger_dsn)


def test_nothing_is_dated_in_the_future(ledger_dsn: str) -> None:
    late = NOW + timedelta(microseconds=1)
    with pytest.raises(DatedInFuture):
        executed(ledger_dsn, command("unit.open", unit_id="u1", title="x", at=late))


def test_a_command_needs_a_key_of_its_own(ledger_dsn: str) -> None:
    for key, refused in (("-", "key_missing"), (" ", "key_missing"), ("file:x", "key_reserved")):
        assert asked(ledger_dsn, command("unit.open", unit_id="u1", title="x", key=key)) == refused


def test_names_and_phones_stay_outside_the_log(ledger_dsn: str) -> None:
    executed(
        ledger_dsn,
        *a_club(),
        command("member.join", member_id="m1", unit_id="u1", name="欧阳娜娜", phone="13900001234"),
    )
    with connect(ledger_dsn) as connection:
        known = persons.in_full(connection, "m1")
    assert known == {"name": "欧阳娜娜", "phone": "+8613900001234"}
    everything = str(rows(ledger_dsn, "SELECT encode(state, 'escape') FROM stored_events"))
    everything += str(rows(ledger_dsn, "SELECT encode(state, 'escape') FROM snapshots"))
    everything += str(rows(ledger_dsn, "SELECT key, encode(response, 'escape') FROM command_log"))
    assert "13900001234" not in everything
    assert "欧阳" not in everything


def test_two_processes_on_one_database_stay_exact(ledger_dsn: str) -> None:
    """Two ledgers, each with a connection of its own, race for the same few members."""
    executed(ledger_dsn, *a_club(1), *[e for n in range(3) for e in a_member(f"m{n}", 40)])

    async def race() -> list[Receipt | BaseException]:
        async with (
            Ledger(ledger_dsn, now=lambda: NOW) as one,
            Ledger(ledger_dsn, now=lambda: NOW) as two,
        ):
            sent = [door.execute(a_visit(f"m{n % 3}")) for n in range(100) for door in (one, two)]
            return await asyncio.gather(*sent, return_exceptions=True)

    answers = asyncio.run(race())
    assert sum(isinstance(answer, Receipt) for answer in answers) == 120
    assert {type(a) for a in answers if not isinstance(a, Receipt)} == {NotEnoughPoints}
    assert_sound(ledger_dsn)


def test_recorded_times_never_go_back_whatever_the_clocks_say(ledger_dsn: str) -> None:
    """A process whose clock is behind writes after one whose clock is right, over all lanes."""

    async def both() -> None:
        behind = NOW - timedelta(days=30)
        async with (
            Ledger(ledger_dsn, now=lambda: NOW) as right,
            Ledger(ledger_dsn, now=lambda: behind) as late,
        ):
            for n in range(6):
                await right.execute(command("unit.open", unit_id=f"r{n}", title="x"))
                await asyncio.gather(
                    *[
                        late.execute(command("unit.open", unit_id=f"l{n}{m}", title="x"))
                        for m in range(3)
                    ]
                )

    asyncio.run(both())
    assert_sound(ledger_dsn)


def test_a_broken_connection_is_replaced_and_every_answer_is_true(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(1), *a_member("m1", 100_000))

    async def act(opened: Ledger) -> list[Receipt]:
        async def cut() -> None:
            for _ in range(10):
                await some_turns()
                with psycopg.connect(ledger_dsn, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )

        cutting = asyncio.create_task(cut())
        answers = []
        while not cutting.done():
            sent = [opened.execute(a_visit("m1")) for _ in range(50)]
            answers += await asyncio.gather(*sent)
        await cutting
        return answers

    answers = with_ledger(ledger_dsn, act)
    stored = rows(ledger_dsn, "SELECT count(*) FROM stored_events WHERE topic = 'visit.recorded'")
    assert stored == [(len(answers),)]
    assert len({answer.position for answer in answers}) == len(answers)
    assert not any(answer.replayed for answer in answers)
    assert_sound(ledger_dsn)


def test_who_gives_up_waiting_harms_nobody(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(1), *a_member("m1"))

    async def act(opened: Ledger) -> list[Any]:
        tasks = [asyncio.create_task(opened.execute(a_visit("m1"))) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    answers = with_ledger(ledger_dsn, act)
    assert all(isinstance(answer, Receipt) for answer in answers[1::2])
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert_sound(ledger_dsn)


def test_a_full_queue_says_so(ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batcher, "MAX_QUEUE", 3)
    answers = together(ledger_dsn, *[command("unit.open", unit_id="u", title="x")] * 5)
    assert [type(answer) for answer in answers] == [Receipt, Receipt, Receipt, Busy, Busy]


def test_a_database_that_is_away_is_said_to_be_so(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batcher, "MAX_ATTEMPTS", 2)

    async def act(opened: Ledger) -> Receipt | BaseException:
        monkeypatch.setattr(opened, "_dsn", "host=/nowhere dbname=none")
        await opened._disconnect()
        return (
            await asyncio.gather(
                opened.execute(command("unit.open", unit_id="u", title="x")),
                return_exceptions=True,
            )
        )[0]

    assert isinstance(with_ledger(ledger_dsn, act), Unanswered)


def test_a_defect_in_a_rule_fails_its_own_command_only(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed(ledger_dsn, *a_club(1), *a_member("m1"))
    broken = command("points.debit", member_id="m1", points=1, reason="x")

    def breaks(self: Any, at: Any, membership: Any, points: Any) -> Any:
        points.lots.clear()
        raise ZeroDivisionError

    monkeypatch.setattr(type(broken), "decide", breaks)
    answers = together(ledger_dsn, a_visit("m1"), broken, a_visit("m1"))
    assert [type(answer) for answer in answers] == [Receipt, CommandFailed, Receipt]
    assert_sound(ledger_dsn)


def test_an_event_that_cannot_be_written_fails_its_own_command_only(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed(ledger_dsn, *a_club(1), *a_member("m1"))
    broken = command("points.debit", member_id="m1", points=1, reason="x")
    paper = PointsDebited.__pydantic_serializer__

    class Breaks:
        def to_json(self, event: Any, **how: Any) -> bytes:
            return paper.to_json(event, **how) if event.key != broken.key else 1 // 0  # type: ignore[return-value]

    monkeypatch.setattr(PointsDebited, "__pydantic_serializer__", Breaks())
    answers = together(ledger_dsn, a_visit("m1"), broken, a_visit("m1"))
    assert [type(answer) for answer in answers] == [Receipt, CommandFailed, Receipt]
    assert_sound(ledger_dsn)


def test_a_snapshot_of_other_rules_is_folded_again(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(1), *a_member("m1", 5), a_visit("m1"))
    with connect(ledger_dsn) as connection:
        connection.execute("UPDATE snapshots SET fold = 'older', state = 'nonsense'")
    (receipt,) = executed(ledger_dsn, a_visit("m1"))
    assert receipt.body["spendable_points"] == 3


def test_a_stream_that_cannot_be_read_stops_its_own_commands_only(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(1), *a_member("m1"), *a_member("m2"))
    with connect(ledger_dsn) as connection:
        connection.execute(
            "UPDATE snapshots SET state = 'nonsense' WHERE originator_id = 'member:m1'"
        )
    answers = together(ledger_dsn, a_visit("m2"), a_visit("m1"), a_visit("m2"), a_visit("m1"))
    kinds = [type(answer) for answer in answers]
    assert kinds == [Receipt, CommandFailed, Receipt, CommandFailed]


def test_a_price_that_moves_in_between_is_seen(ledger_dsn: str) -> None:
    """A visit only reads the club: its version is looked at again when the batch is written."""
    executed(ledger_dsn, *a_club(10), *a_member("m1", 100))
    dearer = a_club(99)[-1]
    once: list[str] = []

    async def act(opened: Ledger) -> Any:
        append = opened._append

        async def late(wire: Any, batch: Any) -> dict[int, int]:
            if not once:
                once.append("")
                async with Ledger(ledger_dsn, now=lambda: NOW) as other:
                    await other.execute(dearer)
            return await append(wire, batch)

        opened._append = late  # type: ignore[method-assign]
        return await asyncio.gather(
            opened.execute(a_visit("m1", shown_points=10)), return_exceptions=True
        )

    (answer,) = with_ledger(ledger_dsn, act)
    assert answer == PriceChanged(shown_points=10, price_points=99, price_version=2)


def test_a_process_frozen_with_the_lanes_in_hand_loses_them(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "FROZEN_MS", 300)
    executed(ledger_dsn, *a_club(1), *a_member("m1"))

    async def act(opened: Ledger) -> Receipt:
        frozen = await database.aconnect(ledger_dsn)
        await frozen.execute("BEGIN")
        await frozen.execute("SELECT take_lanes(array(SELECT bucket FROM log_end))")
        try:
            return await opened.execute(a_visit("m1"))
        finally:
            await frozen.close()

    assert isinstance(with_ledger(ledger_dsn, act), Receipt)


def test_an_import_that_keeps_the_lanes_makes_nobody_wait_for_ever(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_MS", 50)
    monkeypatch.setattr(batcher, "MAX_ATTEMPTS", 2)
    executed(ledger_dsn, *a_club(1), *a_member("m1"))
    with connect(ledger_dsn) as holder, holder.transaction():
        holder.execute("SELECT take_lanes(array(SELECT bucket FROM log_end))")
        assert asked(ledger_dsn, a_visit("m1")) == "unanswered"
    assert asked(ledger_dsn, a_visit("m1")) == "done"


def test_the_batcher_outlives_a_defect_of_its_own(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(1), *a_member("m1"))

    async def act(opened: Ledger) -> list[Any]:
        append = opened._append

        async def breaks(wire: Any, batch: Any) -> dict[int, int]:
            opened._append = append  # type: ignore[method-assign]
            raise ZeroDivisionError

        opened._append = breaks  # type: ignore[method-assign]
        return [await asyncio.wait_for(opened.execute(a_visit("m1")), PATIENCE_S) for _ in range(2)]

    assert [receipt.body["visit"] for receipt in with_ledger(ledger_dsn, act)] == [1, 2]
    assert_sound(ledger_dsn)


def test_a_digest_says_nothing_without_the_ledgers_secret() -> None:
    one = command("member.join", member_id="m1", unit_id="u1", phone="13900001234", key="k")
    other = command("member.join", member_id="m1", unit_id="u1", phone="13900001235", key="k")
    asked = one.asked()
    assert asked == other.asked()
    key = KEYRING.first()
    secrets, another = (Secrets.of({"ledger_id": "l1", **Secrets.new("l1", key)}) for _ in range(2))
    assert digest_of(one, asked, secrets) == digest_of(one, asked, secrets)
    assert digest_of(one, asked, secrets) != digest_of(one, asked, another)
    assert digest_of(one, asked, secrets) != digest_of(other, asked, secrets)


def test_what_is_said_and_what_is_meant_when_it_is_left_out_are_the_same_command() -> None:
    visit = {"club_id": "health", "service_id": "escort", "desk": "d1"}
    short = asked_of("visit.record", **visit)
    assert asked_of("visit.record", **visit, companions=0, shown_points=None, at=None) == short
    assert asked_of("visit.record", **visit, companions=1) != short
    assert asked_of("visit.record", **visit, shown_points=0) != short


def test_to_leave_a_detail_out_and_to_take_it_away_are_two_commands() -> None:
    short = asked_of("member.change_details", name="王")
    assert asked_of("member.change_details", name="王", at=None) == short
    assert asked_of("member.change_details", name="王", phone=None) != short


def asked_of(called: str, **fields: Any) -> bytes:
    said = {"key": "k", "actor": "clerk:li", "member_id": "m1", **fields}
    return COMMANDS[called](**said).asked()


def test_installing_again_changes_nothing_and_says_what_is_wrong(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(4)
    before = rows(dsn, "SELECT * FROM migrations")
    install(dsn)
    install(dsn, 4)
    assert rows(dsn, "SELECT * FROM migrations") == before
    with connect(dsn) as connection:
        assert meta(connection)["buckets"] == "4"
    with pytest.raises(InstallError, match="has 4 buckets, not 2"):
        install(dsn, 2)
    with pytest.raises(InstallError, match="1 to 64"):
        install(dsn, 0)
    with connect(dsn) as connection:
        connection.execute("UPDATE migrations SET sha256 = 'x' WHERE name LIKE '0001%'")
    with pytest.raises(InstallError, match=r"not read any more .*0001_log.* anew"):
        install(dsn)
    with connect(dsn) as connection:
        connection.execute("UPDATE migrations SET name = '9999_future.sql' WHERE sha256 = 'x'")
    with pytest.raises(InstallError, match="9999_future"):
        install(dsn)
