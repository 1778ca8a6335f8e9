"""Access: roles are data; keys and users hold them for clubs and units of their own."""

from datetime import timedelta
from typing import Any

from domain.access import (
    BUILT_IN,
    SCOPES,
    AddUser,
    ApiKey,
    ApiKeyExists,
    ApiKeyIsRevoked,
    ApiKeyIssued,
    ApiKeyRevoked,
    ApiKeyRotated,
    DefineRole,
    DisableUser,
    ExpiresTooSoon,
    GrantRole,
    InviteUser,
    IssueApiKey,
    RevokeApiKey,
    RoleDefined,
    RoleNotHeld,
    RotateApiKey,
    UnknownApiKey,
    UnknownRole,
    UnknownUser,
    User,
    UserAdded,
    UserDisabled,
    UserExists,
    UserGranted,
    UserInvited,
    UserIsDisabled,
    UserWithdrawn,
    WithdrawRole,
)
from tests.domain.scenario import do, fact, given, local
from tests.domain.words import NOON

BEFORE = "2008-07-14 12:00"
ISSUED = do(IssueApiKey, BEFORE, clubs=("health",))
ADDED = do(AddUser, BEFORE)
GRANTED = do(GrantRole, BEFORE, clubs=("health",))
LATER = local(NOON) + timedelta(days=1)


def test_a_key_is_issued_once_with_a_role_that_there_is() -> None:
    issued = given().when(ISSUED)
    issued.then(fact(ApiKeyIssued, role_id="clerk", clubs=("health",), units=()))
    issued.then_told(secret=1)
    given(ISSUED).when(do(IssueApiKey, NOON)).then_refused(ApiKeyExists("desk-1"))
    given().when(do(IssueApiKey, NOON, role_id="desk")).then_refused(UnknownRole("desk"))


def test_a_role_is_data() -> None:
    desk = do(DefineRole, BEFORE, role_id="desk", scopes={"visits.write": "clubs"})
    given().when(desk).then(fact(RoleDefined, scopes={"visits.write": "clubs"}))
    given(desk).when(do(IssueApiKey, NOON, role_id="desk")).then(fact(ApiKeyIssued, role_id="desk"))


def test_a_key_that_would_have_expired_is_not_given_out() -> None:
    ended = local(NOON)
    for kind, known in ((IssueApiKey, ()), (RotateApiKey, ISSUED)):
        command = do(kind, NOON, expires_at=ended)
        given(known).when(command).then_refused(ExpiresTooSoon(ended))


def test_a_key_that_is_rotated_has_two_secrets_for_a_while() -> None:
    rotated = given(ISSUED).when(do(RotateApiKey, NOON, overlap_hours=2))
    until = local(NOON) + timedelta(hours=2)
    rotated.then(fact(ApiKeyRotated, overlap_until=until))
    rotated.then_told(secret=2)
    given().when(do(RotateApiKey, NOON)).then_refused(UnknownApiKey("desk-1"))


def test_which_secrets_open_a_key() -> None:
    now = local(NOON)
    key: dict[str, Any] = {"role_id": "clerk", "secret": 3}
    assert ApiKey().secrets(now) == []
    assert ApiKey(**key).secrets(now) == [3]
    assert ApiKey(**key, overlap_until=LATER).secrets(now) == [3, 2]
    assert ApiKey(**key, overlap_until=now).secrets(now) == [3]
    assert ApiKey(**key, overlap_until=LATER, expires_at=now).secrets(now) == []
    assert ApiKey(**key, expires_at=LATER).secrets(now) == [3]
    assert ApiKey(**key, revoked_at=now).secrets(now) == []


def test_a_key_is_revoked_for_good() -> None:
    revoke = do(RevokeApiKey, NOON)
    given(ISSUED).when(revoke).then(fact(ApiKeyRevoked))
    revoked = do(RevokeApiKey, BEFORE)
    for again in (revoke, do(RotateApiKey, NOON)):
        given(ISSUED, revoked).when(again).then_refused(ApiKeyIsRevoked(local(BEFORE)))
    given(ISSUED, revoked).when(do(IssueApiKey, NOON)).then_refused(ApiKeyExists("desk-1"))
    given().when(revoke).then_refused(UnknownApiKey("desk-1"))


def test_a_user_is_added_disabled_and_added_again() -> None:
    again, disabled = do(AddUser, NOON), do(DisableUser, BEFORE)
    given().when(again).then(fact(UserAdded))
    given(ADDED).when(again).then_refused(UserExists("li"))
    given(ADDED).when(do(DisableUser, NOON)).then(fact(UserDisabled))
    given(ADDED, disabled).when(do(DisableUser, NOON)).then_refused(UserIsDisabled(local(BEFORE)))
    given(ADDED, disabled).when(again).then(fact(UserAdded))
    given().when(do(DisableUser, NOON)).then_refused(UnknownUser("li"))


def test_a_user_holds_roles() -> None:
    given(ADDED).when(GRANTED).then(fact(UserGranted, role_id="clerk", clubs=("health",)))
    given().when(GRANTED).then_refused(UnknownUser("li"))
    given(ADDED).when(do(GrantRole, NOON, role_id="desk")).then_refused(UnknownRole("desk"))
    withdraw = do(WithdrawRole, NOON)
    given(ADDED, GRANTED).when(withdraw).then(fact(UserWithdrawn, role_id="clerk"))
    given(ADDED).when(withdraw).then_refused(RoleNotHeld("clerk"))


def test_the_roles_of_every_ledger_give_scopes_that_there_are() -> None:
    for role_id, scopes in BUILT_IN.items():
        assert scopes.keys() <= set(SCOPES), role_id
        assert set(scopes.values()) <= {"all", "clubs", "units"}, role_id
    writes = [s for s in SCOPES if not s.endswith((".read", ".ask"))]
    assert BUILT_IN["auditor"].keys() & set(writes) == {"members.unmask"}  # which is recorded
    of_service = {s for s in SCOPES if s.startswith(("access.", "service.", "webhooks."))}
    assert BUILT_IN["administrator"].keys() - of_service == {"members.erase"}
    assert not [role for role, gives in BUILT_IN.items()
                if "access.write" in gives and role != "administrator"]  # fmt: skip


def test_an_invitation_is_for_who_may_enter_and_holds_for_some_hours() -> None:
    invited = given(ADDED).when(do(InviteUser, NOON, hours=72))
    invited.then(fact(UserInvited, until=local(NOON) + timedelta(hours=72)))
    invited.then_told(secret=1)
    given(ADDED, do(InviteUser, BEFORE)).when(do(InviteUser, NOON)).then_told(secret=2)
    given().when(do(InviteUser, NOON)).then_refused(UnknownUser("li"))
    gone = do(DisableUser, BEFORE)
    given(ADDED, gone).when(do(InviteUser, NOON)).then_refused(UserIsDisabled(local(BEFORE)))
    user = User(local(BEFORE), None, {}, 2, local(NOON))
    assert [user.invited(at) for at in (local(BEFORE), local(NOON))] == [2, 0]
    user.disabled_at = local(NOON)
    assert user.invited(local(BEFORE)) == 0
