"""Who may do what, over HTTP: the table of the documents cell by cell, and who forges a key."""

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from api.doors import DOOR_OF, DOORS
from api.http import create_app
from api.http.doors import body_of
from api.http.server.access import Access, need_of, routes_of
from api.http.server.rates import LOOK_UP
from api.http.server.reads import Reads
from api.runtime.clock import Clock
from domain.access import BUILT_IN, Principal
from ledger import credentials
from ledger.database import connect
from ledger.embedded import EmbeddedServer, running
from tests.addresses import AsyncClient, Client
from tests.api import facts
from tests.api.running import (
    ENDLESS,
    REPOSITORY,
    asked,
    clubledger,
    serving,
    stopped,
)
from tests.api.test_front import answers, exchanged, request
from tests.ledger.facts import command, executed
from tests.patience import PATIENCE_S, eventually
from tests.places import empty_directory

PAGE = REPOSITORY / "docs" / "reference" / "access.md"
HERE, THERE = ({"clubs": ["health"], "units": ["north"]}, {"clubs": ["car"], "units": ["south"]})
"""What the examples are about, and what they are not."""
PATH = {
    "member_id": "m1", "club_id": "health", "campaign_id": "spring", "report_id": "vip-2008",
    "claim_id": "c", "measure_id": "members.vips", "code": "busy", "session_id": "0" * 16,
    "webhook_id": "billing", "job_id": "0" * 16, "file_id": "0" * 16, "number": 1,
    "role_id": "clerk",
}  # fmt: skip
QUERY = {"/v1/changes": {"from": "2009-01-05"}}
BODY: dict[str, Any] = {
    "/v1/what-if": {"changes": [{"change": "service_price", "club_id": "health", "factor": "2"}]},
    "/v1/members/lookup": {"phone": facts.PHONE},
}
KNOWN = [
    facts.fact("unit.open", unit_id="north", title="North"),
    facts.fact("unit.open", unit_id="south", title="South"),
    facts.fact("member.join", member_id="m1", unit_id="north", phone=facts.PHONE),
    facts.fact("member.join", member_id="m2", unit_id="south", phone=facts.PHONE),
    facts.fact("tier.change", member_id="m1", tier="gold", reason="test"),
    facts.fact("points.credit", member_id="m1", points=100, source="test", rule="test-1"),
    facts.fact("club.open", club_id="health", title="H", opens_on="2009-01-05", tiers=["gold"]),
    facts.fact("club.open", club_id="car", title="C", opens_on="2009-01-05", tiers=["gold"]),
    facts.fact("service.price", club_id="health", service_id="tea", title="Tea", points=1),
]
VISIT = {"club_id": "health", "service_id": "tea", "desk": "d1", "shown_points": 1}
AGAIN = {**VISIT, "confirm_repeat": True}


@dataclass
class Office:
    """A server on a ledger that has keys, and its administrator."""

    path: Path
    address: str
    administrator: str

    def client(self, token: str | None) -> httpx.Client:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return Client(base_url=self.address, headers=headers, timeout=PATIENCE_S)

    def asked(self, token: str | None, path: str = "/clubs", **headers: str) -> httpx.Response:
        with self.client(token) as client:
            return client.get(path, headers=headers)

    def does(self, path: str, key: str, **body: Any) -> Any:
        with self.client(self.administrator) as client:
            answer = client.post(path, json=body, headers={"Idempotency-Key": key})
        assert answer.status_code == 201, answer.json()
        return answer.json()

    def issued(self, api_key_id: str, role_id: str, **more: Any) -> str:
        body = {"api_key_id": api_key_id, "role_id": role_id, **more}
        return str(self.does("/api-keys", f"issue-{api_key_id}", **body)["token"])


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with empty_directory() as path, EmbeddedServer(path):
        assert clubledger("import", "-", data_dir=path, stdin=facts.lines(KNOWN)).code == 0
        said = ("api_key_id=root", "role_id=administrator", "--json")
        made = clubledger("do", "apikey.issue", *said, data_dir=path)
        running = serving(path)
        office = Office(path, running.address, made.json["token"])
        with office.client(office.issued("till", "manager")) as client:
            headers = {"Idempotency-Key": "first"}
            assert client.post("/members/m1/visits", json=VISIT, headers=headers).is_success
        yield office
        assert stopped(running).code == 0


