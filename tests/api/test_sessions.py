"""People over HTTP: the first link, passwords, sessions; and who attacks them."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from threading import Event
from typing import Any

import httpx
import pytest

from api.http.server.access import FROM_HERE_HEADER, from_here
from api.http.server.passwords import HASHER, MOST_WAITING, Passwords
from api.http.server.rates import (
    LOOK_UP,
    MOST_COUNTED,
    SIGN_IN,
    SIGN_IN_ANYWHERE,
    Quota,
    Rates,
)
from api.runtime.clock import Clock
from api.runtime.problems import DoorProblem
from ledger import credentials, sessions
from ledger.database import connect
from ledger.log.batcher import Busy
from tests.api.running import asked
from tests.ledger.facts import command, executed

PASSWORD = "correct horse battery"
TAKE = "/invitations/take"
KEY = "Idempotency-Key"


def ask(dsn: str, story: Callable[[httpx.AsyncClient], Awaitable[None]], **settings: Any) -> None:
    """Tell a story to an application in this process."""

    async def told() -> None:
        async with asked(dsn, **settings) as client:
            await story(client)

    asyncio.run(told())


def administrator(dsn: str) -> None:
    """There is one, `li`, with a password."""
    executed(dsn, command("user.add", user_id="li"))
    executed(dsn, command("user.grant", user_id="li", role_id="administrator"))
    with connect(dsn) as connection:
        sessions.set_password(connection, "li", HASHER.hash(PASSWORD))


async def signed_in(client: httpx.AsyncClient, user_id: str = "li") -> httpx.Response:
    client.cookies.clear()
    said = {"user_id": user_id, "password": PASSWORD}
    answer = await client.post("/session", json=said)
    assert answer.status_code == 201, answer.json()
    return answer


async def learn(client: httpx.AsyncClient) -> None:
    """Let the worker read again now who is known."""
    transport: Any = client._transport
    await transport.app.state.house.access.learn()


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# ------------------------------------------------------------------------------- the first link
def test_the_first_link_makes_one_administrator_once(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as connection:
        link = credentials.first_link(connection)
        assert credentials.first_link(connection) is None  # it is shown once
        assert not credentials.claimed(connection)
    assert link is not None
    said = {"invitation": link, "user_id": "li", "password": PASSWORD}

    async def story(client: httpx.AsyncClient) -> None:
        page = await client.get(f"http://here{TAKE}")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert (await client.get("/clubs")).status_code == 200  # as on one's own machine
        for forged in (
            {"invitation": f"{link[:-1]}{'1' if link[-1] == '0' else '0'}"},
            {"invitation": f"in_li_{link.rpartition('_')[2]}"},
            {"invitation": f"cl_-_{link.rpartition('_')[2]}"},
        ):
            assert code_of(await client.post(TAKE, json=said | forged)) == (403, "not_invited")
        for more in (
            {"invitation": "in_-_"},
            {"role_id": "manager"},
            {"password": "short"},
            {"user_id": "-"},
        ):
            assert code_of(await client.post(TAKE, json=said | more)) == (422, "invalid")
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        refused = await client.post(TAKE, json=said, headers=elsewhere)
        assert code_of(refused) == (403, "not_from_here")
        took = await asyncio.gather(*(client.post(TAKE, json=said) for _ in range(2)))
        assert sorted(each.status_code for each in took) == [200, 403]
        assert code_of(await client.post(TAKE, json=said)) == (403, "not_invited")
        assert (await client.get("/clubs")).status_code == 401
        await signed_in(client)
        assert (await client.get("/users")).json()["users"][0]["user_id"] == "li"
        assert code_of(await client.get("/clubs")) == (403, "not_allowed")

    ask(ledger_dsn, story)
    with connect(ledger_dsn) as connection:
        kept = connection.execute("SELECT hash FROM passwords").fetchall()
        log = connection.execute("SELECT convert_from(state, 'UTF8') FROM stored_events").fetchall()
    assert kept[0][0].startswith("$argon2id$")
    assert len(log) == 2
    assert not [each for (each,) in log if PASSWORD in each or kept[0][0] in each]


def test_an_invitation_opens_once_for_whom_it_is_and_the_newest_alone(ledger_dsn: str) -> None:
    administrator(ledger_dsn)
    with connect(ledger_dsn) as connection:
        cookie = sessions.begin(connection, "li")

    async def story(client: httpx.AsyncClient) -> None:
        ours = {"Cookie": f"clubledger={cookie}", FROM_HERE_HEADER: from_here(cookie)}
        links = []
        for path, key in (("", "a"), ("/wang/invite", "b"), ("/wang/invite", "c")):
            body = {} if path else {"user_id": "wang"}
            headers = {**ours, "Idempotency-Key": key}
            done = await client.post(f"/users{path}", json=body, headers=headers)
            assert done.status_code == 201, done.json()
            links.append(done.json().get("token"))
        said = {"user_id": "wang", "password": PASSWORD}
        for forged in ({"invitation": links[1]}, {"invitation": links[2], "user_id": "li"}):
            assert code_of(await client.post(TAKE, json=said | forged)) == (403, "not_invited")
        with connect(ledger_dsn) as connection:
            soon = Clock().now() + timedelta(hours=71)
            assert credentials.invited(connection, links[2], soon) == ("wang", 2)
            late = soon + timedelta(hours=2)
            assert credentials.invited(connection, links[2], late) is None
        assert (await client.post(TAKE, json=said | {"invitation": links[2]})).status_code == 200
        again = await client.post(TAKE, json=said | {"invitation": links[2]})
        assert code_of(again) == (403, "not_invited")

    ask(ledger_dsn, story)


# ------------------------------------------------------------------------------------- sessions
def test_a_session_is_of_a_page_of_ours_and_ends(ledger_dsn: str) -> None:
    administrator(ledger_dsn)

    async def story(client: httpx.AsyncClient) -> None:
        fixed = f"{'0' * 16}_{'0' * 64}"  # which an attacker has planted
        answer = await client.post(
            "/session",
            json={"user_id": "li", "password": PASSWORD},
            headers={"Cookie": f"clubledger={fixed}"},
        )
        said = answer.headers["set-cookie"]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(said.split("; "))
        cookie = said.partition("=")[2].partition(";")[0]
        assert cookie != fixed
        assert fixed[:16] not in cookie
        client.cookies.clear()
        ours = {"Cookie": f"clubledger={cookie}"}
        assert (await client.get("/session", headers=ours)).json() == answer.json()
        add = {"user_id": "wang"}, {**ours, "Idempotency-Key": "w"}
        token = {FROM_HERE_HEADER: answer.json()["from_here"]}
        for forged in (
            {},
            {FROM_HERE_HEADER: "0" * 64},
            {**token, "Sec-Fetch-Site": "cross-site"},
            {**token, "Sec-Fetch-Site": "same-site"},
        ):
            refused = await client.post("/users", json=add[0], headers={**add[1], **forged})
            assert code_of(refused) == (403, "not_from_here"), forged
        here = {**token, "Sec-Fetch-Site": "same-origin"}
        done = await client.post("/users", json=add[0], headers={**add[1], **here})
        assert done.status_code == 201, done.json()
        for brought in (
            {"Cookie": f"clubledger={cookie}; clubledger={cookie}"},  # one planted beside it
            {"Cookie": f"clubledger={cookie[:-1]}"},
            {"Cookie": f"clubledger={cookie.partition('_')[0]}_"},
            {"Cookie": f"__Host-clubledger={cookie}"},
            {"Authorization": f"Bearer {cookie}"},
            {"Authorization": f"Bearer cl_{cookie}"},
            {**ours, "Authorization": "Bearer cl_x_y"},
        ):
            refused = await client.get("/session", headers=brought)
            assert code_of(refused) == (401, "not_signed_in"), brought
        other = (await signed_in(client)).cookies["clubledger"]
        client.cookies.clear()
        rows = (await client.get("/sessions", headers=ours)).json()["sessions"]
        assert [each["this_one"] for each in rows] == [False, True]
        path = f"/sessions/{other.partition('_')[0]}/end"
        assert (await client.post(path, headers={**ours, **token})).status_code == 200
        theirs = {"Cookie": f"clubledger={other}"}
        assert (await client.get("/session", headers=theirs)).status_code == 401
        gone = await client.post("/session/end", headers={**ours, **token})
        assert 'clubledger=""' in gone.headers["set-cookie"]
        assert (await client.get("/session", headers=ours)).status_code == 401

    ask(ledger_dsn, story)
    with connect(ledger_dsn) as connection:
        by = "SELECT state->>'actor' FROM (SELECT convert_from(state, 'UTF8')::json AS state FROM"
        (actor,) = connection.execute(
            f"{by} stored_events WHERE originator_id = 'user:wang') told"
        ).fetchall()
    assert actor == ("administrator:li",)


@pytest.mark.parametrize("ending", ["idle", "absolute", "disabled", "password"])
def test_a_session_ends_by_itself(ledger_dsn: str, ending: str) -> None:
    administrator(ledger_dsn)
    with connect(ledger_dsn) as connection:
        cookie = sessions.begin(connection, "li")

    async def story(client: httpx.AsyncClient) -> None:
        headers = {"Cookie": f"clubledger={cookie}"}
        assert (await client.get("/session", headers=headers)).status_code == 200
        with connect(ledger_dsn) as connection:
            if ending == "disabled":
                gone = command("user.disable", user_id="li")
                await asyncio.to_thread(executed, ledger_dsn, gone)
            elif ending == "password":
                sessions.set_password(connection, "li", "another")
            else:
                column, after = {
                    "idle": ("seen_at", sessions.IDLE),
                    "absolute": ("begun_at", sessions.ABSOLUTE),
                }[ending]
                connection.execute(f"UPDATE sessions SET {column} = now() - %s::interval", (after,))
        await learn(client)
        assert (await client.get("/session", headers=headers)).status_code == 401

    ask(ledger_dsn, story)


def test_who_knows_his_password_changes_it_and_his_other_sessions_end(ledger_dsn: str) -> None:
    administrator(ledger_dsn)
    another = "staple of batteries"

    async def story(client: httpx.AsyncClient) -> None:
        other = (await signed_in(client)).cookies["clubledger"]
        this = (await signed_in(client)).cookies["clubledger"]
        client.cookies.clear()
        ours = {"Cookie": f"clubledger={this}", FROM_HERE_HEADER: from_here(this)}
        invited = await client.post("/users/li/invite", json={}, headers={**ours, KEY: "i"})
        assert invited.status_code == 201, invited.json()
        change = {"password": PASSWORD, "new_password": another}
        for said, headers, told in (
            (change | {"password": "wrong"}, ours, (401, "sign_in_refused")),
            (change | {"new_password": "short"}, ours, (422, "invalid")),
            (change, {"Cookie": ours["Cookie"]}, (403, "not_from_here")),
            (change, {}, (401, "not_signed_in")),
        ):
            refused = await client.post("/password", json=said, headers=headers)
            assert code_of(refused) == told
        done = await client.post("/password", json=change, headers=ours)
        assert (done.status_code, done.json()) == (200, {"user_id": "li"})
        assert done.headers["ratelimit-policy"] == SIGN_IN.policy
        assert (await client.get("/session", headers=ours)).status_code == 200
        theirs = {"Cookie": f"clubledger={other}"}
        assert (await client.get("/session", headers=theirs)).status_code == 401
        old = await client.post("/session", json={"user_id": "li", "password": PASSWORD})
        assert code_of(old) == (401, "sign_in_refused")
        new = await client.post("/session", json={"user_id": "li", "password": another})
        assert new.status_code == 201
        sent = {"invitation": invited.json()["token"], "user_id": "li", "password": PASSWORD}
        assert code_of(await client.post(TAKE, json=sent)) == (403, "not_invited")

    ask(ledger_dsn, story)
    with connect(ledger_dsn) as connection:
        told = "SELECT convert_from(state, 'UTF8') FROM stored_events WHERE topic = 'user.invited'"
        events = [each for (each,) in connection.execute(told)]
    assert len(events) == 2
    assert all('"administrator:li"' in each and another not in each for each in events)


def test_a_user_has_so_many_sessions_and_the_oldest_end(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as connection:
        for _ in range(sessions.MOST + 2):
            sessions.begin(connection, "li")
        assert len(sessions.of_user(connection, "li")) == sessions.MOST
        sessions.begin(connection, "wang")
        (mine,) = sessions.of_user(connection, "wang")
        assert not sessions.end(connection, "li", mine.session_id)  # which is another's
        connection.execute("UPDATE sessions SET seen_at = seen_at - interval '2 minutes'")
        sessions.seen(connection, [mine.session_id])
        (seen,) = sessions.of_user(connection, "wang")
        assert seen.seen_at > mine.seen_at - sessions.IDLE
        assert seen.seen_at >= mine.seen_at


def test_under_tls_the_cookie_is_of_this_host_alone(ledger_dsn: str) -> None:
    administrator(ledger_dsn)

    async def story(client: httpx.AsyncClient) -> None:
        answer = await signed_in(client)
        said = answer.headers["set-cookie"].split("; ")
        assert said[0].startswith("__Host-clubledger=")
        assert "Secure" in said
        assert not [each for each in said if each.startswith("Domain")]

    ask(ledger_dsn, story, tls_in_front=True)


# ------------------------------------------------------------------------------------- attacks
def test_nobody_learns_who_is_a_user(ledger_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is wrong is answered alike, after one password was compared; nor are there more
    guesses at who is there."""
    administrator(ledger_dsn)
    executed(ledger_dsn, command("user.add", user_id="new"), command("user.add", user_id="gone"))
    executed(ledger_dsn, command("user.disable", user_id="gone"))
    with connect(ledger_dsn) as connection:
        sessions.set_password(connection, "gone", HASHER.hash(PASSWORD))
    compared = []
    verify = HASHER.verify

    def counted(password: str | bytes, encoded: str | bytes) -> bool:
        compared.append(encoded)
        return verify(password, encoded)

    monkeypatch.setattr(HASHER, "verify", counted)

    async def story(client: httpx.AsyncClient) -> None:
        answers = set()
        wrong = {"li": "wrong", "new": PASSWORD, "gone": PASSWORD, "nobody": PASSWORD}
        for user_id, password in wrong.items():
            said = {"user_id": user_id, "password": password}
            answer = await client.post("/session", json=said)
            assert not answer.cookies
            left = tuple(answer.headers.get(name) for name in ("ratelimit", "www-authenticate"))
            answers.add((answer.status_code, answer.text, left))
        assert len(answers) == 1
        assert len(compared) == len(wrong)

    ask(ledger_dsn, story)


