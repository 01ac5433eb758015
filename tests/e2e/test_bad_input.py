"""What is wrong around vaultsync is told with the right exit code, and harms nothing."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vaultsync.cli.demo.world import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import Household, Machine
    from vaultsync.cloud.local import LocalCloud

pytestmark = pytest.mark.timeout(180)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Call it with mount options for a small file system in memory."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"tmpfs-{len(mounted)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def complaint(machine: Machine) -> CommandFailed:
    """What `status --wait` says of a daemon that runs but cannot work."""
    machine.up()
    with pytest.raises(CommandFailed) as failed:
        machine.settle(60)
    return failed.value


def test_a_folder_that_is_missing(household: Household) -> None:
    laptop, _ = household
    laptop.folder.rmdir()
    error = complaint(laptop)
    assert str(laptop.folder) in error.message
    assert not laptop.folder.exists(), "a missing folder may be an unmounted disk"


def test_a_folder_that_is_a_file(household: Household) -> None:
    laptop, _ = household
    laptop.folder.rmdir()
    laptop.folder.write_text("not a folder\n")
    assert str(laptop.folder) in complaint(laptop).message
    assert laptop.folder.read_text() == "not a folder\n"


@as_root
def test_a_folder_that_cannot_be_written(
    household: Household, tmpfs: Callable[[str], Path]
) -> None:
    laptop, _ = household
    place = tmpfs("ro,size=1m")
    laptop.environment["VAULTSYNC_FOLDER_PATH"] = str(place)
    assert str(place) in complaint(laptop).message


def test_a_folder_inside_another_synced_one(
    household: Household, new_machine: Callable[[str], Machine], cloud: LocalCloud
) -> None:
    laptop, _ = household
    laptop.up()
    laptop.settle()
    inner = new_machine("inner")
    inner.folder = laptop.folder / "inner"
    inner.folder.mkdir()
    inner.init(cloud.cloud)
    assert "inside the synced folder" in complaint(inner).message


def test_an_unknown_key_in_the_configuration(household: Household) -> None:
    laptop, _ = household
    config = laptop.config_dir / "config.toml"
    config.write_text(config.read_text().replace("bucket =", "buckett ="))
    for words in (("daemon",), ("status",), ("start",)):
        code, text = laptop.refusal(*words)
        assert code == 78, text
        assert "buckett" in text
        assert "bucket" in text.replace("buckett", "")


def test_an_endpoint_where_nobody_answers(household: Household) -> None:
    laptop, _ = household
    laptop.environment["VAULTSYNC_CLOUD_ENDPOINT_URL"] = "http://127.0.0.1:9"
    laptop.up()
    with pytest.raises(CommandFailed) as failed:
        laptop.run("status", "--wait", "--timeout", "5")
    assert (failed.value.word, failed.value.status) == ("offline", 8)
    assert laptop.daemon is not None
    assert laptop.daemon.poll() is None, "being offline is no reason to end"


def test_a_bucket_without_the_right_to_it(household: Household, cloud: LocalCloud) -> None:
    laptop, _ = household
    s3 = cloud.session().client("s3", endpoint_url=cloud.url)
    s3.create_bucket(Bucket="somebody-elses-bucket")
    s3.close()
    laptop.environment["VAULTSYNC_CLOUD_BUCKET"] = "somebody-elses-bucket"
    laptop.write("mine.txt", "mine\n")
    error = complaint(laptop)
    assert error.status == 10, error.message
    assert (laptop.folder / "mine.txt").read_text() == "mine\n"


def test_a_second_daemon_of_the_same_profile(household: Household) -> None:
    laptop, _ = household
    laptop.up()
    code, text = laptop.refusal("daemon")
    assert code == 9, text
    laptop.settle()


def test_a_second_daemon_on_the_same_folder(
    household: Household, new_machine: Callable[[str], Machine], cloud: LocalCloud
) -> None:
    laptop, desktop = household
    laptop.up()
    laptop.settle()
    desktop.environment["VAULTSYNC_FOLDER_PATH"] = str(laptop.folder)
    code, text = desktop.refusal("daemon")
    assert code == 9, text


@as_root
def test_a_full_disk_blocks_one_file_and_harms_none(
    household: Household, tmpfs: Callable[[str], Path]
) -> None:
    laptop, desktop = household
    place = tmpfs("size=8m")
    desktop.environment["VAULTSYNC_FOLDER_PATH"] = str(place)
    desktop.folder = place
    laptop.write("small.txt", "small\n")
    household.up()
    laptop.settle()
    laptop.write("large.bin", b"\1" * 20_000_000)
    laptop.write("small too.txt", "small too\n")
    laptop.settle()
    desktop.settle()
    assert desktop.files() == {"small.txt": b"small\n", "small too.txt": b"small too\n"}
    (waiting,) = desktop.run("status", "--pending")["waiting"]
    assert waiting["path"] == "large.bin"
    assert "space" in waiting["reason"] or "full" in waiting["reason"]

    (laptop.folder / "large.bin").unlink()
    laptop.settle()
    desktop.settle()
    assert set(laptop.files()) == {"small.txt", "small too.txt"}


def test_a_wrong_password_is_refused_and_leaves_no_trace(
    new_machine: Callable[[str], Machine],
    new_person: Callable[..., tuple[str, str]],
    cloud: LocalCloud,
) -> None:
    machine = new_machine("laptop")
    email, _ = new_person()
    with pytest.raises(CommandFailed) as failed:
        machine.join(cloud.cloud, email, "Wrong-password-1")
    assert failed.value.status in (4, 10)
    for path in machine.config_dir.rglob("*"):
        assert not path.is_file() or b"Wrong-password-1" not in path.read_bytes()


def test_a_pool_that_does_not_exist(
    new_machine: Callable[[str], Machine], cloud: LocalCloud
) -> None:
    machine = new_machine("laptop")
    with pytest.raises(CommandFailed) as failed:
        machine.join(
            replace(cloud.cloud, client_id="nosuchclient"), "a@example.com", "Some-password-1"
        )
    assert failed.value.status in (10, 78)
