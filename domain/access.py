"""Access: who may do what, and where. A role is data: scopes, each with how far it reaches; users
and API keys hold roles, for clubs or units of their own. No secret is here, nor in any event: the
ledger keeps their hashes apart.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, get_args

from msgspec import Struct, field
from pydantic import Field, StringConstraints

from domain.kernel.bounds import AtMost, TooMany, require_room
from domain.kernel.command import Command, Receipt, saying
from domain.kernel.event import Event
from domain.kernel.parts import part_of
from domain.kernel.refusal import Refusal
from domain.kernel.values import ClubId, Instant, UnitId

Scope = Literal[
    "access.read",
    "access.write",
    "bills.write",
    "bindings.write",
    "campaigns.enrol",
    "campaigns.read",
    "campaigns.write",
    "clubs.read",
    "clubs.write",
    "cohorts.write",
    "corrections.write",
    "figures.read",
    "lists.read",
    "log.read",
    "members.erase",
    "members.read",
    "members.unmask",
    "members.write",
    "points.write",
    "reports.write",
    "service.read",
    "service.write",
    "tiers.write",
    "units.write",
    "visits.undo",
    "visits.write",
    "webhooks.read",
    "webhooks.write",
    "whatif.ask",
]
"""What may be asked for: every door and question names one."""
Reach = Literal["all", "clubs", "units"]
"""How far a scope reaches: everywhere, or in the clubs or units of whom the role was given to."""
Scopes: TypeAlias = Mapping[str, str]

RoleId = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,16}$")]
"""The part of an actor before its colon."""
HolderId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
"""Of a user or an API key. No underscore: those tell the parts of a key as it is shown."""
Clubs = Annotated[tuple[ClubId, ...], Field(max_length=100)]
Units = Annotated[tuple[UnitId, ...], Field(max_length=100)]
OverlapHours = Annotated[int, Field(ge=0, le=24 * 30)]
InvitedHours = Annotated[int, Field(ge=1, le=24 * 30)]

SCOPES: tuple[Scope, ...] = get_args(Scope)
READS: tuple[Scope, ...] = tuple(s for s in SCOPES if s.endswith((".read", ".ask")))
OF_BUSINESS = [scope for scope in SCOPES if not scope.startswith("access.")]
AT_A_DESK: dict[str, str] = {
    "clubs.read": "all",
    "members.read": "all",
    "visits.undo": "clubs",
    "visits.write": "clubs",
}
IN_A_UNIT: dict[str, str] = {
    "bindings.write": "units",
    "campaigns.enrol": "units",
    "campaigns.read": "all",
    "clubs.read": "all",
    "members.read": "units",
}
BUILT_IN: dict[str, Scopes] = {
    "clerk": AT_A_DESK,
    "supervisor": {
        **AT_A_DESK,
        "clubs.write": "clubs",
        "corrections.write": "clubs",
        "members.unmask": "all",
    },
    "campaigner": IN_A_UNIT,
    "head": {
        **IN_A_UNIT,
        "corrections.write": "units",
        "figures.read": "all",
        "lists.read": "units",
        "members.unmask": "units",
        "members.write": "units",
    },
    "manager": dict.fromkeys(OF_BUSINESS, "all"),
    "auditor": dict.fromkeys((*READS, "members.unmask"), "all"),
    "administrator": dict.fromkeys(
        (
            *("access.read", "access.write", "members.erase"),
            *("service.read", "service.write", "webhooks.read", "webhooks.write"),
        ),
        "all",
    ),
    "integration": dict.fromkeys(
        ("bills.write", "clubs.read", "members.read", "members.write", "points.write"), "all"
    ),
}
"""The roles that every ledger has from the start. One that is defined under such a name replaces
it."""


# ------------------------------------------------------------------------------------ who may what
@dataclass(frozen=True, slots=True)
class Grant:
    """A role as somebody holds it."""

    role_id: str
    scopes: Scopes
    clubs: Collection[str] = ()
    units: Collection[str] = ()

    def reach(self, scope: str) -> str | None:
        """How far a scope reaches; None if it is not given."""
        return self.scopes.get(scope)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, as events name him, with the roles that he holds."""

    name: str
    grants: tuple[Grant, ...]

    def granted(self, scope: str) -> list[Grant]:
        """The roles that give him this scope, whatever their reach."""
        return [grant for grant in self.grants if grant.reach(scope) is not None]


# ------------------------------------------------------------------------------------------- parts
@part_of("role")
class Role(Struct, array_like=True, gc=False):
    """A role that was defined, perhaps to give nothing."""

    defined: bool = False
    scopes: Annotated[dict[str, str], AtMost(len(SCOPES))] = field(default_factory=dict)


