"""Problems (RFC 9457): a table of the statuses of refusals; the rest is derived from it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from domain.catalogue import REFUSALS
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from ledger import importing, jobs, keyring, reading
from ledger.log import batcher
from ledger.strict_json import NotStrict
from projections.asof import statement
from projections.engine import moments

MEDIA_TYPE = "application/problem+json"

WITH_REFUSALS = (importing, batcher, jobs, keyring, reading, moments, statement)
"""Modules outside the domain whose refusals register themselves when they are imported."""

STATUS: dict[str, int] = {
    # The actor may not, another one may.
    "undo_needs_supervisor": 403,
    # The request itself has to change.
    "arm_is_drawn": 422,
    "arm_not_given": 422,
    "arms_given_and_drawn": 422,
    "bad_formula": 422,
    "binding_reversed": 422,
    "binding_too_far_ahead": 422,
    "binding_too_long": 422,
    "dated_in_future": 422,
    "expires_before_available": 422,
    "hours_reversed": 422,
    "key_reserved": 422,
    "key_reused": 422,
    "line_too_long": 422,
    "line_without_end": 422,
    "never_excused": 422,
    "not_within_binding": 422,
    "only_histories": 422,
    "period_reversed": 422,
    "prepaid_too_small": 422,
    "undated_fact": 422,
    "window_reversed": 422,
    # Fewer, or shorter, or later.
    "too_many_files": 429,
    "too_many_jobs": 429,
    # Somebody else was faster: read it again.
    "changed_since": 412,
    # Without a key nothing can be sent again.
    "key_missing": 400,
    # Ask again, with the same key.
    "busy": 503,
    "clock_ahead": 503,
    "key_not_here": 503,
    "log_ahead": 503,
    "other_version": 503,
    "unanswered": 503,
    "wrong_parameters": 422,
}
"""The status of a refusal that is neither of what is unknown (404), nor of what makes sense, but
not as things stand (409)."""


@dataclass(frozen=True)
class Kind:
    """A problem that the HTTP door itself finds, before or after any rule is asked."""

    status: int
    title: str
    members: tuple[str, ...] = ()
    """What comes beside it, if it is known."""


DOOR: dict[str, Kind] = {
    "header_repeated": Kind(400, "A header that says who or under which key is there twice."),
    "malformed": Kind(400, "The request cannot be read."),
    "not_signed_in": Kind(401, "Who is asking is not known: no key, or none that holds."),
    "sign_in_refused": Kind(401, "The name and the password do not belong together."),
    "not_confirmed": Kind(403, "The identity provider has not confirmed who this is, or too late."),
    "not_a_user": Kind(
        403, "Who signed in at the identity provider is no user here.", ("user_id",)
    ),
    "not_invited": Kind(403, "The invitation is none, or was used, or holds no more."),
    "not_from_here": Kind(403, "What a session asks for has to come from a page of this service."),
    "not_allowed": Kind(403, "Who is asking may not do this, or not here."),
    "not_in_your_name": Kind(403, "Nobody can be named so by who is asking."),
    "not_found": Kind(404, "There is nothing at this address."),
    "unknown_claim": Kind(404, "The report makes no such claim."),
    "unknown_problem": Kind(404, "There is no such problem."),
    "method_not_allowed": Kind(405, "This address does not take this method."),
    "too_slow": Kind(408, "The request did not come in whole in its time."),
    "too_large": Kind(413, "The request's body is too long.", ("most_bytes",)),
    "address_too_long": Kind(414, "The request's address is too long.", ("most_bytes",)),
    "coding_not_taken": Kind(415, "The request's body must come as it is, and not compressed."),
    "not_json": Kind(415, "The request's body must be application/json, in UTF-8."),
    "unreadable_file": Kind(422, "A file cannot be read as what it is.", ("file", "line")),
    "bad_mapping": Kind(422, "The mapping cannot be used."),
    "mapping_missing": Kind(
        422, "A file is a table, and no mapping says what its columns are.", ("file",)
    ),
    "files_unfit": Kind(422, "The files cannot be taken together."),
    "files_too_large": Kind(422, "What the files hold is more than a job may keep at once."),
    "too_large_a_sheet": Kind(422, "The list does not fit into a spreadsheet.", ("most",)),
    "wrong_cursor": Kind(422, "The cursor is none of this question: begin without it."),
    "invalid": Kind(422, "The request does not fit its schema.", ("errors", "more_errors")),
    "too_many_requests": Kind(
        429, "This was asked too often: come again in a while.", ("retry_after_s",)
    ),
    "head_too_large": Kind(
        431,
        "The request's headers or trailers are too many or too long.",
        ("most_bytes", "most_fields"),
    ),
    "internal": Kind(500, "A defect of clubledger. What was asked may or may not have happened."),
    "job_interrupted": Kind(500, "Each process that worked at the job has died.", ("attempts",)),
    "not_implemented": Kind(501, "Only the transfer coding `chunked` is known, and no CONNECT."),
    "overloaded": Kind(503, "More connections or unanswered requests than can be held."),
    "stopping": Kind(503, "The server stops. What was asked may or may not have happened."),
    "unavailable": Kind(503, "The database does not answer."),
    "provider_away": Kind(503, "The identity provider does not answer."),
    "building": Kind(503, "The answers as of that moment are being built: ask again in a while."),
    "what_if_running": Kind(
        503, "Another scenario is being replayed: one at a time.", ("retry_after_s",)
    ),
    "what_if_too_long": Kind(
        504, "The replay takes longer than a request may: use the command.", ("limit_s",)
    ),
    "not_ready": Kind(
        503, "Requests should not be sent here just now, for the `reasons` given.", ("reasons",)
    ),
    "not_caught_up": Kind(
        504,
        "The answers have not caught up with that position yet.",
        ("log_end", "position"),
    ),
}
"""The door's own problems."""


