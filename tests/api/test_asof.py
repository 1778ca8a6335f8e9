"""Answers as of a moment over HTTP and on the command line, and many who ask at once."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli import changes
from api.cli.terminal.looking import looking
from api.http import create_app
from api.http.server import asof as past
from api.http.server.inputs import House
from api.runtime import moments
from api.runtime.clock import Clock
from api.runtime.wiring import Database
from domain.kernel.values import local_date
from ledger.database import connect
from projections.asof import pairs
from projections.engine import runner
from projections.engine.answer import Moment
from projections.engine.measure import DAY, MeasureChange, difference
from projections.engine.moments import Asked
from projections.engine.moments import moment as at_moment
from projections.engine.schemas import log_ends
from tests.addresses import AsyncClient
from tests.api.contract import promised
from tests.api.running import clubledger
from tests.patience import PATIENCE_S, SOON_S, comes_true
from tests.projections.histories import lay
from tests.projections.tables import filled
from tests.projections.workings import busy


@asynccontextmanager
async def asking(dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application whose answers stand still."""
    app = create_app(dsn, follow=False)

    async def check(response: httpx.Response) -> None:
        await response.aread()
        promised().check(response)

    async with (
        app.router.lifespan_context(app),
        AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://here",
            event_hooks={"response": [check]},
            timeout=PATIENCE_S,
        ) as client,
    ):
        yield client


@pytest.fixture
def told(ledger_dsn: str) -> str:
    """A ledger whose answers hold all of it."""
    with connect(ledger_dsn) as conn:
        lay(conn, busy(len(log_ends(conn))).log)
    runner.project(ledger_dsn)
    return ledger_dsn


@pytest.fixture
def one_lane(installed: Callable[[int], str]) -> str:
    """The same, where the number of lanes does not matter."""
    return filled(installed(1), busy(1).log)


# ------------------------------------------------------------------ before anything was known
def test_before_anything_was_known_the_answer_says_so(told: str) -> None:
    """Not that there is no such member: with the first moment that can be asked about."""

    async def ask() -> None:
        async with asking(told) as client:
            for path in ("/members/m1", "/members/m1/statement", "/figures", "/doubts"):
                answer = await client.get(path, params={"known_at": "1999-12-31"})
                assert (answer.status_code, answer.json()["code"]) == (404, "unknown_by_then"), path
                first = answer.json()["first_known_at"]
                later = await client.get(path, params={"known_at": first})
                assert later.json().get("code") in (None, "unknown_member_then", "building"), path
            happened = await client.get("/members/m1", params={"effective_at": "2008-12-31"})
            assert happened.status_code == 200
            early = await client.get("/members/m1", params={"effective_at": "1999-12-31"})
            assert (early.status_code, early.json()["code"]) == (404, "unknown_member_then")
            joined = {"effective_at": early.json()["joined_at"]}
            assert (await client.get("/members/m1", params=joined)).status_code == 200
            nobody = await client.get("/members/nobody", params={"effective_at": "1999-12-31"})
            assert nobody.json()["code"] == "unknown_member"

    asyncio.run(ask())


def test_an_empty_ledger_knows_nothing_at_any_time(ledger_dsn: str) -> None:
    runner.project(ledger_dsn)

    async def ask() -> None:
        async with asking(ledger_dsn) as client:
            answer = await client.get("/members/m1", params={"known_at": "1999-12-31"})
            assert answer.json()["code"] == "unknown_member"

    asyncio.run(ask())


@pytest.mark.parametrize("words", [(), ("--statement",)])
def test_the_command_line_says_it_in_a_sentence(demo_dir: Path, words: tuple[str, ...]) -> None:
    asked = ("member", "m000003", *words, "--known-at", "1985-01-01")
    ended = clubledger(*asked, data_dir=demo_dir)
    assert ended.code == 3
    assert "Nothing was known by then: ask as of a later time" in ended.err
    assert "first_known_at" in ended.err


# ---------------------------------------------------------------------------------- the doors
def test_every_dated_answer_says_its_moment(told: str) -> None:
    async def ask() -> None:
        async with asking(told) as client:
            for path in (
                "/members/m1",
                "/members/m1/statement",
                "/figures",
                "/reports/half/figures",
                "/clubs/lounge/use?from=2008-01-01&to=2008-12-31",
                "/campaigns/plain",
                "/doubts",
            ):
                now = (await client.get(path)).json()
                assert now["moment"] is None, path
                for param in ("known_at", "effective_at"):
                    asked = httpx.URL(path).copy_merge_params({param: "2020-02-29"})
                    answer = await client.get(asked)
                    assert answer.status_code == 200, answer.text
                    then = answer.json()
                    moment = then["moment"]
                    assert moment[param] == "2020-02-29T23:59:59.999999+08:00"
                    again = httpx.URL(path).copy_merge_params({"known_at": moment["positions"]})
                    assert (await client.get(again)).status_code == 200
                    assert then.keys() == now.keys()

    asyncio.run(ask())


