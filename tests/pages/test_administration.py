"""Every command has its form, made of its declaration, and does what its door does."""

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import pytest

from api.doors import DOOR_OF, DOORS
from api.http.doors import body_of
from api.http.pages import forms, offering, words
from tests.addresses import Patient, at
from tests.pages.conftest import PASSWORD, Claimed
from tests.pages.test_guards import OWN, code_of
from tests.patience import PATIENCE_S, eventually

BASE = "/administration/commands"


@pytest.fixture
def administrator(claimed: Claimed) -> Iterator[httpx.Client]:
    """Who may do everything."""
    headers = {"Authorization": f"Bearer {claimed.key_of_all}", "Accept-Language": "en"}
    with Patient(base_url=claimed.address, headers=headers, timeout=PATIENCE_S) as client:
        yield client


def filled(name: str, key: str, **instead: Any) -> dict[str, list[str]]:
    """The form of a command, filled in with its example."""
    door = DOOR_OF[name]
    example = {**door.command.example, **instead}
    return {**forms.write(forms.fields_of(door), example), "key": [key]}


def inputs(page: str) -> set[str]:
    """The fields that a page asks for."""
    form = page.partition('<form hx-post="/admin')[2].partition("</form>")[0]
    asked = re.findall(r'<(?:input|select)\b[^>]*? name="([^"]+)"', form, re.DOTALL)
    return {unescape(each).partition(".")[0] for each in asked} - {"key"}


@pytest.mark.parametrize("name", DOOR_OF)
def test_a_form_asks_for_what_its_command_says_and_is_read_as_it(name: str) -> None:
    door = DOOR_OF[name]
    fields = forms.fields_of(door)
    kind: Any = door.command
    assert {each.name for each in fields} == kind.model_fields.keys() - forms.NOT_ASKED
    said = forms.write(fields, kind.example)
    values, _ = forms.read(fields, said)
    beside = {"key": "k", "actor": "clerk:li"}
    read = kind.model_validate_json(json.dumps({**values, **beside}))
    assert read == kind.model_validate_json(json.dumps({**kind.example, **beside}))
    assert read.model_fields_set >= kind.example.keys()


def test_every_door_has_a_form_whose_dry_run_says_what_the_doors_own_says(
    administrator: httpx.Client,
) -> None:
    for door in DOORS:
        page = administrator.get(f"{BASE}/{door.name}")
        assert page.status_code == 200, door.name
        assert inputs(page.text) == {each.name for each in forms.fields_of(door)}, door.name
        example = {**door.command.example, **body_of(door).example}
        path = door.path.format(**{each: example.pop(each) for each in door.ids})
        headers = {"Idempotency-Key": f"try-{door.name}", "Prefer": "dry-run"}
        said = administrator.post(at(path), json=example, headers=headers)
        form = filled(door.name, f"try-{door.name}")
        tried = administrator.post(f"{BASE}/{door.name}/try", data=form, headers=OWN)
        assert tried.status_code == 200, (door.name, tried.text)
        if said.status_code == 200:
            events = [each["topic"] for each in said.json()["events"]]
            assert re.findall(r"<code>([a-z._]+)</code>", tried.text) == events, door.name
            for number, value in said.json()["receipt"].items():
                if value is not None:
                    shown = unescape(tried.text)
                    label = words.called("en", "fields", number)
                    assert f"<dt>{label}</dt><dd>{words.told(number, value)}</dd>" in shown
        else:
            assert code_of(tried) == said.json()["code"], door.name


def do(client: httpx.Client, name: str, form: dict[str, list[str]]) -> httpx.Response:
    """Have it done that a form says."""
    return client.post(f"{BASE}/{name}/do", data=form, headers=OWN)


def test_what_was_shown_is_done_once_however_often_it_is_pressed(
    administrator: httpx.Client,
) -> None:
    form = filled("user.add", "add-1", user_id="zhang")
    tried = administrator.post(f"{BASE}/user.add/try", data=form, headers=OWN)
    again = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', tried.text))
    assert again == {"user_id": "zhang", "key": "add-1"}
    places = {
        re.findall(r'data-place="([0-9:]+)"', administrator.post(
            f"{BASE}/user.add/do", data=again, headers=OWN).text)[0]
        for _ in range(2)
    }  # fmt: skip
    assert len(places) == 1
    assert (
        "This is done already"
        in administrator.post(f"{BASE}/user.add/try", data=form, headers=OWN).text
    )


def test_a_secret_is_shown_once_and_never_again(administrator: httpx.Client) -> None:
    do(administrator, "user.add", filled("user.add", "add-2", user_id="wang"))
    form = filled("user.invite", "invite-1", user_id="wang")
    first, second = (do(administrator, "user.invite", form).text for _ in range(2))
    link = re.findall(r'<input readonly value="([^"]+)">', first)[0]
    assert re.fullmatch(r"http://127.0.0.1:\d+/invitations/take#in_wang_[0-9a-f]{64}", link)
    assert "in_wang_" not in second
    assert words.say("en", "secret_gone") in second
    keyed = do(administrator, "apikey.issue", filled("apikey.issue", "issue-1")).text
    assert re.search(r'<input readonly value="cl_desk-1_[0-9a-f]{64}">', keyed)
    hook = do(administrator, "webhook.add", filled("webhook.add", "hook-1", webhook_id="pages"))
    assert len(re.findall(r"<input readonly value=", hook.text)) == 1


