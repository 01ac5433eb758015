"""Two servers of S3 in this process, moto's and the model, for what needs no accounts."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from moto.server import ThreadedMotoServer

from tests.guards import FOREIGN
from tests.s3model import S3Model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.config import Config


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """Its endpoint."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def s3model() -> Iterator[S3Model]:
    """One model for the whole run: a test makes a bucket of its own there.

    A test that turns its settings or faults makes its own S3Model.
    """
    with S3Model() as running:
        yield running


@pytest.fixture(scope="session")
def foreign(moto_url: str) -> Iterator[Any]:
    """A client that writes to moto as other programs do."""
    client = foreign_client(moto_url)
    yield client
    client.close()


@pytest.fixture(scope="session")
def model_foreign(s3model: S3Model) -> Iterator[Any]:
    """A client that writes to the model as other programs do."""
    client = foreign_client(s3model.url)
    yield client
    client.close()


def foreign_client(url: str, config: Config = FOREIGN) -> Any:
    """Another program's client of a server that asks for no accounts."""
    return _session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="admin",
        aws_secret_access_key="admin",
        config=config,
    )


@cache
def _session() -> botocore.session.Session:
    """One for all clients: a new one takes a third of a second to load."""
    return botocore.session.Session()
