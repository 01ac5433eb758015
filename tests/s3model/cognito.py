"""Cognito as a device that is signed in already meets it: refreshed tokens, then credentials."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from tests.s3model.answers import RefusedError
from tests.s3model.wire import Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.s3model.settings import Settings
    from tests.s3model.wire import Request

REGION = "us-east-1"
POOL = f"{REGION}_Model0001"
CLIENT = "modelclient0000000000000001"
IDENTITIES = f"{REGION}:00000000-0000-4000-8000-00000000c1d0"
PROVIDER = f"cognito-idp.{REGION}.amazonaws.com/{POOL}"
JWKS = f"/{POOL}/.well-known/jwks.json"


@dataclass
class Account:
    """One person.

    Attributes:
        email: The e-mail address.
        sub: The account's id.
        identity_id: Its identity; the prefix is made of it.
        refresh_tokens: Those that are valid.
        enabled: Whether it may still refresh.
    """

    email: str
    sub: str = field(default_factory=lambda: str(uuid.uuid4()))
    identity_id: str = field(default_factory=lambda: f"{REGION}:{uuid.uuid4()}")
    refresh_tokens: set[str] = field(default_factory=set)
    enabled: bool = True


@dataclass(frozen=True)
class Keys:
    """Temporary credentials that were given to somebody.

    Attributes:
        account: To whom.
        session_token: What has to come with each request.
        ends: When they end, in seconds since 1970.
    """

    account: Account
    session_token: str
    ends: float


class Cognito:
    """A user pool and its identity pool.

    Attributes:
        accounts: By e-mail address.
        keys: Credentials, by access key id.
    """

    def __init__(self, settings: Settings) -> None:
        self.accounts: dict[str, Account] = {}
        self.keys: dict[str, Keys] = {}
        self._settings = settings
        self._key: rsa.RSAPrivateKey | None = None

    def account(self, email: str) -> Account:
        """The account of that address, made when there is none."""
        return self.accounts.setdefault(email, Account(email))

    def refresh_token(self, account: Account) -> str:
        """A new sign-in of a person."""
        token = secrets.token_urlsafe(64)
        account.refresh_tokens.add(token)
        return token

    def expire(self) -> None:
        """End all credentials that were given so far."""
        now = time.time()
        for name, keys in list(self.keys.items()):
            self.keys[name] = Keys(keys.account, keys.session_token, min(keys.ends, now))

    def jwks(self) -> Response:
        """The pool's published keys."""
        public = json.loads(RSAAlgorithm.to_jwk(self._signer().public_key()))
        return _json({"keys": [{**public, "kid": "model", "alg": "RS256", "use": "sig"}]})

    def answer(self, request: Request) -> Response:
        """One of Cognito's operations; `request.operation` is its name."""
        known: dict[str, Callable[[dict[str, Any]], Response]] = {
            "GetTokensFromRefreshToken": self._tokens,
            "InitiateAuth": self._initiate,
            "RevokeToken": self._revoke,
            "GetId": self._identify,
            "GetCredentialsForIdentity": self._credentials,
        }
        handler = known.get(request.operation)
        if handler is None:
            return _refusal("UnknownOperationException", "Not in this model.")
        try:
            return handler(json.loads(bytes(request.body) or b"{}"))
        except RefusedError as refused:
            return _refusal(refused.code, refused.message)

    def _tokens(self, asked: dict[str, Any]) -> Response:
        return self._refreshed(asked["RefreshToken"], asked["ClientId"])

    def _initiate(self, asked: dict[str, Any]) -> Response:
        if asked["AuthFlow"] not in ("REFRESH_TOKEN_AUTH", "REFRESH_TOKEN"):
            raise RefusedError(400, "InvalidParameterException", "Only refreshing is modelled.")
        return self._refreshed(asked["AuthParameters"]["REFRESH_TOKEN"], asked["ClientId"])

    def _refreshed(self, token: str, client: str) -> Response:
        account = self._holder(token)
        if client != CLIENT:
            raise RefusedError(400, "ResourceNotFoundException", "No such client.")
        now = int(time.time())
        claims = {
            "sub": account.sub,
            "iss": f"https://{PROVIDER}",
            "iat": now,
            "exp": now + self._settings.token_seconds,
            "jti": str(uuid.uuid4()),
        }
        about = {"aud": CLIENT, "cognito:username": account.sub, "email": account.email}
        result = {
            "IdToken": self._signed(claims | about | {"token_use": "id"}),
            "AccessToken": self._signed(claims | {"client_id": CLIENT, "token_use": "access"}),
            "ExpiresIn": self._settings.token_seconds,
            "TokenType": "Bearer",
        }
        if self._settings.rotation:
            account.refresh_tokens.discard(token)
            result["RefreshToken"] = self.refresh_token(account)
        return _json({"AuthenticationResult": result, "ChallengeParameters": {}})

    def _revoke(self, asked: dict[str, Any]) -> Response:
        for account in self.accounts.values():
            account.refresh_tokens.discard(asked["Token"])
        return _json({})

    def _identify(self, asked: dict[str, Any]) -> Response:
        return _json({"IdentityId": self._person(asked).identity_id})

    def _credentials(self, asked: dict[str, Any]) -> Response:
        account = self._person(asked)
        if asked["IdentityId"] != account.identity_id:
            raise RefusedError(400, "NotAuthorizedException", "Not this person's identity.")
        name = f"ASIA{secrets.token_hex(8).upper()}"
        # In whole seconds like the Date beside it, from which a client takes how long they live.
        ends = int(time.time()) + self._settings.credential_seconds
        keys = Keys(account, secrets.token_urlsafe(64), ends)
        self.keys[name] = keys
        given = {
            "AccessKeyId": name,
            "SecretKey": secrets.token_urlsafe(30),
            "SessionToken": keys.session_token,
            "Expiration": ends,
        }
        return _json({"IdentityId": account.identity_id, "Credentials": given})

    def _holder(self, token: str) -> Account:
        for account in self.accounts.values():
            if token in account.refresh_tokens and account.enabled:
                return account
        raise RefusedError(400, "NotAuthorizedException", "Refresh Token has been revoked")

    def _person(self, asked: dict[str, Any]) -> Account:
        """Whose id token came among the logins."""
        try:
            token = asked["Logins"][PROVIDER]
            public = self._signer().public_key()
            claims = jwt.decode(
                token, public, algorithms=["RS256"], audience=CLIENT, issuer=f"https://{PROVIDER}"
            )
        except (KeyError, jwt.PyJWTError) as error:
            text = f"Invalid login token. {type(error).__name__}"
            raise RefusedError(400, "NotAuthorizedException", text) from None
        for account in self.accounts.values():
            if account.sub == claims["sub"] and account.enabled:
                return account
        raise RefusedError(400, "NotAuthorizedException", "No such person.")

    def _signed(self, claims: dict[str, object]) -> str:
        return jwt.encode(claims, self._signer(), "RS256", headers={"kid": "model"})

    def _signer(self) -> rsa.RSAPrivateKey:
        if self._key is None:
            self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return self._key


def _json(content: object) -> Response:
    body = json.dumps(content).encode()
    return Response(200, {"Content-Type": "application/x-amz-json-1.1"}, (body,))


def _refusal(code: str, message: str) -> Response:
    body = json.dumps({"__type": code, "message": message}).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
    return Response(400, headers, (body,))
