"""A program elsewhere, on the loopback: it is told of events, and answers as a test wants it to."""

import hmac
import ssl
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api.runtime.clock import Clock
from tests.patience import PATIENCE_S

ELSEWHERE = "/elsewhere"


@dataclass
class Receiver:
    """What came, and with which statuses it is answered: in this order, then with 200."""

    url: str = ""
    came: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int | str] = field(default_factory=list)
    retry_after: list[str] = field(default_factory=list)
    """What is said of when to come again, with the statuses that are numbers."""
    stops: threading.Event = field(default_factory=threading.Event)
    """Who is answered `never` waits for it."""

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.came]


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """It, as long as it is needed; behind TLS, if that is said."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.came.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            answer = receiver.answers.pop(0) if receiver.answers else 200
            match answer:
                case "never":
                    receiver.stops.wait(PATIENCE_S)
                case "crumbs":  # a header that has no end
                    self.wfile.write(b"HTTP/1.1 ")
                    receiver.stops.wait(PATIENCE_S)
                case "noise":
                    self.wfile.write(b"220 mail.example ESMTP\r\n")
                case "interim":
                    hint = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                    self.wfile.write(hint + b"HTTP/1.1 204 No Content\r\n\r\n")
                case "huge":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                    try:
                        while not receiver.stops.is_set():
                            self.wfile.write(bytes(65_536))
                    except OSError:
                        receiver.stops.set()  # Nobody reads it.
                case int(status):
                    self.send_response(status)
                    if receiver.retry_after:
                        self.send_header("Retry-After", receiver.retry_after.pop(0))
                    self.send_header("Location", f"http://{self.headers['host']}{ELSEWHERE}")
                    self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    host = "http://127.0.0.1" if tls is None else "https://localhost"
    receiver.url = f"{host}:{server.server_port}/hook"
    try:
        yield receiver
    finally:
        receiver.stops.set()
        server.shutdown()
        server.server_close()


def certified(place: Path) -> Path:
    """A certificate and its key for localhost, in one file, which nobody trusts."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    today = Clock().now()
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        .sign(key, SHA256())
    )
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = place / "localhost.pem"
    file.write_bytes(key.private_bytes(*form) + made.public_bytes(Encoding.PEM))
    return file


def verified(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """As the specification of Standard Webhooks 1.0 has it, and no code of ours."""
    stamp = headers["webhook-timestamp"]
    if abs(Clock().now().timestamp() - int(stamp)) > 300:
        return False
    key = b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = headers["webhook-id"] + "." + stamp + "." + body.decode()
    wanted = b64encode(hmac.new(key, signed.encode(), sha256).digest()).decode()
    given = [each.split(",", 1) for each in headers["webhook-signature"].split(" ")]
    return any(v == "v1" and hmac.compare_digest(s, wanted) for v, s in given)
