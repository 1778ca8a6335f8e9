"""Every answer that a test gets is held against the OpenAPI document."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from jsonschema import Draft202012Validator

PROBLEM = "application/problem+json"


class Contract:
    """The promises of an OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.paths = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"), path)
            for path in sorted(document["paths"], key=lambda path: path.count("{"))
        ]

    def operation(self, method: str, path: str) -> dict[str, Any] | None:
        """The operation that answers a request; None if there is none."""
        for pattern, name in self.paths:
            found = self.document["paths"][name].get(method.lower())
            if pattern.match(path) and found is not None:
                operation: dict[str, Any] = found
                return operation
        return None

    def check(self, response: httpx.Response) -> None:
        """Fail if this answer was not promised."""
        response.read()
        if response.status_code == 204:
            operation = self.operation(response.request.method, response.request.url.path)
            assert operation is not None
            assert "204" in operation["responses"]
            return
        media_type = response.headers["content-type"].partition(";")[0]
        operation = self.operation(response.request.method, response.request.url.path)
        if not media_type.endswith("json"):
            assert operation is not None
            assert media_type in operation["responses"]["200"]["content"]
            return
        body = response.json()
        if response.status_code >= 400:
            assert media_type == PROBLEM, body
            assert body["type"] == f"/problems/{body['code']}"
            assert body["status"] == response.status_code
            assert body["title"]
            assert body["detail"]
        if operation is None:
            return
        promised = operation["responses"].get(str(response.status_code))
        if promised is None:
            assert response.status_code in (400, 405, 408, 413, 414, 431, 500, 501), body
            promised = operation["responses"]["default"]
        elif response.status_code >= 400:
            assert body["code"] in promised["content"][PROBLEM]["examples"], body
        self.validate(body, promised["content"][media_type]["schema"])

    def validate(self, body: Any, schema: dict[str, Any]) -> None:
        """Fail if the body does not fit the schema."""
        whole = {**schema, "components": self.document["components"]}
        errors = [error.message for error in Draft202012Validator(whole).iter_errors(body)]
        assert not errors, errors


@cache
def promised() -> Contract:
    """What every server promises: the document beside the tests, which `test_openapi` holds to what
    is made. To make it takes a second."""
    return Contract(json.loads(Path(__file__).with_name("openapi.json").read_text("utf-8")))
