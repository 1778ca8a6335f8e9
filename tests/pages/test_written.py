"""What is written is written once, and told as written, whatever befalls what else could be asked:
from the write on the database ends every other session, and lets nobody in."""

import asyncio
import re
from collections.abc import Callable, Mapping

import httpx
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.runtime.clock import Clock
from domain.access import SCOPES
from ledger import credentials
from ledger.database import connect
from ledger.log.batcher import Ledger
from projections.engine import runner
from tests.api.running import asked
from tests.ledger.facts import command
from tests.pages.conftest import BRANCH, customer, launch
from tests.pages.test_guards import OWN, code_of, visit
from tests.pages.test_words import templates
from tests.patience import comes_true

HERE = "http://here"
"""Pages are at the top, where the paths of doors are not."""
DESK, CAMPAIGN = "/desk/tea/d1", "/campaigns/spring"
ROLES = {
    "clubs": {"visits.write": "clubs", "visits.undo": "clubs", "corrections.write": "clubs"},
    "units": {"campaigns.enrol": "units", "corrections.write": "units", "members.read": "units"},
}
"""What somebody may in some clubs or in some units alone: of that the ledger is asked."""
WAITING = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
ENDED = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
ALL = "SELECT count(*) FROM ledger.stored_events"
REPORT = """
[report]
id = "r1"
title = "R"
source = "S"
dated_on = 2024-01-01
first = 2023-01-01
last = 2023-12-31
"""


def form(called: str, **said: str) -> tuple[str, dict[str, str]]:
    """A command as the administration sends it."""
    return f"/administration/commands/{called}/do", said


FORMS: Mapping[str, tuple[str, dict[str, str], str]] = {
    "a visit": (f"{DESK}/visits", visit(key="v1"), "data-undo"),
    "a visit taken back": (
        f"{DESK}/undo", {"member_id": "c1", "visit": "1", "key": "u1", "reason": "r"}, "undone",
    ),
    "an emergency": (f"{DESK}/emergency", {"key": "e1", "reason": "r"}, ""),
    "people admitted": (
        f"{DESK}/admissions", {"key": "a1", "category": "other", "people": "3"}, "receipt",
    ),
    "people taken back": (
        f"{DESK}/admissions/undo", {"key": "a2", "admission": "1", "reason": "r"}, "undone",
    ),
    "its end": (f"{DESK}/emergency/end", {"key": "e2"}, ""),
    "an enrolment": (
        f"{CAMPAIGN}/enrolments",
        {"member_id": "c1", "prepaid_fen": "60000", "shown_terms_version": "1", "key": "n1"},
        f"{CAMPAIGN}/corrections",
    ),
    "an enrolment taken back": (
        f"{CAMPAIGN}/corrections", {"member_id": "c1", "key": "n2", "reason": "r"}, "undone",
    ),
    "a file": (f"{CAMPAIGN}/file/enrolments", {"lines": "c2;600"}, "1,c2,600,Enrolled"),
    "a debit": (
        *form("points.debit", key="p1", member_id="c1", points="5", reason="r"), "Done",
    ),
    "a report": ("/figures/enter/do", {"content": REPORT, "key": "r1"}, ""),
}  # fmt: skip
"""What is sent, and a part of what is told of it; nothing where another page is next."""


async def told(dsn: str, client: httpx.AsyncClient) -> dict[str, str]:
    """A branch with two customers and a campaign; by role a key."""
    facts = [*BRANCH, launch("spring"), *customer("c1", 500), *customer("c2", 500)]
    keyed = [{"key": f"told-{n}", **each} for n, each in enumerate(facts)]
    answer = await client.post("/v1/commands", json={"commands": keyed})
    assert {each["status"] for each in answer.json()["outcomes"]} == {201}
    runner.project(dsn)
    of = {"clubs": ("tea",), "units": ("east",)}
    async with Ledger(dsn, now=Clock().now) as ledger:
        for role, scopes in ROLES.items():
            every = dict.fromkeys(SCOPES, "all") | scopes
            issued = {"api_key_id": role, "role_id": role, role: of[role]}
            await ledger.execute(command("role.define", role_id=role, scopes=every))
            await ledger.execute(command("apikey.issue", **issued))
    with connect(dsn) as connection:
        minted = {role: credentials.mint(connection, f"apikey:{role}", 1) for role in ROLES}
    return {role: key for role, key in minted.items() if key is not None}