# ------------------------------------------------------------------------------- cell by cell
@dataclass
class Row:
    """A row of the page: a door, and how far each role reaches there."""

    method: str
    path: str
    name: str
    scope: str
    reach: dict[str, str]

    def sent(self, client: httpx.Client) -> httpx.Response:
        """The example of this door, only tried."""
        path, body, query = self.path, dict(BODY.get(self.path, {})), QUERY.get(self.path, {})
        headers = {"Idempotency-Key": "tried", "Prefer": "dry-run"}
        if self.name in DOOR_OF:
            door = DOOR_OF[self.name]
            body = {**door.command.example, **body_of(door).example}
            body.update({field: PATH[field] for field in ("club_id", "member_id") if field in body})
            path = path.format(**{field: body.pop(field) for field in door.ids})
        path = path.format(**PATH)
        if self.path.startswith(("/v1/lists/", "/v1/measures/")):
            query = {"unit_id": "north"} if "units" in self.reach.values() else {}
        if self.path == ENDLESS:  # which does not end
            with client.stream("GET", path) as begun:
                if begun.is_error:
                    begun.read()
                    return begun
                return httpx.Response(begun.status_code)
        if self.method == "GET":
            return client.get(path, params=query)
        return client.request(self.method, path, json=body, headers=headers)


def rows() -> list[Row]:
    lines = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in lines]
    found = []
    for door, name, scope, _, *reach in cells[1:]:
        method, _, path = door.partition(" ")
        found.append(Row(method, path, name, scope, dict(zip(cells[0][4:], reach, strict=True))))
    return found


def test_the_page_has_every_door_and_every_role() -> None:
    made = {name for _, _, name, _ in routes_of(create_app("", follow=False))}
    single = {row.name for row in rows()} - {door.name for door in DOORS}
    assert single <= made
    assert {row.name for row in rows()} >= {door.name for door in DOORS}
    assert list(rows()[0].reach) == list(BUILT_IN)
    assert len(rows()) > 100


def test_each_role_gets_in_where_the_page_says_and_nowhere_else(office: Office) -> None:
    for role_id, scopes in BUILT_IN.items():
        somewhere = {"clubs", "units"} & set(scopes.values())
        for where, place in (("here", HERE), *([("there", THERE)] if somewhere else [])):
            token = office.issued(f"{role_id}-{where}", role_id, **place)
            with office.client(token) as client:
                for row in rows():
                    reach = row.reach[role_id] if row.scope.endswith(_SCOPE) else "all"
                    if where == "there" and reach not in somewhere:
                        continue  # which is the same everywhere
                    may = reach == "all" or (where == "here" and reach != "")
                    if row.path == "/v1/members/lookup" and reach == "units":
                        may = True  # and finds no others: see below
                    answer = row.sent(client)
                    refused = answer.json().get("code") if answer.status_code >= 400 else None
                    told = (role_id, where, row.method, row.path, row.name, answer.text[:300])
                    assert (refused != "not_allowed") is may, told
                    assert answer.status_code not in (401, 500), told


_SCOPE = (".read", ".write", ".ask", ".enrol", ".undo", ".unmask", ".erase")


def test_without_a_key_only_what_is_public_answers(office: Office) -> None:
    with office.client(None) as client:
        for row in rows():
            answer = row.sent(client)
            if row.scope == "anybody":
                assert answer.status_code == 200 or row.method == "POST", row
                assert answer.status_code != 401, row
            else:
                assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), row
                assert answer.headers["www-authenticate"] == 'Bearer realm="clubledger"'


