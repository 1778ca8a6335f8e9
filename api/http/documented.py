"""The OpenAPI document: FastAPI's own, with every problem as application/problem+json."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import problems
from api.http.inputs import KEY_HEADER

PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}
ANYTIME = (
    "Any other problem: no HTTP (400, 501), too slow (408) or too long a request (413, 414, 431),"
    " a defect (500), no database or no place (503)."
)


def refuses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The responses of a route that may be refused with these codes."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status = problems.status_of(code)
        response = found.setdefault(status, {"description": "", "content": _content({})})
        examples = response["content"][problems.MEDIA_TYPE]["examples"]
        examples[code] = {"summary": problems.title_of(code), "value": problems.document(code)}
        response["description"] = "Refused: " + ", ".join(f"`{each}`" for each in examples)
    return found


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
        for path in made["paths"].values():
            for operation in path.values():
                _complete(operation)
        schemas = made["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs"))
        schemas["Problem"] = problem
        made["components"]["schemas"] = dict(sorted(schemas.items()))
        app.openapi_schema = made
    return app.openapi_schema


def _complete(operation: dict[str, Any]) -> None:
    """Say what FastAPI cannot know: the key is required, and how a bad request is answered."""
    responses = operation["responses"]
    for parameter in operation.get("parameters", []):
        if parameter["name"] == KEY_HEADER:
            parameter["required"] = True
            parameter["schema"] = parameter["schema"]["anyOf"][0]
    made = {key: value for key, value in responses.get("422", {}).items() if key != "content"}
    known = responses.get("422", {}).get("content", {}).get(problems.MEDIA_TYPE, {})
    examples = {**refuses("invalid")[422]["content"][problems.MEDIA_TYPE]["examples"]}
    examples.update(known.get("examples", {}))
    listed = ", ".join(f"`{each}`" for each in examples)
    responses["422"] = {
        **made,
        "description": f"Refused: {listed}",
        "content": _content(examples),
    }
    if "requestBody" in operation:
        for status, response in refuses("malformed", "not_json").items():
            known = responses.setdefault(str(status), {"description": "", "content": _content({})})
            examples = known["content"][problems.MEDIA_TYPE]["examples"]
            examples.update(response["content"][problems.MEDIA_TYPE]["examples"])
            known["description"] = "Refused: " + ", ".join(f"`{each}`" for each in examples)
    responses["default"] = {
        "description": ANYTIME,
        "content": {problems.MEDIA_TYPE: {"schema": PROBLEM_REF}},
    }
    operation["responses"] = dict(sorted(responses.items()))
