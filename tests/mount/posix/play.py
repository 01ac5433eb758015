"""Plays scripts of system calls in a folder and tells what each line led to.

    python -m tests.mount.posix.play FOLDER

A script is a text of system calls in words as a shell's, one in a line or several with `; ` between
them. `@USER`, `@USER:GROUP` or
`@USER:GROUP,OTHER` before it says who calls; without it root does, or whoever runs this. Of each
line is told: what came of it (an errno's name, or what it returned), and all that is in the
script's folder after it: type, mode, owner, links, size, content and so on, and whose times have
changed. Nothing is expected here: who compares two folders knows what one should have done.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.mount.posix.scripts import SCRIPTS
from tests.mount.posix.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

_COARSE = 5
"""CLOCK_REALTIME_COARSE: what file systems take the time from."""


def _next_tick() -> None:
    """Wait until what changes now gets another time than what changed before."""
    begun = time.clock_gettime_ns(_COARSE)
    while time.clock_gettime_ns(_COARSE) == begun:
        time.sleep(0.0005)


@contextmanager
def _acting(who: str) -> Iterator[None]:
    """Be somebody else: for a file system, the effective ids count."""
    if not who:
        yield
        return
    user, _, rest = who.partition(":")
    groups = [int(group) for group in (rest or user).split(",")]
    before = os.getgroups()
    os.setgroups(groups[1:])
    os.setegid(groups[0])
    os.seteuid(int(user))
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


def _done(stage: Stage, line: str) -> str:
    words = shlex.split(line)
    who = words.pop(0)[1:] if words[0].startswith("@") else ""
    if who and os.getuid() != 0:
        return "not root"
    try:
        with _acting(who):
            result = getattr(stage, words[0])(*words[1:])
    except KeyError:
        return "not open"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done" if result is None else str(result)


def play(script: str) -> list[tuple[str, dict[str, str]]]:
    """Play a script in the working directory; returns what came of each line, and what is there."""
    stage = Stage()
    stage.state()
    told = []
    os.umask(0)
    try:
        for line in filter(None, map(str.strip, script.splitlines())):
            if stage.changed:
                _next_tick()
            result = " ".join([_done(stage, call) for call in line.split("; ")])
            told.append((f"{line[:200]}: {result}", stage.state()))
    finally:
        stage.close()
    return told


def main() -> None:
    root = sys.argv[1]
    chosen = sys.argv[2:]
    told: dict[str, Any] = {}
    for number, (name, script) in enumerate(SCRIPTS.items()):
        if chosen and name not in chosen:
            continue
        folder = os.path.join(root, f"{number:04d}")
        os.mkdir(folder)
        os.chmod(folder, 0o777)
        os.chdir(folder)
        told[name] = play(script)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
