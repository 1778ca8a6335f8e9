"""Names and numbers under keys: bound to their place, erased with one, wrapped anew under load."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from domain.kernel.command import Command
from domain.kernel.personal import Sealed
from ledger import keyring, rotation
from ledger.database import InstallError, connect, install, meta
from ledger.importing import Importer
from ledger.keyring import KEYRING, KeyNotHere, Source, Tampered, UnusableKeys, keys_in
from ledger.lines import CHUNK
from ledger.log import persons
from ledger.log.batcher import CommandFailed, Ledger
from ledger.log.receipts import Receipt
from tests.ledger.facts import NOW, a_club, asked, command, executed
from tests.ledger.test_importing import fact, load
from tests.ledger.test_ledger import rows

PHONE = "+8613900001234"


def joined(n: int, **more: str) -> Command:
    told = {"name": f"王{n}", "phone": f"139{n:08}", **more}
    return command("member.join", member_id=f"m{n}", unit_id="u1", **told)


def known(dsn: str, member_id: str) -> dict[str, str]:
    with connect(dsn) as connection:
        return persons.in_full(connection, member_id)


def found(dsn: str, phone: str) -> list[str]:
    with connect(dsn) as connection:
        return persons.members_with_phone(connection, Sealed(phone), 10)


@pytest.fixture
def another() -> str:
    """The id of a second key that this process has."""
    KEYRING.take(Source("a second one", lambda: "5a" * 32))
    return keyring.id_of(bytes.fromhex("5a" * 32))


def test_many_are_told_as_each_alone_and_whom_nobody_knows_has_no_name(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(), joined(1, name="李"), joined(2, name="Wang"), joined(3))
    with connect(ledger_dsn) as connection:
        those = ["m1", "m2", "m3", "nobody", "m1"]
        told = persons.people(connection, those)
        assert told == {each: persons.person(connection, each) for each in those}
        assert (told["m1"].name, told["nobody"].name) == ("李", None)
        assert persons.people(connection, []) == {}


def test_what_is_sealed_is_bound_to_its_place(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(), joined(1), joined(2))
    with connect(ledger_dsn) as connection:
        for swap in (
            "UPDATE persons p SET sealed = o.sealed FROM persons o"
            " WHERE p.member_id = 'm1' AND o.member_id = 'm1' AND p.field <> o.field",
            "UPDATE person_keys p SET wrapped = o.wrapped FROM person_keys o"
            " WHERE p.member_id = 'm1' AND o.member_id = 'm2'",
        ):
            with connection.transaction(force_rollback=True):
                connection.execute(swap.encode())
                with pytest.raises(Tampered):
                    persons.person(connection, "m1")
    assert known(ledger_dsn, "m1") == {"name": "王1", "phone": "+8613900000001"}


def test_a_key_made_by_a_batch_is_that_of_the_next(ledger_dsn: str) -> None:
    """Commands of one member, one after the other, while the batches before are in flight."""
    executed(ledger_dsn, *a_club())
    joins = [command("member.join", member_id=f"m{n}", unit_id="u1") for n in range(20)]

    async def told() -> None:
        async with Ledger(ledger_dsn, now=lambda: NOW) as ledger:
            for each in joins:
                await ledger.execute(each)
            await asyncio.gather(*(
                ledger.execute(
                    command("member.change_details", member_id=f"m{n}", **{field: value})
                )
                for n in range(20)
                for field, value in (("name", f"王{n}"), ("phone", f"139{n:08}"))
            ))  # fmt: skip

    asyncio.run(told())
    for n in range(20):
        assert known(ledger_dsn, f"m{n}") == {"name": f"王{n}", "phone": f"+86139{n:08}"}
        assert found(ledger_dsn, f"+86139{n:08}") == [f"m{n}"]


def test_who_is_erased_is_gone_and_all_else_stays(ledger_dsn: str) -> None:
    credit = command("points.credit", member_id="m1", points=40, source="s", rule="r")
    executed(ledger_dsn, *a_club(), joined(1), joined(2), credit)
    kept = rows(ledger_dsn, "SELECT * FROM persons WHERE member_id = 'm1'")
    keys = rows(ledger_dsn, "SELECT * FROM person_keys WHERE member_id = 'm1'")
    erase = command("member.erase", member_id="m1", reason="asked for")
    executed(ledger_dsn, erase)
    for table in ("persons", "person_keys"):
        assert rows(ledger_dsn, f"SELECT DISTINCT member_id FROM {table}") == [("m2",)]
    assert found(ledger_dsn, "+8613900000001") == []
    details = {"member_id": "m1", "phone": "13900000001"}
    assert asked(ledger_dsn, command("member.change_details", **details)) == "erased"
    (rejected,) = load(ledger_dsn, [fact("member.change_details", **details)]).rejections
    assert rejected.code == "erased"
    executed(ledger_dsn, command("points.expire", member_id="m1"))
    executed(ledger_dsn, erase, command("member.erase", member_id="m1", reason="again"))
    topics = rows(ledger_dsn, "SELECT count(*) FROM stored_events WHERE topic = 'member.erased'")
    assert topics == [(1,)]
    # What a backup of these tables brings back goes again.
    with connect(ledger_dsn) as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO persons VALUES (%s, %s, %s, %s, %s, %s, %s)", kept)
        cursor.executemany("INSERT INTO person_keys VALUES (%s, %s, %s, %s)", keys)
    assert known(ledger_dsn, "m1")
    executed(ledger_dsn, command("member.erase", member_id="m1", reason="restored"))
    assert known(ledger_dsn, "m1") == {}


def test_what_cannot_be_encrypted_is_refused_alone(ledger_dsn: str) -> None:
    """Whoever came in the same batch is none the worse, nor does he wait for it."""
    executed(ledger_dsn, *a_club(), joined(1), joined(2))
    spoil = "UPDATE person_keys SET kek = %s, wrapped = %s WHERE member_id = %s"
    with connect(ledger_dsn) as connection:
        kek = meta(connection)["kek"]
        connection.execute(spoil, ("000000000000", b"", "m1"))
        connection.execute(spoil, (kek, b"x" * 60, "m2"))

    async def at_once() -> list[Any]:
        async with Ledger(ledger_dsn, now=lambda: NOW) as ledger:
            told = [command("member.change_details", member_id=f"m{n}", name="李") for n in (1, 2)]
            none = command("member.change_details", member_id="m1", phone=None)
            credit = command("points.credit", member_id="m1", points=1, source="s", rule="r")
            asks = (ledger.execute(each) for each in (*told, none, credit, joined(3)))
            return await asyncio.gather(*asks, return_exceptions=True)

    missing, broken, *others = asyncio.run(at_once())
    assert (type(missing), type(broken)) == (KeyNotHere, CommandFailed)
    assert [type(each) for each in others] == [Receipt] * 3
    change = fact("member.change_details", member_id="m1", name="李")
    with pytest.raises(KeyNotHere):
        load(ledger_dsn, [change])


def test_who_is_erased_while_a_file_names_him_stays_so(ledger_dsn: str) -> None:
    executed(ledger_dsn, *a_club(), joined(1))
    gone: list[str] = []

    def lines() -> Iterator[bytes]:
        yield fact("member.change_details", member_id="m1", name="李", phone="13900001234")
        if not gone:
            yield from [b"\n"] * CHUNK
            erase = command("member.erase", member_id="m1", reason="asked for")
            gone.append(asked(ledger_dsn, erase))

    done = Importer(ledger_dsn, now=NOW).load(lines, key="file")
    assert gone == ["done"]
    assert [each.code for each in done.rejections] == ["erased"]
    for table in ("persons", "person_keys"):
        assert rows(ledger_dsn, f"SELECT * FROM {table}") == []
    executed(ledger_dsn, command("member.join", member_id="m2", unit_id="u1", phone="13900001234"))
    assert found(ledger_dsn, PHONE) == ["m2"]  # it may be another one's by now


def test_an_import_erases_whom_it_took_on(ledger_dsn: str) -> None:
    load(ledger_dsn, [
        fact("unit.open", unit_id="u1", title="x"),
        fact("member.join", member_id="m1", unit_id="u1", name="王", phone="13900001234"),
        fact("member.change_details", member_id="m1", name="李"),
        fact("member.join", member_id="m2", unit_id="u1", phone="13900001234"),
        fact("member.erase", member_id="m1", reason="asked for"),
    ])  # fmt: skip
    assert (known(ledger_dsn, "m1"), known(ledger_dsn, "m2")) == ({}, {"phone": PHONE})
    assert found(ledger_dsn, PHONE) == ["m2"]


def test_another_key_takes_over_while_people_are_told_of_and_read(
    ledger_dsn: str, another: str
) -> None:
    executed(ledger_dsn, *a_club(), *map(joined, range(10)))
    load(ledger_dsn, [fact("member.join", member_id=f"i{n}", unit_id="u1", name=f"王{n}")
                      for n in range(2 * rotation.BATCH)])  # fmt: skip
    with connect(ledger_dsn) as connection:
        before = meta(connection)["kek"]

    async def beside() -> int:
        async with Ledger(ledger_dsn, now=lambda: NOW) as ledger:
            turning = asyncio.create_task(asyncio.to_thread(turned))
            wrote = 0
            while not turning.done() or wrote < 30:
                n = wrote % 10
                await ledger.execute(
                    command("member.change_details", member_id=f"m{n}", name=f"李{wrote}")
                )
                await ledger.execute(joined(100 + wrote))
                assert known(ledger_dsn, f"m{n}")["name"] == f"李{wrote}"
                assert known(ledger_dsn, "i7") == {"name": "王7"}
                wrote += 1
            return wrote

    def turned() -> None:
        with connect(ledger_dsn) as connection:
            rotation.switch(connection, another)
            rotation.rewrap(connection)

    wrote = asyncio.run(beside())
    with connect(ledger_dsn) as connection:
        usage = {each.key_id: each for each in rotation.usage(connection)}
        assert usage[another] == rotation.Usage(another, True, 2010 + wrote, True)
        assert usage[before].persons == 0
        assert rotation.rewrap(connection) == 0
    assert found(ledger_dsn, "+8613900000100") == ["m100"]
    change = fact("member.change_details", member_id="i7", name="赵")
    assert load(ledger_dsn, [change], key="later").kept
    assert known(ledger_dsn, "i7")["name"] == "赵"


def test_a_key_wrapped_before_the_switch_is_not_written_after_it(
    ledger_dsn: str, another: str
) -> None:
    executed(ledger_dsn, *a_club())
    with connect(ledger_dsn) as connection:
        keys = persons.DataKeys(keyring.Secrets.of(meta(connection)), 1)
        told = persons.Telling(persons.Whom("m1", 0), 1, NOW, {"name": Sealed("王")})
        keys.take(connection.execute(persons.KEYS, keys.asked([told.whom])).fetchall())
        value = keys.sealed([told])
        rotation.switch(connection, another)
        with pytest.raises(psycopg.Error) as refused:
            connection.execute("SELECT keep_persons(%s)", (value,))
    assert refused.value.sqlstate == "CL001"


def test_a_ledger_whose_key_is_not_here_is_not_opened(
    ledger_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    executed(ledger_dsn, *a_club(), joined(1))
    with connect(ledger_dsn) as connection:
        key_id = meta(connection)["kek"]
    stranger = keyring.Keyring()
    stranger.take(Source("a file", lambda: "00" * 32))
    for module in (keyring, persons):
        monkeypatch.setattr(module, "KEYRING", stranger)
    monkeypatch.setattr("ledger.database.KEYRING", stranger)
    keyring._derived.cache_clear()
    with pytest.raises(InstallError, match=f"with the key {key_id}, which is not in a file"):
        install(ledger_dsn)
    with pytest.raises(KeyNotHere):
        known(ledger_dsn, "m1")
    visit = command("points.credit", member_id="m1", points=1, source="s", rule="r")
    executed(ledger_dsn, visit)  # what names nobody needs no key
    install(ledger_dsn, give_up=True)
    assert known(ledger_dsn, "m1") == {}
    executed(ledger_dsn, command("member.change_details", member_id="m1", phone="13900001234"))
    assert known(ledger_dsn, "m1") == {"phone": PHONE}
    assert found(ledger_dsn, PHONE) == ["m1"]


def test_one_rotates_at_a_time_and_what_was_cut_is_known(ledger_dsn: str, another: str) -> None:
    executed(ledger_dsn, *a_club(), joined(1), joined(2))
    with connect(ledger_dsn) as connection, connect(ledger_dsn) as second:
        assert rotation.begin(connection)
        assert not rotation.begin(second)
        before = meta(connection)["kek"]
        rotation.switch(connection, another)  # and here it is cut
        assert known(ledger_dsn, "m1")["name"] == "王1"
        usage = {each.key_id: each.persons for each in rotation.usage(connection)}
        assert (usage[before], usage[another]) == (2, 0)
        assert rotation.rewrap(connection) == 2
    with connect(ledger_dsn) as third:
        assert rotation.begin(third)


def test_of_two_keys_the_lost_one_costs_those_whom_it_wraps(ledger_dsn: str, another: str) -> None:
    """As after a rotation that was cut, when the old key is thrown away too early."""
    executed(ledger_dsn, *a_club(), joined(1), joined(2))
    with connect(ledger_dsn) as connection:
        rotation.switch(connection, another)
        rotation.rewrap(connection)
        lost = "UPDATE person_keys SET kek = '000000000000' WHERE member_id = 'm1'"
        connection.execute(lost)
    with pytest.raises(KeyNotHere):
        known(ledger_dsn, "m1")
    install(ledger_dsn)  # the others are shown
    install(ledger_dsn, give_up=True)
    assert known(ledger_dsn, "m1") == {}
    assert known(ledger_dsn, "m2") == {"name": "王2", "phone": "+8613900000002"}
    executed(ledger_dsn, command("member.change_details", member_id="m1", name="赵"))
    assert known(ledger_dsn, "m1") == {"name": "赵"}


def test_keys_are_read_as_they_are_written_and_nothing_of_them_is_said() -> None:
    first, second = "0a" * 32, "0B" * 32
    read = keys_in(f"# the first\n{first}  # new\n{second},{first}\n", "a file")
    assert read == [bytes.fromhex(each) for each in (first, second, first)]
    with pytest.raises(UnusableKeys, match="64 hexadecimal digits") as refused:
        keys_in("0a0a", "a file")
    assert "0a0a" not in str(refused.value)
    empty = keyring.Keyring()
    for place in ("", "a file"):
        if place:
            empty.take(Source(place, lambda: ""))
        with pytest.raises(UnusableKeys, match="a new ledger needs"):
            empty.first()
