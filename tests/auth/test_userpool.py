"""From sign-up to sign-out, on the local cloud."""

from __future__ import annotations

import logging
import secrets
import socket
from typing import TYPE_CHECKING, Any

import pytest

from vaultsync.auth.errors import (
    AlreadyExists,
    Unconfirmed,
    WeakPassword,
    WrongCode,
    WrongPassword,
)
from vaultsync.auth.tokens import Tokens
from vaultsync.auth.userpool import UserPool
from vaultsync.core.errors import Misconfigured, Refused, Retry, SignIn, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.cloud.local import LocalCloud

PASSWORD = "Correct-Horse-7"


def new_address() -> str:
    return f"{secrets.token_hex(6)}@example.com"


def login(pool: UserPool, email: str, password: str) -> Tokens:
    tokens = pool.login(email, password)
    assert isinstance(tokens, Tokens)
    return tokens


def test_a_new_account_works_once_the_mailed_code_is_entered(
    cloud: LocalCloud, pool: UserPool
) -> None:
    email = new_address()
    assert pool.sign_up(email, PASSWORD)

    with pytest.raises(Unconfirmed, match="not confirmed") as unconfirmed:
        pool.login(email, PASSWORD)
    assert "vaultsync verify" in unconfirmed.value.hint

    code = cloud.code_for(email)
    with pytest.raises(WrongCode):
        pool.confirm(email, "000000" if code != "000000" else "111111")
    pool.confirm(email, code)

    tokens = login(pool, email, PASSWORD)
    assert tokens.claims.email == email
    assert tokens.claims.username
    assert tokens.claims.lifetime > 0

    with pytest.raises(AlreadyExists, match="confirmed already"):
        pool.confirm(email, code)


def test_another_code_can_be_mailed(cloud: LocalCloud, pool: UserPool) -> None:
    email = new_address()
    pool.sign_up(email, PASSWORD)

    def mails() -> int:
        return sum(email in mail["To"] for mail in cloud.messages())

    before = mails()
    assert pool.resend(email)
    assert mails() == before + 1
    pool.confirm(email, cloud.code_for(email))


def test_sign_up_says_what_is_wrong(pool: UserPool, new_person: Callable[..., Any]) -> None:
    email, password = new_person()
    with pytest.raises(AlreadyExists) as exists:
        pool.sign_up(email, password)
    assert "vaultsync login" in exists.value.hint
    with pytest.raises(WeakPassword, match="policy"):
        pool.sign_up(new_address(), "short")
    with pytest.raises(Refused, match="email"):
        pool.sign_up("no address", PASSWORD)
    with pytest.raises(Usage):
        pool.sign_up("", PASSWORD)


def test_a_wrong_password_and_an_unknown_name_look_the_same(
    pool: UserPool, new_person: Callable[..., Any]
) -> None:
    email, password = new_person()
    refusals = []
    for name, attempt in ((email, password + "x"), (email, ""), (new_address(), password)):
        with pytest.raises(WrongPassword) as refused:
            pool.login(name, attempt)
        refusals.append(refused.value.message)
    assert len(set(refusals)) == 1


def test_refresh_gives_fresh_tokens_of_the_same_person(
    login: Callable[[], Tokens], pool: UserPool
) -> None:
    tokens = login()
    again = pool.refresh(tokens.refresh_token)
    assert again.claims == tokens.claims
    assert again.id_token != tokens.id_token
    assert again.refresh_token == tokens.refresh_token


def test_after_sign_out_the_refresh_token_is_worthless(
    login: Callable[[], Tokens], pool: UserPool
) -> None:
    tokens, other = login(), login()
    pool.sign_out(tokens.refresh_token)
    with pytest.raises(SignIn, match="ended") as ended:
        pool.refresh(tokens.refresh_token)
    assert "vaultsync login" in ended.value.hint
    assert pool.refresh(other.refresh_token)


def test_sign_out_everywhere_ends_the_other_devices(
    pool: UserPool, new_person: Callable[..., Any]
) -> None:
    email, password = new_person()
    laptop, desktop = login(pool, email, password), login(pool, email, password)
    pool.sign_out_everywhere(laptop)
    for tokens in (laptop, desktop):
        with pytest.raises(SignIn):
            pool.refresh(tokens.refresh_token)
    with pytest.raises(SignIn):
        pool.sign_out_everywhere(laptop)