def test_every_route_says_what_it_needs() -> None:
    unsaid = [
        f"{method} {path}"
        for method, path, _, endpoint in routes_of(create_app("", follow=False))
        if need_of(endpoint) is None
    ]
    assert unsaid == []


def test_doors_at_one_address_need_one_scope() -> None:
    by_path: dict[str, set[str]] = {}
    for door in DOORS:
        by_path.setdefault(door.path, set()).add(door.scope)
    assert [path for path, scopes in by_path.items() if len(scopes) > 1] == []


# ----------------------------------------------------------------------------- another's object
OTHERS = (
    "/members/m2",
    "/members/nobody",
    "/members/m2/statement",
    "/members/m2/events",
    "/lists/members",
    "/lists/members?unit_id=south",
    "/lists/members?unit_id=north,south",
    "/lists/members?unit_id=*",
    "/lists/units",
    "/measures/members.vips/contributions?unit_id=none",
)
"""What the unit `north` may not read."""


def test_a_clerk_admits_and_undoes_in_his_own_club_alone(office: Office) -> None:
    mine = office.issued("desk-h", "clerk", clubs=["health"])
    other = office.issued("desk-c", "clerk", clubs=["car"])
    undone = {"desk": "d1", "reason": "test"}
    with office.client(mine) as here, office.client(other) as there:
        refused = there.post("/members/m1/visits", json=VISIT, headers={"Idempotency-Key": "v1"})
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
        taken = here.post("/members/m1/visits", json=AGAIN, headers={"Idempotency-Key": "v1"})
        assert taken.status_code == 201, taken.json()
        path = f"/members/m1/visits/{taken.json()['visit']}/undo"
        for number, client in (("u1", there), ("u2", here)):
            headers = {"Idempotency-Key": number}
            if client is there:
                for nobodys in (path, "/members/m1/visits/999/undo"):  # which is not told apart
                    answer = client.post(nobodys, json=undone, headers=headers)
                    assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
            else:
                first = client.post(path, json=undone, headers=headers)
                again = client.post(path, json=undone, headers=headers)
                assert (again.status_code, again.json()) == (201, first.json())
                assert again.headers["idempotent-replayed"] == "true"
                answer = client.post(path, json=undone, headers={"Idempotency-Key": "u3"})
                assert (answer.status_code, answer.json()["code"]) == (404, "unknown_visit")
        batch = {"commands": [{"command": "visit.record", "key": "b", "member_id": "m1", **VISIT}]}
        (outcome,) = there.post("/commands", json=batch).json()["outcomes"]
        assert (outcome["status"], outcome["problem"]["code"]) == (403, "not_allowed")
        events = office.asked(mine, "/members/m1/events").json()["events"]
    assert [e["actor"] for e in events if e["topic"] == "visit.undone"] == ["clerk:cl_desk-h"]


def test_what_was_done_is_answered_again_to_who_may_do_it_no_more(office: Office) -> None:
    joins = {"member_id": "m9", "unit_id": "north"}
    with office.client(office.issued("joins", "manager")) as manager:
        headers = {"Idempotency-Key": "join-m9"}
        assert manager.post("/members", json=joins, headers=headers).status_code == 201
    head, other = (office.issued(f"moves-{u}", "head", units=[u]) for u in ("north", "south"))
    path, south = "/members/m9/unit", {"unit_id": "south", "reason": "moved"}
    moved = {"command": "member.move", "key": "move", "member_id": "m9", **south}
    with office.client(head) as here, office.client(other) as there:

        def asked(client: httpx.Client, key: str, path: str = path, **more: str) -> httpx.Response:
            headers = {"Idempotency-Key": key, **more}
            return client.post(path, json=south, headers=headers)

        first, again = asked(here, "move"), asked(here, "move")
        assert first.status_code == 201, first.json()
        assert (again.status_code, again.json()) == (201, first.json())
        (outcome,) = here.post("/commands", json={"commands": [moved]}).json()["outcomes"]
        assert (outcome["status"], outcome["replayed"]) == (201, True)
        refused = [
            asked(here, "another"),
            asked(here, "move", "/members/m2/unit"),
            asked(here, "move", **{"Clubledger-Actor": "head:wang"}),
            here.get("/members/m9", params={"key": "move"}),
        ]
        assert [each.json()["code"] for each in refused] == ["not_allowed"] * 4
        others = {"reason": "another command"}
        reused = here.post("/members/m9/leave", json=others, headers={"Idempotency-Key": "move"})
        assert (reused.json()["code"], asked(there, "move").json()["code"]) == ("key_reused",) * 2


