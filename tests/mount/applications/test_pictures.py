"""A photo program copies a thousand pictures from a camera, sorts and describes them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from struct import pack
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import needs_fuse

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mount.live import Mounted

pytestmark = [needs_fuse, pytest.mark.timeout(180)]

_COUNT = 1000
_TAKEN = datetime(2019, 11, 3, 8, 0, tzinfo=UTC)

_IMPORT = """
import os, shutil, struct, sys, time
from calendar import timegm

def taken(path):
    with open(path, "rb") as file:
        assert file.read(2) == b"\\xff\\xd8"
        while True:
            mark, length = struct.unpack(">2sH", file.read(4))
            content = file.read(length - 2)
            if mark == b"\\xff\\xe1" and content.startswith(b"Exif\\0\\0"): break
    tiff = content[6:]
    def entries(at):
        count, = struct.unpack_from("<H", tiff, at)
        for one in range(count):
            tag, _, size, value = struct.unpack_from("<HHII", tiff, at + 2 + 12 * one)
            yield tag, (size, value)
    first, = struct.unpack_from("<I", tiff, 4)
    size, at = dict(entries(dict(entries(first))[0x8769][1]))[0x9003]
    return tiff[at:at + size - 1].decode()

camera, album = sys.argv[1:]
os.mkdir(os.path.join(album, "incoming"))
for name in sorted(os.listdir(camera)):
    here = os.path.join(album, "incoming", name)
    shutil.copy2(os.path.join(camera, name), here)
    when = time.strptime(taken(here), "%Y:%m:%d %H:%M:%S")
    moment = timegm(when) * 10**9 + 123_456_789
    os.utime(here, ns=(moment, moment))
    folder = os.path.join(album, f"{when.tm_year}", f"{when.tm_mon:02}")
    os.makedirs(folder, exist_ok=True)
    there = os.path.join(folder, name)
    os.rename(here, there)
    with open(there + ".xmp.part", "w") as side: side.write(f"<x:xmpmeta>{name}</x:xmpmeta>")
    os.rename(there + ".xmp.part", there + ".xmp")
os.rmdir(os.path.join(album, "incoming"))
"""
_LOOK = """
import hashlib, json, os, sys
found = {}
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        with open(path, "rb") as file: data = file.read()
        found[os.path.relpath(path, sys.argv[1])] = [
            hashlib.sha256(data).hexdigest(), os.stat(path).st_mtime_ns]
print(json.dumps(found))
"""


def _picture(when: datetime, data: bytes) -> bytes:
    """A JPEG file as far as whoever reads its date can tell: EXIF, then a comment, and its end."""
    date = when.strftime("%Y:%m:%d %H:%M:%S").encode() + b"\0"
    first = pack("<HHHII", 1, 0x8769, 4, 1, 26) + pack("<I", 0)
    second = pack("<HHHII", 1, 0x9003, 2, len(date), 44) + pack("<I", 0)
    exif = b"Exif\0\0" + b"II*\0" + pack("<I", 8) + first + second + date
    parts = [b"\xff\xe1" + pack(">H", len(exif) + 2) + exif]
    parts.append(b"\xff\xfe" + pack(">H", len(data) + 2) + data)
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def test_pictures_are_imported(mounted: Mounted, tmp_path: Path) -> None:
    camera = tmp_path / "camera"
    camera.mkdir()
    dice = random.Random(1)
    moments = [_TAKEN + timedelta(hours=11 * number) for number in range(_COUNT)]
    for number, when in enumerate(moments):
        data = dice.randbytes(dice.randrange(2000, 30_000))
        (camera / f"IMG_{number:04}.jpg").write_bytes(_picture(when, data))
    plain = tmp_path / "plain"
    plain.mkdir()
    found = []
    for album in (plain, mounted.point):
        subprocess.run([sys.executable, "-c", _IMPORT, camera, album], check=True, timeout=120)
        looked = subprocess.run(
            [sys.executable, "-c", _LOOK, album], check=True, timeout=120, capture_output=True
        )
        found.append(json.loads(looked.stdout))
    expected, album_found = found
    pictures = [name for name in expected if name.endswith(".jpg")]
    assert len(pictures) == _COUNT
    assert len({name.rpartition("/")[0] for name in pictures}) > 12
    assert album_found.keys() == expected.keys()
    assert all(album_found[name][0] == expected[name][0] for name in expected)
    assert all(album_found[name] == expected[name] for name in pictures), "their dates too"
