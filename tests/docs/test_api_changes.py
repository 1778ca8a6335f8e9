"""What has changed of the API is told, and what breaks is marked."""

from copy import deepcopy
from typing import Any

import pytest

from docs.api_changes import Change, changes, page, read, surface, written

LIMIT = {"in": "query", "name": "limit", "required": False, "schema": {"type": "integer"}}
BEFORE: dict[str, Any] = {
    "paths": {
        "/v1/clubs": {
            "post": {
                "parameters": [LIMIT],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/x/schemas/Asked"}}}
                },
                "responses": {
                    "201": {"content": {"application/json": {"schema": {"$ref": "#/x/s/Told"}}}}
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Asked": {
                "properties": {"title": {"type": "string"}, "kind": {"enum": ["a", "b"]}},
                "required": ["title"],
            },
            "Told": {"properties": {"club": {"$ref": "#/x/schemas/Club"}}, "required": ["club"]},
            "Club": {"properties": {"title": {"type": "string"}}, "required": ["title"]},
        }
    },
}
OPERATION, SCHEMAS = ("paths", "/v1/clubs", "post"), ("components", "schemas")
FIELD = {"type": "integer"}


@pytest.mark.parametrize(
    ("where", "value", "line", "breaks"),
    [
        ((*SCHEMAS, "Asked", "properties", "more"), FIELD, "takes Asked.more", False),
        ((*SCHEMAS, "Asked", "properties", "title"), FIELD, "takes Asked.title", True),
        ((*SCHEMAS, "Asked", "properties", "title"), None, "takes Asked.title", True),
        ((*SCHEMAS, "Asked", "required"), ["kind", "title"], "takes Asked.kind", True),
        ((*SCHEMAS, "Club", "properties", "more"), FIELD, "tells Club.more", False),
        ((*SCHEMAS, "Club", "properties", "title"), None, "tells Club.title", True),
        ((*SCHEMAS, "Club", "required"), [], "tells Club.title", True),
        ((*OPERATION, "parameters"), [], "takes POST /v1/clubs query limit", True),
        (("paths", "/v1/new"), {"get": {"responses": {}}}, "GET /v1/new", False),
        ((*OPERATION, "responses", "201"), None, "answers POST /v1/clubs 201", True),
        ((*OPERATION, "responses", "409"), {}, "answers POST /v1/clubs 409", False),
    ],
)
def test_what_breaks_is_marked(where: tuple[str, ...], value: Any, line: str, breaks: bool) -> None:
    after = deepcopy(BEFORE)
    *way, last = where
    at: Any = after
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    found = changes(surface(BEFORE), surface(after))
    assert [(each.line, each.breaks) for each in found if each.line == line] == [(line, breaks)]
    assert changes(surface(BEFORE), surface(BEFORE)) == []


def test_a_parameter_that_is_needed_breaks_and_one_that_may_be_left_out_does_not() -> None:
    for needed in (True, False):
        after = deepcopy(BEFORE)
        more = {"in": "query", "name": "more", "required": needed, "schema": FIELD}
        after["paths"]["/v1/clubs"]["post"]["parameters"] = [LIMIT, more]
        (found,) = changes(surface(BEFORE), surface(after))
        told = f"integer{', required' if needed else ''}"
        assert found == Change("takes POST /v1/clubs query more", None, told, needed)


def test_a_surface_is_read_as_it_was_written() -> None:
    known = surface(BEFORE)
    assert read(written(known, "1.0")) == ("1.0", known)


def test_a_form_stands_as_it_is_in_the_page() -> None:
    came = page(
        "/v1", [Change("takes Asked.at", None, "string, pattern ^(a|b)[0-9](c)$", breaks=True)]
    )
    assert came.endswith("- `takes Asked.at` came: `string, pattern ^(a|b)[0-9](c)$`")
    gone = page("/v1", [Change("takes Asked.at", "string", None, breaks=True)])
    assert gone.endswith("- `takes Asked.at` is gone: `string`")
    other = page("/v1", [Change("takes Asked.at", "string", "integer", breaks=True)])
    assert other.endswith("- `takes Asked.at`: `string` became `integer`")
