"""What every test stands on: no network but loopback, no settings of this machine's user."""

from __future__ import annotations

import os
import secrets
import signal
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest
from botocore import UNSIGNED
from botocore.config import Config
from pycognito import AWSSRP
from pytest_socket import socket_allow_hosts

import tests.profiles  # noqa: F401 - how much Hypothesis tries
from tests.guards import FOREIGN, conditional_writes  # noqa: F401 - a fixture for all tests
from tests.s3 import foreign, model_foreign, moto_url, s3model  # noqa: F401 - fixtures
from vaultsync.cloud.local import LocalCloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import boto3
    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient
    from mypy_boto3_s3 import S3Client


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs under test, also when this run itself is deaf to it (nohup)."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup() -> None:
    """Refuse every connection that leaves this machine."""
    socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a home of its own and no AWS settings; returns that home."""
    for name in os.environ:
        if name.startswith(("AWS_", "XDG_", "VAULTSYNC_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name, folder in (
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_STATE_HOME", ".local/state"),
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_CACHE_HOME", ".cache"),
        ("XDG_RUNTIME_DIR", "run"),
    ):
        place = home / folder
        place.mkdir(parents=True, mode=0o700)
        monkeypatch.setenv(name, str(place))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return home


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """One local cloud for the whole run; `cloud.cloud` holds its outputs.

    Nobody may stop it: a test that needs a restart makes its own LocalCloud.
    """
    with LocalCloud(tmp_path_factory.mktemp("cloud")) as local:
        yield local


DIRECT = FOREIGN.merge(Config(proxies={}, retries={"total_max_attempts": 1}))
UNSIGNED_REQUESTS = Config(signature_version=UNSIGNED)


@cache
def aws(local: LocalCloud) -> boto3.Session:
    """One session for all clients of a cloud: a new one takes a third of a second to load."""
    return local.session()


class Person(NamedTuple):
    """An account on a local cloud."""

    email: str
    password: str


def sign_up(local: LocalCloud) -> Person:
    """Sign a new person up and confirm the code from the mailbox."""
    person = Person(f"{secrets.token_hex(6)}@example.com", f"Aa1-{secrets.token_hex(8)}")
    pool = user_pool(local)
    client_id = local.cloud.client_id
    pool.sign_up(ClientId=client_id, Username=person.email, Password=person.password)
    code = local.code_for(person.email)
    pool.confirm_sign_up(ClientId=client_id, Username=person.email, ConfirmationCode=code)
    pool.close()
    return person


@dataclass(frozen=True)
class Member:
    """A signed-in person.

    Attributes:
        person: The account.
        identity_id: Of the identity pool; the prefix is made of it.
        prefix: Where this person's files are.
        id_token: As the user pool gave it.
        keys: Temporary credentials, as the arguments of a boto3 client.
    """

    person: Person
    identity_id: str
    prefix: str
    id_token: str
    keys: dict[str, str]

    def s3(self, local: LocalCloud) -> S3Client:
        """S3 with this person's credentials."""
        return aws(local).client("s3", endpoint_url=local.url, config=DIRECT, **self.keys)  # type: ignore[call-overload, no-any-return]


def member_of(local: LocalCloud, person: Person) -> Member:
    """Sign in with SRP and fetch temporary credentials by the enhanced flow."""
    cloud = local.cloud
    pool = user_pool(local)
    srp = AWSSRP(person.email, person.password, cloud.user_pool_id, cloud.client_id, client=pool)
    asked = pool.initiate_auth(
        ClientId=cloud.client_id,
        AuthFlow="USER_SRP_AUTH",
        AuthParameters=srp.get_auth_params(),
    )
    answer = pool.respond_to_auth_challenge(
        ClientId=cloud.client_id,
        ChallengeName="PASSWORD_VERIFIER",
        ChallengeResponses=srp.process_challenge(
            asked["ChallengeParameters"], {"USERNAME": person.email}
        ),
    )
    pool.close()
    token = answer["AuthenticationResult"]["IdToken"]
    logins = {f"cognito-idp.{cloud.region}.amazonaws.com/{cloud.user_pool_id}": token}
    identities = aws(local).client(
        "cognito-identity", endpoint_url=local.url, config=DIRECT.merge(UNSIGNED_REQUESTS)
    )
    identity_id = identities.get_id(IdentityPoolId=cloud.identity_pool_id, Logins=logins)[
        "IdentityId"
    ]
    keys = identities.get_credentials_for_identity(IdentityId=identity_id, Logins=logins)[
        "Credentials"
    ]
    identities.close()
    given = {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretKey"],
        "aws_session_token": keys["SessionToken"],
    }
    prefix = cloud.prefix.format(identity_id=identity_id)
    return Member(person, identity_id, prefix, token, given)


def user_pool(local: LocalCloud) -> CognitoIdentityProviderClient:
    """The user pool's API as an application without AWS credentials sees it."""
    return aws(local).client(
        "cognito-idp",
        endpoint_url=local.url,
        config=DIRECT.merge(UNSIGNED_REQUESTS),
    )


@pytest.fixture
def new_person(request: pytest.FixtureRequest) -> Callable[..., Person]:
    """Call it for a new confirmed account: `email, password = new_person()`.

    The account is on the cloud that all tests share, or on the one given to the call.
    """

    def make(local: LocalCloud | None = None) -> Person:
        return sign_up(local or request.getfixturevalue("cloud"))

    return make


@pytest.fixture
def new_member(request: pytest.FixtureRequest) -> Callable[..., Member]:
    """Call it for a new person who is signed in: `new_member().s3(cloud)`."""

    def make(local: LocalCloud | None = None) -> Member:
        place = local or request.getfixturevalue("cloud")
        return member_of(place, sign_up(place))

    return make


@pytest.fixture
def sign_in() -> Callable[[LocalCloud, Person], Member]:
    """Call it to sign an existing account in (again)."""
    return member_of
