from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.s3model.profile import join
from tests.s3model.service import VAULT
from vaultsync import config
from vaultsync.auth.tokens import Tokens
from vaultsync.core.errors import Refused, SignIn
from vaultsync.daemon.account import secret_store, session
from vaultsync.paths import places
from vaultsync.remote.boto import BotoTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.s3model import S3Model
    from vaultsync.auth.identity import Session

EMAIL = "mia@example.com"


@contextmanager
def signed_in(model: S3Model, home: Path, email: str = EMAIL) -> Iterator[Session]:
    join(model.url, home / "config", home / "folder", email=email)
    where = places(config.DEFAULT, home / "config")
    profile = config.load(where.config_file).profile(config.DEFAULT)
    person = session(profile, where)
    yield person
    person.close()
    person._pool.close()


def vault(model: S3Model, person: Session) -> BotoTransport:
    return BotoTransport(VAULT, "us-east-1", person.credentials, model.url, person.renew)


def test_a_prepared_profile_is_signed_in(model: S3Model, tmp_path: Path) -> None:
    model.settings.credentials_are_checked = True
    model.settings.prefixes_are_checked = True
    with signed_in(model, tmp_path) as person:
        account = model.service.cognito.accounts[EMAIL]
        assert person.claims.email == EMAIL
        assert person.identity_id == account.identity_id
        transport = vault(model, person)
        assert transport.list_page(f"private/{account.identity_id}/").items == ()
        with pytest.raises(Refused):
            transport.list_page("private/")
        transport.close()


def test_two_devices_of_one_account_have_one_prefix(model: S3Model, tmp_path: Path) -> None:
    with (
        signed_in(model, tmp_path / "a") as one,
        signed_in(model, tmp_path / "b") as two,
        signed_in(model, tmp_path / "c", "noah@example.com") as other,
    ):
        assert one.identity_id == two.identity_id != other.identity_id


@pytest.mark.parametrize("how", ["expired", "unknown"])
def test_credentials_that_end_early_are_renewed(model: S3Model, tmp_path: Path, how: str) -> None:
    model.settings.credentials_are_checked = True
    with signed_in(model, tmp_path) as person:
        transport = vault(model, person)
        transport.list_page("private/")
        first = person.credentials.access_key
        if how == "expired":
            model.call(model.service.cognito.expire)
        else:
            model.call(model.service.cognito.keys.clear)
        transport.list_page("private/")
        assert person.credentials.access_key != first
        statuses = [a.status for a in model.record.requests if a.operation == "ListObjectsV2"]
        assert statuses == [200, 400 if how == "expired" else 403, 200]
        transport.close()


def test_credentials_live_as_long_as_they_are_told(model: S3Model, tmp_path: Path) -> None:
    model.settings.credentials_are_checked = True
    with signed_in(model, tmp_path) as person:
        tokens = person.tokens()
        model.settings.credential_seconds = 100.0
        assert 99 <= person._exchange(tokens).lifetime <= 100
        model.settings.credential_seconds = 0.0
        assert not person._exchange(tokens).usable


def test_a_pool_that_rotates_refresh_tokens(model: S3Model, tmp_path: Path) -> None:
    model.settings.rotation = True
    with signed_in(model, tmp_path) as person:
        where = places(config.DEFAULT, tmp_path / "config")
        store = secret_store(config.load(where.config_file).profile(config.DEFAULT), where)
        first = store.read()
        tokens = person.tokens()
        assert isinstance(tokens, Tokens)
        assert store.read() == tokens.refresh_token != first
        with pytest.raises(SignIn):
            person._pool.refresh(str(first))


def test_a_disabled_account_is_signed_out(model: S3Model, tmp_path: Path) -> None:
    with signed_in(model, tmp_path) as person:
        model.service.cognito.accounts[EMAIL].enabled = False
        with pytest.raises(SignIn):
            person.tokens()


def test_signing_out_revokes(model: S3Model, tmp_path: Path) -> None:
    with signed_in(model, tmp_path) as person:
        person.sign_out()
        assert model.service.cognito.accounts[EMAIL].refresh_tokens == set()