def test_what_is_wrong_stands_beside_its_field_in_both_languages(
    administrator: httpx.Client,
) -> None:
    wrong = {
        "key": "wrong-1", "club_id": "<b>", "opens_on": "2031-02-30", "capacity": "many",
        "opens_minute": "25:00", "closes_minute": "18:00", "tiers": "tin",
    }  # fmt: skip
    said = {
        "en": ("this is needed", "not more than 24:00"),
        "zh-CN": ("此项必填", "不能大于 24:00"),
    }
    for language, (missing, too_late) in said.items():
        answer = administrator.post(
            f"{BASE}/club.open/try", data=wrong, headers={**OWN, "Accept-Language": language}
        )
        beside = dict(re.findall(r'id="wrong-([^"]+)">([^<]+)<', answer.text))
        assert beside.keys() == {
            "club_id", "title", "opens_on", "capacity", "opens_minute", "tiers",
        }  # fmt: skip
        assert beside["title"] == missing
        assert beside["opens_minute"] == too_late
        assert 'value="&lt;b&gt;"' in answer.text
        assert code_of(answer) == "invalid"
    row = {**filled("campaign.launch", "wrong-2"), "costs.1.item": "x", "costs.1.cost_fen": "-1"}
    answer = administrator.post(f"{BASE}/campaign.launch/try", data=row, headers=OWN)
    assert 'id="wrong-costs.1.cost_fen">not less than 0.00<' in answer.text
    odd = {**filled("club.open", "wrong-3"), "nothing.of.ours": "1"}
    answer = administrator.post(f"{BASE}/club.open/try", data=odd, headers=OWN)
    assert code_of(answer) == "malformed"


def test_more_lines_are_there_when_they_are_asked_for(administrator: httpx.Client) -> None:
    form = {**filled("apikey.issue", "more-1", clubs=["tea", "tennis"]), "more": ["clubs"]}
    answer = administrator.post(f"{BASE}/apikey.issue/try", data=form, headers=OWN)
    assert len(set(re.findall(r'name="clubs\.(\d+)"', answer.text))) == 2 + forms.LINES
    assert 'value="tennis"' in answer.text
    assert '<option value="tennis">Tennis club</option>' in answer.text


def test_only_what_one_may_do_and_see_is_offered(
    claimed: Claimed, administrator: httpx.Client
) -> None:
    of_west = {"Authorization": f"Bearer {claimed.key_of_west}"}
    with Patient(base_url=claimed.address, headers=of_west, timeout=PATIENCE_S) as client:
        offered = re.findall(r"/commands/([a-z._]+)", client.get("/administration").text)
        assert set(offered) == {door.name for door in DOORS if door.scope == "visits.write"}
        assert code_of(client.get(f"{BASE}/user.add")) == "not_allowed"
        assert code_of(do(client, "user.add", filled("user.add", "k"))) == "not_allowed"
        for path in ("lists/users", "users/li"):
            assert code_of(client.get(f"/administration/{path}")) == "not_allowed"
    every = set(re.findall(r"/commands/([a-z._]+)", administrator.get("/administration").text))
    assert every == {*DOOR_OF}
    assert code_of(administrator.get(f"{BASE}/no.such")) == "not_found"


def test_lists_tell_what_the_api_tells(administrator: httpx.Client) -> None:
    for name, question in offering.LISTS.items():
        rows = administrator.get(at(question.path)).json()[name]
        page = administrator.get(f"/administration/lists/{name}")
        assert page.status_code == 200, name
        assert page.text.count("<tr>") == (len(rows) + 1 if rows else 0), name
        assert len(page.content) < 100_000
    keys = administrator.get("/administration/lists/api_keys").text
    assert "/administration/commands/apikey.rotate?of=west" in keys
    form = administrator.get(f"{BASE}/apikey.rotate?of=west")
    assert 'name="api_key_id" id="in-api_key_id" value="west"' in form.text


def test_an_administrator_ends_the_session_of_somebody(
    claimed: Claimed, administrator: httpx.Client
) -> None:
    with Patient(base_url=claimed.address, timeout=PATIENCE_S) as browser:
        signed = browser.post(at("/session"), json={"user_id": "li", "password": PASSWORD})
        assert signed.status_code == 201
        page = administrator.get("/administration/users/li").text
        ended = re.findall(r'hx-post="(/administration/users/li/sessions/[0-9a-f]+/end)"', page)
        assert ended
        assert code_of(administrator.post(ended[0])) == "not_from_here"
        for each in ended:
            assert administrator.post(each, headers=OWN).status_code == 200
        assert "Not signed in anywhere" in administrator.get("/administration/users/li").text
        assert eventually(lambda: browser.get(at("/session")).status_code == 401)