def test_a_member_is_shown_as_he_was(one_lane: str) -> None:
    async def ask() -> None:
        async with asking(one_lane) as client:
            now = (await client.get("/members/m1")).json()
            events = (await client.get("/members/m1/events")).json()["events"]
            first_visit = next(e for e in events if e["topic"] == "visit.recorded")
            before = {"known_at": f"0:{first_visit['position'] - 1}"}
            then = (await client.get("/members/m1", params=before)).json()
            assert now["visits"] > then["visits"] == 0
            assert now["points"]["debited"] > 0 or then["points"]["debited"] == 0
            joining = next(e for e in events if e["topic"] == "member.joined")
            before = {"known_at": f"0:{joining['position'] - 1}"}
            answer = await client.get("/members/m1", params=before)
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_member_then")
            joined_at = datetime.fromisoformat(answer.json()["joined_at"])
            assert joined_at == datetime.fromisoformat(now["joined_at"])

    asyncio.run(ask())


def test_a_moment_that_is_none_is_a_precise_problem(one_lane: str) -> None:
    refused: list[tuple[dict[str, str], int, str]] = [
        ({"known_at": "2999-01-01"}, 422, "invalid"),
        ({"known_at": "2400-01-01"}, 422, "dated_in_future"),
        ({"effective_at": "2400-01-01T00:00:00Z"}, 422, "dated_in_future"),
        ({"known_at": "0:99999"}, 404, "unknown_position"),
        ({"known_at": "7:1"}, 404, "unknown_position"),
        ({"known_at": "0:1,0:2"}, 422, "invalid"),
        ({"known_at": "2008-12-31T10:00:00"}, 422, "invalid"),
        ({"effective_at": "0:17"}, 422, "invalid"),
        ({"known_at": ""}, 422, "invalid"),
        ({"effective_at": "2009-02-29"}, 422, "invalid"),
        ({"effective_at": "13800000001"}, 422, "invalid"),
    ]

    async def ask() -> None:
        async with asking(one_lane) as client:
            for (params, *wanted), path in product(refused, ("/members/m1", "/figures")):
                answer = await client.get(path, params=params)
                assert [answer.status_code, answer.json()["code"]] == wanted, (params, answer.text)
                assert "13800000001" not in answer.text

    asyncio.run(ask())


def test_today_is_answered_up_to_now_and_nothing_is_folded_for_it(
    one_lane: str,
) -> None:
    today = ""

    def ours(answer: dict[str, Any]) -> dict[str, Any]:
        return {name: each for name, each in answer.items() if name not in ("moment", "clock")}

    async def ask() -> None:
        nonlocal today
        async with asking(one_lane) as client:
            today = (await client.get("/figures")).json()["clock"][:10]
            for path in ("/members/m1", "/members/m1/statement", "/figures", "/lists/members"):
                now = (await client.get(path)).json()
                for names in (("known_at",), ("effective_at",), ("known_at", "effective_at")):
                    answer = await client.get(path, params=dict.fromkeys(names, today))
                    assert answer.status_code == 200, answer.text
                    then = answer.json()
                    over = (await client.get("/figures")).json()["clock"][:10]
                    assert ours(then) == ours(now) or over != today
                    times = [then["moment"][name] for name in names]
                    assert all(each.startswith(today) for each in times), (times, today, path)
                    again = {"known_at": then["moment"]["positions"]}
                    if "effective_at" in names:
                        again["effective_at"] = then["moment"]["effective_at"]
                    if path == "/members/m1":
                        assert (await client.get(path, params=again)).status_code == 200

    asyncio.run(ask())
    by_command = ("figures", "--effective-at", today, "--known-at", today, "--json")
    told = clubledger(*by_command, CLUBLEDGER_DATABASE_URL=one_lane)
    assert told.code == 0, told.err
    assert told.json["moment"]["known_at"].startswith(today)
    with connect(one_lane) as conn:
        kept = conn.execute("SELECT to_regclass('asof.kept')").fetchone()
    over = clubledger("figures", "--json", CLUBLEDGER_DATABASE_URL=one_lane).json["clock"][:10]
    assert kept == (None,) or over != today  # which midnight has made a day like others


class Interrupted(Clock):
    """A clock; before who has looked at it first has asked anything, something is told."""

    def __init__(self, dsn: str, number: int) -> None:
        super().__init__()
        self.dsn, self.number = dsn, number

    def now(self) -> datetime:
        at = super().now()
        if self.dsn:
            dsn, self.dsn = self.dsn, ""
            with connect(dsn) as conn:
                told = {"stream": f"unit:told-{self.number}", "at": at + timedelta.resolution}
                conn.execute(ONE_MORE, told)
            runner.project(dsn)
        return at


