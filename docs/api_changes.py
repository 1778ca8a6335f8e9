"""The API's surface in lines, and what has changed of it: the changelog of who integrates.

A line names one thing that is promised (an operation, a parameter, what it is answered, a field of
what is taken or told) and of which form it is. Two documents differ in what their lines differ in.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

TAKES, TELLS = "takes", "tells"
OPERATION = "operation"
BOUNDS = ("format", "pattern", "const", "minimum", "maximum", "minLength", "maxLength", "maxItems")
REQUIRED = ", required"


class Change(NamedTuple):
    """A line that came, went or became another, and whether a program that was right may fail."""

    line: str
    before: str | None
    after: str | None
    breaks: bool


def surface(document: Mapping[str, Any]) -> dict[str, str]:
    """What a document promises: the form of each thing, by its name."""
    return dict(sorted(_lines(document)))


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """What has changed from one surface to another, by name."""
    return [
        Change(line, was, now, _breaks(line, was, now))
        for line in sorted(before.keys() | after.keys())
        if (was := before.get(line)) != (now := after.get(line))
    ]


def _breaks(line: str, was: str | None, now: str | None) -> bool:
    kind, _, rest = line.partition(" ")
    if kind == "answers":
        return now is None and rest.rpartition(" ")[2].startswith("2")
    if was is not None:
        return True  # gone, or of another form: who takes it knows the one before
    if kind == TELLS or now == OPERATION:
        return False  # more is told, or can be asked
    return (now or "").endswith(REQUIRED)


def _lines(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    reached: dict[str, set[str]] = {TAKES: set(), TELLS: set()}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            yield name, OPERATION
            for each in operation.get("parameters", ()):
                form = _form(each["schema"], reached[TAKES])
                needed = REQUIRED if each.get("required") else ""
                yield f"{TAKES} {name} {each['in']} {each['name']}", form + needed
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield f"{TAKES} {name} body", _form(content["schema"], reached[TAKES]) + REQUIRED
            for status, response in operation["responses"].items():
                kinds = [
                    f"{kind} {', '.join(sorted(content.get('examples', ())))}".strip()
                    if "problem" in kind
                    else f"{kind} {_form(content['schema'], reached[TELLS])}"
                    for kind, content in sorted(response.get("content", {}).items())
                ]
                yield f"answers {name} {status}", "; ".join(kinds)
    schemas = document["components"]["schemas"]
    for way, names in reached.items():
        yield from _fields(way, names, schemas)


def _fields(way: str, names: set[str], schemas: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields of these schemas, and of those that they lead to."""
    done: set[str] = set()
    while waiting := names - done:
        name = min(waiting)
        done.add(name)
        schema = schemas[name]
        for field, form in schema.get("properties", {}).items():
            needed = REQUIRED if field in schema.get("required", ()) else ""
            yield f"{way} {name}.{field}", _form(form, names) + needed
        if "properties" not in schema:
            yield f"{way} {name}", _form(schema, names)


def _form(schema: Mapping[str, Any], reached: set[str]) -> str:
    """What may stand there, in one line; the schemas that it names are noted."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        reached.add(name)
        return name
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(_form(each, reached) for each in schema[several])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    said = str(schema.get("type", "anything"))
    if "items" in schema:
        said = f"list of ({_form(schema['items'], reached)})"
    if "prefixItems" in schema:
        said = f"[{', '.join(_form(each, reached) for each in schema['prefixItems'])}]"
    values = schema.get("additionalProperties")
    if isinstance(values, Mapping):
        said = f"map of ({_form(values, reached)})"
    bounds = [f"{bound} {schema[bound]}" for bound in BOUNDS if bound in schema]
    return ", ".join([said, *bounds])


# ------------------------------------------------------------------------------------ kept
def written(known: Mapping[str, str], version: str) -> str:
    """A surface as it is kept: a line each."""
    return f"# {version}\n" + "".join(f"{line} = {form}\n" for line, form in known.items())


def read(text: str) -> tuple[str, dict[str, str]]:
    """(of which version, the surface) that was kept."""
    first, *lines = text.splitlines()
    parts = (line.partition(" = ") for line in lines)
    return first.removeprefix("# "), {line: form for line, _, form in parts}


def page(version: str, found: list[Change]) -> str:
    """The changes since a version, for who integrates."""
    said = [
        f"Since {version}, as the documents of the two tell it. **Breaks** holds what a program"
        " that was right may fail by: what is gone, what is needed now, what is of another form.",
    ]
    for title, wanted in (("Breaks", True), ("Does not", False)):
        rows = [each for each in found if each.breaks is wanted]
        if rows:
            said += [f"## {title}", "\n".join(f"- {_told(each)}" for each in rows)]
    if not found:
        said.append("Nothing has changed.")
    return "\n\n".join(said)


def _told(change: Change) -> str:
    line, before, after = map(_code, (change.line, change.before, change.after))
    if change.before is None:
        return f"{line} came: {after}"
    if change.after is None:
        return f"{line} is gone: {before}"
    return f"{line}: {before} became {after}"


def _code(text: str | None) -> str:
    """As it stands, whatever signs it holds: a form may hold a pattern."""
    return f"`{text}`"
