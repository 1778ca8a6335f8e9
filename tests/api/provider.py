"""A small identity provider (OpenID Connect), as a process of its own: it lets in whom it is told
to, checks what a provider has to check, and lies when it is told to.

    python -m tests.api.provider      prints its address, and ends with its stdin
"""

import json
import sys
import threading
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from secrets import token_hex
from subprocess import PIPE, Popen
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from api.runtime.clock import Clock
from tests.patience import PATIENCE_S

CLIENT_ID, SECRET = "clubledger", "a secret: of ours/+"
KEYS = {name: ECKey.generate_key("P-256", {"kid": name}) for name in ("k1", "k2")}
STRANGER = ECKey.generate_key("P-256", {"kid": "k1"})


class Told:
    """How it is told to be: as a provider should, at first."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"sub": "li"}
        """Of its ID tokens, over those that are right."""
        self.answer: dict[str, str] = {}
        """What it sends a browser back with, over what is right."""
        self.metadata: dict[str, Any] = {}
        self.key, self.published, self.alg = "k1", ["k1"], "ES256"
        self.sloppy = False
        """It takes a code as often as it comes, from whomever."""
        self.codes: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []


class Provider(BaseHTTPRequestHandler):
    """Its pages."""

    told = Told()
    issuer = ""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        self.told.asked.append(path)
        if path == "/.well-known/openid-configuration":
            self._say(self._metadata())
        elif path == "/keys":
            keys = [KEYS[name].as_dict(private=False) for name in self.told.published]
            self._say({"keys": keys})
        elif path == "/asked":
            self._say(self.told.asked)
        elif path == "/authorize":
            self._authorize(dict(parse_qsl(query)))
        else:
            self._say({}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/tell":
            type(self).told = Told()
            self.told.__dict__.update(json.loads(body))
            self._say({})
        elif self.path == "/token":
            self._token(dict(parse_qsl(body.decode())))
        else:
            self._say({}, 404)

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    # -------------------------------------------------------------------------------------------
    def _metadata(self) -> dict[str, Any]:
        here = self.issuer
        return {
            "issuer": here,
            "authorization_endpoint": f"{here}/authorize",
            "token_endpoint": f"{here}/token",
            "jwks_uri": f"{here}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "authorization_response_iss_parameter_supported": True,
            **self.told.metadata,
        }

    def _authorize(self, asked: dict[str, str]) -> None:
        right = {"response_type": "code", "client_id": CLIENT_ID, "code_challenge_method": "S256"}
        if {name: asked.get(name) for name in right} != right or "openid" not in asked["scope"]:
            self._say({"error": "invalid_request"}, 400)
            return
        code = f"{token_hex(8)}+/="
        self.told.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.issuer, **self.told.answer}
        said = {name: value for name, value in back.items() if value}
        self.send_response(303)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode(said)}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _token(self, asked: dict[str, str]) -> None:
        basic = b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        found = self.told.codes.get if self.told.sloppy else self.told.codes.pop
        begun = found(asked.get("code", ""), None)
        verifier = sha256(asked.get("code_verifier", "").encode()).digest()
        challenge = urlsafe_b64encode(verifier).decode().rstrip("=")
        if begun is None or (
            not self.told.sloppy
            and (
                self.headers["authorization"] != f"Basic {basic}"
                or begun["code_challenge"] != challenge
                or begun["redirect_uri"] != asked.get("redirect_uri")
            )
        ):
            self._say({"error": "invalid_grant"}, 400)
            return
        now = int(Clock().now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": begun.get("nonce"),
            "auth_time": now,
            **self.told.claims,
        }
        token = signed({name: each for name, each in claims.items() if each is not None}, self.told)
        self._say({"access_token": "a", "token_type": "Bearer", "id_token": token})

    def _say(self, said: Any, status: int = 200) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def signed(claims: dict[str, Any], told: Told) -> str:
    """An ID token, as it is told to make them."""
    key: Any = STRANGER if told.key == "stranger" else KEYS[told.key]
    head = {"alg": told.alg, "kid": key.kid}
    if told.alg == "none":
        parts = [json.dumps(each).encode() for each in (head, claims)]
        said = [urlsafe_b64encode(each).decode().rstrip("=") for each in parts]
        return ".".join([*said, ""])
    if told.alg == "HS256":
        public = json.dumps(key.as_dict(private=False)).encode()
        key = OctKey.import_key(public, {"kid": key.kid})
    return jwt.encode(head, claims, key, algorithms=[told.alg])


class Running:
    """It, from outside."""

    def __init__(self, address: str) -> None:
        self.address = address

    def tell(self, **how: Any) -> None:
        """Let it be so from now on, and otherwise as it should."""
        httpx.post(f"{self.address}/tell", json=how, timeout=PATIENCE_S).raise_for_status()

    def asked(self) -> list[str]:
        """The paths that were asked of it since it was told how to be."""
        found: list[str] = httpx.get(f"{self.address}/asked", timeout=PATIENCE_S).json()
        return found


@contextmanager
def running() -> Iterator[Running]:
    """It, in a process of its own."""
    command = [sys.executable, "-m", "tests.api.provider"]
    with Popen(command, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield Running(process.stdout.readline().decode().strip())
        process.stdin.close()


def main() -> None:
    """Serve until stdin ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    Provider.issuer = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{Provider.issuer}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
