"""One file opens what is sealed, and one table holds it, which one migration knows."""

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("api", "domain", "ledger", "projections", "demo")
STORE = {"ledger/log/persons.py", "domain/kernel/personal.py"}
"""Where it is opened, and where it is defined."""
KEYS = {"ledger/log/persons.py", "ledger/rotation.py"}
"""Who asks for the keys of persons."""
TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|COPY)\s+(?:ledger\.)?persons\b")
OF_KEYS = re.compile(r"\bledger\.person_keys\b|\b(?:rewrap|give_up)_persons\(")


def sources() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_text("utf-8")
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    }


def migrations() -> dict[str, str]:
    folder = ROOT / "ledger" / "migrations"
    return {path.name: path.read_text("utf-8") for path in folder.glob("*.sql")}


def openers(texts: Mapping[str, str]) -> set[str]:
    """Who opens what is sealed, or asks its table."""
    return {
        name
        for name, text in texts.items()
        if "Sealed.opened" in text or "_Sealed__content" in text or TABLE.search(text)
    }


def test_what_is_sealed_is_opened_in_one_file() -> None:
    assert openers(sources()) - STORE == set()
    assert "ledger/log/persons.py" in openers(sources())


def test_their_keys_are_asked_for_by_who_opens_and_who_rotates() -> None:
    found = {name for name, text in sources().items() if OF_KEYS.search(text)}
    assert found == {*KEYS, "ledger/database.py"}  # which gives all of them up


def test_one_migration_knows_what_is_told_of_people() -> None:
    """What appends passes it on as one value."""
    known = {
        name
        for name, text in migrations().items()
        if re.search(r"\b(?:persons|person_keys)\b", text)
    }
    assert known == {"0006_persons.sql"}


def test_the_alarm_rings() -> None:
    for planted in (
        "Sealed.opened(command.name)",
        "command.name._Sealed__content",
        "SELECT name FROM ledger.persons",
        "JOIN persons USING (member_id)",
    ):
        assert openers({"api/answers.py": planted}) == {"api/answers.py"}
