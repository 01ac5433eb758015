"""What a sign-in gives: three tokens, and who the verified one says the person is."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import jwt
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session

from vaultsync.auth.clients import CONNECT_SECONDS, isolated_session, proxies_for
from vaultsync.auth.errors import cloud_errors
from vaultsync.core.errors import Misconfigured, Refused, Retry

LEEWAY = 300
"""Seconds by which this machine's clock may differ from Cognito's; AWS allows as much."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who the person is, from a verified id token.

    Attributes:
        sub: The account's id in the pool; never changes.
        username: The name in the pool (`cognito:username`); equals `sub` in a pool with e-mail
            sign-in.
        email: The e-mail address, or empty.
        lifetime: Seconds from the id token's issue to its end.
    """

    sub: str
    username: str
    email: str
    lifetime: int


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one sign-in or refresh; the id token is verified before one of these exists.

    Attributes:
        id_token: Proves to the identity pool who the person is.
        access_token: Lets the person change the own account: password, sign-out everywhere.
        refresh_token: Gets new tokens until it expires or is revoked. After a refresh, the one to
            keep from now on; a pool that rotates them gives a new one each time.
        claims: Who the person is.
    """

    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    claims: Claims


class Verifier:
    """Checks id tokens against the pool's published keys.

    Args:
        issuer: What the token must name as its issuer.
        audience: The app client it must be made for.
        keys_url: Where the pool publishes its keys (JWKS).
    """

    def __init__(self, issuer: str, audience: str, keys_url: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys_url = keys_url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._lock = threading.Lock()

    def verify(self, id_token: str) -> Claims:
        """Return who the token says the person is.

        Raises:
            Refused: It is not a token of this pool for this client, or was changed on the way.
            Retry: The keys cannot be fetched now.
        """
        try:
            key = self._key(str(jwt.get_unverified_header(id_token).get("kid", "")))
            claims: dict[str, Any] = jwt.decode(
                id_token,
                key,
                algorithms=["RS256"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "iss", "aud", "sub", "token_use"]},
            )
        except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as error:
            raise Refused(
                "The sign-in is dated in the past or the future.",
                "Set this machine's clock (`timedatectl set-ntp true`), then try again.",
            ) from error
        except jwt.PyJWTError as error:
            raise Refused(
                "The sign-in does not bear the user pool's signature, or is for another app.",
                "Check user_pool_id, client_id and endpoint_url; if they are right, something "
                "between here and the cloud changes the traffic.",
            ) from error
        if claims["token_use"] != "id":  # noqa: S105 - a kind of token
            raise Refused("The cloud sent another kind of token than an id token.")
        return Claims(
            sub=claims["sub"],
            username=claims.get("cognito:username", claims["sub"]),
            email=claims.get("email", ""),
            lifetime=int(claims["exp"]) - int(claims["iat"]),
        )

    def _key(self, kid: str) -> jwt.PyJWK:
        with self._lock:
            if kid not in self._keys:
                # An unknown key may be a new one: pools change theirs.
                self._keys = fetch_keys(self._keys_url)
            if kid not in self._keys:
                raise jwt.InvalidKeyError("signed with a key that the pool does not publish")
            return self._keys[kid]


def fetch_keys(url: str) -> dict[str, jwt.PyJWK]:
    """The public keys published at `url`, by key id.

    Fetched with botocore's own HTTP session, so that proxies and AWS_CA_BUNDLE count here too.

    Raises:
        Retry: The place cannot be reached.
        Misconfigured: There are no keys there.
    """
    missing = Misconfigured(
        "The user pool publishes no signing keys.", "Check region, user_pool_id and endpoint_url."
    )
    bundle = isolated_session().get_config_variable("ca_bundle")
    http = URLLib3Session(
        verify=bundle or True,
        proxies=proxies_for(url),
        timeout=CONNECT_SECONDS,
    )
    try:
        with cloud_errors(missing):
            answer = http.send(AWSRequest("GET", url).prepare())
            content = answer.content
    finally:
        http.close()
    if answer.status_code >= 500:
        raise Retry("The user pool's signing keys cannot be fetched now.")
    if answer.status_code != 200:
        raise missing
    try:
        published = jwt.PyJWKSet.from_dict(json.loads(content))
    except (ValueError, AttributeError, jwt.PyJWTError) as error:
        raise missing from error
    return {key.key_id: key for key in published.keys if key.key_id}
