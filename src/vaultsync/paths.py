"""Where things live on this machine: the XDG folders, or all of it below one folder."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from vaultsync.core.errors import MachineRefused

APPLICATION = "vaultsync"
"""Name of our folder in each of the XDG places."""

LONGEST_SOCKET = 107
"""Bytes in a Unix socket's path: `sun_path` has 108 on Linux, the last is a NUL (unix(7))."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one profile. Nothing is made by naming it here.

    Attributes:
        config_file: The configuration, shared by all profiles.
        state_dir: What must not be lost lightly: the database.
        cache_dir: What can be made again.
        socket: Where the daemon listens.
        drive_socket: Where it takes over a mount; no profile's `socket` can have that name.
        lock: Held by whoever syncs this profile.
        log: Where a daemon in the background writes.
        holder_log: Where a holder of a mount in the background writes.
    """

    config_file: Path
    state_dir: Path
    cache_dir: Path
    socket: Path
    drive_socket: Path
    lock: Path
    log: Path
    holder_log: Path


def places(profile: str, config_dir: Path | None = None) -> Places:
    """The places of a profile.

    Args:
        profile: Its name, already checked to be usable as a file name.
        config_dir: When given, configuration, state, cache and socket are all below it, so that
            any number of instances run side by side; else the XDG folders are used.
    """
    if config_dir is None:
        import platformdirs  # noqa: PLC0415 - not needed with a folder of one's own

        config = platformdirs.user_config_path(APPLICATION)
        state = platformdirs.user_state_path(APPLICATION)
        cache = platformdirs.user_cache_path(APPLICATION)
        runtime = platformdirs.user_runtime_path(APPLICATION)
    else:
        config = config_dir.expanduser().absolute()
        state, cache, runtime = config / "state", config / "cache", config / "run"
    return Places(
        config_file=config / "config.toml",
        state_dir=state / profile,
        cache_dir=cache / profile,
        socket=_short(runtime / f"{profile}.sock"),
        drive_socket=_short(runtime / f"{profile}.drive"),
        lock=state / profile / "lock",
        log=state / profile / "daemon.log",
        holder_log=state / profile / "holder.log",
    )


def local_cloud(config_dir: Path | None = None) -> Path:
    """Where the local cloud keeps its data, unless it is told otherwise."""
    if config_dir is not None:
        return config_dir.expanduser().absolute() / "cloud"
    import platformdirs  # noqa: PLC0415 - see places

    return platformdirs.user_data_path(APPLICATION) / "cloud"


def make_private(directory: Path) -> Path:
    """Make a folder that only its owner may enter, or check that an existing one is ours.

    Raises MachineRefused when it belongs to somebody else or is a link: in a shared place such as
    `/tmp` anybody could have put it there.
    """
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise MachineRefused(
                f"{directory} is not a folder of this user.", "Remove it, or ask who made it."
            ) from None
        if found.st_mode & 0o077:
            directory.chmod(0o700)
    return directory


def _short(socket: Path) -> Path:
    """The path itself, or one that a Unix socket can have and that only this one leads to.

    It depends on nothing but the path and the user, so that daemon and commands agree even when
    one of them was started without a login session's variables.
    """
    if len(os.fsencode(socket)) <= LONGEST_SOCKET:
        return socket
    digest = hashlib.sha256(os.fsencode(socket)).hexdigest()[:24]
    runtime = Path("/run/user") / str(os.getuid())
    if os.access(runtime, os.W_OK):
        return runtime / APPLICATION / f"{digest}.sock"
    return Path("/tmp") / f"{APPLICATION}-{os.getuid()}" / f"{digest}.sock"  # noqa: S108 - made private
