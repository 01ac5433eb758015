"""Two real daemons through the model of S3 and Cognito, as campaigns with faults run them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Household
from tests.s3model import Fault, ModelProcess, S3Model
from tests.s3model.profile import join
from vaultsync.remote.upload import PART

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Machine

pytestmark = pytest.mark.timeout(240)


def test_two_daemons_sync_through_the_model(new_machine: Callable[..., Machine]) -> None:
    with ModelProcess() as model:
        model.control(
            "PUT",
            "settings",
            {
                "credentials_are_checked": True,
                "prefixes_are_checked": True,
                "missing_is_forbidden": True,
                "versions_may_go": False,
            },
        )
        home = Household(new_machine("laptop"), new_machine("desktop"))
        prefixes = {
            join(model.url, each.config_dir, each.folder, device=each.name) for each in home
        }
        home.up()
        home.laptop.write("sub/note.txt", "from the laptop\n")
        home.desktop.write("large.bin", bytes(range(256)) * 80_000)
        assert home.same().keys() == {"sub/note.txt", "large.bin"}

        home.desktop.write("sub/note.txt", "edited on the desktop\n")
        (home.laptop.folder / "large.bin").unlink()
        assert home.same() == {"sub/note.txt": b"edited on the desktop\n"}

        model.control("DELETE", "credentials")
        home.laptop.write("later.txt", "with other credentials\n")
        assert home.same().keys() == {"sub/note.txt", "later.txt"}
        home.down()
        written = model.control("GET", f"versions?prefix={prefixes.pop()}")
        assert prefixes == set()
        assert {each["operation"] for each in written} == {
            "PutObject",
            "CopyObject",
            "CompleteMultipartUpload",
            "DeleteObject",
        }
        refused = [
            each for each in model.control("GET", "record")["requests"] if each["status"] == 400
        ]
        assert refused


def test_a_large_file_is_gone_on_with_after_a_kill(new_machine: Callable[..., Machine]) -> None:
    data = b"".join(bytes([number]) * PART for number in range(6))
    with S3Model() as model:
        laptop = new_machine("laptop")
        prefix = join(model.url, laptop.config_dir, laptop.folder, device=laptop.name)
        model.faults.add(Fault("slow", "UploadPart", prefix + "large", skip=2, seconds=600))
        laptop.up()
        laptop.write("large.bin", data)
        wait_for(lambda: any(len(each.parts) == 2 for each in [*model.vault.uploads.values()]))
        laptop.crash()
        model.faults.clear()
        before = len(model.record.requests)
        laptop.up()
        wait_for(lambda: prefix + "large.bin" in model.vault.objects)
        laptop.down()
        sent = [
            asked.bytes_in
            for asked in model.record.requests[before:]
            if asked.operation == "UploadPart" and asked.key == prefix + "large.bin"
        ]
        assert sent == [PART] * 4
        assert b"".join(model.vault.objects[prefix + "large.bin"].body) == data


def wait_for(true: Callable[[], bool], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.05)