MOST_ERRORS = 20
"""How many fields of one request are told; of the others, how many there are."""


class FieldProblem(BaseModel):
    """What is wrong with one field. Holds neither the value that was sent nor a name that the
    schema does not know."""

    field: str = Field(
        description="where: in names of the schema, and places from 0: those of lists, and in"
        " brackets those of names that it does not know",
        examples=["body.shown_points", "body.[5]", "query.[0]"],
    )
    code: str = Field(examples=["greater_than_equal"])
    detail: str = Field(examples=["Input should be greater than or equal to 0"])


class Problem(BaseModel):
    """A problem (RFC 9457). Refusals bring the numbers that decided them, beside these."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(
        description="relative address of the description", examples=["/problems/not_enough_points"]
    )
    title: str = Field(description="one sentence, the same for every problem of this code")
    status: int = Field(examples=[409])
    detail: str = Field(description="the same with the numbers, for a reader")
    code: str = Field(description="stable: what a program goes by", examples=["not_enough_points"])
    errors: list[FieldProblem] | None = Field(None, description="with code `invalid`: the fields")
    more_errors: int | None = Field(
        None, description=f"with more than {MOST_ERRORS} of them: how many are left out"
    )


@dataclass
class DoorProblem(Exception):
    """Raised by the HTTP door for a problem of its own table."""

    code: str
    detail: str | None = None
    more: Mapping[str, Any] | None = None


def status_of(code: str) -> int:
    """The status with which this code is answered."""
    if code in DOOR:
        return DOOR[code].status
    return STATUS.get(code) or (404 if code.startswith("unknown_") else 409)


def title_of(code: str) -> str:
    """What this code means, in one sentence."""
    return REFUSALS[code].title if code in REFUSALS else DOOR[code].title


def members_of(code: str) -> list[str]:
    """The numbers that come with this code."""
    return REFUSALS[code].members() if code in REFUSALS else list(DOOR[code].members)


def codes() -> list[str]:
    """Every code, refusals first."""
    return [*sorted(REFUSALS), *DOOR]


def document(code: str, detail: str | None = None, **more: Any) -> dict[str, Any]:
    """The problem as a JSON object."""
    assert code in REFUSALS or more.keys() <= set(DOOR[code].members), (code, *more)
    title = title_of(code)
    return {
        "type": f"/problems/{code}",
        "title": title,
        "status": status_of(code),
        "detail": detail or _with_numbers(title, more),
        "code": code,
        **more,
    }


def of_refusal(refusal: Refusal) -> dict[str, Any]:
    """The problem that tells of a refusal, with its numbers."""
    numbers = refusal.numbers()
    return document(refusal.code, None, **numbers)


def _with_numbers(title: str, numbers: Mapping[str, Any]) -> str:
    """What a problem means, with the numbers that decided it, for a reader."""
    said = ", ".join(f"{name} {_said(value)}" for name, value in numbers.items() if value != [])
    return f"{title.rstrip('.')}: {said}." if said else title


def cannot_be_read(why: NotStrict) -> str:
    """The detail of what is `malformed`, with the place where it is."""
    return f"{title_of('malformed').rstrip('.')}: {why}."


def invalid(fields: Sequence[Mapping[str, str]], left_out: int = 0) -> DoorProblem:
    """The problem that tells of these fields, as FieldProblems, and how many are left out."""
    told = fields[:MOST_ERRORS]
    left_out += len(fields) - len(told)
    said = "; ".join(f"{each['field']}: {each['detail']}" for each in told[:5])
    more = {"more_errors": left_out} if left_out else {}
    return DoorProblem("invalid", said, {"errors": told, **more})


def of_errors(
    found: Sequence[Mapping[str, Any]], known: Collection[str], sent: Any = None
) -> list[dict[str, str]]:
    """What pydantic found, as FieldProblems. `known` are the names that may be told, and `sent`
    is what was sent, if it is at hand."""
    return [
        {
            "field": place(each["loc"], known, sent),
            "code": each["type"],
            "detail": _ECHOING.get(each["type"], each["msg"]),
        }
        for each in islice(found, MOST_ERRORS)
    ]


def of_command(
    error: ValidationError, kind: type[Command], said: Mapping[str, Any]
) -> tuple[list[dict[str, str]], int]:
    """The fields of a command that are wrong as it was said, and how many more there are."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    inside = [{**each, "loc": each["loc"][1:] or ("command",)} for each in found]  # after its name
    told = of_errors(inside, names_of(kind) | {"command"}, said)
    return told, len(found) - len(told)


