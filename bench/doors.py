"""What it costs to say who is asking: the same visits by an API key, by a signed token, without."""

import asyncio
import json
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from api.runtime.clock import Clock
from bench.ground import Ground
from bench.http import ours, serving, wrk
from bench.parts import Subject, part
from bench.words import FaultError
from domain.catalogue import COMMANDS
from ledger import credentials
from ledger.database import connect, meta
from ledger.log.batcher import Ledger

ISSUER, AUDIENCE, WHO, ROLE = "https://id.bench", "clubledger", "bench", "manager"
HOLDS = timedelta(days=1)


def told(dsn: str, *said: tuple[str, dict[str, Any]]) -> None:
    """Have commands carried out, each once, by the clock of the ledger."""
    with connect(dsn) as connection:
        clock = Clock.of(meta(connection))

    async def execute() -> None:
        async with Ledger(dsn, now=clock.now) as ledger:
            for number, (name, fields) in enumerate(said):
                key = f"bench-{name}-{number}"
                await ledger.execute(COMMANDS[name](key=key, actor=f"system:{WHO}", **fields))

    asyncio.run(execute())


def key_of(dsn: str) -> str:
    """An API key of this ledger."""
    told(dsn, ("apikey.issue", {"api_key_id": WHO, "role_id": ROLE}))
    with connect(dsn) as connection:
        made = credentials.mint(connection, credentials.holder_of(WHO), 1)
    if made is None:
        raise FaultError("there was a key already")
    return made


def token_of(key: ECKey, now: datetime) -> str:
    """A token of an issuer for the user whom it names."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": WHO, "exp": int((now + HOLDS).timestamp())}
    return jwt.encode({"alg": "ES256", "kid": key.kid}, said, key)


@part("doors", arena="http")
def doors(ground: Ground, stack: ExitStack) -> list[Subject]:
    """What a key and a token cost: visits with an API key, with a signed token, and without."""
    wrk()
    without, with_key, with_token = (ground.members(stack) for _ in range(3))
    bearer = f"Bearer {key_of(with_key)}"
    told(
        with_token,
        ("user.add", {"user_id": WHO}),
        ("user.grant", {"user_id": WHO, "role_id": ROLE}),
    )
    signer = ECKey.generate_key("P-256", {"kid": WHO})
    published = ground.scratch / "keys.json"
    published.write_text(json.dumps({"keys": [signer.as_dict(private=False)]}), "utf-8")
    issued = {"token_issuer": ISSUER, "token_audience": AUDIENCE, "token_keys": str(published)}
    signed = f"Bearer {token_of(signer, Clock().now())}"
    title = "visits over HTTP, 32 connections, "
    open_one = serving(ground, stack, "ours", without)
    keyed = serving(ground, stack, "ours", with_key)
    issuing = serving(ground, stack, "ours", with_token, settings=issued)
    return [
        ours("http.anybody.c32", f"{title}nobody says who he is", ground, open_one, 32),
        ours(
            "http.key.c32", f"{title}by an API key", ground, keyed, 32,
            beside="http.anybody.c32", who=bearer,
        ),
        ours(
            "http.token.c32", f"{title}by a signed token", ground, issuing, 32,
            beside="http.anybody.c32", who=signed,
        ),
    ]  # fmt: skip
