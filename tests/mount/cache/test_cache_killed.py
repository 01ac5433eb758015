"""The process is killed at any moment; the next one never reads wrong bytes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.mount.cache.vault import KIB, World, noise
from vaultsync.state.store import Store

if TYPE_CHECKING:
    from pathlib import Path

FILES = 8
SIZE = 700 * KIB
PIECE = 4 * KIB
_LIMIT = 3 << 20


def content(seed: int) -> bytes:
    return noise(SIZE, seed)


def life(home: Path, seed: int) -> None:
    """Read, write, cut, upload and evict until killed; each write is told once it is done."""
    world = World(home, _LIMIT)
    chance = random.Random(seed)
    for n in range(1, FILES + 1):
        world.vault.versions[f"p{n}", f"e{n}"] = content(n)
    print("ready", flush=True)
    while True:
        node = world.node(chance.randint(1, FILES))
        what = chance.random()
        if what < 0.5 or node.id <= FILES // 2:
            at = chance.randrange(SIZE)
            world.cache.read(node, at, chance.choice([PIECE, 400 * KIB]))
        elif what < 0.9:
            at = chance.randrange(SIZE // PIECE) * PIECE
            number = chance.randrange(256)
            print("begin", node.id, at, number, flush=True)
            world.write(node, at, bytes([number]) * PIECE)
            print("done", node.id, at, number, flush=True)
        else:
            world.cache.limit = 0
            world.cache.limit = _LIMIT


@pytest.mark.parametrize("seed", range(4))
def test_after_a_kill_no_byte_is_wrong(tmp_path: Path, seed: int) -> None:
    Store(tmp_path / "state.db").close()
    world = World(tmp_path, _LIMIT)
    for n in range(1, FILES + 1):
        world.add(content(n))
    world.close()
    expected = {n: bytearray(content(n)) for n in range(1, FILES + 1)}
    doubt: dict[int, tuple[int, int]] = {}
    chance = random.Random(seed)
    for round_ in range(3):
        code = (
            "from pathlib import Path; from tests.mount.cache.test_cache_killed import life; "
            f"life(Path({str(tmp_path)!r}), {seed * 10 + round_})"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, b"")
            for _ in range(chance.randint(1, 150)):
                if not _told(next(lines, b""), expected, doubt):
                    break
            process.send_signal(signal.SIGKILL)
            for line in lines:
                _told(line, expected, doubt)
        world = World(tmp_path, _LIMIT)
        try:
            for n in range(1, FILES + 1):
                world.vault.versions[f"p{n}", f"e{n}"] = content(n)
            assert world.cache.losses == []
            for n, data in expected.items():
                got = world.cache.read(world.node(n), 0, SIZE)
                if n in doubt:
                    at, number = doubt.pop(n)
                    for byte in range(at, at + PIECE):
                        assert got[byte] in (data[byte], number)
                    data[at : at + PIECE] = got[at : at + PIECE]
                assert got == data
        finally:
            world.close()


def _told(line: bytes, expected: dict[int, bytearray], doubt: dict[int, tuple[int, int]]) -> bool:
    words = line.decode().split()
    if len(words) == 4 and line.endswith(b"\n"):
        node, at, number = map(int, words[1:])
        if words[0] == "begin":
            doubt[node] = (at, number)
        else:
            expected[node][at : at + PIECE] = bytes([number]) * PIECE
            doubt.pop(node, None)
    return bool(words)
