"""Whatever is done to the cache, in whatever order: what is read is what was written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.mount.cache.vault import KIB, World, noise
from tests.profiles import at_most

_LIMIT = 600 * KIB
_places = st.integers(0, 700 * KIB)
_sizes = st.integers(1, 300 * KIB)
_files = st.integers(0, 2)


class Model(RuleBasedStateMachine):
    """Three files, of which one is new; room for about two."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        self.world = World(Path(self.home.name), _LIMIT)
        self.data = [bytearray(noise(500 * KIB, 1)), bytearray(noise(300 * KIB, 2)), bytearray()]
        nodes = [self.world.add(bytes(one)) for one in self.data[:2]]
        nodes.append(self.world.add(b"", dirty=True))
        self.ids = [node.id for node in nodes]
        self.open = [0, 0, 0]
        self.seed = 100

    @rule(file=_files, offset=_places, size=_sizes, ahead=st.booleans())
    def read(self, file: int, offset: int, size: int, ahead: bool) -> None:
        node = self.world.node(self.ids[file])
        expected = bytes(self.data[file][offset : offset + size])
        with self.world.store.lock:
            usable = self.world.cache.usable(node, offset, size)
        asked = len(self.world.vault.asked)
        assert self.world.cache.read(node, offset, size, ahead=ahead) == expected
        if usable and not ahead:
            assert len(self.world.vault.asked) == asked

    @rule(file=_files, offset=_places, size=_sizes)
    def write(self, file: int, offset: int, size: int) -> None:
        self.seed += 1
        data = noise(size, self.seed)
        self.world.write(self.world.node(self.ids[file]), offset, data)
        held = self.data[file]
        held.extend(bytes(max(0, offset - len(held))))
        held[offset : offset + size] = data

    @rule(file=_files, size=st.one_of(st.just(0), _places))
    def truncate(self, file: int, size: int) -> None:
        self.world.truncate(self.world.node(self.ids[file]), size)
        held = self.data[file]
        del held[size:]
        held.extend(bytes(size - len(held)))

    @rule(file=_files)
    def hydrate(self, file: int) -> None:
        node = self.world.node(self.ids[file])
        self.world.cache.hydrate(node)
        assert self.world.row(node) == (2, [])

    @rule(file=_files)
    def upload(self, file: int) -> None:
        node = self.world.node(self.ids[file])
        if node.dirty:
            self.world.upload(node)

    @rule(file=_files, size=_sizes, empty=st.booleans())
    def replace(self, file: int, size: int, empty: bool) -> None:
        node = self.world.node(self.ids[file])
        if not node.dirty:
            self.seed += 1
            self.data[file] = bytearray(noise(0 if empty else size, self.seed))
            self.world.replace(node, bytes(self.data[file]))

    @rule()
    def evict(self) -> None:
        self.world.cache.limit = 0
        self.world.cache.limit = _LIMIT

    @rule(file=_files)
    def opened(self, file: int) -> None:
        with self.world.store.lock:
            self.world.cache.opened(self.world.node(self.ids[file]))
        self.open[file] += 1

    @precondition(lambda self: any(self.open))
    @rule(file=_files)
    def closed(self, file: int) -> None:
        if self.open[file]:
            with self.world.store.lock:
                self.world.cache.closed(self.world.node(self.ids[file]))
            self.open[file] -= 1

    @rule(other_boot=st.booleans(), idle=st.booleans())
    def restart(self, other_boot: bool, idle: bool) -> None:
        if idle:
            self.world.idle()
        if other_boot:
            self.world.store.db.execute("DELETE FROM meta WHERE key = 'drive.boot'")
        self.world.restart()
        self.open = [0, 0, 0]
        assert self.world.cache.losses == []

    @invariant()
    def rows_claim_no_more_than_is_there(self) -> None:
        for file, node_id in enumerate(self.ids):
            node = self.world.node(node_id)
            with self.world.store.lock:
                here, spans = self.world.row(node)
                path = self.world.path(node)
                content = path.read_bytes() if path.exists() else b""
            assert here == 1 or not spans
            for start, stop in spans:
                assert content[start:stop] == self.data[file][start:stop]
            if here == 2:
                assert content == self.data[file]

    def teardown(self) -> None:
        self.world.close()
        self.home.cleanup()


TestModel = Model.TestCase
TestModel.settings = at_most(20)