@part_of("apikey")
class ApiKey(Struct, array_like=True, gc=False):
    """An API key: what it may, which of its secrets hold, and until when."""

    role_id: str = ""
    clubs: Annotated[list[str], AtMost(100)] = field(default_factory=list)
    units: Annotated[list[str], AtMost(100)] = field(default_factory=list)
    secret: int = 0
    """The number of the newest secret; the one before it holds until `overlap_until`."""
    overlap_until: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def secrets(self, now: datetime) -> list[int]:
        """The numbers of the secrets that open it at a time."""
        ended = self.revoked_at is not None or (self.expires_at and self.expires_at <= now)
        if not self.secret or ended:
            return []
        overlap = self.overlap_until is not None and now < self.overlap_until
        return [self.secret, self.secret - 1] if overlap else [self.secret]


class Held(Struct, array_like=True, gc=False):
    """A role as a user holds it."""

    clubs: Annotated[list[str], AtMost(100)] = field(default_factory=list)
    units: Annotated[list[str], AtMost(100)] = field(default_factory=list)


@part_of("user")
class User(Struct, array_like=True, gc=False):
    """A user and his roles. Disabled, he keeps them, and gets nowhere."""

    added_at: datetime | None = None
    disabled_at: datetime | None = None
    roles: Annotated[dict[str, Held], AtMost(16)] = field(default_factory=dict)
    invitation: int = 0
    """The number of his newest invitation; those before it hold no more."""
    invited_until: datetime | None = None

    @property
    def enters(self) -> bool:
        """Whether he may come in at all."""
        return self.added_at is not None and self.disabled_at is None

    def invited(self, now: datetime) -> int:
        """The number of the invitation that holds at a time; 0 if none does."""
        holds = self.enters and self.invited_until is not None and now < self.invited_until
        return self.invitation if holds else 0


# ------------------------------------------------------------------------------------------ events
class RoleDefined(Event, name="role.defined", stream="role"):
    """A role gives these scopes from now on."""

    scopes: dict[Scope, Reach]

    def apply(self, role: Role) -> None:
        role.defined = True
        role.scopes = {str(scope): str(reach) for scope, reach in self.scopes.items()}


class ApiKeyIssued(Event, name="apikey.issued", stream="apikey"):
    """A machine got a key of its own, with a role."""

    role_id: RoleId
    clubs: Clubs
    units: Units
    expires_at: Instant | None = None

    def apply(self, apikey: ApiKey) -> None:
        apikey.role_id, apikey.secret = self.role_id, 1
        apikey.clubs, apikey.units = list(self.clubs), list(self.units)
        apikey.expires_at = self.expires_at


class ApiKeyRotated(Event, name="apikey.rotated", stream="apikey"):
    """A key got another secret; the one before holds a while longer, and older ones no more."""

    overlap_until: Instant
    expires_at: Instant | None = None

    def apply(self, apikey: ApiKey) -> None:
        apikey.secret += 1
        apikey.overlap_until, apikey.expires_at = self.overlap_until, self.expires_at


class ApiKeyRevoked(Event, name="apikey.revoked", stream="apikey"):
    """A key opens nothing any more."""

    def apply(self, apikey: ApiKey) -> None:
        apikey.revoked_at = self.occurred_at


class UserAdded(Event, name="user.added", stream="user"):
    """Somebody may sign in; or may again."""

    def apply(self, user: User) -> None:
        user.added_at, user.disabled_at = self.occurred_at, None


class UserDisabled(Event, name="user.disabled", stream="user"):
    """A user may sign in no more, and his sessions end."""

    def apply(self, user: User) -> None:
        user.disabled_at = self.occurred_at


class UserInvited(Event, name="user.invited", stream="user"):
    """A user may choose a password, once, until then."""

    until: Instant

    def apply(self, user: User) -> None:
        user.invitation, user.invited_until = user.invitation + 1, self.until


class UserGranted(Event, name="user.granted", stream="user"):
    """A user holds a role, for these clubs and units."""

    role_id: RoleId
    clubs: Clubs
    units: Units

    def apply(self, user: User) -> None:
        user.roles[self.role_id] = Held(list(self.clubs), list(self.units))


class UserWithdrawn(Event, name="user.withdrawn", stream="user"):
    """A user holds a role no more."""

    role_id: RoleId

    def apply(self, user: User) -> None:
        user.roles.pop(self.role_id, None)


# ---------------------------------------------------------------------------------------- refusals
@dataclass
class UnknownRole(Refusal):
    """There is no such role."""

    code = "unknown_role"
    role_id: str


