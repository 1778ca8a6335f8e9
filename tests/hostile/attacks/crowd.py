"""More connections than the server has descriptors for, and nothing said on any of them."""

from tests.hostile.attacks.lines import Target, line, many

ATTACKERS = 2_500


async def attack(target: Target) -> None:
    """Stand there."""
    await many(target, ATTACKERS, _one)


async def _one(target: Target, _: int) -> None:
    async with line(target) as (reader, _writer):
        while not target.over() and not reader.at_eof():
            await target.rest(0.5)
    await target.rest(0.5)