def test_guesses_are_counted_before_a_password_is_looked_at(ledger_dsn: str) -> None:
    administrator(ledger_dsn)

    async def story(client: httpx.AsyncClient) -> None:
        transport: Any = client._transport
        house = transport.app.state.house
        for _ in range(SIGN_IN.most):
            house.rates.knock("li", "127.0.0.1")
        right = {"user_id": "li", "password": PASSWORD}
        answer = await client.post("/session", json=right)
        assert code_of(answer) == (429, "too_many_requests")
        assert int(answer.headers["retry-after"]) <= SIGN_IN.window_s
        elsewhere = {"X-Forwarded-For": "192.0.2.1"}  # which anybody says who is not a proxy
        answer = await client.post("/session", json=right, headers=elsewhere)
        assert code_of(answer) == (429, "too_many_requests")
        cookie = {"Cookie": f"clubledger={begun}"}
        await learn(client)
        phone = {"phone": "13800000001"}
        token = {FROM_HERE_HEADER: from_here(begun)}
        found = await client.post("/members/lookup", json=phone, headers={**cookie, **token})
        assert found.headers["ratelimit-policy"] == LOOK_UP.policy
        assert found.headers["ratelimit"].startswith('"look-up";r=59;t=')

    executed(ledger_dsn, command("user.grant", user_id="li", role_id="manager"))
    with connect(ledger_dsn) as connection:
        begun = sessions.begin(connection, "li")
    ask(ledger_dsn, story)


