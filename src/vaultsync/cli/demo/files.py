"""A tree of files such as people have, for the demonstration: made anew, the same each time."""

from __future__ import annotations

import os
import random
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BIG = 60_000_000
"""Bytes of the largest file: enough for several parts of a multipart upload."""

LONG_NAME = "long " + "ü" * 120 + ".txt"
"""249 bytes: as long as it gets while a device can still add nothing to it."""

ODD_NAMES = (
    "été à Zürich.txt",
    "日本語のメモ.txt",
    "ребёнок 🎈.txt",
    "50% off #1? yes + no & maybe.txt",
    "%41 is not A.txt",
    'it\'s "quoted".txt',
    "back\\slash.txt",
    " leading and trailing ",
    "line\nbreak.txt",
    "-rf.txt",
    "a=b;c,d:e@f!g(h)[i]{j}^k~l$m.txt",
    ".hidden",
    LONG_NAME,
)
"""Names that have broken one tool or another."""


def plant(root: Path, seed: int = 1) -> None:
    """Fill a folder with photos, documents, deep folders, odd names, and a 60 MB file.

    Args:
        root: An existing folder.
        seed: The same seed gives the same bytes.
    """
    chance = random.Random(seed)  # noqa: S311 - pictures, not secrets
    for path, content in _files(chance):
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        # Some years back, with a fraction of a second that only a careful copy keeps.
        when = 1_500_000_000_000_000_000 + chance.randrange(10**17)
        os.utime(target, ns=(when, when))
    (root / "documents/backup.sh").chmod(0o755)
    (root / "an empty folder").mkdir()


def _files(chance: random.Random) -> Iterator[tuple[str, bytes]]:
    for number in range(12):
        yield f"photos/2026/holiday {number:02}.jpg", jpeg(40, 30, chance)
        yield f"photos/screens/screen {number:02}.png", png(160, 120, chance)
    yield "documents/letter.txt", b"Dear all,\nthe folder follows us now.\n"
    yield "documents/zero bytes.txt", b""
    yield "documents/backup.sh", b"#!/bin/sh\necho done\n"
    yield "documents/table.csv", b"".join(b"%d,%d\n" % (n, n * n) for n in range(5000))
    yield "/".join(f"level {depth}" for depth in range(20)) + "/deep.txt", b"twenty folders down\n"
    for number, name in enumerate(ODD_NAMES):
        yield f"odd names/{name}", b"file number %d\n" % number
    yield "video.bin", chance.randbytes(BIG)


def png(width: int, height: int, chance: random.Random) -> bytes:
    """A picture in PNG: a colour gradient with some grain.

    Args:
        width: In pixels.
        height: In pixels.
        chance: Where colours and grain come from.
    """
    red, green = chance.randrange(256), chance.randrange(256)
    rows = b"".join(
        b"\0"
        + b"".join(
            bytes(((red + x) % 256, (green + y) % 256, chance.randrange(256))) for x in range(width)
        )
        for y in range(height)
    )

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# How many Huffman codes have 1, 2, … 16 bits, then the symbols in the order of their codes: the
# brightness steps of ITU-T T.81 table K.3, and for the detail within a block "no detail" alone.
_STEPS = bytes((0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, *range(12)))
_DETAIL = bytes((1, *[0] * 15, 0))
_STEP_CODES = ("00", "010", "011", "100", "101", "110", "1110", "11110", "111110", "1111110")


def jpeg(columns: int, rows: int, chance: random.Random) -> bytes:
    """A picture in baseline JPEG: a mosaic of grey squares, eight pixels wide.

    Args:
        columns: Squares beside one another.
        rows: Squares below one another.
        chance: Where the greys come from.
    """
    bits, before = [], 0
    for _ in range(columns * rows):
        grey = chance.randrange(-128, 128)
        step, before = grey - before, grey
        size = abs(step).bit_length()
        value = step if step >= 0 else step + (1 << size) - 1
        bits.append(_STEP_CODES[size] + (f"{value:0{size}b}" if size else "") + "0")
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    data = int(stream, 2).to_bytes(len(stream) // 8).replace(b"\xff", b"\xff\0")

    def segment(marker: int, body: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body

    frame = struct.pack(">BHHB3B", 8, rows * 8, columns * 8, 1, 1, 0x11, 0)
    return (
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
        + segment(0xDB, bytes((0, *[8] * 64)))
        + segment(0xC0, frame)
        + segment(0xC4, b"\x00" + _STEPS)
        + segment(0xC4, b"\x10" + _DETAIL)
        + segment(0xDA, bytes((1, 1, 0x00, 0, 63, 0)))
        + data
        + b"\xff\xd9"
    )
