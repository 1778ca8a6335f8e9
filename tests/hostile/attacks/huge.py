"""Requests without measure: headers, trailers, addresses and bodies of many megabytes."""

from tests.hostile.attacks.lines import Target, line, many, push
from tests.hostile.world import VICTIM

ATTACKERS = 8
MOST_BYTES = 24 << 20
POST = f"POST /v1/members/{VICTIM}/visits HTTP/1.1\r\nHost: h\r\nIdempotency-Key: huge\r\n".encode()
JSON = b"Content-Type: application/json\r\n"


async def attack(target: Target) -> None:
    """One of the kinds after the other, from several attackers."""
    await many(target, ATTACKERS, _one)


async def _one(target: Target, number: int) -> None:
    kinds = (
        (
            b"GET /livez HTTP/1.1\r\nHost: h\r\n",
            b"".join(b"X-%d: y\r\n" % n for n in range(4_000)),
        ),
        (b"GET /livez HTTP/1.1\r\nHost: h\r\nX: ", b"x" * 65_536),
        (POST + JSON + b"Content-Length: 10000000000\r\n\r\n", b" " * 65_536),
        (
            POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n",
            b"8000\r\n" + b" " * 32_768 + b"\r\n",
        ),
        (POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"T: " + b"y" * 1_000 + b"\r\n"),
        (POST + JSON + b"Transfer-Encoding: chunked\r\n\r\n1;", b"e" * 65_536),
        (b"GET /v1/members/", b"m" * 65_536),
        (b"GET /v1/events?after=", b"1" * 65_536),
    )
    begins, goes_on = kinds[(number + target.dice.randrange(len(kinds))) % len(kinds)]
    async with line(target) as (_, writer):
        writer.write(begins)
        await push(target, writer, goes_on, MOST_BYTES)
