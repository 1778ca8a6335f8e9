"""Every field of every command and every parameter of every question, with what attackers write.

What has a door is found by the rows of `api/doors.py` and the description of the API, so that a new
field is attacked without a word here.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import ValidationError

from api.doors import DOOR_OF, DOORS, Door
from api.http.doors import body_of
from domain.access import SCOPES
from ledger import credentials
from ledger.database import connect
from projections.engine import runner
from projections.engine.catalogue import NOUNS
from projections.engine.measure import catalogue
from projections.engine.names import CLOSED, values_of
from tests.api.contract import promised
from tests.api.running import ENDLESS, asked, clubledger
from tests.api.story import FILE, STORY
from tests.ledger.facts import command, executed

assert NOUNS, "they make the lists and measures"

SQL = "'; DROP TABLE stored_events; -- $$ %s %(x)s {} {0.x} \\"
"""Ends a literal, a statement, a comment, a dollar quote; is a placeholder, a format, an escape."""
NUL, HALF = "a\x00b", "a\ud800b"
Story = Callable[[httpx.AsyncClient], Awaitable[None]]


@pytest.fixture
def told(installed: Callable[..., str]) -> Callable[[Story], str]:
    """Tell a story to an application on the ledger of the examples, as who may everything; the
    connection string of that."""

    def tell(story: Story) -> str:
        dsn = installed(1)
        done = clubledger("import", FILE, CLUBLEDGER_DATABASE_URL=dsn)
        assert done.code == 0, done.err
        scopes = dict.fromkeys(SCOPES, "all")
        executed(
            dsn,
            command("role.define", role_id="everything", scopes=scopes),
            command("apikey.issue", api_key_id="all", role_id="everything"),
        )
        runner.project(dsn)
        with connect(dsn) as connection:
            token = credentials.mint(connection, "apikey:all", 1)

        async def ask() -> None:
            async with asked(dsn) as client:
                client.headers["Authorization"] = f"Bearer {token}"
                await story(client)

        asyncio.run(ask())
        return dsn

    return tell


def example(door: Door) -> dict[str, Any]:
    """The whole example of a command, with what stands in its path."""
    return {**door.command.example, **body_of(door).example}


async def sent(client: httpx.AsyncClient, door: Door, said: Any, key: str) -> httpx.Response:
    """Something to a door, whatever it is."""
    body = dict(said)
    path = door.path.format(**{name: quote(str(body.pop(name)), safe="") for name in door.ids})
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    return await client.post(path, content=json.dumps(body), headers=headers)


def holding(schema: Any, text: str, parts: Any) -> Iterator[Any]:
    """What fits this schema but for one text in it: one for each place that takes one."""
    if "$ref" in schema:
        yield from holding(parts[schema["$ref"].rpartition("/")[2]], text, parts)
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from holding(each, text, parts)
    if schema.get("type") == "string":
        yield text
    if "items" in schema:
        yield from ([each] for each in holding(schema["items"], text, parts))
    for name, inner in schema.get("properties", {}).items():
        yield from ({name: each} for each in holding(inner, text, parts))
    if isinstance(inner := schema.get("additionalProperties"), dict):
        yield from ({"a": each} for each in holding(inner, text, parts))
        yield {text: text}


def attacked(door: Door, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(field, the example of a command with this text in it) for each place that takes one."""
    schema = body_of(door).model_json_schema()
    for name, inner in schema["properties"].items():
        for each in holding(inner, text, schema.get("$defs")):
            yield f"body.{name}", {**example(door), name: each}
    for name in door.ids:
        yield f"path.{name}", {**example(door), name: text}


def refused_precisely(answer: httpx.Response, door: Door, field: str) -> bool:
    """Whether it says that this field is wrong, of which of several commands it may be."""
    told, fact = answer.json(), body_of(door).example.get("fact", "")
    named = [each["field"].replace(f".{fact}.", ".") for each in told.get("errors", ())]
    whole = told["code"] == "malformed" and field.startswith("body")
    tagged = field == "body.fact" and named == ["body"]  # which of several it is, told by one field
    return whole or tagged or any(f"{each}.".startswith(f"{field}.") for each in named)


@pytest.mark.parametrize("text", [NUL, HALF], ids=["NUL", "half of a character"])
def test_no_field_takes_what_no_text_holds(told: Callable[[Story], str], text: str) -> None:
    tried = list[tuple[str, str]]()

    async def story(client: httpx.AsyncClient) -> None:
        for door in DOORS:
            for field, said in attacked(door, text):
                if text == HALF and field.startswith("path"):
                    continue  # no address can hold it
                answer = await sent(client, door, said, f"{len(tried)}")
                tried.append((door.name, field))
                assert answer.status_code in (400, 422), (door.name, field, answer.text)
                assert refused_precisely(answer, door, field), (door.name, field, answer.text)

    told(story)
    assert len(tried) > 2 * len(DOORS)


