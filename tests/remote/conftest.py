"""An S3 in this process, a proxy that misbehaves on request, and content to send."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

from tests.guards import FOREIGN
from tests.remote.faulty import FaultyProxy
from tests.remote.making import Making

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def foreign(moto_url: str) -> Iterator[Any]:
    """A client that writes as other programs do."""
    client = botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=moto_url,
        aws_access_key_id="admin",
        aws_secret_access_key="admin",
        config=FOREIGN,
    )
    yield client
    client.close()


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