def test_so_many_in_a_time_of_one_name() -> None:
    at = [0.0]
    rates, quota = Rates(lambda: at[0]), Quota("test", 2, 10)
    assert rates.spend(quota, "li")["RateLimit"] == '"test";r=1;t=10'
    at[0] = 4.5
    assert rates.spend(quota, "li")["RateLimit"] == '"test";r=0;t=6'
    with pytest.raises(DoorProblem) as refused:
        rates.spend(quota, "li")
    assert refused.value.more == {"retry_after_s": 6}
    rates.spend(quota, "wang")
    at[0] = 10
    assert rates.spend(quota, "li")["RateLimit"] == '"test";r=1;t=10'
    for number in range(MOST_COUNTED):
        rates.spend(quota, str(number))
    assert rates.spend(quota, "wang")["RateLimit"].startswith('"test";r=1')  # forgotten, and new


def test_a_stranger_keeps_nobody_from_signing_in_where_he_did_before(ledger_dsn: str) -> None:
    administrator(ledger_dsn)

    async def story(client: httpx.AsyncClient) -> None:
        async def tried(password: str, *addresses: str) -> int:
            said = {"user_id": "li", "password": password}
            headers = {"X-Forwarded-For": ", ".join(addresses)}
            return (await client.post("/session", json=said, headers=headers)).status_code

        transport: Any = client._transport
        rates = transport.app.state.house.rates
        home, stranger = "192.0.2.1", "198.51.100.7"
        assert await tried(PASSWORD, home) == 201
        for _ in range(SIGN_IN.most):
            rates.knock("li", stranger)
        assert await tried("wrong", stranger) == 429
        assert await tried("wrong", home, stranger) == 429  # what he says of himself is not heard
        assert await tried(PASSWORD, "192.0.2.2") == 201  # nor does he take anybody's place
        for number in range(SIGN_IN_ANYWHERE.most - SIGN_IN.most - 2):
            rates.knock("li", f"2001:db8::{number:x}")
        assert await tried(PASSWORD, "203.0.113.9") == 429
        assert await tried(PASSWORD, home) == 201

    ask(ledger_dsn, story, tls_in_front=True)


def test_where_people_have_signed_in_is_forgotten_in_the_end() -> None:
    rates = Rates(lambda: 0.0)
    for number in range(MOST_COUNTED + 1):
        rates.let_in(str(number), "home")
    assert len(rates._at_home) == MOST_COUNTED
    assert ("0", "home") not in rates._at_home


def test_passwords_are_looked_at_one_at_a_time_and_few_wait() -> None:
    """Who goes while his is looked at leaves no room for another before it is done."""

    async def story() -> None:
        passwords, may = Passwords(), Event()
        looked = [asyncio.create_task(passwords._in_turn(may.wait))]
        await asyncio.sleep(0)
        looked += [asyncio.create_task(passwords.fits("x", None)) for _ in range(MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await passwords.encoded("x")
        for each in looked:
            each.cancel()
        await asyncio.gather(*looked, return_exceptions=True)
        again = asyncio.create_task(passwords._in_turn(lambda: True))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not again.done()
        may.set()
        assert await again
        passwords.close()

    asyncio.run(story())
