"""Marked data through every door and position: no problem, log or stream repeats what was sent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.catalogue import COMMANDS
from tests.addresses import Client, at
from tests.api import facts
from tests.api.contract import Contract
from tests.api.running import ENDLESS, Server, clubledger, serving, stopped
from tests.patience import PATIENCE_S

PHONE = "13899990001"
MARKS = (PHONE, "Zhangbiaoji", "张标记")
"""A phone, a name that is an id as well, and one that is none."""
JSON = {"Content-Type": "application/json"}
LARGEST_PROBLEM_BYTES = 8_192


def silent(text: str) -> None:
    """Fail if what was sent is in there, as it is or escaped."""
    for mark in MARKS:
        for spelt in (mark, json.dumps(mark)[1:-1], repr(mark.encode())[2:-1]):
            assert spelt not in text, text[:2_000]


@pytest.fixture(scope="module")
def watched(demo_dir: Path) -> Iterator[Server]:
    """A server whose streams and database's log are read when all was asked."""
    running = serving(demo_dir)
    yield running
    ended = stopped(running)
    silent(ended.out + ended.err)
    for log in demo_dir.rglob("*.log"):
        silent(log.read_text("utf-8", errors="replace"))


@pytest.fixture(scope="module")
def document(contract: Contract) -> dict[str, Any]:
    return contract.document


def refused_in_silence(answer: httpx.Response) -> None:
    if answer.status_code >= 400 or answer.request.url.path == "/v1/commands":
        silent(answer.text + repr(answer.headers.raw))
        assert len(answer.content) < LARGEST_PROBLEM_BYTES
        assert "instance" not in answer.json()


def address(path: str, mark: str = "x1") -> str:
    """A path with this in each of its places, but for the number of a visit."""
    return "/".join(mark if word.startswith("{") else word for word in path.split("/"))


def marked(value: Any, mark: Any) -> Iterator[Any]:
    """The same with the mark as one of its values, or as a name more, wherever there is room."""
    yield mark
    if isinstance(value, dict):
        yield {**value, mark: 1}
        yield {mark: value}
        for name, inner in value.items():
            for each in marked(inner, mark):
                yield {**value, name: each}
    elif isinstance(value, list):
        yield [*value, mark]
        for place, inner in enumerate(value):
            for each in marked(inner, mark):
                yield [*value[:place], each, *value[place + 1 :]]


@pytest.mark.parametrize("mark", MARKS)
def test_no_address_parameter_or_header_comes_back(
    watched: Server, document: dict[str, Any], mark: str
) -> None:
    with Client(base_url=watched.address, timeout=PATIENCE_S) as http:

        def ask(method: str, path: str, params: Any = None, **headers: str | bytes) -> None:
            known = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
            raw = [(name, v.encode() if isinstance(v, str) else v) for name, v in known.items()]
            refused_in_silence(
                http.request(method, path, params=params, content=b"{}", headers=raw)
            )

        for path, methods in document["paths"].items():
            for method, operation in methods.items() if path != ENDLESS else ():
                ask(method, address(path, mark))
                ask(method, address(path), {mark: mark})
                for parameter in operation.get("parameters", []):
                    if parameter["in"] == "query":
                        ask(method, address(path), {parameter["name"]: [mark, mark]})
                        for value in (mark, f"0:{mark}", f"2008-12-31{mark}"):
                            ask(method, address(path), {parameter["name"]: value})
                for name in ("Clubledger_Actor", "Accept", "Zhang", "Idempotency_Key"):
                    ask(method, address(path), None, **{name: mark})
        for path in (f"/{mark}", f"/problems/{mark}", f"/members/{mark}/{mark}"):
            ask("get", path)
        ask("delete", f"/members/{mark}")


SCENARIO = {
    "changes": [
        {"change": "service_price", "club_id": "lounge", "factor": "1/2"},
        {"change": "tier_rule"},
    ]
}
BODIES: list[tuple[str, dict[str, Any]]] = [
    (
        "/members/t1/visits",
        {
            "club_id": "health",
            "service_id": "x",
            "desk": "d1",
            "shown_points": 1,
            "confirm_repeat": False,
        },
    ),
    ("/members/t1/visits/1/undo", {"desk": "d1", "reason": "wrong"}),
    (
        "/campaigns/none/enrolments",
        {"member_id": "m0000001", "prepaid_fen": 1, "shown_terms_version": 1},
    ),
    ("/members/lookup", {"phone": PHONE + "x"}),
    ("/members/none/details", {"name": "x", "phone": PHONE + "x"}),
    (
        "/clubs/none/services/tea/prices",
        {"title": "Tea", "points": 1, "tier_points": {"gold": 1}, "free_visits": {"gold": 1}},
    ),
    ("/members/none/corrections", {"fact": "bill.issued", "month": "2008-07", "reason": "wrong"}),
    (
        "/commands",
        {
            "commands": [
                {"command": "bill.correct", "key": "e1", **COMMANDS["bill.correct"].example}
            ]
        },
    ),
    ("/what-if", SCENARIO),
]


@pytest.mark.parametrize(("path", "body"), BODIES)
@pytest.mark.parametrize("sent_as", ["application/json", "application/json; charset=utf-8"])
def test_no_name_and_no_value_of_a_body_comes_back(
    watched: Server, path: str, body: dict[str, Any], sent_as: str
) -> None:
    """In the express lane and in the ordinary one."""
    headers = {"Content-Type": sent_as, "Idempotency-Key": "echo-1"}
    with Client(base_url=watched.address, headers=headers, timeout=PATIENCE_S) as http:
        for mark in (*MARKS, 13899990001):
            for each in marked(body, mark):
                content = json.dumps(each)
                refused_in_silence(http.post(path, content=content))
                refused_in_silence(http.post(path, content=content[:-1]))


