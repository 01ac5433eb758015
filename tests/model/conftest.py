"""A model of each test's own, and another program's client that tries nothing twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.config import Config
from botocore.credentials import Credentials

from tests.guards import FOREIGN
from tests.s3 import foreign_client
from tests.s3model import S3Model
from tests.s3model.service import VAULT
from vaultsync.remote.boto import BotoTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ONCE = Config(retries={"total_max_attempts": 1}, proxies={})


@pytest.fixture
def model() -> Iterator[S3Model]:
    with S3Model() as running:
        yield running


@pytest.fixture
def s3(model: S3Model) -> Iterator[Any]:
    client = foreign_client(model.url, FOREIGN.merge(ONCE))
    yield client
    client.close()


@pytest.fixture
def transport(model: S3Model) -> Iterator[BotoTransport]:
    """Our own, without waiting between attempts."""
    ours = new_transport(model, lambda _: None)
    yield ours
    ours.close()


def new_transport(model: S3Model, pause: Callable[[float], object]) -> BotoTransport:
    keys = Credentials("key", "secret")
    return BotoTransport(VAULT, "us-east-1", keys, model.url, pause=pause)
