"""`keys`: what wraps the keys of persons, another one in its place, what to do if it is lost."""

import time
from dataclasses import asdict
from secrets import token_hex
from typing import Any

from psycopg import Connection

from api.cli.terminal import output
from api.cli.terminal.looking import refusable
from api.runtime.failures import CannotOpen
from api.runtime.keys import source_of
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger import rotation
from ledger.database import connect, meta
from ledger.keyring import KEY_BYTES, KEYRING


def show(settings: Settings, as_json: bool) -> int:
    """Which keys the ledger needs, and which are here."""
    with opened(settings) as database, connect(database.dsn) as connection:
        usage, place = rotation.usage(connection), source_of(settings).place
    if as_json:
        output.tell({"place": place, "keys": [asdict(each) for each in usage]})
        return 0
    output.say(f"keys come from {place}")
    for each in usage:
        said = [f"wraps {each.persons:,} persons' keys", "" if each.here else "is not here"]
        if each.wraps:
            said.insert(0, "wraps what is new")
        elif not each.persons:
            said = ["is not needed"]
        output.say(f"{each.key_id}  {', '.join(filter(None, said))}")
    return 0


def new(as_json: bool) -> int:
    """Print a key."""
    key = token_hex(KEY_BYTES)
    if as_json:
        output.tell({"key": key})
    else:
        output.say(key)
    return 0


def rotate(settings: Settings, to: str | None, as_json: bool) -> int:
    """Let another key wrap, and wrap with it whatever another one does."""
    begun = time.monotonic()
    with (
        opened(settings) as database,
        connect(database.dsn) as connection,
        refusable(),
        output.steps() as steps,
    ):
        if not rotation.begin(connection):
            raise CannotOpen("Another `keys rotate` is under way.")
        before, cut = meta(connection)["kek"], _under_others(connection)
        after = to or (before if cut else _another(settings, before))
        if not KEYRING.holds(after):
            raise CannotOpen(f"The key {after} is not in {KEYRING.place}.")
        if after != before:
            rotation.switch(connection, after)
        steps.begin("wrapping anew", _under_others(connection))
        done = rotation.rewrap(connection, steps.advance)
    took_s = round(time.monotonic() - begun, 2)
    if as_json:
        told = {"before": before, "after": after, "persons": done, "took_s": took_s}
        output.tell(told)
        return 0
    output.say(f"{after} wraps what is new, and the keys of {done:,} persons as well ({took_s} s)")
    if after != before:
        output.note(
            f"The ledger needs {before} no more. Backups from before do: as long as one of them is"
            f" to be read, keep that key apart; then remove it from {source_of(settings).place}."
        )
    return 0


def _under_others(connection: Connection[Any]) -> int:
    """How many persons' keys another key wraps than that which wraps what is new."""
    return sum(each.persons for each in rotation.usage(connection) if not each.wraps)


def _another(settings: Settings, before: str) -> str:
    """The key behind the one that wraps; in the file of the data directory it is made."""
    source = source_of(settings)
    if not (behind := _behind(before)) and source.keep is not None:
        source.keep(token_hex(KEY_BYTES))
        behind = _behind(before)
    if not behind:
        raise CannotOpen(
            f"Behind {before} there is no key in {source.place}: let every process have one, of"
            " `clubledger keys new`, and then rotate."
        )
    return behind[0]


def _behind(key_id: str) -> list[str]:
    known = KEYRING.known()
    return known[known.index(key_id) + 1 :]


def give_up(settings: Settings, as_json: bool) -> int:
    """Delete what cannot be read any more, since its key is lost."""
    with opened(settings, give_up=True) as database, connect(database.dsn) as connection:
        now = meta(connection)["kek"]
    if as_json:
        output.tell({"wraps": now})
    else:
        output.say(f"{now} wraps what is new; names and numbers can be told anew")
    return 0
