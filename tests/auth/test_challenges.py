"""What pools ask beyond the password, and how they refresh: answered by scripted clouds.

The local cloud asks none of these questions and rotates no token, so botocore's Stubber plays
Cognito: it checks each request's parameters and gives the answers that AWS documents.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import ANY, Stubber

from tests.auth.conftest import CLIENT, POOL, REGION
from vaultsync.auth.challenges import Ask, Challenge
from vaultsync.auth.errors import (
    ExpiredCode,
    Throttled,
    WeakPassword,
    WrongCode,
    WrongPassword,
)
from vaultsync.auth.tokens import Tokens
from vaultsync.auth.userpool import UserPool
from vaultsync.core.errors import (
    Blocked,
    Misconfigured,
    Refused,
    Retry,
    SignIn,
    Usage,
    VaultsyncError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.auth.conftest import KeyServer

EMAIL = "ada@example.com"
SECRET = "a-client-secret-of-some-length"
SESSION_1, SESSION_2, SESSION_3 = (f"a-session-of-some-length-{n}" for n in (1, 2, 3))


@pytest.fixture
def pool(keys: KeyServer) -> Iterator[UserPool]:
    pool = UserPool(REGION, POOL, CLIENT, endpoint_url=keys.url)
    yield pool
    pool.close()


@pytest.fixture
def private(keys: KeyServer) -> Iterator[UserPool]:
    """A pool through a client with a secret."""
    pool = UserPool(REGION, POOL, CLIENT, SECRET, endpoint_url=keys.url)
    yield pool
    pool.close()


@pytest.fixture
def script(pool: UserPool) -> Iterator[Stubber]:
    with Stubber(pool._cognito) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def private_script(private: UserPool) -> Iterator[Stubber]:
    with Stubber(private._cognito) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def proof(username: str) -> str:
    digest = hmac.new(SECRET.encode(), (username + CLIENT).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def ask_for_password(script: Stubber, srp_b: str = "abc123") -> None:
    given = {
        "USER_ID_FOR_SRP": "0f1e",
        "USERNAME": "0f1e",
        "SALT": "a1b2",
        "SRP_B": srp_b,
        "SECRET_BLOCK": base64.b64encode(b"block").decode(),
    }
    script.add_response(
        "initiate_auth", {"ChallengeName": "PASSWORD_VERIFIER", "ChallengeParameters": given}
    )


def then_ask(script: Stubber, name: str, session: str = SESSION_1, **given: str) -> None:
    script.add_response(
        "respond_to_auth_challenge",
        {"ChallengeName": name, "Session": session, "ChallengeParameters": given},
    )


def expect(name: str, session: str = SESSION_1, **responses: str) -> dict[str, Any]:
    return {
        "ClientId": CLIENT,
        "ChallengeName": name,
        "Session": session,
        "ChallengeResponses": {"USERNAME": "0f1e", **responses},
    }


def challenge(script: Stubber, pool: UserPool, name: str, **given: str) -> Challenge:
    ask_for_password(script)
    then_ask(script, name, USER_ID_FOR_SRP="0f1e", **given)
    asked = pool.login(EMAIL, "password")
    assert isinstance(asked, Challenge)
    assert asked.question
    assert asked.session not in repr(asked)
    return asked


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("SOFTWARE_TOKEN_MFA", "SOFTWARE_TOKEN_MFA_CODE"),
        ("SMS_MFA", "SMS_MFA_CODE"),
        ("EMAIL_OTP", "EMAIL_OTP_CODE"),
    ],
)
def test_a_code_is_answered_and_a_wrong_one_can_be_answered_again(
    script: Stubber, pool: UserPool, keys: KeyServer, name: str, field: str
) -> None:
    asked = challenge(script, pool, name, CODE_DELIVERY_DESTINATION="+*******99")
    assert asked.destination in asked.question

    script.add_client_error(
        "respond_to_auth_challenge",
        "CodeMismatchException",
        expected_params=expect(name, **{field: "000000"}),
    )
    with pytest.raises(WrongCode):
        pool.answer(asked, "000000")

    script.add_response(
        "respond_to_auth_challenge",
        {"AuthenticationResult": keys.result()},
        expect(name, **{field: "123456"}),
    )
    tokens = pool.answer(asked, "123456")
    assert isinstance(tokens, Tokens)
    assert tokens.claims.email == EMAIL
    assert tokens.refresh_token == "refresh-1"


def test_a_new_password_comes_with_what_the_pool_also_wants(
    script: Stubber, pool: UserPool, keys: KeyServer
) -> None:
    asked = challenge(
        script,
        pool,
        "NEW_PASSWORD_REQUIRED",
        requiredAttributes=json.dumps(["userAttributes.name"]),
        userAttributes="{}",
    )
    assert asked.required == ("name",)
    with pytest.raises(Usage, match="name"):
        pool.answer(asked, "New-Horse-8")

    script.add_client_error(
        "respond_to_auth_challenge", "InvalidPasswordException", "Password not long enough"
    )
    with pytest.raises(WeakPassword, match="not long enough"):
        pool.answer(asked, "short", {"name": "Ada"})

    script.add_response(
        "respond_to_auth_challenge",
        {"AuthenticationResult": keys.result()},
        expect(
            "NEW_PASSWORD_REQUIRED", NEW_PASSWORD="New-Horse-8", **{"userAttributes.name": "Ada"}
        ),
    )
    assert isinstance(pool.answer(asked, "New-Horse-8", {"name": "Ada"}), Tokens)


def test_one_of_several_factors_is_chosen_and_then_asked_for(
    script: Stubber, pool: UserPool, keys: KeyServer
) -> None:
    asked = challenge(
        script,
        pool,
        "SELECT_MFA_TYPE",
        MFAS_CAN_CHOOSE=json.dumps(["SMS_MFA", "SOFTWARE_TOKEN_MFA"]),
    )
    assert asked.choices == ("SMS_MFA", "SOFTWARE_TOKEN_MFA")
    with pytest.raises(Usage, match="EMAIL_OTP"):
        pool.answer(asked, "EMAIL_OTP")

    script.add_response(
        "respond_to_auth_challenge",
        {"ChallengeName": "SOFTWARE_TOKEN_MFA", "Session": SESSION_2, "ChallengeParameters": {}},
        expect("SELECT_MFA_TYPE", ANSWER="SOFTWARE_TOKEN_MFA"),
    )
    code = pool.answer(asked, "SOFTWARE_TOKEN_MFA")
    assert isinstance(code, Challenge)
    assert code.ask is Ask.TOTP

    script.add_response(
        "respond_to_auth_challenge",
        {"AuthenticationResult": keys.result()},
        expect("SOFTWARE_TOKEN_MFA", SESSION_2, SOFTWARE_TOKEN_MFA_CODE="123456"),
    )
    assert isinstance(pool.answer(code, "123456"), Tokens)


def test_an_authenticator_app_is_set_up_when_the_pool_insists(
    script: Stubber, pool: UserPool, keys: KeyServer
) -> None:
    ask_for_password(script)
    then_ask(
        script,
        "MFA_SETUP",
        USER_ID_FOR_SRP="0f1e",
        MFAS_CAN_SETUP=json.dumps(["SOFTWARE_TOKEN_MFA"]),
    )
    script.add_response(
        "associate_software_token",
        {"SecretCode": "BASE32SECRETBASE32", "Session": SESSION_2},
        {"Session": SESSION_1},
    )
    asked = pool.login(EMAIL, "password")
    assert isinstance(asked, Challenge)
    assert asked.ask is Ask.SETUP
    assert asked.secret == "BASE32SECRETBASE32"
    assert asked.secret not in repr(asked)

    script.add_client_error("verify_software_token", "EnableSoftwareTokenMFAException")
    with pytest.raises(WrongCode):
        pool.answer(asked, "000000")

    script.add_response(
        "verify_software_token",
        {"Status": "SUCCESS", "Session": SESSION_3},
        {"Session": SESSION_2, "UserCode": "123456"},
    )
    script.add_response(
        "respond_to_auth_challenge",
        {"AuthenticationResult": keys.result()},
        expect("MFA_SETUP", SESSION_3),
    )
    assert isinstance(pool.answer(asked, "123456"), Tokens)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("DEVICE_SRP_AUTH", {}),
        ("CUSTOM_CHALLENGE", {}),
        ("MFA_SETUP", {"MFAS_CAN_SETUP": '["SMS_MFA"]'}),
    ],
)
def test_what_cannot_be_answered_is_said_to_be_so(
    script: Stubber, pool: UserPool, name: str, given: dict[str, str]
) -> None:
    ask_for_password(script)
    then_ask(script, name, **given)
    with pytest.raises(Blocked) as blocked:
        pool.login(EMAIL, "password")
    assert blocked.value.hint


def test_a_sign_in_that_takes_too_long_starts_again(script: Stubber, pool: UserPool) -> None:
    asked = challenge(script, pool, "SMS_MFA")
    script.add_client_error(
        "respond_to_auth_challenge",
        "NotAuthorizedException",
        "Invalid session for the user, session is expired.",
    )
    with pytest.raises(ExpiredCode) as expired:
        pool.answer(asked, "123456")
    assert "vaultsync login" in expired.value.hint


def test_a_half_of_the_proof_that_gives_the_key_away_is_refused(
    script: Stubber, pool: UserPool
) -> None:
    ask_for_password(script, srp_b="0")
    with pytest.raises(Refused, match="proof"):
        pool.login(EMAIL, "password")


def test_a_client_with_a_secret_proves_it_for_the_right_name(
    private_script: Stubber, private: UserPool, keys: KeyServer
) -> None:
    script = private_script
    script.add_response(
        "sign_up",
        {"UserConfirmed": True, "UserSub": "0f1e"},
        {
            "ClientId": CLIENT,
            "Username": EMAIL,
            "SecretHash": proof(EMAIL),
            "Password": "password",
            "UserAttributes": ANY,
        },
    )
    assert private.sign_up(EMAIL, "password") == ""

    asked = challenge(script, private, "SMS_MFA")
    script.add_response(
        "respond_to_auth_challenge",
        {"AuthenticationResult": keys.result()},
        expect("SMS_MFA", SMS_MFA_CODE="123456", SECRET_HASH=proof("0f1e")),
    )
    tokens = private.answer(asked, "123456")
    assert isinstance(tokens, Tokens)

    # A pool that does not know the new way of refreshing wants the proof over the claim's name.
    script.add_client_error(
        "get_tokens_from_refresh_token",
        "UnknownOperationException",
        expected_params={
            "RefreshToken": "refresh-1",
            "ClientId": CLIENT,
            "ClientSecret": SECRET,
        },
    )
    script.add_response(
        "initiate_auth",
        {"AuthenticationResult": keys.result(None)},
        {
            "AuthFlow": "REFRESH_TOKEN_AUTH",
            "AuthParameters": {"REFRESH_TOKEN": "refresh-1", "SECRET_HASH": proof("0f1e")},
            "ClientId": CLIENT,
        },
    )
    assert private.refresh("refresh-1", tokens.claims.username).refresh_token == "refresh-1"

    script.add_response(
        "revoke_token", {}, {"Token": "refresh-1", "ClientId": CLIENT, "ClientSecret": SECRET}
    )
    private.sign_out("refresh-1")
    assert SECRET not in repr(private)


def test_a_rotated_token_is_saved_before_anything_can_fail(
    script: Stubber, pool: UserPool, keys: KeyServer
) -> None:
    saved: list[str] = []
    keys.status = 503
    script.add_response(
        "get_tokens_from_refresh_token", {"AuthenticationResult": keys.result("refresh-2")}
    )
    with pytest.raises(Retry):
        pool.refresh("refresh-1", save=saved.append)
    assert saved == ["refresh-2"]

    keys.status = 200
    script.add_response(
        "get_tokens_from_refresh_token", {"AuthenticationResult": keys.result(None)}
    )
    assert pool.refresh("refresh-2", save=saved.append).refresh_token == "refresh-2"
    assert saved == ["refresh-2"]


def test_a_reused_token_ends_the_sign_in_without_another_try(
    script: Stubber, pool: UserPool
) -> None:
    script.add_client_error("get_tokens_from_refresh_token", "RefreshTokenReuseException")
    with pytest.raises(SignIn):
        pool.refresh("refresh-1")


def test_a_refused_token_is_refused_though_the_old_way_is_shut(
    script: Stubber, pool: UserPool
) -> None:
    script.add_client_error("get_tokens_from_refresh_token", "NotAuthorizedException", "Revoked")
    script.add_client_error("initiate_auth", "InvalidParameterException", "flow not enabled")
    with pytest.raises(SignIn, match="Revoked"):
        pool.refresh("refresh-1")


@pytest.mark.parametrize(
    ("code", "message", "status", "expected"),
    [
        ("TooManyRequestsException", "Rate exceeded", 429, Throttled),
        ("InternalErrorException", "oops", 500, Retry),
        ("NotAuthorizedException", "Refresh Token has expired", 400, SignIn),
        ("NotAuthorizedException", "User is disabled.", 400, SignIn),
        ("NotAuthorizedException", "Client is configured with secret", 400, Misconfigured),
        ("ResourceNotFoundException", "no client", 400, Misconfigured),
    ],
)
def test_a_refresh_that_fails_says_what_to_do(
    script: Stubber,
    pool: UserPool,
    code: str,
    message: str,
    status: int,
    expected: type[VaultsyncError],
) -> None:
    script.add_client_error("get_tokens_from_refresh_token", code, message, status)
    if code == "NotAuthorizedException":
        script.add_client_error("initiate_auth", code, message, status)
    with pytest.raises(VaultsyncError) as failed:
        pool.refresh("refresh-1")
    assert type(failed.value) is expected
    assert failed.value.message


@pytest.mark.parametrize(
    ("code", "message", "expected"),
    [
        ("NotAuthorizedException", "Incorrect username or password.", WrongPassword),
        ("NotAuthorizedException", "Password attempts exceeded", Throttled),
        ("NotAuthorizedException", "User is disabled.", Refused),
        ("NotAuthorizedException", "Temporary password has expired and must be reset", Refused),
        ("NotAuthorizedException", "Unable to verify secret hash for client x", Misconfigured),
        ("PasswordResetRequiredException", "reset", WrongPassword),
        ("LimitExceededException", "Attempt limit exceeded", Throttled),
        ("InvalidParameterException", "USER_SRP_AUTH is not enabled", Refused),
        ("SomethingNewException", "who knows", Refused),
    ],
)
def test_a_login_that_fails_says_what_to_do(
    script: Stubber, pool: UserPool, code: str, message: str, expected: type[VaultsyncError]
) -> None:
    script.add_client_error("initiate_auth", code, message)
    with pytest.raises(VaultsyncError) as failed:
        pool.login(EMAIL, "password")
    assert type(failed.value) is expected
    assert failed.value.message
