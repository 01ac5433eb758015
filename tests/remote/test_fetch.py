"""Ranges of versions, as the drive reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.remote.making import PREFIX, Making, put
from tests.s3model.state import Bucket as Modelled
from vaultsync.core.errors import Stale

if TYPE_CHECKING:
    from tests.s3model import S3Model
    from vaultsync.core.model import Entry
    from vaultsync.remote.bucket import Bucket

DATA = bytes(range(256)) * 1000


def fetch(
    side: Bucket, entry: Entry, offset: int, length: int, path: str = "d/f", *, old: bool = True
) -> bytes:
    version = entry.version if old else None
    return b"".join(side.fetch(path, entry.tag, version, offset, length))


def test_exactly_the_range(on_model: Making, model: S3Model) -> None:
    side = on_model.side()
    entry = put(side, "d/f", DATA)
    model.record.clear()
    assert fetch(side, entry, 1000, 5000) == DATA[1000:6000]
    assert fetch(side, entry, len(DATA) - 1, 1) == DATA[-1:]
    (first, _) = model.record.requests
    assert (first.operation, first.bytes_out) == ("GetObject", 5000)
    assert entry.tag in first.conditions["if-match"]


def test_an_old_version_by_its_id(on_model: Making, theirs: Any) -> None:
    side = on_model.side()
    entry = put(side, "d/f", DATA)
    theirs.put_object(Bucket="vault", Key=PREFIX + "d/f", Body=b"newer")
    assert fetch(side, entry, 10, 100) == DATA[10:110]
    with pytest.raises(Stale):
        fetch(side, entry, 10, 100, old=False)
    theirs.delete_object(Bucket="vault", Key=PREFIX + "d/f")
    assert fetch(side, entry, 10, 100) == DATA[10:110]


def test_gone(on_model: Making, theirs: Any, model: S3Model) -> None:
    model.service.buckets["vault"] = Modelled("vault")
    side = on_model.side()
    entry = put(side, "d/f", DATA)
    theirs.put_object(Bucket="vault", Key=PREFIX + "d/f", Body=b"newer")
    with pytest.raises(Stale):
        fetch(side, entry, 0, 5)
    theirs.delete_object(Bucket="vault", Key=PREFIX + "d/f")
    with pytest.raises(Stale):
        fetch(side, entry, 0, 5)


def test_what_is_read_at_once_can_be_less(on_model: Making, model: S3Model) -> None:
    side = on_model.side(whole=1000)
    for size, operations in ((1000, ["GetObject"]), (1001, ["HeadObject"])):
        entry = put(side, f"f{size}", DATA[:size])
        model.record.clear()
        with side.open(f"f{size}", entry):
            assert model.operations() == operations
