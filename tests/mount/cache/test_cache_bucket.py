"""The cache reads a bucket, through requests as they are really made."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from botocore.credentials import Credentials

from tests.mount.cache.vault import MIB, World, noise
from tests.remote.making import PREFIX, Making, put
from tests.s3model import S3Model
from tests.s3model.state import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.remote.boto import BotoTransport


class Ranges:
    """A `ports.Source` on a transport."""

    def __init__(self, transport: BotoTransport) -> None:
        self._transport = transport

    def fetch(
        self, path: str, etag: str, version: str | None, offset: int, length: int
    ) -> Iterator[bytes]:
        with self._transport.get(
            PREFIX + path, etag, offset, offset + length - 1, version
        ) as answer:
            yield from answer


def test_a_version_is_read_by_ranges_and_no_other_one(tmp_path: Path) -> None:
    data = noise(3 * MIB + 5)
    with S3Model() as model:
        model.service.buckets["vault"] = Bucket("vault", "Enabled")
        with Making(model.url, "vault", Credentials("key", "secret")) as making:
            side = making.side()
            entry = put(side, "file", data)
            world = World(tmp_path)
            try:
                world.cache.close()
                world.source = Ranges(making.transport())
                world.start()
                node = world.add(data)
                node.o_path, node.o_etag = "file", entry.tag
                with world.store.transaction():
                    world.save(node)
                assert world.cache.read(node, MIB, 10) == data[MIB : MIB + 10]
                side.delete("file", entry)
                put(side, "file", noise(3 * MIB + 5, 1))
                with pytest.raises(OSError, check=lambda error: error.errno == errno.EIO):
                    world.cache.hydrate(node)
                assert world.cache.read(node, MIB, 10) == data[MIB : MIB + 10]
                now = side.look("file")
                assert now is not None
                with world.store.transaction():
                    node.o_etag, node.sha256 = now.tag, now.sha256
                    world.save(node)
                    world.cache.replaced(node)
                world.cache.hydrate(node)
                assert world.cache.read(node, 0, 4 * MIB) == noise(3 * MIB + 5, 1)
            finally:
                world.close()
