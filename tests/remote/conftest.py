"""A bucket of the test's own behind a proxy that misbehaves on request."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials

from tests.remote.faulty import FaultyProxy
from tests.remote.making import Making
from tests.s3 import foreign_client
from tests.s3model import S3Model
from tests.s3model.state import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bucket_name(foreign: Any) -> str:
    name = f"vault-{secrets.token_hex(6)}"
    foreign.create_bucket(Bucket=name)
    return name


@pytest.fixture
def model() -> Iterator[S3Model]:
    """A model of the test's own, to be turned and counted."""
    with S3Model() as running:
        running.service.buckets["vault"] = Bucket("vault", "Enabled")
        yield running


@pytest.fixture
def on_model(model: S3Model) -> Iterator[Making]:
    """Make transports and buckets on that model, which does all that S3 does."""
    with Making(model.url, "vault", Credentials("key", "secret")) as making:
        yield making


@pytest.fixture
def theirs(model: S3Model) -> Iterator[Any]:
    """A client that writes to that model as other programs do."""
    client = foreign_client(model.url)
    yield client
    client.close()


@pytest.fixture
def proxy(moto_url: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(moto_url) as running:
        yield running


@pytest.fixture
def make(bucket_name: str, proxy: FaultyProxy) -> Iterator[Making]:
    """Make transports and buckets that talk through the proxy."""
    with Making(proxy.url, bucket_name, Credentials("key", "secret", "token")) as making:
        yield making