_ECHOING = {"union_tag_invalid": "There is no such kind"}
"""What is said in place of pydantic's own words where those repeat what was sent."""


def place(loc: Iterable[int | str], known: Collection[str], sent: Any = None) -> str:
    """Where: `changes.0.factor`. A name that is not known is told by its place: `[5]`."""
    words = []
    for part in loc:
        if isinstance(part, int):
            words.append(str(part))
        elif part in known or part == "[key]":
            words.append(part)
        elif isinstance(sent, Mapping) and part in sent:
            words.append(f"[{[*sent].index(part)}]")
        else:
            words.append("?")
        sent = _inside(sent, part)
    return ".".join(words)


def _inside(sent: Any, part: int | str) -> Any:
    """What lies there; a part that is none of it names a kind, and leads nowhere deeper."""
    if isinstance(sent, Mapping):
        return sent.get(part, sent)
    if isinstance(sent, list) and isinstance(part, int) and part < len(sent):
        return sent[part]
    return sent


@cache
def names_of(model: Any) -> frozenset[str]:
    """The names that the schema of a model, or of one of several, knows: its fields, those of what
    it holds, and kinds."""
    return frozenset(_names(TypeAdapter(model).json_schema()))


def _names(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for each in schema:
            yield from _names(each)
    elif isinstance(schema, dict):
        yield from schema.get("properties", ())
        yield from (word for word in schema.get("enum", ()) if isinstance(word, str))
        if isinstance(schema.get("const"), str):
            yield schema["const"]
        for each in schema.values():
            yield from _names(each)


def _said(value: Any) -> str:
    """A value as JSON would spell it, a text without its quotes."""
    said: str = orjson.dumps(value, default=str).decode()
    return said.strip('"') if said.startswith('"') else said.replace(",", ", ")