def test_a_unit_reads_its_own_customers_alone(office: Office) -> None:
    issued = {"api_key_id": "north", "role_id": "head", "units": ["north"]}
    made = office.does("/api-keys", "issue-north", **issued)
    token, place = str(made["token"]), f"{made['bucket']}:{made['position']}"
    with office.client(token) as client:
        assert client.get("/members/m1").status_code == 200
        for path in OTHERS:
            answer = client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed"), path
        asked = {"unit_id": "north", "wait_for": place}
        found = client.get("/lists/members", params=asked).json()
        assert [each["member_id"] for each in found["members"]] == ["m1"]
        known = client.post("/members/lookup", json={"phone": facts.PHONE}).json()["members"]
        assert [each["member_id"] for each in known] == ["m1"]


WAYS = (
    "/v1/members/{0}/", "/v1/members/m1/../{0}", "/v1/members/m1/%2e%2e/{0}",
    "/v1/members/m1%2f..%2f{0}", "/v1/members/../members/{0}", "/v1/./members/{0}",
    "//v1/members/{0}", "/v1//members/{0}", "/v1/members//{0}", "/v1/members;/{0}",
    "/v1/members/{0};m1", "/v1/members/{0}%3bm1", "/v1/members/{0}%00", "/v1/members/{0}%00m1",
    "/v1/members/{0}%20", "/v1/members/{0}%0d%0aX:%201", "/v1/members/%2e/{0}",
    "/v1/members/{0}%23m1", "/v1/members/{0}%3funit_id=north", "/v1/members/{0}?unit_id=north",
    "/v1/members/m1,{0}", "/v1/members/*", "/v1/members/%6d2", "/v1/members/%256d2",
    "/v1%2fmembers%2f{0}", "/v1%5cmembers%5c{0}", "/v1/members/%ef%bd%8d2", "/v1/members/M2",
    "/V1/members/{0}", "/v1/MEMBERS/{0}", "http://here/v1/members/{0}",
    "HTTP://elsewhere.example/v1/members/{0}", "//elsewhere.example/v1/members/{0}",
    "/livez/../v1/members/{0}", "/problems/..%2fv1%2fmembers%2f{0}", "/static/..;/v1/members/{0}",
    "/static/%2e%2e/%2e%2e/v1/members/{0}", "/sign-in/../v1/members/{0}",
)  # fmt: skip
"""Addresses of a member as proxies, file systems and other servers would read them."""


def test_no_spelling_of_an_address_leads_past_a_right(office: Office) -> None:
    """Sent as they are, which no client would; and headers by which others change an address."""
    port, tokens = (
        httpx.URL(office.address).port or 80,
        [None, office.issued("spelt", "head", units=["north"])],
    )
    beside = ("X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-HTTP-Method-Override")
    for token in tokens:
        who = [] if token is None else [f"Authorization: Bearer {token}"]
        for way in WAYS:
            asked = f"GET {way.format('m2')} HTTP/1.1"
            ((status, _, told),) = answers(
                exchanged(port, request(asked, *who, "Connection: close"))
            )
            assert status in (400, 401, 403, 404, 422), (way, told)
            assert "south" not in json.dumps(told), way
        for name in beside:
            asked = "GET /v1/members/m1 HTTP/1.1"
            fields = (*who, f"{name}: /v1/members/m2", "Connection: close")
            ((status, _, told),) = answers(exchanged(port, request(asked, *fields)))
            assert (status, told.get("member_id")) == (
                (401, None) if token is None else (200, "m1")
            )


