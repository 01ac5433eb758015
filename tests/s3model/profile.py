"""Profiles of devices whose person is signed in on a model already: a daemon just runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.s3model.process import control
from tests.s3model.service import VAULT
from vaultsync import config
from vaultsync.auth.secrets import FileStore
from vaultsync.paths import places

if TYPE_CHECKING:
    from pathlib import Path


def join(
    url: str,
    config_dir: Path,
    folder: Path,
    *,
    email: str = "someone@example.com",
    device: str = "laptop",
    settings: dict[str, object] | None = None,
) -> str:
    """Make a device: `vaultsync --config-dir DIR daemon` then serves the folder.

    Args:
        url: The model.
        config_dir: Where configuration and state of the device are to be.
        folder: What it syncs; made if missing.
        email: Whose device; the account is made if there is none of this address.
        device: Its name.
        settings: More of them by dotted name, such as `folder.poll_seconds`.

    Returns:
        The prefix of the person's objects in the bucket.
    """
    given = control(url, "POST", "accounts", {"email": email})
    values: dict[str, object] = {f"cloud.{name}": value for name, value in given["cloud"].items()}
    values |= {
        "cloud.bucket": VAULT,
        "cloud.endpoint_url": url,
        "folder.path": folder,
        "folder.poll_seconds": 0.5,
        "auth.username": email,
        "auth.store": "file",
        "device.name": device,
        **(settings or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    found = places(config.DEFAULT, config_dir)
    found.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    config.save(found.config_file, config.DEFAULT, values)
    FileStore(found.state_dir / "secrets" / "refresh-token").write(given["refresh_token"])
    return f"private/{given['identity_id']}/"
