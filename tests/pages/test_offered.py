"""What is offered is what may be done: every console is walked as each role, and whatever link or
form is shown is followed, or filled in and pressed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest

from domain.access import BUILT_IN
from ledger import credentials
from ledger.database import connect
from tests.addresses import Patient
from tests.ledger.facts import command
from tests.pages.conftest import Claimed, customer
from tests.pages.test_guards import OWN
from tests.patience import PATIENCE_S, eventually

OF_UNITS = "walker"
ROLES: Mapping[str, Mapping[str, str]] = {
    **BUILT_IN,
    OF_UNITS: {
        **dict.fromkeys(("members.read", "figures.read", "lists.read"), "units"),
        "clubs.read": "all",
    },
}
"""Beside those that there are from the start, one that sees figures of some units alone."""
NOT_PRESSED = {"/sign-out", "/preferences", "/sign-in/password"}
MOST_ALIKE = 2
"""Addresses that differ in what they name alone; of commands all are walked."""
NAMED = re.compile(r"(?<=/)(?:measures|lists|users|reports|claims|campaigns|jobs|v1)/[^/?]+")
REFUSED = {"not_allowed", "not_in_your_name", "not_signed_in"}


@dataclass(frozen=True)
class Control:
    """A link, or a form as it would be sent."""

    method: str
    path: str
    said: tuple[tuple[str, str], ...] = ()


@dataclass
class Read(HTMLParser):
    """The controls of a page or a part of one."""

    at: str
    fill: Mapping[str, str]
    found: list[Control] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._form: tuple[str, str] | None = None
        self._said: dict[str, str] = {}

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        """A link, the beginning of a form, or something in it."""
        said = {name: value or "" for name, value in pairs}
        if tag == "form":
            path = said.get("hx-post") or said.get("action", "")
            method = "POST" if "hx-post" in said else said.get("method", "get").upper()
            self._form, self._said = (method, path), {}
        elif tag == "a" and "href" in said:
            self.found.append(Control("GET", said["href"]))
        elif "hx-get" in said:
            self.found.append(Control("GET", said["hx-get"]))
        elif self._form and (name := said.get("name")):
            if tag == "option" or said.get("type") in ("checkbox", "radio"):
                return
            self._said[name] = said.get("value") or self.fill.get(name, "")
        elif tag == "option" and self._form and self._said:
            last = next(reversed(self._said))
            if not self._said[last] or said.get("value") == self.fill.get(last):
                self._said[last] = said.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """The end of a form: as somebody would send it."""
        if tag == "form" and self._form is not None:
            self.found.append(Control(*self._form, tuple(self._said.items())))
            self._form = None


@dataclass
class Walk:
    """Somebody who follows and presses whatever he is shown."""

    client: httpx.Client
    fill: Mapping[str, str]
    pressed: list[Control] = field(default_factory=list)
    refused: list[Control] = field(default_factory=list)
    _alike: dict[tuple[str, str], int] = field(default_factory=dict)

    def go(self, begin: str) -> None:
        """Walk on from here until nothing is left."""
        left = [Control("GET", begin)]
        while left:
            control = left.pop(0)
            left += self._press(control)

    def _press(self, control: Control) -> list[Control]:
        path = urlsplit(control.path).path
        alike = control.method, NAMED.sub("*", path) + "?" * ("wait_for" in control.path)
        times = self._alike[alike] = self._alike.get(alike, 0) + 1
        if path in NOT_PRESSED or times > (1 if "/commands/" in path else MOST_ALIKE):
            return []
        self.pressed.append(control)
        if control.method == "GET":
            whole = {} if "/parts/" in path or path.endswith("/today") else {"HX-Request": ""}
            headers = {name: each for name, each in OWN.items() if name not in whole}
            answer = self.client.get(control.path, params=control.said or None, headers=headers)
        else:
            answer = self.client.post(control.path, data=dict(control.said), headers=OWN)
        code = re.search(r'data-code="(\w+)"', answer.text) if "html" in _kind(answer) else None
        problem = answer.json()["code"] if "problem" in _kind(answer) else code and code[1]
        if problem in REFUSED:
            self.refused.append(control)
        led = answer.headers.get("location") or answer.headers.get("hx-redirect")
        read = Read(control.path, self.fill)
        if "html" in _kind(answer):
            read.feed(answer.text)
        found = [Control("GET", led)] if led else read.found
        return [
            Control(each.method, urljoin(path, urldefrag(each.path).url), each.said)
            for each in found
            if each.path and not urlsplit(each.path).scheme
        ]


def _kind(answer: httpx.Response) -> str:
    return str(answer.headers.get("content-type", ""))


@pytest.fixture(scope="module")
def keys(claimed: Claimed) -> Mapping[str, str]:
    """By role, a key of it for the tea room and a unit, where there is a customer for each."""
    headers = {"Authorization": f"Bearer {claimed.key_of_all}"}
    joined = [each for role in ROLES for each in customer(f"walked-{role}", 5_000)]
    told: list[dict[str, Any]] = [{"command": "unit.open", "unit_id": "walked", "title": "走区"}]
    told += [{**each, "unit_id": "walked"} if "unit_id" in each else each for each in joined]
    keyed = [{"key": f"walks-{n}", **each} for n, each in enumerate(told)]
    address = f"{claimed.address}/v1/commands"
    asked = {"commands": keyed}
    answer = httpx.post(address, json=asked, headers=headers, timeout=PATIENCE_S)
    outcomes = answer.json()["outcomes"]
    assert {each["status"] for each in outcomes} == {201}, outcomes
    claimed.told(command("role.define", role_id=OF_UNITS, scopes=ROLES[OF_UNITS]))
    issued = [
        command(
            "apikey.issue",
            api_key_id=f"walks-{role}",
            role_id=role,
            clubs=("tea",) if "clubs" in scopes.values() else (),
            units=("walked",) if "units" in scopes.values() else (),
        )
        for role, scopes in ROLES.items()
    ]
    claimed.told(*issued)
    with connect(claimed.dsn) as connection:
        minted = {role: credentials.mint(connection, f"apikey:walks-{role}", 1) for role in ROLES}
    status = f"{claimed.address}/v1/status"
    assert eventually(lambda: httpx.get(status, headers=headers).json()["behind"] == 0)
    return {role: key for role, key in minted.items() if key is not None}


@pytest.mark.parametrize("role", ROLES)
def test_nothing_is_offered_that_may_not_be_done(
    claimed: Claimed, keys: Mapping[str, str], role: str
) -> None:
    headers = {"Authorization": f"Bearer {keys[role]}", "Accept": "text/html"}
    fill = {
        "said": f"walked-{role}", "desk": "walk", "reason": "walked", "why": "walked",
        "people": "1", "companions": "0", "lines": f"walked-{role}", "step": "guess",
        "club_id": "tea",
    }  # fmt: skip
    with Patient(base_url=claimed.address, headers=headers, timeout=PATIENCE_S) as client:
        walk = Walk(client, fill)
        walk.go("/start")
    assert walk.refused == []
    consoles = {urlsplit(each.path).path.split("/")[1] for each in walk.pressed}
    assert len(consoles) > 1
    if role in ("clerk", "supervisor", "manager"):
        visits = [each.path for each in walk.pressed if each.path.endswith("/visits")]
        assert visits, "a card was opened, and its button pressed"
    if role == "supervisor":
        switched = [each.path for each in walk.pressed if re.match("/desk/.*/emergency", each.path)]
        assert {path.rpartition("/")[2] for path in switched} == {"emergency", "end"}
