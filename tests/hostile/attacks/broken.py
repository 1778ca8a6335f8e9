"""What is no HTTP, or nearly: noise, smuggling, upgrades, trailers that claim to be somebody."""

import asyncio
from contextlib import suppress

from tests.hostile.attacks.lines import Target, line, many
from tests.hostile.world import CLUB, PRICE_POINTS, SERVICE, VICTIM

ATTACKERS = 6
FORGED = "supervisor:forged"
"""The actor that only a trailer names: it must never be in the log."""
BODY = (
    f'{{"club_id": "{CLUB}", "service_id": "{SERVICE}", "desk": "x", "confirm_repeat": true,'
    f' "shown_points": {PRICE_POINTS}}}'
).encode()
VISIT = (
    f"POST /v1/members/{VICTIM}/visits HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
    "Idempotency-Key: broken-{n}\r\n"
)
GET = b"GET /v1/members/" + VICTIM.encode() + b" HTTP/1.1\r\nHost: h\r\n"


def _chunked(n: int, trailers: bytes) -> bytes:
    head = VISIT.replace("{n}", str(n)).encode() + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(BODY), BODY, trailers)


def noise(number: int) -> list[bytes]:
    """Every kind, with keys of this number."""
    length = b"Content-Length: %d\r\n" % len(BODY)
    head = VISIT.replace("{n}", f"{number}-s").encode()
    return [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n" * 1_000,
        b"\0" * 1_000,
        GET + b"No colon\r\n\r\n",
        GET + b"X: a\r\n folded\r\n\r\n",
        GET + b"Content-Length: -1\r\n\r\n",
        GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        GET + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n",
        GET + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        head + length + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET + b"\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n",
        head + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        head + length + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + BODY,
        head + length + length + b"\r\n" + BODY,
        _chunked(number, b"Clubledger-Actor: " + FORGED.encode() + b"\r\n"),
        _chunked(number, b"Idempotency-Key: forged\r\nContent-Type: text/plain\r\n"),
        head.replace(b"POST", b"P\x80ST") + length + b"\r\n" + BODY,
        GET.replace(b"/v1/members", b"/v1/members/%00%ff/../..") + b"\r\n",
        GET + b"Clubledger-Actor: \xff\xfe\r\nClubledger-Actor: a:b\r\n\r\n",
    ]


async def attack(target: Target) -> None:
    """One after the other, in whole or cut off somewhere, read or not."""
    await many(target, ATTACKERS, _one)


async def _one(target: Target, number: int) -> None:
    said = target.dice.choice(noise(target.dice.randrange(10**9)))
    if target.dice.random() < 0.3:
        said = said[: target.dice.randrange(1, len(said))]
    async with line(target) as (reader, writer):
        writer.write(said)
        await writer.drain()
        if number % 2:
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(4_096), 0.3)
