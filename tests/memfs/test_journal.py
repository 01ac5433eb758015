"""What a power cut leaves of the names: never an operation without what it rests on."""

from __future__ import annotations

import random
from pathlib import Path

from tests.memfs.files import MemoryFiles
from tests.memfs.tree import Tree


def test_what_an_operation_rests_on_survives_with_it_after_any_sync() -> None:
    """A durable file that is renamed thrice is under one of its names, whatever was synced."""
    for seed in range(300):
        chance = random.Random(seed)
        files = MemoryFiles(Tree(lambda: 1))
        top = files.top(Path("/"))
        for name in ("d", "e"):
            files.mkdir(top, name, 0o755)
        folders = [top, files.enter(top, "d"), files.enter(top, "e")]
        files.close(files.create(top, "here"))
        files.tree.journal.sync_all(files.tree.inodes())
        at, name = top, "here"
        for step in range(5):
            to = chance.choice(folders)
            files.move(at, name, to, f"step {step}")
            at, name = to, f"step {step}"
            files.close(files.create(chance.choice(folders), f"other {step}"))
            if chance.random() < 0.5:
                files.sync(chance.choice(folders))
        after = files.crash(chance)
        left = [
            name
            for path in (".", "d", "e")
            for name in after.names(after.enter(after.top(Path("/")), path)).others
            if not name.startswith("other")
        ]
        assert len(left) == 1, (seed, left)