ONE_MORE = """
    WITH told AS (UPDATE ledger.log_end SET position = position + 1 RETURNING position)
    INSERT INTO ledger.stored_events (bucket, originator_id, originator_version, topic, state,
        notification_id, recorded_at)
    SELECT 0, %(stream)s, 1, 'unit.opened', convert_to(
        '{"occurred_at": "2008-01-01T00:00:00Z", "actor": "a:b", "key": "k", "title": "A"}', 'UTF8'
    ), position, %(at)s FROM told
"""


def test_as_of_today_tells_a_time_at_which_all_was_known_that_is_in_it(
    one_lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It told the time at which it was asked; while it waited for the answers more came in."""
    today = Asked(local_date(Clock().now()))

    async def over_http() -> Moment | None:
        app = create_app(one_lane, follow=False)
        async with app.router.lifespan_context(app):
            house: House = app.state.house
            house.clock = Interrupted(one_lane, 1)
            return await house.ask(lambda _, moment: moment, None, today)

    found = [asyncio.run(over_http())]
    monkeypatch.setattr(Database, "clock", Interrupted(one_lane, 2))
    with looking(Database(one_lane, "", {}), today) as (conn, moment):
        found.append(moment)
    with connect(one_lane) as conn:
        for each in found:
            assert each is not None
            then = at_moment(conn, Asked(each.known_at), Clock().now())
            assert then.positions == each.positions


def test_what_the_forms_mean() -> None:
    day = moments.asked("2008-02-29", None).at
    assert str(day) == "2008-02-29 15:59:59.999999+00:00"
    for text in ("2008-02-29T23:59:59.999999+08:00", "2008-02-29T23:59:59.999999 08:00"):
        assert moments.asked(text, None).known == day
    assert moments.asked(None, "2008-02-29").at == day
    assert moments.asked("0:17", None).known == {0: 17}
    assert moments.asked("0:17,3:4", None).known == {0: 17, 3: 4}


def test_changes_are_told_measure_by_measure(told: str) -> None:
    async def ask() -> None:
        async with asking(told) as client:
            answer = await client.get("/changes", params={"from": "0:0"})
            assert answer.status_code == 200, answer.text
            found = answer.json()
            changed = {each["measure_id"] for each in found["measures"]}
            assert {"points.outstanding", "bindings.base"} <= changed
            answer = await client.get("/changes", params={"from": "nonsense"})
            assert answer.json()["errors"][0]["field"] == "query.from"

    asyncio.run(ask())


# ------------------------------------------------------------------------------- many at once
class Slow:
    """A builder that waits until it is let go, and how many wait for it as long as it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.built, build = threading.Event(), list[Any](), pairs.build
        self.waiting, built = 0, past.Builds._built

        def slowly(dsn: str, moment: Any) -> None:
            self.go.wait(PATIENCE_S)
            self.built.append(moment)
            build(dsn, moment)

        async def counted(past_: past.Builds, moment: Any) -> None:
            self.waiting += 1
            await built(past_, moment)

        monkeypatch.setattr(pairs, "build", slowly)
        monkeypatch.setattr(past.Builds, "_built", counted)
        monkeypatch.setattr(past, "PATIENCE_S", PATIENCE_S)


def test_who_waits_for_a_build_keeps_nobody_waiting(
    one_lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> None:
        slow = Slow(monkeypatch)
        async with asking(one_lane) as client:
            waiting = [
                asyncio.create_task(client.get(path, params={"known_at": f"0:{position}"}))
                for position in (10, 20)
                for path in ("/figures", "/campaigns/plain", "/figures", "/clubs/lounge/use") * 5
            ]
            assert await comes_true(lambda: slow.waiting == len(waiting))
            for path in ("/livez", "/readyz", "/clubs", "/figures", "/members/m1?known_at=0:30"):
                answer = await client.get(path)
                assert answer.status_code == 200, answer.text
            assert not any(task.done() for task in waiting)
            slow.go.set()
            for answer in await asyncio.gather(*waiting):
                assert answer.status_code == 200, answer.text
        assert len(slow.built) == 2

    asyncio.run(ask())


def test_too_many_moments_at_once_are_told_to_come_again(
    one_lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> None:
        slow = Slow(monkeypatch)
        async with asking(one_lane) as client:

            def figures(position: int) -> Any:
                return client.get("/figures", params={"known_at": f"0:{position}"})

            waiting = [asyncio.create_task(figures(n)) for n in range(past.BUILDS)]
            assert await comes_true(lambda: slow.waiting == len(waiting))
            answer = await figures(past.BUILDS)
            assert (answer.status_code, answer.json()["code"]) == (503, "building")
            assert answer.headers["retry-after"]
            slow.go.set()
            assert {each.status_code for each in await asyncio.gather(*waiting)} == {200}
            assert (await figures(past.BUILDS)).status_code == 200

    asyncio.run(ask())


def test_patience_ends_and_the_build_goes_on(
    one_lane: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> None:
        slow = Slow(monkeypatch)
        monkeypatch.setattr(past, "PATIENCE_S", SOON_S)
        async with asking(one_lane) as client:
            answer = await client.get("/figures?known_at=0:10")
            assert (answer.status_code, answer.json()["code"]) == (503, "building")
            slow.go.set()
            monkeypatch.setattr(past, "PATIENCE_S", PATIENCE_S)
            assert (await client.get("/figures?known_at=0:10")).status_code == 200
        assert len(slow.built) == 1

    asyncio.run(ask())


def test_a_moment_the_answers_do_not_hold_yet_is_waited_for(one_lane: str) -> None:
    async def ask() -> None:
        async with asking(one_lane) as client:
            with connect(one_lane) as conn:
                end = log_ends(conn)[0]
                more = [stored for stored in busy(1, visits=14).log if stored.position > end]
                lay(conn, more)
            last = f"0:{end + len(more)}"
            answer = await client.get("/figures", params={"known_at": last})
            assert (answer.status_code, answer.json()["code"]) == (504, "not_caught_up")
            runner.project(one_lane)
            answer = await client.get("/figures", params={"known_at": last})
            assert answer.status_code == 200

    asyncio.run(ask())


# --------------------------------------------------------------------------- the command line
@pytest.mark.slow
def test_the_command_line_asks_as_of_a_moment(demo_dir: Path) -> None:
    shown = clubledger("figures", "--known-at", "2008-10-31", data_dir=demo_dir)
    assert shown.code == 0, shown.err
    assert shown.out.startswith("As of what was known by 2008-10-31 23:59:59 (0:")
    found = clubledger("figures", "--effective-at", "2008-10-31", "--json", data_dir=demo_dir).json
    assert found["moment"]["effective_at"] == "2008-10-31T23:59:59.999999+08:00"
    assert {each["on"] for each in found["figures"]} == {"2008-10-31"}
    asked = ("figures", "--report", "vip-2008", "--known-at")
    early = clubledger(*asked, "2008-10-31", data_dir=demo_dir)
    assert (early.code, "There is no such report" in early.err) == (3, True)
    (lane,) = clubledger("status", "--json", data_dir=demo_dir).json["lanes"]
    now = f"0:{lane['log_end']}"
    shown = clubledger(*asked, now, "--explain", "binding.rate", data_dir=demo_dir)
    assert "As of what was known by 20" in shown.out, shown.err
    card = clubledger("member", "m000001", "--known-at", "2008-06-30", data_dir=demo_dir)
    assert "As of what was known by 2008-06-30" in card.out
    lines = clubledger(
        "member", "m000001", "--known-at", "2008-06-30", "--statement", "--json", data_dir=demo_dir
    ).json
    assert all(entry["occurred_at"] < "2008-07" for entry in lines["entries"])


@pytest.mark.slow
def test_changes_on_the_command_line(demo_dir: Path) -> None:
    shown = clubledger("changes", "--from", "2008-11-30", "--to", "2008-12-31", data_dir=demo_dir)
    assert shown.code == 0, shown.err
    assert "points.credited" in shown.out
    assert "DOES NOT ADD UP" not in shown.out
    same = clubledger("changes", "--from", "0:5", "--to", "0:5", data_dir=demo_dir)
    assert (same.code, "Both moments hold the same events." in same.out) == (0, True)


def test_a_day_is_told_as_a_day_and_what_lies_between_two_in_days() -> None:
    """Days are kept as numbers, 20080131, of which no difference is one of days."""
    was = Decimal(20080131)
    for now, said in (
        (Decimal(20080301), ("2008-01-31", "2008-03-01", "30 days", "")),
        (None, ("2008-01-31", "none", "none", "")),
    ):
        moved = MeasureChange(
            measure_id="m", title="M", unit=DAY, params={}, key={},
            before=was, after=now, difference=difference(DAY, was, now),
        )  # fmt: skip
        assert changes.told(moved) == said


@pytest.mark.parametrize(
    ("moment", "exit_code", "said"),
    [
        ("soon", 2, "--known-at: it must be a day"),
        ("2400-01-01", 3, "dated after the ledger's clock"),
        ("0:99999999", 3, "The log holds no such position"),
    ],
)
def test_a_moment_that_is_none_ends_with_a_sentence(
    demo_dir: Path, moment: str, exit_code: int, said: str
) -> None:
    for command in (("figures",), ("member", "m000001")):
        shown = clubledger(*command, "--known-at", moment, data_dir=demo_dir)
        assert (shown.code, shown.out) == (exit_code, "")
        assert said in shown.err