def test_sql_in_any_field_is_text_or_refused(told: Callable[[Story], str]) -> None:
    """What a field takes is in the log as it was sent; who it names is refused, or not there."""
    taken, names, tried = set[str](), set[str](), 0

    async def story(client: httpx.AsyncClient) -> None:
        nonlocal tried
        for name in STORY:
            door, said = DOOR_OF[name], example(DOOR_OF[name])
            for field in body_of(door).model_json_schema()["properties"]:
                text = f"{SQL} {name} {field}"
                if field == "correcting":
                    continue  # which has to be there
                try:
                    body = {k: v for k, v in said.items() if k not in door.ids}
                    body_of(door).model_validate_json(json.dumps({**body, field: text}))
                except ValidationError:
                    continue
                said[field] = text
                taken.add(text)
            answer = await sent(client, door, said, name)
            assert answer.status_code == 201, (name, answer.json())
            if "name" in said:  # which is no part of the log
                asked_for = {"member_id": said["member_id"], "purpose": "test"}
                shown = await sent(client, DOOR_OF["member.unmask"], asked_for, f"{name}-shown")
                names.add(shown.json()["name"])
        for door in DOORS:
            for field, said in attacked(door, SQL):
                tried += 1
                answer = await sent(client, door, said, f"sql-{tried}")
                assert answer.status_code < 500, (door.name, field, answer.text)
                if answer.status_code == 422 and answer.json()["code"] == "invalid":
                    assert refused_precisely(answer, door, field), (door.name, field, answer.text)

    dsn = told(story)
    with connect(dsn) as connection:
        log = connection.execute("SELECT state FROM ledger.stored_events")
        found = [text for (state,) in log for text in words_of(json.loads(bytes(state)))]
    assert taken <= {*found, *names}, taken - {*found, *names}
    assert len(names) == 2
    assert len(taken) > 40


def words_of(said: Any) -> Iterator[str]:
    """Every text in it."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, list | dict):
        for each in said.values() if isinstance(said, dict) else said:
            yield from words_of(each)


UNASKED = {
    "key": "k", "actor": "system:root", "command": "role.define", "despite": ["service_closed"],
    "position": 1, "version": 0, "scopes": {"access.write": "all"}, "is_admin": True,
    "__class__": "Admin", "constructor": {"prototype": {}},
}  # fmt: skip
"""What a command is made of beside what was asked, and what other programs have fallen for."""


def test_nothing_is_assigned_that_a_door_does_not_ask_for(told: Callable[[Story], str]) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for door in DOORS:
            fields = body_of(door).model_fields
            more = {name: said for name, said in UNASKED.items() if name not in fields}
            answer = await sent(client, door, {**example(door), **more}, "assigned")
            told = answer.json()
            assert (answer.status_code, told["code"]) == (422, "invalid"), door.name
            extra = [each for each in told["errors"] if each["code"] == "extra_forbidden"]
            assert len(extra) == len(more), (door.name, told)
            if "despite" in fields:
                said = {**example(door), "despite": UNASKED["despite"]}
                answer = await sent(client, door, said, "excused")
                assert answer.json()["code"] in ("only_histories", "never_excused"), door.name

    told(story)


def questions() -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, operation) of whatever is asked by GET and ends."""
    for path, methods in promised().document["paths"].items():
        if "get" in methods and path != ENDLESS:
            yield path, methods["get"]


PLACES = {
    "member_id": "m1", "club_id": "health", "campaign_id": "spring", "report_id": "annual-2008",
    "claim_id": "members.vip_total", "measure_id": "members.vips", "webhook_id": "billing",
    "role_id": "clerk", "job_id": "0" * 16, "number": "1", "code": "busy", "session_id": "0" * 16,
}  # fmt: skip


def test_sql_in_any_parameter_is_a_word_or_refused(told: Callable[[Story], str]) -> None:
    """In queries and in paths."""
    tried = 0

    async def story(client: httpx.AsyncClient) -> None:
        nonlocal tried
        for path, operation in questions():
            for each in operation.get("parameters", ()):
                for text in (SQL, NUL):
                    places, query = dict(PLACES), {}
                    if each["in"] == "path":
                        places[each["name"]] = quote(text, safe="")
                    elif each["in"] == "query":
                        query[each["name"]] = text
                    else:
                        continue
                    tried += 1
                    answer = await client.get(path.format(**places), params=query)
                    told = (path, each["name"], answer.text[:300])
                    assert answer.status_code in ((200, 404, 422) if text == SQL else (422,)), told
                    assert "DROP" not in answer.text, told

    dsn = told(story)
    assert tried > 500
    with connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM ledger.stored_events").fetchone() != (0,)


OPEN = {"source", "rule", "desk", "actor", "activity_id"}
"""What is asked for as whoever told it has called it; nobody keeps a list of it."""


def words_asked_for() -> Iterator[tuple[str, str]]:
    """(address, parameter) of whatever lists, exceptions and rows of measures are asked by."""
    for path, operation in questions():
        for each in operation.get("parameters", ()):
            if each["in"] == "query" and path.startswith(("/v1/lists/", "/v1/exceptions")):
                yield path, each["name"]
    for of in {each.rows: each for each in catalogue()}.values():
        for name in of.takes:
            needed = "&".join(f"{each}={NEEDED[each]}" for each in of.needs if each != name)
            yield f"/v1/measures/{of.id}?{needed}", name


NEEDED = {"cohort_id": "vips", "campaign_id": "spring", "club_id": "tennis"}


def test_what_is_none_of_a_closed_list_is_refused_with_the_list(
    told: Callable[[Story], str],
) -> None:
    """An answer of nothing would read as if that were how much there is."""
    met = set[str]()

    async def story(client: httpx.AsyncClient) -> None:
        for path, name in words_asked_for():
            if name in OPEN:
                continue
            join = "&" if "?" in path else "?"
            answer = await client.get(f"{path}{join}{name}=none,nonsense")
            told = answer.json()
            assert answer.status_code in (404, 422), (path, name, answer.text[:300])
            of = path.removeprefix("/v1/lists/")
            if (values := values_of(name, of)) and path != "/v1/exceptions":
                assert (told["code"], told.get("parameter")) == ("unknown_value", name), told
                assert told["known"] == [*values]
                met.update((name, f"{of}.{name}"))
        for of in ("code=nonsense", "topic=non.sense"):
            assert (await client.get(f"/exceptions?{of}")).json()["code"] == "unknown_value"

    told(story)
    assert met >= CLOSED.keys()
