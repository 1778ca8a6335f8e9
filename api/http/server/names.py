"""Names: whom somebody means by a part of a name, by its pinyin, or by the first letters of that.

Names are kept encrypted, each under a key of its own person (ADR 32), so what they are found by is
kept nowhere: each worker opens them when somebody first looks for one, holds them in its memory as
one text, and from then on opens those alone of whom something was told since. Whoever erases a
member takes him out of it at the next search.
"""

import asyncio
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from api.http.server.reads import Reads
from api.runtime.pinyin import initials, spelled
from ledger.log import persons
from projections.engine import runner
from projections.engine.connection import Conn

MOST_NAMES = 250_000
"""As many as a worker holds, some 230 bytes each; others are found by card and number alone."""
_BEFORE, _NAME, _END = "\x1f", "\x1e", "\n"
"""What stands before each thing that begins like what is typed, before the name, and behind it."""


class Held(NamedTuple):
    """All of it as it is searched: one text, where each member's part begins, and who it is."""

    text: str = ""
    starts: "array[int]" = array("L")
    ids: tuple[str, ...] = ()


class Index:
    """Members by their names, in memory."""

    def __init__(self) -> None:
        self._lines: dict[str, str] = {}
        self._held = Held()

    def __len__(self) -> int:
        return len(self._held.ids)

    def tell(self, names: Iterable[tuple[str, str | None]]) -> None:
        """Take in (member, name); null: nobody is called so any more."""
        for member_id, name in names:
            if name is None:
                self._lines.pop(member_id, None)
            elif member_id in self._lines or len(self._lines) < MOST_NAMES:
                self._lines[member_id] = _line(name)
        starts = accumulate(map(len, self._lines.values()), initial=0)
        # At once: whoever searches meanwhile goes on in what there was.
        self._held = Held("".join(self._lines.values()), array("L", starts), (*self._lines,))

    def found(self, said: str, most: int) -> list[str]:
        """The members whom this may mean, at most so many: those whom it means exactly first."""
        text, starts, ids = self._held
        found: dict[str, None] = {}

        def look_for(needles: Iterable[str]) -> None:
            for needle in needles:
                places = re.finditer(needle, text)
                while len(found) < most and (place := next(places, None)) is not None:
                    found[ids[bisect_right(starts, place.start()) - 1]] = None

        look_for(map(re.escape, _needles(said)))
        if read_as := _read_as(spelled(said)):
            look_for((read_as + _END, read_as))
        if not found and (begun_as := _read_as(spelled(said, begun=True))):
            look_for([begun_as])
        return [*found]


def _line(name: str) -> str:
    """What somebody is found by: first letters of the syllables, words, and the name itself."""
    plain = _plain(name)
    words = name.translate(_NO_MARKS).lower().split() if plain.isascii() else []
    begins = dict.fromkeys([*initials(name), *words, *([plain.lower()] if words[1:] else [])])
    return "".join(f"{_BEFORE}{each}" for each in begins) + f"{_NAME}{plain}{_END}"


def _needles(said: str) -> tuple[str, ...]:
    """What is looked for, the likeliest first: letters at the beginning of something; else all of a
    name, its beginning, any part."""
    plain = _plain(said)
    if not plain:
        return ()
    if plain.isascii():
        begins = f"{_BEFORE}{plain.lower()}"
        return f"{begins}{_BEFORE}", f"{begins}{_NAME}", begins
    return f"{_NAME}{plain}{_END}", f"{_NAME}{plain}", plain


def _read_as(spellings: Sequence[str]) -> str:
    """What is looked for where a name's syllables were typed, if they were: its beginning."""
    return f"{_NAME}(?:{'|'.join(spellings)})" if spellings else ""


def _plain(name: str) -> str:
    return "".join(name.translate(_NO_MARKS).split())


_NO_MARKS = dict.fromkeys(map(ord, f"{_BEFORE}{_NAME}{_END}"), " ")


class Names:
    """What a worker holds of them."""

    def __init__(self, reads: Reads, files: Reads) -> None:
        self._reads, self._files, self._index = reads, files, Index()
        self._upto: dict[int, int] = {}
        self._turn = asyncio.Lock()
        self._ahead: asyncio.Task[None] | None = None

    def learn_ahead(self) -> None:
        """Begin to take in what there is: whoever opens a page with a box will look for a name."""
        if self._ahead is None:
            self._ahead = asyncio.create_task(self.learn(), name="names")
            self._ahead.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def found(self, said: str, most: int) -> list[str]:
        """The members whom this may mean by the answers of now, at most so many."""
        await self.learn()
        return self._index.found(said, most)

    async def learn(self) -> None:
        """Take in what was told since: the first time, all names that there are."""
        async with self._turn:
            question = partial(_told_since, index=self._index, upto=self._upto)
            self._upto = await (self._reads if self._upto else self._files)(question)


def _told_since(conn: Conn, index: Index, upto: Mapping[int, int]) -> dict[int, int]:
    """Take in the names that were told since; up to where the answers are."""
    now = {lane.bucket: lane.position for lane in runner.status(conn)}
    if not upto:
        index.tell(persons.names(conn))
    elif now != upto:
        since = {"buckets": [*now], "after": [upto.get(bucket, 0) for bucket in now]}
        ids = [member_id for (member_id,) in conn.execute(_TOLD, since)]
        if ids:
            index.tell(persons.names(conn, ids))
    return now


_TOLD = """
    SELECT DISTINCT e.member_id
    FROM unnest(%(buckets)s::int[], %(after)s::bigint[]) a(bucket, after)
    CROSS JOIN LATERAL (
        SELECT member_id FROM member_joined t WHERE t.bucket = a.bucket AND t.position > a.after
        UNION ALL
        SELECT member_id FROM member_details_changed t
        WHERE t.bucket = a.bucket AND t.position > a.after
        UNION ALL
        SELECT member_id FROM member_erased t WHERE t.bucket = a.bucket AND t.position > a.after
    ) e
"""
