"""docker-compose.yml is what the Compose Specification says, and asks for what exists here.

compose-spec.json is the schema of the Compose Specification, unchanged (LICENSE.compose-spec).
"""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from jsonschema import Draft202012Validator

from api.cli.commands import app
from api.runtime.settings import Settings
from ledger.embedded import home, settings

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("domain", "ledger", "projections", "demo", "api")
SCHEMA = Draft202012Validator(
    json.loads(Path(__file__).with_name("compose-spec.json").read_text("utf-8"))
)
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text("utf-8")

Compose = dict[str, Any]


@pytest.fixture
def compose() -> Compose:
    loaded: Compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text("utf-8"))
    return loaded


def complaints(document: object) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in SCHEMA.iter_errors(document)]


def test_compose_follows_its_specification(compose: Compose) -> None:
    assert not complaints(compose)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda services: services["postgres"].update(imagee="postgres:18"),
        lambda services: services["clubledger"].update(ports=8000),
        lambda services: services["project"]["depends_on"].update(postgres={"condition": "well"}),
        lambda services: services["postgres"]["healthcheck"].update(retries=[1]),
    ],
)
def test_the_alarm_rings(compose: Compose, spoil: Callable[[Any], None]) -> None:
    spoilt = copy.deepcopy(compose)
    spoil(spoilt["services"])
    assert complaints(spoilt)


def test_what_is_named_is_declared(compose: Compose) -> None:
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        assert {volume.split(":")[0] for volume in service["volumes"]} <= set(compose["volumes"])
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert {each["source"] for each in service.get("configs", ())} <= set(compose["configs"])
        for wanted in service.get("depends_on", ()):
            assert "healthcheck" in services[wanted]


def test_the_desk_is_open_to_this_machine_only(compose: Compose) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:8443:443"]


def test_what_is_acknowledged_is_on_the_disk(compose: Compose) -> None:
    command = compose["services"]["postgres"]["command"]
    assert {"fsync=on", "full_page_writes=on", "synchronous_commit=on"} <= set(command)


def test_its_write_ahead_log_is_kept_as_the_embedded_one_is(compose: Compose) -> None:
    postgres = compose["services"]["postgres"]
    assert postgres["environment"]["POSTGRES_INITDB_ARGS"] == f"--wal-segsize={home.SEGMENT_MB}"
    for name in ("min_wal_size", "max_wal_size"):
        assert f"{name}={settings.FIXED[name]}" in postgres["command"]


def test_passwords_come_from_files_that_are_no_part_of_the_repository(compose: Compose) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert name.endswith("_FILE")
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    ignored = (REPOSITORY / ".gitignore").read_text("utf-8").splitlines()
    for secret in compose["secrets"].values():
        assert secret["file"].startswith("./secrets/")
    assert "/secrets/" in ignored


def test_settings_and_commands_are_those_that_there_are(compose: Compose) -> None:
    known = {f"CLUBLEDGER_{name.upper()}" for name in Settings.model_fields}
    line: Any = typer.main.get_command(app)
    for name in ("clubledger", "project"):
        service = compose["services"][name]
        assert set(service["environment"]) <= known
        program, command, *words = service["command"]
        assert program == "clubledger"
        line.commands[command].make_context(command, words)


def test_the_image_holds_every_room_and_runs_as_nobody_special() -> None:
    assert tuple(re.findall(r"^COPY (\w+) \1$", DOCKERFILE, re.M)) == ROOMS
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.M) == ["clubledger"]
    kept = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
    assert {f"!{room}" for room in ROOMS} <= set(kept)


def test_the_image_installs_only_what_is_hashed() -> None:
    for line in re.findall(r"pip install .*", DOCKERFILE):
        assert "--require-hashes" in line or "--no-deps --no-build-isolation" in line
