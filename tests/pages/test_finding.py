"""Whoever knows a name finds its member, and nobody else's."""

from html import unescape

import httpx

from api.http.pages.page import AUDIT, link
from tests.addresses import Patient
from tests.pages.conftest import SHARED, Claimed, House, customer
from tests.pages.test_guards import DESK, OWN, code_of
from tests.patience import PATIENCE_S

EITHER = ("east", "west")


def test_a_member_is_found_by_letters_or_a_name_until_he_is_called_otherwise_or_erased(
    house: House,
) -> None:
    house.tell(
        *customer("named-1", 1, name="欧阳娜娜", phone="13700000001"),
        *customer("named-2", 1, name="欧阳宁宁"),
    )
    house.settle()
    with Patient(base_url=house.address, headers=OWN, timeout=PATIENCE_S) as client:

        def card(said: str) -> httpx.Response:
            return client.post(f"{DESK}/card", data={"said": said})

        both = card("OYnn").text
        assert 'value="named-1"' in both
        assert 'value="named-2"' in both
        assert "137****0001" in both
        assert 'data-member="named-1"' in card("欧阳娜").text, "who alone is meant is shown at once"
        house.tell({"command": "member.change_details", "member_id": "named-1", "name": "王五"})
        house.settle()
        assert 'data-member="named-2"' in card("oynn").text
        house.tell({"command": "member.erase", "member_id": "named-2", "reason": "asked"})
        house.settle()
        assert code_of(card("oynn")) == "unknown_member"


def test_of_one_name_those_of_ones_own_unit_are_found(claimed: Claimed) -> None:
    headers = {**OWN, "Authorization": f"Bearer {claimed.key_of_west}"}
    with Patient(base_url=claimed.address, headers=headers, timeout=PATIENCE_S) as client:
        shown = client.post(f"{DESK}/card", data={"said": "yc"})
        assert 'data-member="n-west"' in shown.text
        assert "n-east" not in shown.text
        assert code_of(client.post(f"{DESK}/card", data={"said": "尉迟恭"})) == "unknown_member"


def test_an_auditor_finds_timelines_as_a_desk_finds_cards_as_far_as_he_may(
    claimed: Claimed,
) -> None:
    looks = claimed.key_of("looker", **{"log.read": "all"})
    keys = {"all": claimed.key_of_all, "west": claimed.key_of_west, "looker": looks}
    with Patient(base_url=claimed.address, headers=OWN, timeout=PATIENCE_S) as client:

        def found(key: str, said: str) -> httpx.Response:
            as_who = {"Authorization": f"Bearer {keys[key]}"}
            return client.post(f"{AUDIT}/members", data={"said": said}, headers=as_who)

        both = unescape(found("all", "yc").text)
        links = [link(AUDIT, {"kind": "member", "stream_id": f"n-{each}"}) for each in EITHER]
        assert [f'href="{each}"' in both for each in links] == [True, True]
        assert found("all", "尉迟恭").headers["hx-redirect"] == links[0]
        several = unescape(found("all", SHARED["phone"]).text)
        assert ("139****5678" in several, SHARED["phone"] in several) == (True, False)
        assert found("west", "yc").headers["hx-redirect"] == links[1]
        assert code_of(found("west", "尉迟恭")) == "unknown_member"
        assert code_of(found("looker", "尉迟恭")) == "not_allowed"
        offered = {
            each: "/members" in client.get(
                AUDIT, headers={"Authorization": f"Bearer {keys[each]}"}
            ).text
            for each in ("all", "looker")
        }  # fmt: skip
        assert offered == {"all": True, "looker": False}
