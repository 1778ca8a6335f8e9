"""What is sealed shows nothing, whatever it is asked."""

import copy
import pickle
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from domain.catalogue import CATALOGUE, COMMANDS
from domain.kernel.personal import Name, Phone, Sealed, is_sealed
from domain.webhooks import WebhookCommand

MARK = "张标记"


class Form(BaseModel):
    name: Name | None = None
    phone: Phone | None = None


FORM = Form.model_validate({"name": MARK, "phone": "138 9999 0001"})


@pytest.mark.parametrize(
    "shown",
    [
        repr(FORM),
        str(FORM),
        f"{FORM.name} {FORM.name!r} {FORM.phone!s:>20}",
        FORM.model_dump_json(),
        str(FORM.model_dump()),
        str(TypeAdapter(list[Name]).dump_json([Sealed(MARK)])),
        repr([Sealed(MARK), {"x": Sealed("+8613899990001")}]),
    ],
)
def test_it_shows_nothing(shown: str) -> None:
    assert MARK not in shown
    assert "9999" not in shown


@pytest.mark.parametrize("way", [pickle.dumps, vars, iter, len])
def test_it_is_not_taken_apart(way: Any) -> None:
    with pytest.raises(TypeError):
        way(Sealed(MARK))


def test_two_can_be_told_apart() -> None:
    assert FORM.phone == Sealed("+8613899990001") == Form(phone=FORM.phone).phone
    assert Sealed("a") != Sealed("b")
    assert Sealed("a") != "a"
    assert len({Sealed("a"), Sealed("a")}) == 1
    one = Sealed("a")
    assert copy.deepcopy(one) is copy.copy(one) is one


def test_no_event_has_room_for_it_and_commands_keep_it_sealed() -> None:
    for event in CATALOGUE.values():
        assert not any(is_sealed(field.annotation) for field in event.model_fields.values())
        assert not {"name", "phone"} & event.model_fields.keys()
    sealed = {name: kind.identifying for name, kind in COMMANDS.items() if kind.identifying}
    both = ("name", "phone")
    assert sealed == {"member.join": both, "member.change_details": both}
    for kind in COMMANDS.values():
        assert {"name", "phone"} & kind.model_fields.keys() <= set(kind.identifying)
        of_webhook = issubclass(kind, WebhookCommand)  # which discloses a secret of its own
        if kind.identifying or kind.erases or (kind.discloses and not of_webhook):
            assert kind.roles[0].kind == "member", "the first stream says of whom"