async def sent(
    client: httpx.AsyncClient, dsn: str, path: str, said: dict[str, str]
) -> httpx.Response:
    """The answer to a form, if from its write on the ledger can be asked nothing any more: while it
    waits to be written every other session is ended, and no new one let in."""
    name = conninfo_to_dict(dsn)["dbname"]
    with connect(make_conninfo(dsn, dbname="postgres")) as outside, connect(dsn) as holding:
        outside.autocommit = True
        with holding.transaction():
            holding.execute("LOCK TABLE ledger.stored_events IN EXCLUSIVE MODE")
            answer = asyncio.create_task(client.post(HERE + path, data=said))

            def writing() -> list[int]:
                return [pid for (pid,) in outside.execute(WAITING, (name,))]

            assert await comes_true(lambda: answer.done() or bool(writing()))
            assert not answer.done(), (await answer).text
            kept = [holding.info.backend_pid, *writing()]
            outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            refused = False
            while not refused:
                outside.execute(f"{ENDED} AND pid <> ALL(%s)".encode(), (name, kept))
                refused = code_of(await client.get(f"{HERE}/campaigns")) == "unavailable"
        try:
            return await answer
        finally:
            outside.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


def test_what_is_written_is_told_though_nothing_can_be_asked_any_more(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(1)

    async def walk() -> None:
        async with asked(dsn) as client:
            keys = await told(dsn, client)
            client.headers.update({**OWN, "Accept-Language": "en"})
            for what, (path, said, expected) in FORMS.items():
                role = "units" if path.startswith(CAMPAIGN) else "clubs"
                client.headers["Authorization"] = f"Bearer {keys[role]}"
                assert (await client.get(f"{HERE}/campaigns")).status_code == 200
                answer = await sent(client, dsn, path, said)
                led = answer.headers.get("hx-redirect")
                assert led or code_of(answer) == "", (what, answer.text)
                assert expected in answer.text, (what, answer.text)
                assert bool(led) is not bool(expected), (what, answer.text)

    asyncio.run(walk())


def test_what_is_sent_again_is_told_again_and_written_once(
    installed: Callable[[int], str],
) -> None:
    dsn = installed(1)

    async def walk() -> None:
        async with asked(dsn) as client:
            keys = await told(dsn, client)
            client.headers.update({**OWN, "Accept-Language": "en"})

            async def press(what: str) -> tuple[str, bool]:
                path, said, _ = FORMS[what]
                role = "units" if path.startswith(CAMPAIGN) else "clubs"
                client.headers["Authorization"] = f"Bearer {keys[role]}"
                answer = await client.post(HERE + path, data=said)
                led = "hx-redirect" in answer.headers
                return "" if led else code_of(answer), led

            for what, (_, _, expected) in FORMS.items():
                assert await press(what) == ("", not expected), what
                assert await press(what) == ("", not expected), what
            with connect(dsn) as connection:
                written = connection.execute(ALL).fetchone()
            runner.project(dsn)
            for what, (_, _, expected) in FORMS.items():
                assert await press(what) == ("", not expected), what
            with connect(dsn) as connection:
                assert connection.execute(ALL).fetchone() == written

    asyncio.run(walk())


def test_what_is_pressed_again_before_its_answer_is_not_sent_again() -> None:
    forms = re.findall(r"(<form\b[^>]*>)(.*?)</form>", "\n".join(templates().values()), re.DOTALL)
    keyed = [tag for tag, body in forms if 'name="key"' in body and "/try" not in tag]
    assert len(keyed) >= 10
    assert not [tag for tag in keyed if 'hx-sync="this:drop"' not in tag]


def test_what_a_page_asks_for_by_itself_it_asks_for_again_where_it_does_not_come() -> None:
    triggers = [
        said for text in templates().values() for said in re.findall(r'hx-trigger="([^"]*)"', text)
    ]
    by_itself = [said for said in triggers if "load" in said]
    assert len(by_itself) > 5
    assert not [said for said in by_itself if not re.search(r"load( delay:\d+s)?, again\b", said)]