@pytest.mark.parametrize(("path", "good"), BODIES)
def test_a_problem_stays_small_and_says_how_much_it_leaves_out(
    watched: Server, path: str, good: dict[str, Any]
) -> None:
    """59 kB of wrong names were answered with 1 MB."""
    body = {**good, **{f"{PHONE}-{n}": n for n in range(2_500)}}
    headers = {"Idempotency-Key": "echo-2"}
    answer = httpx.post(
        f"{watched.address}{at(path)}", json=body, headers=headers, timeout=PATIENCE_S
    )
    refused_in_silence(answer)
    told = answer.json()
    assert len(told["errors"]) == 20
    assert len(told["errors"]) + told["more_errors"] >= 2_500


def test_many_unknown_parameters_are_counted(watched: Server) -> None:
    params = {f"{PHONE}{n}": "1" for n in range(100)}
    answer = httpx.get(f"{watched.address}/v1/clubs", params=params, timeout=PATIENCE_S)
    refused_in_silence(answer)
    assert (len(answer.json()["errors"]), answer.json()["more_errors"]) == (20, 80)


def example_of(name: str) -> dict[str, Any]:
    """A fact of this kind with every field it needs, right in form."""
    schema = COMMANDS[name].model_json_schema()
    samples = {"integer": 1, "boolean": True, "array": [], "object": {"gold": 1}}
    made: dict[str, Any] = {}
    for field in schema["properties"]:
        fragment = schema["properties"][field]
        made[field] = samples.get(fragment.get("type"), "x1")
    return made | {"command": name, "at": facts.AT, "actor": "clerk:li"}


@pytest.mark.parametrize("as_json", [True, False])
def test_no_line_of_an_import_comes_back(own_ledger: Path, as_json: bool) -> None:
    lines = [
        json.dumps(each, ensure_ascii=False)
        for name in COMMANDS
        for mark in (*MARKS, 13899990001)
        for each in marked(example_of(name), mark)
    ]
    lines += [f'{{"command": "{PHONE}"', f"{PHONE}", f'"{PHONE}', f'{{"{PHONE}": {{}}}}']
    sent = "\n".join(lines).encode() + b'\n{"command": "member.join", "\xff' + PHONE.encode()
    options = ("--json",) if as_json else ()
    ended = clubledger("import", "-", *options, data_dir=own_ledger, stdin=sent)
    assert ended.code == 3
    silent(ended.out + ended.err)


@pytest.mark.parametrize("as_json", [True, False])
def test_nothing_of_a_scenario_comes_back(demo_dir: Path, as_json: bool) -> None:
    options = ("--json",) if as_json else ()
    for each in marked(SCENARIO, PHONE):
        text = json.dumps(each, ensure_ascii=False).encode()
        ended = clubledger("what-if", "-", *options, data_dir=demo_dir, stdin=text)
        assert ended.code == 3, (each, ended)
        silent(ended.out + ended.err)


COMMAND_LINES = [
    ["X"],
    ["--X"],
    ["figures", "X"],
    ["figures", "--X"],
    ["figures", "--X=X"],
    ["figures", "--json=X"],
    ["figures", "--limit", "X"],
    ["figures", "--report", "vip-2008", "--explain", "X"],
    ["figures", "--known-at", "X"],
    ["figures", "--effective-at", "X"],
    ["figures", "--export", "file.X"],
    ["changes", "--from", "X"],
    ["changes", "--from", "2008-12-31", "--to", "X"],
    ["demo", "--scale", "X"],
    ["demo", "--seed", "X"],
    ["compare", "--sample", "X"],
    ["member", "X"],
    ["member", "X", "X"],
    ["member", "X", "--statement", "--limit", "X"],
    ["events", "--stream", "X"],
    ["events", "--stream", "member:X"],
    ["events", "--bucket", "X"],
    ["events", "--after", "-X"],
    ["serve", "--port", "X"],
    ["serve", "--workers", "X"],
]


@pytest.mark.parametrize("words", COMMAND_LINES, ids=" ".join)
def test_no_argument_comes_back(demo_dir: Path, words: list[str]) -> None:
    for mark, options in ((PHONE, ()), (MARKS[-1], ("--json",))):
        sent = [word.replace("X", mark) for word in words]
        where = demo_dir if len(words) > 1 else None
        ended = clubledger(*sent, *options, data_dir=where)
        assert ended.code in (2, 3), ended
        silent(ended.out + ended.err)


def test_what_typer_repeats_is_said_otherwise() -> None:
    """The words by which its messages are known are still its own."""
    typed: tuple[list[str], ...] = (
        [],
        ["x"],
        ["figures", "--x"],
        ["figures", "--lim"],
        ["figures", "x"],
    )
    told = [clubledger(*words).err for words in typed]
    assert told == [
        "clubledger: A command is missing: `clubledger --help` lists them.\n",
        "clubledger: There is no such command: `clubledger --help` lists them.\n",
        "clubledger: There is no such option: `clubledger COMMAND --help` lists them.\n",
        "clubledger: There is no such option: perhaps --limit is meant.\n",
        "clubledger: There is an argument too many.\n",
    ]
