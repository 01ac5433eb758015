"""`mount.vaultsync`: what mount(8) runs for a line of /etc/fstab of the type `vaultsync`.

    default  /home/ann/Drive  vaultsync  noauto,user  0 0

It is called as every mount helper is, with a profile's name for the device. Root becomes the person
whose vault it is, because the mount, its daemon and the sign-in are that person's.
"""

from __future__ import annotations

import argparse
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Final

import click

from vaultsync.core.errors import Misconfigured, VaultsyncError

USAGE: Final = 1
"""Exit code of mount(8) for a call that makes no sense; 32 is a mount that failed."""
FAILED: Final = 32
_OURS = {"ro": "--read-only", "allow_other": "--allow-other"}
_VALUED = {"cache_size": "--cache-size", "backend": "--backend"}
_FOR_MOUNT = frozenset(
    {
        *("defaults", "auto", "noauto", "user", "nouser", "users", "owner", "group", "nofail"),
        *("_netdev", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "async"),
        *("atime", "noatime", "relatime", "norelatime", "diratime", "nodiratime"),
    }
)
"""What mount(8) or systemd have dealt with, or what does not concern a drive."""


def main() -> None:
    """Mount as /etc/fstab says; returns to mount(8) once the drive can be used."""
    parser = argparse.ArgumentParser(prog="mount.vaultsync", description=main.__doc__)
    parser.add_argument("profile", help="the profile's name")
    parser.add_argument("directory", type=Path, help="where to mount its drive")
    parser.add_argument("-o", dest="options", default="", help="as in /etc/fstab")
    # As mount(8) calls all its helpers.
    for flag in "fnsv":
        parser.add_argument(f"-{flag}", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-t", dest="kind", help=argparse.SUPPRESS)
    given = parser.parse_args()
    try:
        before, after, person = parsed(given.options)
        if given.f:
            return
        become(person or _owner(given.directory))
    except VaultsyncError as error:
        raise _failure(USAGE, f"{error.message} {error.hint}") from error
    command = ["--profile", given.profile, *before, "mount", str(given.directory), *after]
    program = [sys.executable, "-m", "vaultsync.cli", *command]
    try:
        code = subprocess.run(program, stdout=subprocess.DEVNULL, check=False).returncode
    except OSError as error:
        raise _failure(FAILED, f"it cannot be run as that person: {error}") from error
    if code:
        raise SystemExit(FAILED)


def _failure(code: int, words: str) -> SystemExit:
    click.echo(f"mount.vaultsync: {words}", err=True)
    return SystemExit(code)


def parsed(options: str) -> tuple[list[str], list[str], str | None]:
    """What the options of a line mean.

    Args:
        options: The fourth field of /etc/fstab.

    Returns:
        Words before and after the command `mount`, and whose drive it is, if that is said.

    Raises:
        Misconfigured: One of them is not known.
    """
    before: list[str] = []
    after: list[str] = []
    person = None
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name in _OURS:
            after.append(_OURS[name])
        elif name in _VALUED:
            after += [_VALUED[name], value]
        elif name == "config_dir":
            before += ["--config-dir", value]
        elif name == "as":
            person = value
        elif name not in _FOR_MOUNT and not name.startswith(("x-", "X-", "comment")):
            known = ", ".join(sorted((*_OURS, *_VALUED, "as", "config_dir")))
            raise Misconfigured(f"The option '{option}' is not known.", f"There are: {known}.")
    return before, after, person


def _owner(directory: Path) -> str:
    """Whom a directory belongs to; stat(2) of one that is mounted already would wait."""
    try:
        return pwd.getpwuid(directory.stat().st_uid).pw_name
    except (OSError, KeyError) as error:
        raise Misconfigured(
            f"It cannot be told whose drive belongs at {directory}: {error}.",
            "Make the directory, or say it with `as=NAME`.",
        ) from error


def become(name: str) -> None:
    """Go on as that person, for good; who is not root must be that already.

    Raises:
        Misconfigured: There is no such user, or it takes root to become that one.
    """
    try:
        person = pwd.getpwnam(name)
    except KeyError as error:
        raise Misconfigured(f"There is no user '{name}'.", "See `as=NAME`.") from error
    if person.pw_uid == os.geteuid():
        return
    if os.geteuid() != 0:
        raise Misconfigured(f"Only {name} and root can mount that drive.", "See `as=NAME`.")
    os.initgroups(name, person.pw_gid)
    os.setresgid(person.pw_gid, person.pw_gid, person.pw_gid)
    os.setresuid(person.pw_uid, person.pw_uid, person.pw_uid)
    os.chdir("/")
    for word in [word for word in os.environ if word.startswith(("XDG_", "DBUS_", "VAULTSYNC_"))]:
        del os.environ[word]
    os.environ |= {"HOME": person.pw_dir, "USER": name, "LOGNAME": name}
    runtime = Path(f"/run/user/{person.pw_uid}")
    if runtime.is_dir():
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)
