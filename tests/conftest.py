"""What every test stands on: no network but loopback, no settings of this machine's user."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, NamedTuple

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from pytest_socket import socket_allow_hosts

from vaultsync.cloud.local import LocalCloud

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_cognito_idp import CognitoIdentityProviderClient


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


def user_pool(local: LocalCloud) -> CognitoIdentityProviderClient:
    """The user pool's API as an application without AWS credentials sees it."""
    return boto3.Session(region_name=local.cloud.region).client(
        "cognito-idp",
        endpoint_url=local.url,
        config=Config(signature_version=UNSIGNED, proxies={}),
    )


@pytest.fixture
def new_person(request: pytest.FixtureRequest) -> Callable[..., Person]:
    """Call it for a new confirmed account: `email, password = new_person()`.

    The account is on the cloud that all tests share, or on the one given to the call.
    """

    def make(local: LocalCloud | None = None) -> Person:
        return sign_up(local or request.getfixturevalue("cloud"))

    return make
