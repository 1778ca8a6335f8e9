"""Every command and every refusal of the domain is spoken of in some sentence of these tests."""

import ast
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Literal

import pytest

import domain
from domain.catalogue import CATALOGUE, COMMANDS, NOUNS, PARTS, REFUSALS
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal

SENTENCES = sorted(Path(__file__).parent.glob("*.py"))


def spoken_of(sources: list[str], *callers: str) -> set[str]:
    """The classes named first in a call: `do(Enrol, ...)`, `then_refused(CapReached(2, 2))`.

    A refusal may have a name before it is expected, so one that is made anywhere counts.
    """
    names = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name):
                names.add(node.func.id)
                if node.func.id in callers and node.args and isinstance(node.args[0], ast.Name):
                    names.add(node.args[0].id)
    return names


def sources() -> list[str]:
    return [path.read_text("utf-8") for path in SENTENCES]


def of_the_domain(classes: dict[str, type]) -> set[str]:
    return {kind.__name__ for kind in classes.values() if kind.__module__.startswith("domain.")}


def test_every_command_is_tested() -> None:
    commands = {kind.__name__ for kind in COMMANDS.values()}
    assert commands
    assert commands <= spoken_of(sources(), "do")


def test_every_refusal_is_tested() -> None:
    refusals = of_the_domain(dict(REFUSALS))
    assert refusals
    assert refusals <= spoken_of(sources())


def test_the_alarm_rings() -> None:
    told = ["given().when(do(Enrol, NOON)).then_refused(CapReached(2, 2))"]
    assert {"Enrol", "CapReached"} <= spoken_of(told, "do")
    imported = ["from domain.enrolments import Enrol, CapReached\nfact(Enrol)"]
    assert not {"Enrol", "CapReached"} & spoken_of(imported, "do")


@pytest.mark.parametrize(
    "code", [c for c, k in REFUSALS.items() if k.__module__.startswith("domain.")]
)
def test_a_refusal_says_in_a_sentence_what_is_so(code: str) -> None:
    title = REFUSALS[code].title
    assert title.endswith(".")
    assert title[0].isupper()
    assert code == code.lower()
    assert code.isidentifier()


def test_every_noun_is_found() -> None:
    """What is left out of the walk defines nothing that a noun would not bring in."""
    for each in walk_packages(domain.__path__, "domain."):
        import_module(each.name)
    known = ("domain.kernel", *(noun.__name__ for noun in NOUNS))
    kinds = [*COMMANDS.values(), *REFUSALS.values(), *CATALOGUE.values()]
    kinds += [part.type for part in PARTS.values()]
    mine = {kind.__module__ for kind in kinds if kind.__module__.startswith("domain.")}
    assert not [name for name in mine if not name.startswith(known)]
    assert {name.split(".")[1] for name in mine} >= {"points", "members", "admissions"}


def test_no_two_commands_and_no_two_refusals_have_one_name() -> None:
    with pytest.raises(TypeError, match=r"two commands are called campaign\.enrol"):

        class EnrolAgain(Command):
            command: Literal["campaign.enrol"] = "campaign.enrol"

    with pytest.raises(TypeError, match="two refusals are called cap_reached"):

        @dataclass
        class CapReachedAgain(Refusal):
            """It is full."""

            code = "cap_reached"

    assert COMMANDS["campaign.enrol"].__module__ == "domain.enrolments"
    assert REFUSALS["cap_reached"].__module__ == "domain.enrolments"
