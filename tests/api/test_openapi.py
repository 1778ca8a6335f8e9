"""The OpenAPI document: kept beside the tests, so that a change of the contract is seen."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from api import problems
from api.http import create_app

SNAPSHOT = Path(__file__).parent / "openapi.json"
DOCS = Path(__file__).parents[2] / "docs" / "http.md"
REGION = re.compile(r"(<!-- problems: .* -->\n).*(<!-- end of problems -->)", re.DOTALL)
QUESTIONS = ("/members/lookup", "/what-if")
"""What is asked by POST and writes nothing."""
REGENERATE = bool(os.environ.get("REGENERATE"))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What an application says of itself; it need not run for that."""
    made: dict[str, Any] = json.loads(json.dumps(create_app("", follow=False).openapi()))
    return made


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_contract_has_not_changed_unseen(document: dict[str, Any]) -> None:
    """A wanted change: REGENERATE=1 make test ARGS=tests/api/test_openapi.py, and read the diff."""
    if REGENERATE:
        SNAPSHOT.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
    assert json.loads(SNAPSHOT.read_text("utf-8")) == document


def test_every_operation_is_complete(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(names)) == len(names)
    tags = {tag["name"] for tag in document["tags"]}
    for method, path, operation in operations(document):
        assert set(operation["tags"]) <= tags, path
        assert operation["description"], path
        assert operation["responses"]["default"]
        for status, response in operation["responses"].items():
            assert response["description"], (method, path, status)
            if status != "default" and int(status) >= 400:
                assert response["content"].keys() == {problems.MEDIA_TYPE}, (path, status)
        if method == "post" and path not in QUESTIONS:
            keys = [p for p in operation["parameters"] if p["name"] == "Idempotency-Key"]
            assert keys[0]["required"] is True


def test_every_request_has_an_example_that_fits(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
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


def test_the_page_of_problems_is_up_to_date() -> None:
    rows = []
    for code in problems.codes():
        members = ", ".join(f"`{name}`" for name in problems.members_of(code))
        rows.append(
            f"| `{code}` | {problems.status_of(code)} | {problems.title_of(code)} | {members} |"
        )
    table = "\n".join(["| code | status | | numbers |", "|---|---|---|---|", *rows])
    text = DOCS.read_text("utf-8")
    wanted = REGION.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text)
    if REGENERATE:
        DOCS.write_text(wanted, "utf-8")
        text = wanted
    assert text == wanted