def test_who_tries_phone_numbers_one_by_one_is_stopped(office: Office) -> None:
    """A number that somebody has and one that nobody has cost alike; what another asks is his."""
    token, other = office.issued("tries", "manager"), office.issued("patient", "manager")
    with office.client(token) as client:
        for n in range(LOOK_UP.most):
            phone = facts.PHONE if n % 20 == 0 else f"1370000{n:04}"
            answer = client.post("/members/lookup", json={"phone": phone})
            assert bool(answer.json()["members"]) is (n % 20 == 0)
            left = answer.headers["ratelimit"].partition(";r=")[2].partition(";")[0]
            assert int(left) == LOOK_UP.most - n - 1
        for phone in (facts.PHONE, "13700009999"):
            answer = client.post("/members/lookup", json={"phone": phone})
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
            assert 0 < int(answer.headers["retry-after"]) <= LOOK_UP.window_s
    with office.client(other) as client:
        assert client.post("/members/lookup", json={"phone": facts.PHONE}).json()["members"]


def test_who_acts_for_another_is_named_with_him(office: Office) -> None:
    token = office.issued("desk-n", "clerk", clubs=["health"])
    with office.client(token) as client:
        headers = {"Idempotency-Key": "for-li", "Clubledger-Actor": "clerk:li"}
        taken = client.post("/members/m1/visits", json=AGAIN, headers=headers)
        assert taken.status_code == 201, taken.json()
        for actor in ("supervisor:li", "clerk:li@cl_root"):
            headers = {"Idempotency-Key": "forged", "Clubledger-Actor": actor}
            answer = client.post("/members/m1/visits", json=VISIT, headers=headers)
            assert answer.status_code == 403, answer.json()
        last = client.get("/members/m1/events").json()["events"][-1]
    assert last["actor"] == "clerk:li@cl_desk-n"


# ------------------------------------------------------------------------------------- attacks
def test_a_forged_key_opens_nothing_and_all_are_told_the_same(office: Office) -> None:
    token = office.issued("real", "manager")
    api_key_id, secret = "real", token.rpartition("_")[2]
    assert office.asked(token).status_code == 200
    forged = [
        f"Bearer cl_{api_key_id}_{'0' * 64}",
        f"Bearer cl_{api_key_id}_{secret[:-1]}",
        f"Bearer cl_{api_key_id}_{secret}0",
        f"Bearer cl_{api_key_id}_",
        f"Bearer cl_nobody_{secret}",
        f"Bearer cl_root_{secret}",
        f"Bearer cl__{secret}",
        f"Bearer {secret}",
        f"Basic {token}",
        token,
        "Bearer",
        "",
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJyb290In0.",
        f"Bearer cl_real'; DROP TABLE ledger.credentials; --_{secret}",
        f"Bearer cl_{'a' * 5000}_{secret}",
    ]
    answers = {office.asked(None, Authorization=each).text for each in forged}
    answers.add(office.asked(None).text)
    answers.add(office.asked(None, f"/clubs?key={token}").text)
    assert len(answers) == 1
    assert '"not_signed_in"' in answers.pop()
    with office.client(None) as client:
        twice = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
        assert client.get("/clubs", headers=twice).status_code == 401


def test_a_key_that_is_revoked_or_rotated_opens_nothing_soon(office: Office) -> None:
    first = office.issued("turned", "auditor")
    assert office.asked(first).status_code == 200
    second = office.does("/api-keys/turned/rotate", "r1", overlap_hours=1)["token"]
    assert office.asked(second).status_code == 200
    assert office.asked(first).status_code == 200  # for an hour
    third = office.does("/api-keys/turned/rotate", "r2", overlap_hours=0)["token"]
    assert office.asked(third).status_code == 200
    assert eventually(lambda: office.asked(second).status_code == 401)
    assert office.asked(first).status_code == 401
    office.does("/api-keys/turned/revoke", "r3")
    assert eventually(lambda: office.asked(third).status_code == 401)


