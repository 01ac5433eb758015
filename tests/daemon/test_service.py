"""One profile, served: what becomes of it when vaultsync itself is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vaultsync import paths
from vaultsync.config import Cloud, Folder, Profile
from vaultsync.daemon import assembly, service

if TYPE_CHECKING:
    from pathlib import Path


def test_an_error_of_its_own_is_in_the_log_with_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def assemble(*_: object) -> None:
        raise KeyError("a fault for this test")

    monkeypatch.setattr(assembly, "assemble", assemble)
    cloud = Cloud("eu-central-1", "pool", "client", "identities", "bucket")
    profile = Profile("default", cloud, Folder(tmp_path / "folder"))
    places = paths.places("default", tmp_path / "config")
    with pytest.raises(KeyError):
        service.build(profile, places).run()
    assert "Traceback" in caplog.text
    assert "a fault for this test" in caplog.text
