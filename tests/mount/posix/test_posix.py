"""What system calls do on a mounted drive is what they do in a plain folder, errors and all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import needs_fuse
from tests.mount.live import Mounted
from vaultsync.mount.kernel import holder

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs_fuse
_LIMIT = 200.0
_HERE = Path(__file__).parents[3]
_ROOT = os.geteuid() == 0

Told = dict[str, list[tuple[str, dict[str, str]]]]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    """A drive that others may enter, and where devices work, as far as we may have that."""
    made = Mounted(tmp_path, options=holder.Options(allow_other=_ROOT, devices=_ROOT))
    yield made
    made.close()


def _play(folder: Path) -> Told:
    program = [sys.executable, "-m", "tests.mount.posix.play", os.fspath(folder)]
    done = subprocess.run(
        program, cwd=_HERE, capture_output=True, text=True, timeout=_LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    told: Told = json.loads(done.stdout)
    return told


def _differences(plain: Told, drive: Told) -> Iterator[str]:
    """The first of each script, in words."""
    for name, lines in plain.items():
        for expected, found in zip(lines, drive[name], strict=True):
            if expected == found:
                continue
            yield f"{name}: {expected[0]}"
            if expected[0] != found[0]:
                yield f"    the drive: {found[0]}"
            for path in sorted(expected[1].keys() | found[1].keys()):
                one, other = expected[1].get(path), found[1].get(path)
                if one != other:
                    yield f"    {path[:60]}: {one}\n    the drive: {other}"
            break


@pytest.mark.timeout(2 * _LIMIT)
def test_system_calls_do_what_they_do_in_a_plain_folder(mounted: Mounted, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    with ThreadPoolExecutor() as both:
        expected, found = both.map(_play, (plain, mounted.point))
    assert "\n".join(_differences(expected, found)) == ""
    results = [line.rpartition(": ")[2] for lines in expected.values() for line, _ in lines]
    assert len(expected) > 500
    assert results.count("done") > 500, "hardly anything could be done at all"


_CHANGES = """
import errno, json, os
told = []
for change in (
    lambda: open("new", "w"), lambda: open("d/file", "w"), lambda: open("d/file", "a"),
    lambda: os.mkdir("m"), lambda: os.mkfifo("f"), lambda: os.symlink("x", "l"),
    lambda: os.link("d/file", "o"), lambda: os.unlink("d/file"), lambda: os.rmdir("d"),
    lambda: os.rename("d/file", "n"), lambda: os.rename("d", "e"), lambda: os.utime("d/file"),
    lambda: os.chown("d/file", 5, 5), lambda: os.truncate("d/file", 0),
    lambda: os.chmod("d/file", 0o600),
    lambda: os.setxattr("d/file", "user.a", b"b"), lambda: os.removexattr("d/file", "user.a"),
    lambda: os.mknod("k"), lambda: os.chmod(".", 0o700), lambda: os.utime(".", ns=(1, 2)),
):
    try: change(); told.append("done")
    except OSError as error: told.append(errno.errorcode[error.errno])
with open("d/file") as file: text = file.read()
print(json.dumps([sorted(set(told)), text, os.access("d/file", os.R_OK), os.access(".", os.W_OK)]))
"""


def test_nothing_is_changed_through_a_mount_that_only_reads(tmp_path: Path) -> None:
    mounted = Mounted(tmp_path, options=holder.Options(read_only=True))
    try:
        mounted.joint.graft("d/file", b"content")
        told = json.loads(mounted.run(f"{sys.executable} -c '{_CHANGES}'"))
        assert told == [["EROFS"], "content", True, False]
    finally:
        mounted.close()