def test_a_secret_is_told_once_by_a_list_of_commands_too_and_made_if_it_could_not_be(
    office: Office,
) -> None:
    issue = {"command": "apikey.issue", "api_key_id": "listed", "role_id": "auditor"}

    def sent() -> tuple[bool, str | None]:
        with office.client(office.administrator) as client:
            answer = client.post("/commands", json={"commands": [{"key": "listed-1", **issue}]})
        (outcome,) = answer.json()["outcomes"]
        return outcome["replayed"], outcome["receipt"].get("token")

    first, token = sent()
    assert not first
    assert office.asked(token).status_code == 200
    assert sent() == (True, None)
    here = running(office.path)
    assert here is not None
    with connect(here.dsn) as conn:  # as if the database had gone away before the secret was made
        conn.execute("DELETE FROM ledger.credentials WHERE holder = 'apikey:listed'")
    replayed, anew = sent()
    assert replayed
    assert anew not in (None, token)
    assert eventually(lambda: office.asked(anew).status_code == 200)


def test_a_stream_ends_with_its_key(office: Office) -> None:
    token = office.issued("ears", "auditor")
    with office.client(token) as client, client.stream("GET", "/events/stream") as followed:
        assert followed.status_code == 200
        office.does("/api-keys/ears/revoke", "e1")
        for _ in followed.iter_raw():
            pass
        assert office.asked(token).status_code == 401


def test_a_key_that_has_expired_opens_nothing() -> None:
    """Whenever a worker read it last: it goes by the ledger's clock."""
    clock, nobody = Clock(), cast(Reads, None)
    ends = clock.now() + timedelta(hours=1)
    access = Access(nobody, clock)
    hashes = (sha256(b"secret").digest(),)
    access.learnt({("apikey", "brief"): credentials.Known(Principal("cl_brief", ()), hashes, ends)})
    assert access.at_once(b"Bearer cl_brief_secret") is not None
    assert access.at_once(b"Bearer cl_brief_secrets") is None
    clock.offset_s += 3600
    assert access.at_once(b"Bearer cl_brief_secret") is None


def test_a_secret_is_shown_once_and_kept_nowhere(office: Office) -> None:
    token = office.issued("once", "auditor")
    with office.client(office.administrator) as client:
        body = {"api_key_id": "once", "role_id": "auditor"}
        again = client.post("/api-keys", json=body, headers={"Idempotency-Key": "issue-once"})
        assert (again.status_code, again.json().get("token")) == (201, None)
        keys = client.get("/api-keys")
    secret = token.rpartition("_")[2]
    assert secret not in keys.text
    shown = clubledger("sql", "SELECT * FROM ledger.credentials", data_dir=office.path)
    assert secret not in shown.out


def test_when_a_key_was_used_is_known_to_a_minute(office: Office) -> None:
    token = office.issued("seen", "auditor")

    def used() -> bool:
        found = office.asked(token, "/api-keys").json()["api_keys"]
        return bool(next(each["used_at"] for each in found if each["api_key_id"] == "seen"))

    assert eventually(used)


def test_a_role_that_changes_holds_for_who_has_it(office: Office) -> None:
    office.does("/roles/teller", "d1", scopes={"clubs.read": "all"})
    token = office.issued("teller", "teller")
    assert office.asked(token).status_code == 200
    office.does("/roles/teller", "d2", scopes={"figures.read": "all"})
    assert eventually(lambda: office.asked(token).status_code == 403)


