"""A client that openapi-python-client makes of the document: its types hold, and every request of
the tutorial goes through it and is answered as the tutorial says."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from openapi_python_client import generate
from openapi_python_client.config import ClassOverride, Config, ConfigFile, MetaType

from api.doors import PREFIX
from tests.api.running import REPOSITORY
from tests.api.test_tutorial import BLOCK, DOCUMENTED, NOT_YET, TUTORIAL, differences, served
from tests.patience import give_way

PACKAGE = "clubledger_client"
OPENAPI = REPOSITORY / "tests" / "api" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text("utf-8"))
VISIT = "$VISIT"
"""In an address: the number of the last visit in the history that is asked before."""
PAGE = REPOSITORY / "docs" / "how-to" / "client.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def words(name: str) -> str:
    """A name as the generator writes variables."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def overrides() -> dict[str, ClassOverride]:
    """Modules of schemas that have a field of their own name: the generator would call a variable
    of both alike."""
    return {
        name.replace("_", ""): ClassOverride(module_name=f"{words(name)}_answer")
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if words(name) in schema.get("properties", ())
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The client's package, which can be imported meanwhile."""
    home = tmp_path_factory.mktemp("client")
    formatted = f"{sys.executable} -m ruff format --quiet ."
    said = ConfigFile(post_hooks=[formatted], class_overrides=overrides())
    config = Config.from_sources(said, MetaType.NONE, OPENAPI, "utf-8", True, home / PACKAGE)
    assert [*generate(config=config)] == []
    sys.path.insert(0, str(home))
    yield home
    sys.path.remove(str(home))
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server on a demo of its own, since the tutorial says what happens first."""
    yield from served()


def test_its_types_hold(made: Path) -> None:
    """And those of the page's program. Class Client alone is as the generator has written it."""
    (program,) = PROGRAM.findall(PAGE.read_text("utf-8"))
    (made / "tried.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", made / "cache", "tried.py"],
        cwd=made,
        capture_output=True,
        text=True,
        check=False,
    )
    wrong = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [line for line in wrong if not line.startswith(f"{PACKAGE}/client.py:")] == []
    assert done.stderr == ""


def operation(method: str, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The operation of an address, and what stands in its path."""
    for template, methods in DOCUMENT["paths"].items():
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)
        if method in methods and (found := re.fullmatch(pattern, path)):
            return methods[method], found.groupdict()
    raise AssertionError(f"{method} {path}")


def request_of(command: str) -> tuple[str, str, dict[str, str], dict[str, Any] | None]:
    """(method, path, headers, body) of a command of the tutorial."""
    said = shlex.split(command.rpartition("; ")[2])
    headers = dict(said[n + 1].split(": ", 1) for n, word in enumerate(said) if word == "-H")
    body = json.loads(said[said.index("-d") + 1]) if "-d" in said else None
    (at,) = (word for word in said if word.startswith(DOCUMENTED))
    path = at.removeprefix(DOCUMENTED).partition("?")[0]  # what it waits for is told by receipts
    return "get" if body is None else "post", path, headers, body


class Desk:
    """Who asks by the generated client, whatever the tutorial sends."""

    def __init__(self, address: str) -> None:
        self.client = import_module(PACKAGE).Client(base_url=address)
        self.place: str | None = None

    def sent(self, command: str) -> tuple[int, Any]:
        """The status and the parsed answer, as the client tells them."""
        method, path, headers, body = request_of(command)
        if VISIT in path:
            path = path.replace(VISIT, self.last_visit(path))
        found, places = operation(method, path)
        module, name = found["tags"][0], found["operationId"]
        call: Callable[..., Any] = import_module(f"{PACKAGE}.api.{module}.{name}").sync_detailed
        asked: dict[str, Any] = {
            said.lower().replace("-", "_"): value
            for said, value in headers.items()
            if said != "Content-Type"
        }
        if body is not None:
            (content,) = found["requestBody"]["content"].values()
            schema = content["schema"]["$ref"].rpartition("/")[2]
            model = import_module(f"{PACKAGE}.models.{words(schema)}")
            asked["body"] = getattr(model, schema).from_dict(body)
        for each in found["parameters"]:
            if each["in"] == "path":
                said = places[each["name"]]
                asked[each["name"]] = int(said) if each["schema"]["type"] == "integer" else said
        if self.place and any(each["name"] == "wait_for" for each in found["parameters"]):
            asked["wait_for"] = self.place  # so that what it has written is told of
        while (answer := call(client=self.client, **asked)).status_code == NOT_YET:
            give_way()
        told = answer.parsed.to_dict()
        if "position" in told:
            self.place = f"{told['bucket']}:{told['position']}"
        return int(answer.status_code), told

    def last_visit(self, path: str) -> str:
        """The number that the tutorial finds by grep."""
        member_id = path.removeprefix(f"{PREFIX}/members/").partition("/")[0]
        status, told = self.sent(f"curl {DOCUMENTED}{PREFIX}/members/{member_id}/events")
        assert status == 200
        return str(re.findall(r'"visit": (\d+)', json.dumps(told))[-1])


def test_the_tutorial_goes_through_it(made: Path, address: str) -> None:
    desk = Desk(address)
    with desk.client:
        goes_through(desk)


def goes_through(desk: Desk) -> None:
    """All of it, as documented."""
    wrong: list[Any] = []
    examples = BLOCK.findall(TUTORIAL.read_text("utf-8"))
    keyless = [each for each in examples if '"key_missing"' in each[2]]
    for command, status, body in (each for each in examples if each not in keyless):
        got, told = desk.sent(command)
        if got != int(status) or (found := differences(json.loads(body), told)):
            wrong.append((command, got, found, told))
    assert wrong == []
    assert len(examples) - len(keyless) >= 12
    with pytest.raises(TypeError, match="idempotency_key"):  # it cannot be forgotten
        desk.sent(keyless[0][0])
