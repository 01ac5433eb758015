"""Mass deletions under real daemons: held, let through, or undone; and a vault that was emptied."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_foreign import Outsider
from vaultsync.cli.demo.world import CommandFailed

if TYPE_CHECKING:
    from tests.e2e.conftest import Household, Machine
    from vaultsync.cloud.local import LocalCloud

pytestmark = pytest.mark.timeout(300)

FILES = 60


def fill(household: Household) -> dict[str, bytes]:
    """Sixty files in a folder, and a few beside it, on both devices."""
    for number in range(FILES):
        household.laptop.write(f"photos/{number:02}.jpg", f"photo {number}")
    for number in range(5):
        household.laptop.write(f"{number}.txt", f"text {number}")
    household.up()
    return household.same()


def refused(machine: Machine) -> str:
    """What the device says once all is done but what a guard holds."""
    with pytest.raises(CommandFailed) as failed:
        machine.settle()
    assert failed.value.status == 7
    return failed.value.message


def test_a_folder_removed_by_mistake_comes_back(household: Household) -> None:
    laptop, desktop = household
    before = fill(household)
    shutil.rmtree(laptop.folder / "photos")
    laptop.write("0.txt", "goes on")
    assert f"{FILES} files" in refused(laptop)
    desktop.settle()
    assert desktop.files() == before | {"0.txt": b"goes on"}
    (held,) = laptop.run("held", "list")
    assert (held["guard"], held["count"], len(held["paths"])) == (
        "deletions-in-vault",
        FILES,
        FILES,
    )
    status = laptop.run("status", "--pending")
    assert status["state"] in ("idle", "syncing")
    assert status["held"] == FILES
    assert {item["code"] for item in status["waiting"]} == {"held"}
    assert laptop.run("why", "photos/07.jpg")["waiting"]["code"] == "held"
    laptop.crash()
    laptop.up()
    assert f"{FILES} files" in refused(laptop)
    assert laptop.run("held", "restore") == {"files": FILES}
    assert household.same() == before | {"0.txt": b"goes on"}
    assert laptop.run("held", "list") == []


def test_a_folder_removed_on_purpose_goes_everywhere(household: Household) -> None:
    laptop, desktop = household
    fill(household)
    shutil.rmtree(laptop.folder / "photos")
    refused(laptop)
    assert laptop.run("held", "allow") == {"files": FILES}
    laptop.settle()
    # The other device has a guard of its own.
    assert f"{FILES} files" in refused(desktop)
    assert len(desktop.files()) == FILES + 5
    desktop.run("held", "allow", "deletions-here")
    assert set(household.same()) == {f"{number}.txt" for number in range(5)}


def test_an_emptied_vault_deletes_nothing(household: Household, cloud: LocalCloud) -> None:
    laptop = household.laptop
    before = fill(household)
    outsider = Outsider(household, cloud)
    s3 = outsider.s3()
    for item in s3.list_objects_v2(Bucket=cloud.cloud.bucket, Prefix=outsider.prefix)["Contents"]:
        s3.delete_object(Bucket=cloud.cloud.bucket, Key=item["Key"])
    s3.close()
    said = refused(laptop)
    assert "recognised" in said
    assert laptop.files() == before
    laptop.run("held", "restore")
    household.desktop.run("held", "restore")
    assert household.same() == before
