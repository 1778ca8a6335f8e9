"""The OpenAPI document: kept beside the tests, so that a change of the contract is seen."""

import json
import re
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

import api.http
from api.doors import DOOR_OF, PREFIX
from api.runtime import problems
from docs import generate
from domain.catalogue import COMMANDS
from tests.addresses import UNVERSIONED
from tests.api.story import PREPARED, STORY

DOCS = Path(__file__).parents[2] / "docs" / "http.md"
OCTETS = "application/octet-stream"
WITHOUT_KEY = (
    *("/v1/members/lookup", "/v1/what-if", "/v1/commands", "/v1/invitations/take"),
    *("/v1/session", "/v1/session/end", "/v1/sessions/{session_id}/end", "/v1/password"),
    *("/v1/files", "/v1/files/{file_id}/parts", "/v1/jobs/{job_id}/cancel"),
)
"""What is asked by POST and writes no event, or opens once; and commands, which bring their keys in
the body."""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return generate.openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_contract_has_not_changed_unseen() -> None:
    """A wanted change: make generate, and read the diff."""
    for path, made in generate.contract().items():
        assert path.read_text("utf-8") == made, "run: make generate"


def test_every_route_that_is_written_is_served(document: dict[str, Any]) -> None:
    modules = [import_module(each.name) for each in walk_packages(api.http.__path__, "api.http.")]
    routers = [module.router for module in modules if hasattr(module, "router")]
    assert len(routers) > 5
    written = {
        route.path for router in routers for route in router.routes if route.include_in_schema
    }
    assert written == document["paths"].keys()


def test_the_doors_stand_behind_one_prefix_and_operations_at_the_top(
    document: dict[str, Any],
) -> None:
    at_the_top = {path for path in document["paths"] if not path.startswith(f"{PREFIX}/")}
    named = {"/", "/problems/{code}", *(f"/{each}" for each in UNVERSIONED)} - {"/docs"}
    assert at_the_top == named


def test_every_question_stands_in_the_documentation(document: dict[str, Any]) -> None:
    told = set(re.findall(r"(?<=[` ])/[a-z0-9/{}_-]*[a-z}]", DOCS.read_text("utf-8")))
    known = {re.sub(r"\{[a-z]+_id\}", "{id}", path) for path in told}
    for path, methods in document["paths"].items():
        asked = re.sub(r"\{[a-z]+_id\}", "{id}", path)
        asked = re.sub(r"^/v1/lists/.*", "/v1/lists/{name}", asked)
        assert "get" not in methods or asked in known or path in ("/", "/openapi.json"), path


def test_the_examples_of_questions_are_answered_on_the_demo(
    document: dict[str, Any], http: httpx.Client
) -> None:
    for method, path, operation in operations(document):
        if method != "get" or "text/event-stream" in operation["responses"]["200"]["content"]:
            continue  # it would have no end
        if path.startswith(("/v1/jobs/", "/v1/webhooks/")):
            continue  # of who has started one, or added one: test_jobs, test_webhooks
        taken = operation.get("parameters", ())
        told = {each["name"]: each["schema"].get("examples", [None])[0] for each in taken}
        named = {each["name"] for each in taken if each["in"] == "path"}
        place = path.format(**{name: told[name] for name in named})
        needed = {each["name"]: told[each["name"]] for each in taken if each["required"]}
        dated = {p["name"]: "2008-12-31" for p in taken if p["schema"].get("format") == "date"}
        needed = {
            name: dated.get(name) if said is None else said
            for name, said in needed.items()
            if name not in named
        }
        if told.get("wait_for") is not None:
            needed["wait_for"] = told["wait_for"]
        answer = http.get(place, params=needed)
        assert answer.status_code == 200, (place, answer.text)


def test_the_examples_of_commands_are_taken_on_the_demo_too(http: httpx.Client) -> None:
    """With what the pages prepare for them, in one list that is only tried."""
    open_to_all = [name for name in STORY if DOOR_OF[name].scope != "access.write"]
    told = [*PREPARED, *({"command": name, **COMMANDS[name].example} for name in open_to_all)]
    said = [{"key": f"x-{n}", **each} for n, each in enumerate(told)]
    answer = http.post("/commands", json={"commands": said}, headers={"Prefer": "dry-run"})
    found = zip(told, answer.json()["outcomes"], strict=True)
    assert not [(each, came["problem"]) for each, came in found if came["status"] != 200]


def test_every_operation_is_complete(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for method, path, operation in operations(document):
        assert set(operation["tags"]) <= tags, path
        assert operation["description"], path
        assert "null if there" not in operation["description"], f"{path}: it is a 404"
        assert operation["responses"]["default"]
        for status, response in operation["responses"].items():
            assert response["description"], (method, path, status)
            if status != "default" and int(status) >= 400:
                assert response["content"].keys() == {problems.MEDIA_TYPE}, (path, status)
        if method == "post" and path not in WITHOUT_KEY:
            keys = [p for p in operation["parameters"] if p["name"] == "Idempotency-Key"]
            assert keys[0]["required"] is True


def test_how_it_may_be_refused_follows_from_what_an_operation_takes(
    document: dict[str, Any],
) -> None:
    """By parameter or body: an address that takes one more promises what comes with it."""
    comes_with = {
        "wait_for": {"not_caught_up"},
        "known_at": {"unknown_position", "dated_in_future"},
        "Idempotency-Key": {"key_missing", "header_repeated", "key_reused", "busy", "unanswered"},
        "body": {"malformed", "coding_not_taken", "not_json", "too_large"},
    }
    for method, path, operation in operations(document):
        takes = {each["name"] for each in operation.get("parameters", [])}
        takes |= {"body"} & {"body" if "requestBody" in operation else ""}
        promised = {
            code
            for response in operation["responses"].values()
            for code in response.get("content", {}).get(problems.MEDIA_TYPE, {}).get("examples", ())
        }
        wanted = {"invalid", "unavailable"}.union(*(comes_with.get(each, ()) for each in takes))
        assert wanted <= promised, (method, path)


BOUNDS = {"string": {"pattern", "enum", "const"}, "integer": {"minimum", "maximum"}}


def unbounded(schema: dict[str, Any], known: dict[str, Any]) -> list[dict[str, Any]]:
    """The texts and numbers in it that may be anything."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    if "pattern" in schema:
        return []
    inner = [each for words in ("anyOf", "oneOf") for each in schema.get(words, [])]
    inner += schema.get("properties", {}).values() if "type" in schema else []
    found = [each for part in inner for each in unbounded(part, known)]
    wanted = BOUNDS.get(str(schema.get("type")), set())
    return found + ([schema] if wanted and not wanted & schema.keys() else [])


def test_texts_and_numbers_that_are_taken_have_their_bounds(document: dict[str, Any]) -> None:
    """A pattern or a list for every text, a least or a most for every number."""
    known = document["components"]["schemas"]
    for method, path, operation in operations(document):
        taken = [each["schema"] for each in operation.get("parameters", [])]
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]
            taken += [said["schema"] for kind, said in content.items() if kind != OCTETS]
        for schema in taken:
            assert not unbounded(schema, known), (method, path)


def test_every_request_has_an_example_that_fits(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if content and content.keys() != {OCTETS}:
            schema = content["application/json"]["schema"]
            whole = {**schema, "components": document["components"]}
            name = schema["$ref"].rpartition("/")[2]
            examples = document["components"]["schemas"][name]["examples"]
            assert examples, path
            for example in examples:
                Draft202012Validator(whole).validate(example)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert name in schemas
