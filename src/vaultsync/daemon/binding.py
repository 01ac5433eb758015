"""What the state of a profile belongs to, and what happens when that is in doubt."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from vaultsync.core.errors import AnotherInstance, Blocked
from vaultsync.state.connection import Damaged
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.config import Cloud

log = logging.getLogger(__name__)

DATABASE = "state.db"
"""File name of the state database in a profile's state folder."""


def open_store(state_dir: Path, cloud: Cloud, root: Path | None, contents: Path | None) -> Store:
    """Open the state of a folder in a vault, or begin a new one.

    A database that is damaged, or belongs to another vault or folder, is moved aside: the engine
    then starts with an empty base, which can only merge both sides and never delete.

    Args:
        state_dir: Where the database is.
        cloud: The vault.
        root: The folder; None for a drive, which is the same one wherever it is mounted.
        contents: The folder of a drive's contents, which mean nothing without the database.
    """
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = state_dir / DATABASE
    place = "drive" if root is None else str(root)
    wanted = json.dumps(
        [cloud.user_pool_id, cloud.identity_pool_id, cloud.bucket, cloud.prefix, place]
    )
    try:
        store = Store(file)
    except Damaged as error:
        move_aside(file, "damaged", contents)
        log.warning("%s It was moved aside; both sides will be merged anew.", error.message)
        store = Store(file)
    found = store.meta("binding")
    if found not in (None, wanted):
        store.close()
        move_aside(file, "other", contents)
        log.warning("The state belonged to another vault or folder; both sides will be merged.")
        store = Store(file)
        found = None
    if found is None:
        if contents is not None and any(contents.glob("*/*")):
            # The database that knew what they are is gone: nobody else knows what was sent.
            aside = contents.with_name(f"{contents.name}.lost-{_stamp()}")
            contents.rename(aside)
            log.warning("The state database is gone; the drive's contents were moved to %s.", aside)
        with store.transaction(durable=True):
            store.set_meta("binding", wanted)
    return store


def move_aside(file: Path, why: str, contents: Path | None) -> None:
    """Rename a database and its journal so that they are kept but not used.

    Args:
        file: The database.
        why: Part of the new name.
        contents: A drive's: it may hold what is nowhere else, and the next database would not know
            of it, so it goes along.
    """
    stamp = _stamp()
    # The contents first: a crash in between must not leave them to an empty database.
    if contents is not None and contents.exists():
        aside = contents.with_name(f"{contents.name}.{why}-{stamp}")
        contents.rename(aside)
        log.warning("The contents of the drive were moved aside with it, to %s.", aside)
    for suffix in ("", "-wal", "-shm"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(file.with_name(f"{file.name}.{why}-{stamp}{suffix}"))


def moved_aside(file: Path, contents: Path) -> tuple[str, ...]:
    """Warnings of a drive's contents that were moved aside and are still there."""
    found = []
    for aside in sorted(contents.parent.glob(f"{contents.name}.*-*")):
        database = file.with_name(file.name + aside.name.removeprefix(contents.name))
        if database.exists():
            found.append(
                "The state database was given up, and with it what the drive had not sent yet: "
                f"{aside} has the contents of its files, {database} their names. Remove both when "
                "nothing is missing."
            )
        else:
            found.append(
                f"The state database was gone: {aside} has the contents of the drive's files, sent "
                "or not, without their names. Remove it when nothing is missing."
            )
    return tuple(found)


def _stamp() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


@contextmanager
def locked(file: Path, what: str) -> Iterator[None]:
    """Hold a lock that ends with this process, whatever becomes of it.

    Args:
        file: The lock file; made if missing, never removed.
        what: What it stands for, to name in the error.

    Raises:
        AnotherInstance: Somebody else holds it.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise Blocked(
            f"The lock file {file} cannot be opened: {error.strerror}.",
            "Make its folder writable.",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AnotherInstance(
                f"Another vaultsync already serves {what}.",
                "Use that one, or end it with `vaultsync stop`.",
            ) from None
        yield
    finally:
        os.close(descriptor)
