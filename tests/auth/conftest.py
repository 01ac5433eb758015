"""A person on the local cloud, and a stand-in for the pool's key server."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from vaultsync.auth.identity import Session
from vaultsync.auth.secrets import FileStore
from vaultsync.auth.tokens import Tokens
from vaultsync.auth.userpool import UserPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vaultsync.auth.secrets import SecretStore
    from vaultsync.cloud.local import LocalCloud

REGION = "eu-west-1"
POOL = "eu-west-1_Sample123"
CLIENT = "sampleclient"


@pytest.fixture
def pool_of() -> Iterator[Callable[..., UserPool]]:
    """Make user pools of a local cloud; fields may be replaced by name."""
    with ExitStack() as open_pools:

        def make(local: LocalCloud, **replaced: str) -> UserPool:
            outputs = local.cloud
            given = {
                "region": outputs.region,
                "user_pool_id": outputs.user_pool_id,
                "client_id": outputs.client_id,
                "endpoint_url": outputs.endpoint_url,
            }
            pool = UserPool(**(given | replaced))
            open_pools.callback(pool.close)
            return pool

        yield make


@pytest.fixture
def pool(cloud: LocalCloud, pool_of: Callable[..., UserPool]) -> UserPool:
    """The user pool of the shared local cloud."""
    return pool_of(cloud)


@pytest.fixture
def login(pool: UserPool, new_person: Callable[..., Any]) -> Callable[[], Tokens]:
    """Sign somebody new up and in."""

    def make() -> Tokens:
        email, password = new_person()
        return signed_in(pool, email, password)

    return make


def signed_in(pool: UserPool, email: str, password: str) -> Tokens:
    """The tokens of a sign-in that asks nothing further."""
    tokens = pool.login(email, password)
    assert isinstance(tokens, Tokens)
    return tokens


@pytest.fixture
def session_of(tmp_path: Path) -> Iterator[Callable[..., Session]]:
    """Make sessions, which share a store and a lock file as processes of one profile do."""
    with ExitStack() as open_sessions:

        def make(
            pool: UserPool,
            local: LocalCloud,
            expected: str = "",
            store: SecretStore | None = None,
        ) -> Session:
            session = Session(
                pool,
                local.cloud.identity_pool_id,
                store or FileStore(tmp_path / "secrets" / "refresh-token"),
                tmp_path / "refresh.lock",
                expected,
            )
            open_sessions.callback(session.close)
            return session

        yield make


@cache
def _key(kid: str) -> rsa.RSAPrivateKey:
    """The same key for the same name throughout the run: making one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class KeyServer:
    """Publishes a pool's keys as Cognito does, and signs tokens with them."""

    def __init__(self) -> None:
        self.fetched = 0
        self.status = 200
        self._keys: dict[str, rsa.RSAPrivateKey] = {}
        self.add_key("first")
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.fetched += 1
                # A client that takes this server for its proxy asks for a whole URL.
                found = self.path.endswith(f"/{POOL}/.well-known/jwks.json")
                self.send_response(server.status if found else 404)
                self.end_headers()
                self.wfile.write(server.published() if found else b"<html>nothing here</html>")

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.keys_url = f"{self.url}/{POOL}/.well-known/jwks.json"
        self.issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{POOL}"
        self._thread = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def add_key(self, kid: str) -> None:
        self._keys[kid] = _key(kid)

    def published(self) -> bytes:
        keys = [
            RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            | {"kid": kid, "use": "sig", "alg": "RS256"}
            for kid, key in self._keys.items()
        ]
        return json.dumps({"keys": keys}).encode()

    def id_token(self, kid: str = "first", **replaced: Any) -> str:
        now = int(time.time())
        claims = {
            "sub": "0f1e",
            "cognito:username": "0f1e",
            "email": "ada@example.com",
            "iss": self.issuer,
            "aud": CLIENT,
            "token_use": "id",
            "iat": now,
            "exp": now + 3600,
        }
        return jwt.encode(claims | replaced, self._keys[kid], "RS256", headers={"kid": kid})

    def result(self, refresh_token: str | None = "refresh-1") -> dict[str, Any]:  # noqa: S107
        """The AuthenticationResult of Cognito's answers."""
        result = {"IdToken": self.id_token(), "AccessToken": "access", "ExpiresIn": 3600}
        return result | ({"RefreshToken": refresh_token} if refresh_token else {})

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    """A key server on loopback."""
    server = KeyServer()
    yield server
    server.close()
