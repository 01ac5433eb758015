"""A bucket of the test's own behind a proxy that misbehaves on request."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from botocore.credentials import Credentials

from tests.remote.faulty import FaultyProxy
from tests.remote.making import Making

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bucket_name(foreign: Any) -> str:
    name = f"vault-{secrets.token_hex(6)}"
    foreign.create_bucket(Bucket=name)
    return name


@pytest.fixture
def proxy(moto_url: str) -> Iterator[FaultyProxy]:
    with FaultyProxy(moto_url) as running:
        yield running


@pytest.fixture
def make(bucket_name: str, proxy: FaultyProxy) -> Iterator[Making]:
    """Make transports and buckets that talk through the proxy."""
    with Making(proxy.url, bucket_name, Credentials("key", "secret", "token")) as making:
        yield making