def test_of_two_who_change_one_thing_the_second_is_told(office: Office) -> None:
    """By `If-Match`: what he saw is not what is there, and nothing is written over."""
    path = "/roles/guide"
    office.does(path, "g1", scopes={"clubs.read": "all"})
    with office.client(office.administrator) as client:
        seen = client.get(path).headers["etag"]
        first = {"Idempotency-Key": "g2", "If-Match": seen}
        body = {"scopes": {"figures.read": "all"}}
        tried = client.post(path, json=body, headers={**first, "Prefer": "dry-run"})
        assert tried.status_code == 200
        assert client.post(path, json=body, headers=first).status_code == 201
        other = {"scopes": {"lists.read": "all"}}
        for more in ({}, {"Prefer": "dry-run"}):
            second = {"Idempotency-Key": "g3", "If-Match": seen, **more}
            answer = client.post(path, json=other, headers=second)
            told = answer.json()
            assert (answer.status_code, told["code"]) == (412, "changed_since")
            assert (told["seen_version"], told["stream_version"]) == (1, 2)
        assert client.post(path, json=body, headers=first).status_code == 201  # sent again: known
        assert client.get(path).headers["etag"] == '"2"'
        assert client.get(path).json()["scopes"] == body["scopes"]
        for unreadable in ("2", 'W/"2"', '"x"', "*"):
            asked = {"Idempotency-Key": "g4", "If-Match": unreadable}
            assert client.post(path, json=other, headers=asked).json()["code"] == "invalid"


def test_what_is_folded_tells_the_version_that_it_shows(office: Office) -> None:
    with office.client(office.issued("prices", "manager")) as client:
        seen = client.get("/clubs/health").headers["etag"]
        price = {"title": "Tea", "points": 5}
        path, key = "/clubs/health/services/tea/prices", {"Idempotency-Key": "tea-1"}
        made = client.post(path, json=price, headers={**key, "If-Match": seen}).json()
        wait = {"wait_for": f"{made['bucket']}:{made['position']}"}
        shown = client.get("/clubs/health", params=wait).headers["etag"]
        assert int(shown.strip('"')) == int(seen.strip('"')) + 1
        late = {"Idempotency-Key": "tea-2", "If-Match": seen}
        assert client.post(path, json=price, headers=late).status_code == 412


def test_a_route_that_says_nothing_is_closed(ledger_dsn: str) -> None:
    app: FastAPI = create_app(ledger_dsn, follow=False)

    async def unsaid() -> dict[str, str]:
        return {}

    app.add_api_route("/v1/unsaid", unsaid)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=transport, base_url="http://here") as client,
        ):
            return await client.get("/unsaid")

    assert asyncio.run(ask()).json()["code"] == "not_allowed"


def test_who_gives_rights_has_a_key_from_the_first_day(ledger_dsn: str) -> None:
    """Before there is a key, this machine may do what desks do, and give nobody a right."""

    async def story() -> None:
        async with asked(ledger_dsn) as client:
            headers = {"Idempotency-Key": "k"}
            assert (await client.get("/clubs")).status_code == 200
            body = {"api_key_id": "mine", "role_id": "administrator"}
            answer = await client.post("/api-keys", json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
            with connect(ledger_dsn) as connection:
                token = credentials.mint(connection, "apikey:a", 1)
            transport: Any = client._transport
            await transport.app.state.house.access.learn()
            assert (await client.get("/clubs")).status_code == 401
            entered = {"Authorization": f"Bearer {token}"}
            assert (await client.get("/clubs", headers=entered)).status_code == 200

    issue = command("apikey.issue", api_key_id="a", role_id="auditor")
    executed(ledger_dsn, issue)
    asyncio.run(story())


def test_serve_is_reached_from_elsewhere_only_with_keys_and_tls(own_ledger: Path) -> None:
    clubledger("import", "-", data_dir=own_ledger, stdin=facts.lines(KNOWN[:1]))
    for asked_for in ("apikey.issue", "TLS"):
        ended = clubledger("serve", "--host", "0.0.0.0", "--port", "0", data_dir=own_ledger)
        assert ended.code != 0
        assert asked_for in ended.err
        said = ("api_key_id=a", "role_id=auditor")
        made = clubledger("do", "apikey.issue", *said, data_dir=own_ledger)
        assert len(re.findall(r"cl_a_[0-9a-f]{64}", made.out)) == (asked_for != "TLS")
