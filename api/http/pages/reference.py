"""The reference of the API for people, made of its own description: a page an operation, and one a
model. It is in English, as the description is.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import Path, Request
from fastapi.responses import Response

from api.http.pages.page import page, router_of_pages
from api.http.server.access import PUBLIC, needs
from api.runtime.problems import MEDIA_TYPE, DoorProblem

BASE = "/docs"
BOUNDS = ("minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "pattern")
"""What is shown of how a value is written, beside its type."""
_MODELS = "#/components/schemas/"

router = router_of_pages()
Name = Annotated[str, Path(pattern=r"^\w{1,100}$")]
Part = tuple[str, str | None]
"""A text, and the model that it names, if it is one."""


class Row(NamedTuple):
    """A parameter, or a field of a model."""

    name: str
    place: str
    """`path`, `query` or `header`; of a field nothing."""
    required: bool
    form: list[Part]
    bounds: list[str]
    about: str


class Answer(NamedTuple):
    """How an operation may answer under one status."""

    status: str
    about: str
    form: list[Part]
    codes: list[str]
    """Of problems."""


class Operation(NamedTuple):
    """One address with its method."""

    name: str
    method: str
    path: str
    told: Mapping[str, Any]


@router.get(BASE)
@needs(PUBLIC)
async def overview(request: Request) -> Response:
    """Every operation, by its subject."""
    document = request.app.openapi()
    subjects = [
        (each, [one for one in _operations(document) if each["name"] in one.told.get("tags", ())])
        for each in document["tags"]
    ]
    return page(
        request,
        "reference/all.html",
        base=BASE,
        subjects=subjects,
        about=document["info"]["description"],
    )


@router.get(f"{BASE}/operations/{{name}}")
@needs(PUBLIC)
async def operation(request: Request, name: Name) -> Response:
    """What an operation takes and answers."""
    document = request.app.openapi()
    found = next((each for each in _operations(document) if each.name == name), None)
    if found is None:
        raise DoorProblem("not_found")
    told = found.told
    bodies: dict[str, Any] = told.get("requestBody", {}).get("content", {})
    sent = next((each["schema"] for each in bodies.values()), None)
    model = _model(document, sent)
    return page(
        request, "reference/operation.html", base=BASE, of=found,
        parameters=[_parameter(each) for each in told.get("parameters", ())],
        kinds=list(bodies), body=sent and form(sent),
        examples=[json.dumps(e, indent=2, ensure_ascii=False) for e in model.get("examples", ())],
        answers=[_answer(status, each) for status, each in told["responses"].items()],
    )  # fmt: skip


@router.get(f"{BASE}/models/{{name}}")
@needs(PUBLIC)
async def model(request: Request, name: Name) -> Response:
    """What a model holds."""
    found = request.app.openapi()["components"]["schemas"].get(name)
    if found is None:
        raise DoorProblem("not_found")
    required = found.get("required", ())
    fields = [
        Row(each, "", each in required, form(of), bounds(of), of.get("description", ""))
        for each, of in found.get("properties", {}).items()
    ]
    said = found.get("description", "")
    whole = [] if fields else form(found)
    return page(
        request, "reference/model.html", base=BASE, name=name, about=said, fields=fields, form=whole
    )


# ------------------------------------------------------------------------- what a schema says
def form(schema: Mapping[str, Any]) -> list[Part]:
    """What a value is, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_MODELS)
        return [(name, name)]
    if several := [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
        return [part for n, each in enumerate(several) for part in [*_or(n), *form(each)]]
    if "const" in schema or "enum" in schema:
        words = schema.get("enum", [schema.get("const")])
        return [(" or ".join(json.dumps(each, ensure_ascii=False) for each in words), None)]
    if "items" in schema:
        return [("list of ", None), *form(schema["items"])]
    if isinstance(inner := schema.get("additionalProperties"), dict):
        return [("object of ", None), *form(inner)]
    return [(schema.get("format") or schema.get("type") or "anything", None)]


def _or(n: int) -> list[Part]:
    return [(" or ", None)] if n else []


def bounds(schema: Mapping[str, Any]) -> list[str]:
    """How long, how large, in which form: of each of several that it may be."""
    found = [f"{name} {schema[name]}" for name in BOUNDS if name in schema]
    if schema.get("default") is not None:
        found.append(f"default {json.dumps(schema['default'])}")
    for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        found += bounds(each)
    return found


def _operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Operation(told["operationId"], method.upper(), path, told)


def _model(document: Mapping[str, Any], schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The model that a schema names."""
    name = (schema or {}).get("$ref", "").removeprefix(_MODELS)
    found: Mapping[str, Any] = document["components"]["schemas"].get(name, {})
    return found


def _parameter(told: Mapping[str, Any]) -> Row:
    schema = told["schema"]
    about = told.get("description") or schema.get("description", "")
    return Row(
        *(told["name"], told["in"], told.get("required", False)),
        *(form(schema), bounds(schema), about),
    )


def _answer(status: str, told: Mapping[str, Any]) -> Answer:
    content = told.get("content", {})
    codes = list(content.get(MEDIA_TYPE, {}).get("examples", ()))
    about = "" if codes else told["description"]
    kinds = [form(of["schema"]) for of in content.values() if "schema" in of and not codes]
    return Answer(status, about, kinds[0] if kinds else [], codes)
