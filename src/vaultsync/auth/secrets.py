"""Where the refresh token is kept: the desktop's keyring, or a file that only its owner may read.

The place is chosen once, at login (`choose`), and recorded by the caller under its `name`; later
runs name it, so that a daemon without a desktop never looks in the wrong place.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from typing import TYPE_CHECKING, Protocol

from vaultsync.auth.desktop import KEYRING_SECONDS, KeyringLocked, KeyringStore
from vaultsync.core.errors import Blocked, Misconfigured, Retry

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileStore", "KeyringLocked", "KeyringStore", "SecretStore", "choose"]

_log = logging.getLogger(__name__)


class SecretStore(Protocol):
    """A place for one secret of one profile."""

    @property
    def name(self) -> str:
        """`keyring` or `file`: what to give `choose` to find this place again."""
        ...

    @property
    def place(self) -> str:
        """Where that is, for `status` and `doctor`."""
        ...

    def read(self) -> str | None:
        """The secret, or None when there is none. Raises KeyringLocked or Blocked."""
        ...

    def write(self, secret: str) -> None:
        """Keep a secret durably, in place of the last one. Raises KeyringLocked or Blocked."""
        ...

    def delete(self) -> None:
        """Forget the secret; no error if there is none. Raises KeyringLocked or Blocked."""
        ...


def choose(
    store: str, *, profile: str, client_id: str, file: Path, timeout: float = KEYRING_SECONDS
) -> SecretStore:
    """Find the place for a profile's secret.

    Args:
        store: `keyring`, `file`, or `auto` at a login only: the keyring if it is unlocked and
            keeps what is given to it, else the file.
        profile: The profile's name, unique among all profiles of this person.
        client_id: The app client; the secret of another one is another secret.
        file: Where the file is or would be.
        timeout: Seconds that each call of the keyring may take.

    Raises:
        Misconfigured: There is no such kind of store.
    """
    if store == "file":
        return FileStore(file)
    if store == "keyring":
        return KeyringStore(profile, client_id, timeout=timeout)
    if store != "auto":
        raise Misconfigured(f"There is no secret store '{store}'.", "One of: auto, keyring, file.")
    try:
        found = KeyringStore(profile, client_id, timeout=timeout)
        found.prove()
    except (Blocked, Retry) as error:
        _log.info("The sign-in is kept in a file: %s", error.message)
        return FileStore(file)
    return found


class FileStore:
    """A file of mode 0600 in a folder of mode 0700, replaced as a whole.

    Args:
        path: The file. Its folder is made when missing and is for secrets only: its mode is set.
    """

    name = "file"

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = path

    def read(self) -> str | None:
        """The secret, or None. A file that others could read is closed to them, with a warning.

        Raises:
            Blocked: The file belongs to somebody else, is a link, or cannot be read.
        """
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        with os.fdopen(descriptor, encoding="utf-8") as file:
            self._guard(descriptor)
            return file.read() or None

    def write(self, secret: str) -> None:
        """Replace the file, flushed to the disk, and read it back."""
        folder = self._path.parent
        # The id keeps two processes apart; what a killed one left behind is written over.
        new = folder / f".{self._path.name}.{os.getpid()}.{threading.get_ident()}"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if stat.S_IMODE(folder.stat().st_mode) != 0o700:
                folder.chmod(0o700)
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(secret)
                    file.flush()
                    os.fsync(descriptor)
                new.replace(self._path)
            except BaseException:
                new.unlink(missing_ok=True)
                raise
            _flush_folder(folder)
        except OSError as error:
            raise self._unusable(error) from error
        if self.read() != secret:
            raise Blocked(f"'{self._path}' does not hold what was just written to it.")

    def delete(self) -> None:
        """Remove the file."""
        try:
            self._path.unlink()
            _flush_folder(self._path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(error) from error

    def _guard(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise Blocked(
                f"'{self._path}' belongs to another user.",
                "Remove it, then sign in again with `vaultsync login`.",
            )
        if status.st_mode & 0o077:
            os.fchmod(descriptor, 0o600)
            _log.warning(
                "'%s' could be read by other users and is closed to them now. If they are not to"
                " be trusted: `vaultsync logout --everywhere`.",
                self._path,
            )

    def _unusable(self, error: OSError) -> Blocked:
        return Blocked(
            f"The sign-in cannot be kept in '{self._path}': {error.strerror}.",
            "Make the folder writable for you alone (`chmod 700`).",
        )


def _flush_folder(folder: Path) -> None:
    """Make a rename or removal in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
