"""Tokens of another issuer: by its keys as they are, for us, in time; and who forges them."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from api.http.server import issuers, tokens
from api.http.server.issuers import SKEW_S, keys_of
from api.runtime.clock import Clock
from tests.api.running import asked
from tests.ledger.facts import command, executed

KEY, NEXT = ECKey.generate_key("P-256", {"kid": "k1"}), ECKey.generate_key("P-256", {"kid": "k2"})
RSA = RSAKey.generate_key(2048, {"kid": "r1"})
ISSUER, AUDIENCE = "https://id.example", "clubledger"


def claims(**more: Any) -> dict[str, Any]:
    now = int(Clock().now().timestamp())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "li", "exp": now + 300, "iat": now, **more}


def signed(key: Any = KEY, alg: str = "ES256", header: Any = None, **more: Any) -> str:
    said = {"alg": alg, "kid": key.kid, **(header or {})}
    return jwt.encode(said, claims(**more), key, algorithms=[alg])


def publish(path: Path, *keys: Any, also: tuple[Any, ...] = ()) -> None:
    told = [*(key.as_dict(private=False) for key in keys), *also]
    path.write_text(json.dumps({"keys": told}))


def ask(dsn: str, path: Path, story: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Tell a story to an application that takes tokens by the keys of this file."""

    async def told() -> None:
        said: Any = {"token_issuer": ISSUER, "token_audience": AUDIENCE, "token_keys": str(path)}
        async with asked(dsn, **said) as client:
            await story(client)

    asyncio.run(told())


async def status(client: httpx.AsyncClient, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return (await client.get("/roles", headers=headers)).status_code


def unsigned(head: dict[str, Any], signature: str = "", **more: Any) -> str:
    parts = [json.dumps(each).encode() for each in (head, claims(**more))]
    told = [base64.urlsafe_b64encode(each).rstrip(b"=").decode() for each in parts]
    return ".".join([*told, signature])


def test_a_token_says_who_it_is_and_the_ledger_what_he_may(ledger_dsn: str, tmp_path: Path) -> None:
    executed(ledger_dsn, command("user.add", user_id="li"))
    executed(ledger_dsn, command("user.grant", user_id="li", role_id="administrator"))
    path = tmp_path / "keys.json"
    symmetric: Any = {"kty": "oct", "kid": "s1", "k": "c2VjcmV0LXRoYXQtZXZlcnlib2R5LWNhbi1yZWFk"}
    publish(path, KEY, RSA, also=(symmetric, {"kty": "AKP", "kid": "pq"}, {"kty": "EC"}))
    now = int(Clock().now().timestamp())
    public = json.dumps(KEY.as_dict(private=False)).encode()
    good = signed()
    head, body, signature = good.split(".")
    other = signed(sub="wang").split(".")[1]
    forged = {
        "expired": signed(exp=now - SKEW_S - 1),
        "not yet": signed(nbf=now + SKEW_S + 60),
        "from the future": signed(iat=now + SKEW_S + 60),
        "for ever": jwt.encode({"alg": "ES256", "kid": "k1"}, {**claims(), "exp": None}, KEY),
        "for another": signed(aud="another"),
        "for nobody": signed(aud=None),
        "by another": signed(iss="https://id.example.net"),
        "of nobody": signed(sub=None),
        "of no user": signed(sub="nobody"),
        "of a list": signed(sub=["li"]),
        "of a stream": signed(sub="li:x"),
        "of the first": signed(sub="-"),
        "none": unsigned({"alg": "none"}),
        "None": unsigned({"alg": "None", "kid": "k1"}),
        "none, signed": unsigned({"alg": "none", "kid": "k1"}, signature),
        "no algorithm": unsigned({"kid": "k1"}, signature),
        "another body": f"{head}.{other}.{signature}",
        "no signature": f"{head}.{body}.",
        "cut": f"{head}.{body}.{signature[:-4]}",
        "by a stranger": signed(ECKey.generate_key("P-256", {"kid": "k1"})),
        "by an unknown key": signed(NEXT),
        "by its own key": signed(NEXT, header={"jwk": NEXT.as_dict(private=False)}),
        "by keys that it points to": signed(NEXT, header={"jku": "https://id.example.net/keys"}),
        "by a certificate elsewhere": signed(NEXT, header={"x5u": "https://id.example.net/x5u"}),
        "by hmac of the public key": signed(OctKey.import_key(public, {"kid": "k1"}), "HS256"),
        "by a published secret": signed(OctKey.import_key(symmetric), "HS256"),
        "by another kind": unsigned({"alg": "RS256", "kid": "k1"}, signature),
        "by another curve": unsigned({"alg": "ES384", "kid": "k1"}, signature),
        "critical": unsigned({"alg": "ES256", "kid": "k1", "crit": ["x"], "x": 1}, signature),
        "a list": ".".join([base64.urlsafe_b64encode(b"[]").decode().rstrip("="), body, signature]),
        "deep": ".".join([base64.urlsafe_b64encode(b"[" * 6000).decode(), body, signature]),
        "nothing": "..",
        "no base64": "é.é.é",
    }

    async def story(client: httpx.AsyncClient) -> None:
        assert await status(client, good) == 200
        assert await status(client, signed(RSA, "RS256", aud=[AUDIENCE, "other"])) == 200
        assert await status(client, signed(exp=now - SKEW_S + 30)) == 200  # clocks differ
        headers = {"Authorization": f"Bearer {good}", "Idempotency-Key": "t"}
        done = await client.post("/users", json={"user_id": "wang"}, headers=headers)
        assert done.status_code == 201
        refused = await client.get("/clubs", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
        for what, token in forged.items():
            sent = [(b"authorization", f"Bearer {token}".encode())]
            answer = await client.get("/roles", headers=sent)
            assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), what

    ask(ledger_dsn, path, story)


def test_keys_change_and_what_was_let_in_by_the_old_is_out(
    ledger_dsn: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(tokens, "SOONER_S", 0.0)
    executed(ledger_dsn, command("user.add", user_id="li"))
    executed(ledger_dsn, command("user.grant", user_id="li", role_id="administrator"))
    path = tmp_path / "keys.json"

    async def story(client: httpx.AsyncClient) -> None:
        old, new = signed(), signed(NEXT)
        assert await status(client, old) == 401  # no key is there yet
        publish(path, KEY)
        assert await status(client, old) == 200
        publish(path, KEY, NEXT)
        assert await status(client, new) == 200
        assert await status(client, old) == 200
        path.write_text("{")  # what cannot be read changes nothing
        assert await status(client, signed(NEXT, jti="another")) == 200
        publish(path, NEXT)
        transport: Any = client._transport
        access = transport.app.state.house.access
        monkeypatch.setattr(tokens, "READ_AGAIN_S", 0.0)
        access._tokens.keep()
        await access._tokens._keeping
        await access.learn()
        assert await status(client, signed(KEY, jti="another")) == 401
        assert await status(client, old) == 401
        assert await status(client, new) == 200
        await asyncio.to_thread(executed, ledger_dsn, command("user.disable", user_id="li"))
        await access.learn()
        assert await status(client, new) == 401

    ask(ledger_dsn, path, story)


def test_keys_are_read_from_elsewhere_by_https_alone_and_no_secret_is_one() -> None:
    for where in ("http://id.example/keys", "http://127.0.0.1.id.example/keys"):
        with pytest.raises(OSError, match="https"):
            issuers.read(where)
    secret = {"keys": [{"kty": "oct", "k": "eA"}]}
    assert not keys_of(json.dumps(secret).encode())
    assert isinstance(keys_of(b'{"keys": []}'), KeySet)
