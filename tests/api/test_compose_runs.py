"""What docker-compose.yml says runs: commands, environment and settings of its services, on the
embedded PostgreSQL, with other paths and ports, without docker; and the proxy, where there is a
Caddy (.ci/run installs one)."""

import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from ledger.database import connect
from ledger.embedded import EmbeddedServer
from tests.api.running import (
    REPOSITORY,
    clubledger,
    environment,
    started,
)
from tests.patience import PATIENCE_S, eventually
from tests.places import empty_directory

TEXT = (REPOSITORY / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
FIRST = re.search(
    r"docker compose run --build --rm \w+ (clubledger .*?)\n#   docker", TEXT, re.DOTALL
)
"""The command of its header that makes the first key."""
CADDY = shutil.which("caddy")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


class Stack:
    """Its services with paths and ports of our own."""

    def __init__(self, path: Path, database: EmbeddedServer) -> None:
        known = conninfo_to_dict(database.dsn)
        self.path, self.port = path, free_port()
        self.secret, self.keys = path / "database_password", path / "keys"
        self.secret.write_text(f"{known['password']}\n", "utf-8")
        self.keys.mkdir()
        url = f"postgresql://clubledger@/clubledger?host={quote(str(known['host']), safe='')}"
        self.instead = {
            "postgresql://clubledger@postgres/clubledger": f"{url}&port={known['port']}",
            "/run/secrets/database_password": str(self.secret),
            "/var/lib/clubledger": str(self.keys),
        }

    def environ(self, service: str) -> dict[str, Any]:
        """What a service has in its environment."""
        said: Mapping[str, str] = SERVICES[service]["environment"]
        ours = {"CLUBLEDGER_PORT": str(self.port), "CLUBLEDGER_KEYS": ""}
        return {**{name: self.instead.get(value, value) for name, value in said.items()}, **ours}

    @contextmanager
    def running(self, service: str) -> Iterator[subprocess.Popen[bytes]]:
        """It, until it is told to stop, as docker tells it; then it has ended well."""
        program, *words = SERVICES[service]["command"]
        assert program == "clubledger"
        process = started(*words, **self.environ(service))
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, said

    def healthy(self, service: str) -> bool:
        """What its check says."""
        kind, *check = SERVICES[service]["healthcheck"]["test"]
        assert kind == "CMD"
        words = [each.replace(":8000/", f":{self.port}/") for each in check]
        done = subprocess.run(words, env=environment(), capture_output=True, check=False)
        return done.returncode == 0

    @contextmanager
    def proxy(self) -> Iterator[httpx.Client]:
        """A client of the proxy, which trusts what that has made for itself."""
        site = f"localhost:{free_port()}"
        said = COMPOSE["configs"]["proxy"]["content"]
        said = said.replace("${CLUBLEDGER_SITE:-localhost}", site)
        said = said.replace("clubledger:8000", f"127.0.0.1:{self.port}")
        options = f"{{\n admin off\n http_port {free_port()}\n skip_install_trust\n}}\n"
        config, data = self.path / "Caddyfile", self.path / "certificates"
        config.write_text(options + said, "utf-8")
        root = data / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        environ = {**os.environ, "XDG_DATA_HOME": str(data), "XDG_CONFIG_HOME": str(self.path)}
        words = [str(CADDY), "run", "--config", str(config), "--adapter", "caddyfile"]
        with (self.path / "proxy.log").open("wb") as log:
            process = subprocess.Popen(words, env=environ, stdout=log, stderr=log)
        try:
            assert eventually(root.exists)
            trusted = ssl.create_default_context(cafile=str(root))
            with httpx.Client(
                base_url=f"https://{site}", verify=trusted, timeout=PATIENCE_S
            ) as client:
                assert eventually(lambda: answers(client))
                yield client
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


def answers(client: httpx.Client) -> bool:
    """Whether somebody is there."""
    try:
        return client.get("/sign-in").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """What compose starts, from the first command of its header on."""
    said = SERVICES["postgres"]["command"]
    assert said[0] == "postgres"
    settings = dict(each.split("=", 1) for each in said[2::2])
    with empty_directory() as path, ExitStack() as opened:
        path.chmod(0o711)  # PostgreSQL runs as somebody else
        database = opened.enter_context(EmbeddedServer(path / "postgres", settings))
        with connect(database.dsn) as connection:
            for name, value in settings.items():
                assert connection.execute(f"SHOW {name}".encode()).fetchone() == (value,)
        yield Stack(path, database)


def test_the_services_run_as_they_are_written_there(stack: Stack) -> None:
    assert FIRST is not None
    _, *first = shlex.split(FIRST[1].replace("\\\n#", ""))
    done = clubledger(*first, "--json", **stack.environ("clubledger"))
    assert done.code == 0, done.err
    key = {"Authorization": f"Bearer {done.json['token']}"}
    here = f"http://127.0.0.1:{stack.port}"
    with ExitStack() as services:
        services.enter_context(stack.running("clubledger"))
        assert eventually(lambda: listens(stack.port))
        assert eventually(lambda: stack.healthy("clubledger"))
        follower = services.enter_context(stack.running("project"))
        with httpx.Client(base_url=here, timeout=PATIENCE_S) as client:
            assert client.get("/v1/users").status_code == 401
            added = client.post(
                "/v1/users", json={"user_id": "li"}, headers={**key, "Idempotency-Key": "li"}
            )
            assert added.status_code == 201, added.json()
            assert client.get("/readyz").status_code == 200
        assert follower.poll() is None
        if CADDY is not None:
            proxy = services.enter_context(stack.proxy())
            assert proxy.get("/v1/users", headers=key).json()["users"][0]["user_id"] == "li"
            for path in ("/readyz", "/livez", "/metrics"):
                assert proxy.get(path).status_code == 404, "what is for operators only"
            shown = proxy.post("/v1/session", json={"user_id": "li", "password": "x"})
            assert shown.status_code == 401
    assert list(stack.keys.iterdir()), "the keys stand in their volume"
