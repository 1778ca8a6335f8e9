"""Settings: what the environment says, unless the command line says otherwise."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ledger.embedded import default_data_dir

SESSION = ("PGCLIENTENCODING", "PGDATESTYLE", "PGGEQO", "PGOPTIONS", "PGTZ")
"""What libpq would have said in our sessions, after and over what we say ourselves."""


def _named(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise ValueError("it is empty")
    return value


def _plain(value: str) -> str:
    if not value.isprintable():
        raise ValueError("it holds a line break, or what is no text")
    return value


def _usable(path: Path) -> Path:
    _plain(str(path))
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"there is no home directory for {path.parts[0]}") from None


def _networks(value: str) -> str:
    for each in filter(None, value.split(",")):
        ip_network(each.strip())  # ValueError
    return value


_SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""What prometheus-client looks for when it is imported."""

HostPort = Annotated[int, Field(ge=0, le=65535)]


class Settings(BaseSettings):
    """Each field is `CLUBLEDGER_` and its name in capitals in the environment; empty is unset."""

    model_config = SettingsConfigDict(
        env_prefix="CLUBLEDGER_", env_ignore_empty=True, extra="ignore", frozen=True
    )

    database_url: SecretStr | None = Field(
        None, description="a PostgreSQL of your own, 15 or later, instead of the embedded one"
    )
    database_password_file: Annotated[Path, AfterValidator(_usable)] | None = Field(
        None, description="a file that holds the password of its user, beside the address"
    )
    data_dir: Annotated[Path, AfterValidator(_usable), BeforeValidator(_named)] = Field(
        default_factory=default_data_dir,
        validate_default=True,
        description="where the embedded PostgreSQL keeps its data",
    )
    buckets: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="lanes of the log, fixed when the ledger is first installed"
    )
    zone: Annotated[str, AfterValidator(_plain), BeforeValidator(_named)] | None = Field(
        None,
        description="whose days, months and hours are the programme's (Asia/Shanghai unless"
        " said), fixed likewise",
    )
    tiers: Annotated[str, AfterValidator(_plain), BeforeValidator(_named)] | None = Field(
        None,
        description="the codes of the programme's tiers by commas, highest first (diamond, gold,"
        " silver, member unless said), fixed likewise; others may be added between them. A code may"
        " have titles for pages and files, Chinese and English, which may change: `gold=金卡/Gold`",
    )
    phones: Annotated[str, AfterValidator(_plain), BeforeValidator(_named)] | None = Field(
        None,
        description="how the programme's country writes its phone numbers: its code, the digit"
        " before an area code if there is one, how many digits follow (`+86 0 10-11` unless said,"
        " in Germany `+49 0 7-11`), fixed likewise",
    )
    host: Annotated[str, AfterValidator(_plain), BeforeValidator(_named)] = Field(
        "127.0.0.1", description="the address that `serve` listens on"
    )
    port: HostPort = Field(8000, description="the port that `serve` listens on; 0 takes a free one")
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="processes that `serve` answers with"
    )
    read_connections: Annotated[int, Field(ge=1, le=100)] = Field(
        4, description="connections with which each worker of `serve` answers reads"
    )
    http_connections: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1000, description="the most connections that each worker of `serve` takes"
    )
    max_body_bytes: Annotated[int, Field(ge=1)] = Field(
        65_536, description="the longest request body that `serve` reads"
    )
    ready_lag_events: Annotated[int, Field(ge=0)] = Field(
        100_000, description="the most events that the answers may lack while `/readyz` is green"
    )
    ready_free_mb: Annotated[int, Field(ge=0)] = Field(
        512,
        description="how much of the data directory's disk must be free while `/readyz` is green",
    )
    webhook_networks: Annotated[str, AfterValidator(_networks)] = Field(
        "",
        description="private networks that webhooks may reach, by commas, such as 10.1.0.0/16;"
        " elsewhere they go to public addresses alone, by TLS",
    )
    access_log: bool = Field(
        False, description="`serve` tells each answer on stderr: a line, or an object with `--json`"
    )
    traces: bool = Field(
        False,
        description="requests and commands are traced by OpenTelemetry, to where its own variables"
        " say (`pip install clubledger[otel]`)",
    )
    keys: SecretStr | None = Field(
        None,
        description="the key-encryption keys themselves, that of a new ledger first, each 64"
        " hexadecimal digits, by commas",
    )
    keys_command: Annotated[str, AfterValidator(_plain)] | None = Field(
        None, description="a command that prints them instead, one a line; no shell reads it"
    )
    keys_file: Annotated[Path, AfterValidator(_usable)] | None = Field(
        None, description="a file that holds them instead; else `keys` in the data directory"
    )
    tls_in_front: bool = Field(
        False,
        description="something in front of `serve` speaks TLS, so that keys do not travel in the"
        " open: without it only this machine itself is listened to",
    )
    token_issuer: Annotated[str, AfterValidator(_plain)] | None = Field(
        None, description="whose signed tokens are taken for who is asking (`iss`)"
    )
    token_audience: Annotated[str, AfterValidator(_plain)] | None = Field(
        None, description="for whom such a token has to be (`aud`)"
    )
    token_keys: Annotated[str, AfterValidator(_plain)] | None = Field(
        None,
        description="where the issuer's keys are (JWKS): an address by https, or a file; tokens are"
        " taken when all three are said",
    )
    token_user: Annotated[str, AfterValidator(_plain)] = Field(
        "sub", description="the claim of a token that is the id of a user here"
    )
    oidc_issuer: Annotated[str, AfterValidator(_plain)] | None = Field(
        None,
        description="the identity provider (OpenID Connect) that people may sign in at: its"
        " address, as it calls itself",
    )
    oidc_client_id: Annotated[str, AfterValidator(_plain)] | None = Field(
        None, description="what this server is called there, and for whom its ID tokens have to be"
    )
    oidc_client_secret: SecretStr | None = Field(
        None, description="the secret of this server there, if it has one"
    )
    oidc_client_secret_file: Annotated[Path, AfterValidator(_usable)] | None = Field(
        None, description="a file that holds it instead"
    )
    oidc_user: Annotated[str, AfterValidator(_plain)] = Field(
        "sub", description="the claim of its ID tokens that is the id of a user here"
    )
    public_address: Annotated[str, AfterValidator(_plain)] | None = Field(
        None,
        description="where browsers find this server, such as https://clubs.example: the provider"
        " sends them back there, to `/sign-in/return`",
    )
    traceback: bool = Field(
        False, description="show where an unexpected error came from, for developers"
    )

    @property
    def networks_of_webhooks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The private networks that webhooks may reach."""
        said = filter(None, self.webhook_networks.split(","))
        return tuple(ip_network(each.strip()) for each in said)


def is_utf_8(text: str) -> bool:
    """Python carries what it could not read as halves of characters."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def illegible() -> list[str]:
    """The names of settings in the environment whose values are no UTF-8."""
    ours = Settings.model_config["env_prefix"]
    found = os.environ.items()
    return [name for name, value in found if name.startswith(ours) and not is_utf_8(value)]


def unknown() -> list[str]:
    """Names in the environment that begin as ours do and are no setting."""
    ours = Settings.model_config["env_prefix"]
    known = {f"{ours}{name}".upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(ours) and name not in known)


def quieten_libpq(*, embedded: bool) -> None:
    """Take out of the environment what libpq, here and in our children, is not to hear.

    How a PostgreSQL of the user's own is reached is the user's to say (`PGPASSWORD`,
    `PGSSLROOTCERT`); what our sessions mean is not. About the embedded server the user knows
    nothing: some of it (`PGSERVICE`) no connection string could overrule.
    """
    for name in [name for name in os.environ if name.startswith("PG")]:
        if embedded or name in SESSION:
            del os.environ[name]


@contextmanager
def sharing_metrics(directory: str) -> Iterator[None]:
    """Within, processes that are started keep their metrics in files there."""
    os.environ[_SHARED] = directory
    try:
        yield
    finally:
        del os.environ[_SHARED]


def shares_metrics() -> bool:
    """Whether this process was started so."""
    return _SHARED in os.environ