@dataclass
class UnknownApiKey(Refusal):
    """There is no such API key."""

    code = "unknown_api_key"
    api_key_id: str


@dataclass
class ApiKeyExists(Refusal):
    """There is an API key of that name already, or was: no name is given twice."""

    code = "api_key_exists"
    api_key_id: str


@dataclass
class ApiKeyIsRevoked(Refusal):
    """The API key is revoked, for good."""

    code = "api_key_is_revoked"
    revoked_at: datetime


@dataclass
class ExpiresTooSoon(Refusal):
    """It would have expired before it was given out."""

    code = "expires_too_soon"
    expires_at: datetime


@dataclass
class UnknownUser(Refusal):
    """There is no such user."""

    code = "unknown_user"
    user_id: str


@dataclass
class UserExists(Refusal):
    """There is a user of that name already."""

    code = "user_exists"
    user_id: str


@dataclass
class UserIsDisabled(Refusal):
    """The user is disabled already."""

    code = "user_is_disabled"
    disabled_at: datetime


@dataclass
class RoleNotHeld(Refusal):
    """The user does not hold this role."""

    code = "role_not_held"
    role_id: str


def scopes_of(role: Role, role_id: str) -> Scopes:
    """What a role gives; nothing, if there is none."""
    return role.scopes if role.defined else BUILT_IN.get(role_id, {})


def require_role(role: Role, role_id: str) -> None:
    """Refuses a role that was never defined."""
    if not role.defined and role_id not in BUILT_IN:
        raise UnknownRole(role_id)


def require_valid(apikey: ApiKey, api_key_id: str) -> None:
    """Refuses a key that is not there, or is no more."""
    if not apikey.secret:
        raise UnknownApiKey(api_key_id)
    if apikey.revoked_at is not None:
        raise ApiKeyIsRevoked(apikey.revoked_at)


def require_not_expired(expires_at: datetime | None, at: datetime) -> None:
    """Refuses an end that has come before the beginning."""
    if expires_at is not None and expires_at <= at:
        raise ExpiresTooSoon(expires_at)


# ---------------------------------------------------------------------------------------- commands
class DefineRole(Command):
    """Say what a role may do, and how far each scope reaches: in `all`, in the `clubs` or in the
    `units` of whom it is given to. It holds for everybody who has it."""

    command: Literal["role.define"] = "role.define"
    writes: ClassVar[dict[str, str]] = {"role": "role_id"}
    example = saying(role_id="desk", scopes={"visits.write": "clubs", "members.read": "all"})
    role_id: RoleId
    scopes: Annotated[dict[Scope, Reach], Field(max_length=len(SCOPES))]

    def decide(self, at: datetime, role: Role) -> list[Event]:
        return [self.event(RoleDefined, at, scopes=self.scopes)]


class SecretReceipt(Receipt):
    """Which secret of the key is the newest."""

    secret: int


class ApiKeyCommand(Command):
    """Of an API key."""

    writes: ClassVar[dict[str, str]] = {"apikey": "api_key_id"}
    api_key_id: HolderId


class IssueApiKey(ApiKeyCommand):
    """Give a machine a key of its own, with a role, for clubs or units. Its secret is shown once,
    by this answer alone, and only its hash is kept."""

    command: Literal["apikey.issue"] = "apikey.issue"
    reads: ClassVar[dict[str, str]] = {"role": "role_id"}
    refuses = (ApiKeyExists, UnknownRole, ExpiresTooSoon)
    example = saying(api_key_id="desk-1", role_id="clerk", clubs=["health"])
    role_id: RoleId
    clubs: Clubs = Field((), description="where scopes reach that are for clubs")
    units: Units = Field((), description="where scopes reach that are for units")
    expires_at: Instant | None = Field(None, description="null: it holds until it is revoked")

    def decide(self, at: datetime, apikey: ApiKey, role: Role) -> list[Event]:
        if apikey.secret:
            raise ApiKeyExists(self.api_key_id)
        require_role(role, self.role_id)
        require_not_expired(self.expires_at, at)
        issued = self.event(
            ApiKeyIssued,
            at,
            role_id=self.role_id,
            clubs=self.clubs,
            units=self.units,
            expires_at=self.expires_at,
        )
        return [issued]

    def receipt(self, events: list[Event], **parts: Any) -> SecretReceipt:
        return {"secret": parts["apikey"].secret}


