"""Records of uploads are kept beside the store, by several threads, and never in its way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from vaultsync.core.errors import Blocked
from vaultsync.core.model import Row
from vaultsync.state.store import Store
from vaultsync.state.uploads import Uploads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "state.db"
    Store(file).close()
    return file


@pytest.fixture
def uploads(file: Path) -> Iterator[Uploads]:
    with Uploads(file) as uploads:
        yield uploads


def test_what_is_remembered_survives_a_restart(file: Path, uploads: Uploads) -> None:
    uploads.remember("b", "two", 2.0)
    uploads.remember("a", "one", 1.0)
    uploads.close()
    with Uploads(file) as again:
        assert again.all() == [("a", "one"), ("b", "two")]
        assert again.recall("a") == "one"
        assert again.recall("c") is None


def test_a_path_has_one_record(uploads: Uploads) -> None:
    uploads.remember("a", "one", 1.0)
    uploads.remember("a", "other", 2.0)
    assert uploads.all() == [("a", "other")]


def test_only_the_very_record_is_forgotten(uploads: Uploads) -> None:
    uploads.remember("a", "one", 1.0)
    uploads.forget("a", "another")
    assert uploads.recall("a") == "one"
    uploads.forget("a", "one")
    uploads.forget("a", "one")
    assert uploads.all() == []


def test_threads_and_the_store_wait_for_one_another(file: Path, uploads: Uploads) -> None:
    def work(name: str) -> None:
        for number in range(50):
            uploads.remember(f"{name}{number}", "record", 0.0)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    with Store(file) as store:
        for thread in threads:
            thread.start()
        for number in range(50):
            with store.transaction(durable=True):
                store.save([Row(f"row{number}")])
        for thread in threads:
            thread.join()
    assert len(uploads.all()) == 200


def test_what_cannot_be_used_says_so(file: Path, uploads: Uploads) -> None:
    uploads.close()
    uploads.close()
    with pytest.raises(Blocked):
        uploads.recall("a")
    with pytest.raises(Blocked):
        Uploads(file.with_name("missing.db"))