@pytest.mark.parametrize("rubbish", ["rubbish", "a.b.c"])
def test_a_made_up_refresh_token_is_refused(pool: UserPool, rubbish: str) -> None:
    with pytest.raises(SignIn):
        pool.refresh(rubbish)


def test_the_password_can_be_changed(pool: UserPool, new_person: Callable[..., Any]) -> None:
    email, password = new_person()
    tokens = login(pool, email, password)
    with pytest.raises(WrongPassword, match="old password"):
        pool.change_password(tokens, "Wrong-Horse-7", PASSWORD)
    with pytest.raises(WeakPassword):
        pool.change_password(tokens, password, "short")
    pool.change_password(tokens, password, PASSWORD)
    assert login(pool, email, PASSWORD)
    with pytest.raises(WrongPassword):
        pool.login(email, password)


def test_a_forgotten_password_can_be_replaced(
    cloud: LocalCloud, pool: UserPool, new_person: Callable[..., Any]
) -> None:
    email, _ = new_person()
    assert pool.forgot(email)
    code = cloud.code_for(email)
    with pytest.raises(WrongCode):
        pool.confirm_forgot(email, "000000", PASSWORD)
    with pytest.raises(WeakPassword):
        pool.confirm_forgot(email, code, "short")
    pool.confirm_forgot(email, code, PASSWORD)
    assert login(pool, email, PASSWORD)


def test_a_wrong_client_id_is_a_matter_of_configuration(
    cloud: LocalCloud, pool_of: Callable[..., UserPool]
) -> None:
    stranger = pool_of(cloud, client_id="nosuchclient")
    for call in (
        lambda: stranger.login(new_address(), PASSWORD),
        lambda: stranger.sign_up(new_address(), PASSWORD),
        lambda: stranger.refresh("rubbish"),
    ):
        with pytest.raises(Misconfigured) as wrong:
            call()
        assert "client_id" in wrong.value.hint


@pytest.mark.parametrize("wrong", ["", "eu-west-1", "eu-west-1_", "us-east-1_Abc", "Abc"])
def test_a_pool_id_that_cannot_be_right_is_refused_at_once(wrong: str) -> None:
    with pytest.raises(Misconfigured, match="does not belong to region"):
        UserPool("eu-west-1", wrong, "client")


def test_a_region_or_endpoint_that_cannot_be_right_is_refused_at_once() -> None:
    with pytest.raises(Misconfigured):
        UserPool("not a region", "not a region_Abc", "client")
    with pytest.raises(Misconfigured):
        UserPool("eu-west-1", "eu-west-1_Abc", "client", endpoint_url="no url")


def test_offline_is_not_signed_out(cloud: LocalCloud, pool_of: Callable[..., UserPool]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        offline = pool_of(cloud, endpoint_url=f"http://127.0.0.1:{unused.getsockname()[1]}")
        for call in (
            lambda: offline.login(new_address(), PASSWORD),
            lambda: offline.refresh("any"),
            lambda: offline.sign_out("any"),
        ):
            with pytest.raises(Retry) as away:
                call()
            assert away.value.code == "offline"


def test_aws_settings_of_the_machine_are_ignored_but_the_endpoint(
    cloud: LocalCloud,
    pool_of: Callable[..., UserPool],
    new_person: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    email, password = new_person()
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    monkeypatch.setenv("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", cloud.url)
    assert login(pool_of(cloud, endpoint_url=""), email, password)


def test_no_secret_is_logged_or_shown(
    pool: UserPool, new_person: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    email, password = new_person()
    tokens = login(pool, email, password)
    again = pool.refresh(tokens.refresh_token)
    with pytest.raises(WrongPassword) as refused:
        pool.login(email, "Wrong-Horse-7")
    shown = caplog.text + repr((pool, tokens, again, refused.value, refused.value.hint))
    assert caplog.text
    for secret in (
        password,
        "Wrong-Horse-7",
        tokens.refresh_token,
        tokens.access_token,
        again.id_token,
    ):
        assert secret not in shown


def test_no_proxy_stands_between_this_machine_and_its_own_cloud(
    cloud: LocalCloud,
    pool_of: Callable[..., UserPool],
    new_person: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    email, password = new_person()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert login(pool_of(cloud), email, password)