class RotateApiKey(ApiKeyCommand):
    """Give a key another secret. The one before it holds for some hours more, so that no machine
    stands still while it is told."""

    command: Literal["apikey.rotate"] = "apikey.rotate"
    refuses = (UnknownApiKey, ApiKeyIsRevoked, ExpiresTooSoon)
    example = saying(api_key_id="desk-1", overlap_hours=24)
    overlap_hours: OverlapHours = Field(24, description="for which the secret before it holds")
    expires_at: Instant | None = Field(None, description="null: it holds until it is revoked")

    def decide(self, at: datetime, apikey: ApiKey) -> list[Event]:
        require_valid(apikey, self.api_key_id)
        require_not_expired(self.expires_at, at)
        until = at + timedelta(hours=self.overlap_hours)
        rotated = self.event(ApiKeyRotated, at, overlap_until=until, expires_at=self.expires_at)
        return [rotated]

    def receipt(self, events: list[Event], **parts: Any) -> SecretReceipt:
        return {"secret": parts["apikey"].secret}


class RevokeApiKey(ApiKeyCommand):
    """End a key, for good: each worker of the server lets it in for two seconds more at most."""

    command: Literal["apikey.revoke"] = "apikey.revoke"
    refuses = (UnknownApiKey, ApiKeyIsRevoked)
    example = saying(api_key_id="desk-1")

    def decide(self, at: datetime, apikey: ApiKey) -> list[Event]:
        require_valid(apikey, self.api_key_id)
        return [self.event(ApiKeyRevoked, at)]


class UserCommand(Command):
    """Of a user."""

    writes: ClassVar[dict[str, str]] = {"user": "user_id"}
    user_id: HolderId


class AddUser(UserCommand):
    """Let somebody sign in, with no role yet; or let him again."""

    command: Literal["user.add"] = "user.add"
    refuses = (UserExists,)
    example = saying(user_id="li")

    def decide(self, at: datetime, user: User) -> list[Event]:
        if user.enters:
            raise UserExists(self.user_id)
        return [self.event(UserAdded, at)]


def require_user(user: User, user_id: str) -> None:
    """Refuses who was never added."""
    if user.added_at is None:
        raise UnknownUser(user_id)


def require_enabled(user: User, user_id: str) -> None:
    """Refuses who was never added, or may come in no more."""
    require_user(user, user_id)
    if user.disabled_at is not None:
        raise UserIsDisabled(user.disabled_at)


class InviteUser(UserCommand):
    """Let a user choose a password, another one if he has one: by a secret that opens once, until
    then. This answer alone shows it. An invitation before it holds no more."""

    command: Literal["user.invite"] = "user.invite"
    refuses = (UnknownUser, UserIsDisabled)
    example = saying(user_id="li", hours=72)
    hours: InvitedHours = Field(72, description="for which it holds")

    def decide(self, at: datetime, user: User) -> list[Event]:
        require_enabled(user, self.user_id)
        return [self.event(UserInvited, at, until=at + timedelta(hours=self.hours))]

    def receipt(self, events: list[Event], **parts: Any) -> SecretReceipt:
        return {"secret": parts["user"].invitation}


class DisableUser(UserCommand):
    """Let a user in no more. His roles are there again if he is added again."""

    command: Literal["user.disable"] = "user.disable"
    refuses = (UnknownUser, UserIsDisabled)
    example = saying(user_id="li")

    def decide(self, at: datetime, user: User) -> list[Event]:
        require_enabled(user, self.user_id)
        return [self.event(UserDisabled, at)]


class GrantRole(UserCommand):
    """Give a user a role, for clubs or units; or the same role for others than before."""

    command: Literal["user.grant"] = "user.grant"
    reads: ClassVar[dict[str, str]] = {"role": "role_id"}
    refuses = (UnknownUser, UnknownRole, TooMany)
    example = saying(user_id="li", role_id="clerk", clubs=["health"])
    role_id: RoleId
    clubs: Clubs = Field((), description="where scopes reach that are for clubs")
    units: Units = Field((), description="where scopes reach that are for units")

    def decide(self, at: datetime, user: User, role: Role) -> list[Event]:
        require_user(user, self.user_id)
        require_role(role, self.role_id)
        if self.role_id not in user.roles:
            require_room(user, "roles")
        granted = self.event(
            UserGranted, at, role_id=self.role_id, clubs=self.clubs, units=self.units
        )
        return [granted]


class WithdrawRole(UserCommand):
    """Take a role from a user."""

    command: Literal["user.withdraw"] = "user.withdraw"
    refuses = (UnknownUser, RoleNotHeld)
    example = saying(user_id="li", role_id="clerk")
    role_id: RoleId

    def decide(self, at: datetime, user: User) -> list[Event]:
        require_user(user, self.user_id)
        if self.role_id not in user.roles:
            raise RoleNotHeld(self.role_id)
        return [self.event(UserWithdrawn, at, role_id=self.role_id)]
