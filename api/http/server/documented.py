"""The OpenAPI document: FastAPI's own, with every problem as application/problem+json."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.doors import PREFIX, Need
from api.http.server.access import COOKIE, FROM_HERE_HEADER, need_of, routes_of
from api.http.server.editing import MATCH_HEADER
from api.http.server.inputs import ACTOR_HEADER, KEY_HEADER
from api.http.server.paging import LINKED
from api.runtime import problems
from domain.kernel.command import ASKED_KEYS

PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
KEY = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "cl_<id>_<secret>, or a JWT",
    "description": "An API key, made by `apikey.issue`: its role says what it opens, and where."
    " Or a token of the issuer that the settings name.",
}
SESSION = {
    "type": "apiKey",
    "in": "cookie",
    "name": COOKIE,
    "description": f"A session, made by `POST {PREFIX}/session`; under TLS the cookie's name begins"
    " with `__Host-`.",
}
FROM_HERE = {
    "type": "apiKey",
    "in": "header",
    "name": FROM_HERE_HEADER,
    "description": f"`from_here` of a session, which `GET {PREFIX}/session` tells.",
}
ANYTIME = (
    "Any other problem: no HTTP (400, 501), too slow (408) or too long a request (413, 414, 431),"
    " a defect (500), no database or no place (503)."
)


WRITES = (
    "key_missing",
    "header_repeated",
    "key_reserved",
    "key_reused",
    "dated_in_future",
    "only_histories",
    "busy",
    "unanswered",
    "clock_ahead",
    "log_ahead",
)
"""How any write may be refused, whatever it asks for."""


def refuses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that may be refused with these codes, beside those that follow from
    what it takes: see `_complete`."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        _promise(found, problems.status_of(code), code)
    return found


def _promise(responses: dict[Any, dict[str, Any]], status: int | str, code: str) -> None:
    """Add a code to what is said of its status."""
    response = responses.setdefault(status, {"description": "", "content": _content({})})
    examples = response["content"][problems.MEDIA_TYPE]["examples"]
    examples[code] = {"summary": problems.title_of(code), "value": problems.document(code)}
    response["description"] = "Refused: " + ", ".join(f"`{each}`" for each in examples)


def _content(examples: dict[str, Any]) -> dict[str, Any]:
    return {problems.MEDIA_TYPE: {"schema": PROBLEM_REF, "examples": examples}}


def document(app: FastAPI) -> dict[str, Any]:
    """The document of this application, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemes = {"key": KEY, "session": SESSION, "from_here": FROM_HERE}
        made["components"]["securitySchemes"] = schemes
        for method, path, _, endpoint in routes_of(app):
            operation = made["paths"][path][method.lower()]
            _open_to(operation, need_of(endpoint), method)
            _complete(operation)
        schemas = made["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs"))
        schemas["Problem"] = problem
        made["components"]["schemas"] = dict(sorted(schemas.items()))
        _close(made)
        app.openapi_schema = made
    return app.openapi_schema


def _close(part: Any) -> None:
    """Where names have a pattern, no other names are taken: pydantic leaves that unsaid."""
    if isinstance(part, dict):
        if "patternProperties" in part:
            part.setdefault("additionalProperties", False)
        for each in part.values():
            _close(each)
    elif isinstance(part, list):
        for each in part:
            _close(each)


def _open_to(operation: dict[str, Any], need: Need | None, method: str) -> None:
    """Say what who asks has to bring, and how he may be refused."""
    if need is not None and need.scope is None:
        operation["security"] = []
        return
    session: dict[str, list[str]] = {"session": []}
    if method != "GET":
        session["from_here"] = []
    operation["security"] = [{"key": []}, session]
    if need and need.scope:
        operation["description"] += f"\n\nNeeds the scope `{need.scope}`."
    codes = ["not_signed_in", "not_allowed"]
    if method != "GET":
        codes.append("not_from_here")
    if any(each["name"] == ACTOR_HEADER for each in operation.get("parameters", [])):
        codes.append("not_in_your_name")
    for code in codes:
        _promise(operation["responses"], str(problems.status_of(code)), code)


def _complete(operation: dict[str, Any]) -> None:
    """Say what follows from what an operation takes: how it may be refused, and that a key must
    be there."""
    responses = operation["responses"]
    parameters = {each["name"]: each for each in operation.get("parameters", [])}
    if problems.MEDIA_TYPE not in responses.get("422", {}).get("content", {}):
        responses.pop("422", None)  # FastAPI's own
    codes = ["invalid", "unavailable"]
    if "cursor" in parameters:
        codes.append("wrong_cursor")
        responses["200"].setdefault("headers", {}).update(LINKED)
    if "wait_for" in parameters:
        codes.append("not_caught_up")
    if KEY_HEADER in parameters:
        codes += WRITES
        parameters[KEY_HEADER]["required"] = True
        parameters[KEY_HEADER]["schema"] = {"type": "string", "pattern": ASKED_KEYS}
    if MATCH_HEADER in parameters:
        codes.append("changed_since")
    if "requestBody" in operation:
        codes += ["malformed", "coding_not_taken", "not_json", "too_large"]
    for code in codes:
        _promise(responses, str(problems.status_of(code)), code)
    responses["default"] = {
        "description": ANYTIME,
        "content": {problems.MEDIA_TYPE: {"schema": PROBLEM_REF}},
    }
    operation["responses"] = dict(sorted(responses.items()))
