"""Only a token that the pool signed, for this app and now, says who somebody is."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from tests.auth.conftest import CLIENT
from vaultsync.auth.tokens import LEEWAY, Claims, Verifier, fetch_keys
from vaultsync.core.errors import Misconfigured, Refused, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.auth.conftest import KeyServer
    from vaultsync.auth.tokens import Tokens
    from vaultsync.auth.userpool import UserPool


@pytest.fixture
def verifier(keys: KeyServer) -> Verifier:
    return Verifier(keys.issuer, CLIENT, keys.keys_url)


def test_a_good_token_says_who_it_is(keys: KeyServer, verifier: Verifier) -> None:
    claims = verifier.verify(keys.id_token())
    assert claims == Claims(sub="0f1e", username="0f1e", email="ada@example.com", lifetime=3600)


@pytest.mark.parametrize(
    "replaced",
    [
        {"aud": "another-app"},
        {"iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Another"},
        {"token_use": "access"},
        {"sub": None},
    ],
)
def test_a_token_for_something_else_is_refused(
    keys: KeyServer, verifier: Verifier, replaced: dict[str, Any]
) -> None:
    with pytest.raises(Refused):
        verifier.verify(keys.id_token(**replaced))


def test_a_token_of_the_local_cloud_is_refused_once_it_is_changed(
    pool: UserPool, login: Callable[[], Tokens]
) -> None:
    head, body, signature = login().id_token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "somebody-else"
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    unsigned = jwt.encode(claims, "", "none", headers={"kid": "x"})
    verify = pool._verifier.verify
    assert verify(f"{head}.{body}.{signature}")
    for changed in (
        f"{head}.{forged}.{signature}",
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{body}.",
        unsigned,
        "rubbish",
        "",
    ):
        with pytest.raises(Refused):
            verify(changed)


def test_an_access_token_is_no_id_token(pool: UserPool, login: Callable[[], Tokens]) -> None:
    with pytest.raises(Refused):
        pool._verifier.verify(login().access_token)


def test_clocks_may_differ_a_little(keys: KeyServer, verifier: Verifier) -> None:
    now = int(time.time())
    assert verifier.verify(keys.id_token(iat=now + LEEWAY - 30))
    assert verifier.verify(keys.id_token(exp=now - LEEWAY + 30))
    skewed: list[dict[str, Any]] = [{"iat": now + LEEWAY + 60}, {"exp": now - LEEWAY - 60}]
    for wrong in skewed:
        with pytest.raises(Refused) as refused:
            verifier.verify(keys.id_token(**wrong))
        assert "clock" in refused.value.hint


def test_keys_are_fetched_once_and_again_when_the_pool_has_new_ones(
    keys: KeyServer, verifier: Verifier
) -> None:
    verifier.verify(keys.id_token())
    verifier.verify(keys.id_token())
    assert keys.fetched == 1
    keys.add_key("second")
    assert verifier.verify(keys.id_token("second"))
    assert keys.fetched == 2


def test_a_key_that_is_not_published_counts_nothing(keys: KeyServer, verifier: Verifier) -> None:
    good = keys.id_token()
    stranger = jwt.get_unverified_header(good) | {"kid": "stranger"}
    forged = jwt.encode({"sub": "0f1e"}, keys._keys["first"], "RS256", headers=stranger)
    with pytest.raises(Refused):
        verifier.verify(forged)


def test_unreachable_keys_are_a_passing_fault_and_absent_ones_are_not(keys: KeyServer) -> None:
    absent = Verifier(keys.issuer, CLIENT, keys.url + "/eu-west-1_Another/.well-known/jwks.json")
    with pytest.raises(Misconfigured):
        absent.verify(keys.id_token())
    token, verifier = keys.id_token(), Verifier(keys.issuer, CLIENT, keys.keys_url)
    keys.status = 503
    with pytest.raises(Retry):
        verifier.verify(token)
    keys.status = 200
    assert verifier.verify(token)


def test_proxies_are_used_but_not_to_this_machine(
    keys: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", keys.url)
    assert fetch_keys(keys.keys_url.replace("127.0.0.1", "pool.invalid"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert fetch_keys(keys.keys_url)
