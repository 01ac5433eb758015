"""A process that serves a drive by either backend: `python -m tests.mount.conformance.server`.

Its arguments are the backend, the connection's descriptor and an empty folder. It prints a line
once the kernel is served, then does what it is told on standard input: an object of JSON on a
line, answered by one.
"""

from __future__ import annotations

import json
import logging
import os
import random
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.mount.joint import Joint
from vaultsync.core.errors import Retry
from vaultsync.mount.serving import serving

if TYPE_CHECKING:
    from vaultsync.mount.kernel.wire import Agreed
    from vaultsync.mount.serving import Serving


class Greeted:
    """A `kernel.Keeper` that keeps nothing, and tells when the kernel has spoken."""

    def __init__(self) -> None:
        self.saved = threading.Event()

    def load(self) -> Agreed | None:
        return None

    def save(self, agreed: Agreed) -> None:
        self.saved.set()


class Orders:
    """What the test may have done behind the mount's back."""

    def __init__(self, joint: Joint, wire: Serving) -> None:
        self._joint = joint
        self._wire = wire

    def pull(self, path: str, size: int, seed: int) -> int:
        """A version of seeded bytes is pulled; returns its inode number."""
        data = random.Random(seed).randbytes(size)
        node = self._joint.graft(path, data)
        parent, _, name = path.rpartition("/")
        above = self._joint.node(parent).id if parent else 1
        self._wire.entry(above, name.encode())
        return node.id

    def offline(self, *, now: bool) -> None:
        """The network is gone, or back."""
        self._joint.vault.always = Retry("offline") if now else None

    def hold(self, *, now: bool) -> None:
        """The vault keeps requests waiting, or goes on."""
        vault = self._joint.vault
        if not now:
            vault.gate.set()
            return
        vault.gate.clear()
        while vault.entered.acquire(blocking=False):
            pass

    def entered(self) -> None:
        """Wait until a request waits."""
        self._joint.vault.entered.acquire()

    def asked(self) -> int:
        """How many ranges were asked of the vault so far."""
        return len(self._joint.vault.asked)

    def state(self, path: str) -> dict[str, Any]:
        """What the tree has."""
        node = self._joint.tree.find(path)
        if node is None:
            return {}
        return {"id": node.id, "size": node.size, "dirty": node.dirty}

    def fail(self, operation: str, *, now: bool) -> None:
        """Let one of the tree's operations raise what nobody expects, or let it be."""

        def broken(*arguments: Any, **options: Any) -> Any:
            raise RuntimeError("on purpose")

        if now:
            setattr(self._joint.tree, operation, broken)
        else:
            delattr(self._joint.tree, operation)

    def descriptors(self) -> int:
        """How many descriptors this process has open."""
        return len(list(Path("/proc/self/fd").iterdir()))

    def close(self) -> None:
        """End serving."""
        self._wire.close()


def main() -> None:
    logging.basicConfig(level=logging.CRITICAL)
    backend, fd, home = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    joint = Joint(home)
    joint.tree.fresh()
    keeper = Greeted()
    wire = serving(backend, joint.tree, keeper)
    orders = Orders(joint, wire)

    def obey() -> None:
        keeper.saved.wait()
        print("{}", flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            answer = getattr(orders, order.pop("do"))(**order)
            print(json.dumps({"answer": answer}), flush=True)

    threading.Thread(target=obey, daemon=True).start()
    wire.serve(fd, fresh=True)
    joint.close()
    print(json.dumps({"ended": True}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
