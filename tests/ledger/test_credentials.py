"""Credentials: a secret opens what the key's own stream says it does; only its hash is kept."""

from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any

import pytest

from domain.access import Grant, Principal
from ledger import credentials
from ledger.credentials import Known
from ledger.database import connect
from ledger.log.states import states, streams_of
from tests.ledger.facts import NOW, command, executed
from tests.ledger.test_ledger import rows


def known(dsn: str) -> dict[str, Known]:
    with connect(dsn) as connection:
        return credentials.api_keys(connection, ["desk-1", "nobody"], NOW)


def secret_of(dsn: str, number: int) -> str:
    with connect(dsn) as connection:
        token = credentials.mint(connection, "apikey:desk-1", number)
        assert credentials.mint(connection, "apikey:desk-1", number) is None
    assert token is not None
    api_key_id, secret = credentials.parsed(token) or ("", "")
    assert api_key_id == "desk-1"
    return secret


def issue(**more: Any) -> Any:
    said = {"api_key_id": "desk-1", "role_id": "till", "clubs": ("health",), **more}
    return command("apikey.issue", **said)


TILL = command("role.define", role_id="till", scopes={"visits.write": "clubs"})


def test_a_secret_opens_the_key_whose_number_holds(ledger_dsn: str) -> None:
    with connect(ledger_dsn) as connection:
        assert not credentials.claimed(connection)
    executed(ledger_dsn, TILL, issue())
    assert known(ledger_dsn)["desk-1"].hashes == ()  # as long as no secret is made
    first = secret_of(ledger_dsn, 1)
    with connect(ledger_dsn) as connection:
        assert credentials.claimed(connection)
    found = known(ledger_dsn)
    assert found.keys() == {"desk-1"}
    assert found["desk-1"].principal.name == "cl_desk-1"
    assert found["desk-1"].principal.grants == (
        Grant("till", {"visits.write": "clubs"}, frozenset({"health"}), frozenset()),
    )
    assert found["desk-1"].opened_by(first)
    assert not found["desk-1"].opened_by(f"{first}0")
    assert not found["desk-1"].opened_by("")
    stored = rows(ledger_dsn, "SELECT holder, number, hash FROM credentials")
    assert first.encode() not in stored[0][2]
    log = rows(ledger_dsn, "SELECT convert_from(state, 'UTF8') FROM stored_events")
    log += rows(ledger_dsn, "SELECT convert_from(asked, 'UTF8') FROM command_log")
    assert not [text for (text,) in log if first in text or stored[0][2].hex() in text]


def test_every_secret_is_compared_whole_whichever_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nobody learns by the time that it takes how far he has guessed."""
    compared: list[tuple[int, int]] = []

    def counted(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    monkeypatch.setattr(credentials, "compare_digest", counted)
    first, second = "1" * 64, "2" * 64
    hashes = tuple(sha256(each.encode()).digest() for each in (first, second))
    key = credentials.Known(Principal("cl_x", ()), hashes, None)
    opened = [key.opened_by(each) for each in (first, second, first[:-1], "", "x" * 5_000)]
    assert opened == [True, True, False, False, False]
    assert compared == [(32, 32)] * 2 * len(opened)


def test_a_secret_that_was_replaced_or_has_ended_opens_nothing(ledger_dsn: str) -> None:
    ends = NOW + timedelta(hours=3)
    executed(ledger_dsn, TILL, issue())
    secrets = [secret_of(ledger_dsn, 1)]
    for number in (2, 3):
        rotate = command("apikey.rotate", api_key_id="desk-1", overlap_hours=1, expires_at=ends)
        executed(ledger_dsn, rotate.model_copy(update={"at": NOW}))
        secrets.append(secret_of(ledger_dsn, number))
    key = known(ledger_dsn)["desk-1"]
    assert [key.opened_by(each) for each in secrets] == [False, True, True]
    assert key.expires_at == ends
    executed(ledger_dsn, command("apikey.revoke", api_key_id="desk-1"))
    assert known(ledger_dsn) == {}


def test_states_are_as_the_ledger_has_them_whoever_folded_them(ledger_dsn: str) -> None:
    executed(ledger_dsn, TILL, issue())
    streams = ["apikey:desk-1", "role:till", "role:none"]
    with connect(ledger_dsn) as connection:
        before = states(connection, streams)
        assert before["role:till"]["role"].scopes == {"visits.write": "clubs"}
        assert not before["role:none"]["role"].defined
        assert streams_of(connection, "apikey") == ["apikey:desk-1"]
        connection.execute("UPDATE snapshots SET fold = 'older rules', state = ''")
        assert states(connection, streams) == before


def test_what_is_no_key_is_none() -> None:
    for token in ("", "cl", "cl_", "cl_a", "cl_a_", "cl__b", "xx_a_b", "a_b"):
        assert credentials.parsed(token) is None
    assert credentials.parsed("cl_a_b_c") == ("a", "b_c")
