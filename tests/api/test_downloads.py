"""Downloads: one that fails, is dropped or stands still leaves nothing behind it."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.api.running import asked
from tests.projections.histories import furnished
from tests.projections.tables import filled

LOTS = 3_000
"""So many in one debit are more text than a cell of a spreadsheet holds."""


@pytest.fixture
def many_lots(installed: Callable[[int], str]) -> str:
    """A ledger whose m1 has spent thousands of lots at once."""
    world = furnished()
    for _ in range(LOTS):
        world.does("points.credit", member_id="m1", points=1, source="s", rule="r")
    world.does("points.debit", member_id="m1", points=LOTS, reason="all")
    return filled(installed(1), world.log)


def open_cursors() -> list[Any]:
    """Cursors of the server that somebody still holds open."""
    kinds = (psycopg.ServerCursor,)
    return [each for each in gc.get_objects() if type(each) in kinds and not each.closed]


def test_a_download_that_fails_midway_leaves_no_cursor(many_lots: str) -> None:
    """Who is left to the garbage collector is closed whenever it runs: in the midst of another
    question on the same connection, whose lock it then waits for, or in whose transaction it
    closes a cursor that is not there."""

    async def ask() -> None:
        async with asked(many_lots) as client:
            gc.disable()
            try:
                for _ in range(4):
                    answer = await client.get("/members/m1/statement?format=xlsx")
                    told = answer.json()
                    assert (answer.status_code, told["code"]) == (422, "too_large_a_sheet")
                    assert open_cursors() == []
            finally:
                gc.enable()
            whole = await client.get("/members/m1/statement?format=jsonl")
            assert len(whole.text.splitlines()) >= LOTS + 2

    asyncio.run(ask())
