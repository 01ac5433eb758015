"""A process that serves a mount, for tests that may kill it: `python -m tests.mount.kernel.server`.

It takes the connection from its standard input, a socket, serves it, and then does what it is told
there: one JSON object on a line, answered by one.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import socket
import threading
import time
from pathlib import Path
from typing import Any

from tests.mount.kernel.memory import NOBODY, MemoryFiles
from vaultsync.mount.kernel import holder
from vaultsync.mount.kernel.kernel import Kernel
from vaultsync.mount.kernel.wire import Agreed
from vaultsync.mount.ports import ROOT


class FileKeeper:
    """Keeps what INIT agreed on in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def load(self) -> Agreed | None:
        if not self._file.exists():
            return None
        return Agreed(**json.loads(self._file.read_text()))

    def save(self, agreed: Agreed) -> None:
        fields = {name: getattr(agreed, name) for name in Agreed.__slots__}
        self._file.write_text(json.dumps(fields))


class Orders:
    """What the test may tell it to do."""

    def __init__(self, files: MemoryFiles, kernel: Kernel) -> None:
        self._files = files
        self._kernel = kernel

    def replace(self, name: str, content: str, *, tell: bool) -> None:
        """Change a file of the root as the engine would: not through the kernel."""
        node = self._files.lookup(ROOT, name.encode()).id
        self._files.write(node, 0, 0, memoryview(content.encode()), wait=True)
        if tell:
            self._kernel.inode(node, content=True)

    def rename(self, name: str, new_name: str, *, tell: bool) -> None:
        old, new = name.encode(), new_name.encode()
        self._files.rename(NOBODY, ROOT, old, ROOT, new, 0)
        if tell:
            self._kernel.entry(ROOT, old)
            self._kernel.entry(ROOT, new)

    def fill(self, name: str, count: int) -> None:
        parent = self._files.mkdir(NOBODY, ROOT, name.encode(), 0o755).id
        for index in range(count):
            self._files.create(NOBODY, parent, b"%06d" % index, 0o644, os.O_EXCL)

    def lent(self) -> int:
        return self._files.lent

    def usage(self) -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def pause(self, *, after: float) -> None:
        """Be slow: sleep that long before each write."""
        write = self._files.write

        def slow(*arguments: Any, **options: Any) -> int:
            time.sleep(after)
            return write(*arguments, **options)

        self._files.write = slow  # type: ignore[method-assign]

    def linger(self, *, after: float) -> None:
        """Answer late: sleep that long after each change."""
        do = self._files._do

        def slow(*arguments: Any) -> Any:
            made = do(*arguments)
            time.sleep(after)
            return made

        self._files._do = slow  # type: ignore[method-assign, assignment]


def main() -> None:
    logging.basicConfig()
    control = socket.socket(fileno=0)
    fd, given = holder.take(control)
    place = Path(given["place"]) if given["place"] else None
    files = MemoryFiles(place)
    kernel = Kernel(files, FileKeeper(Path(given["keeper"])))
    orders = Orders(files, kernel)

    def obey() -> None:
        with control.makefile("rw") as lines:
            kernel.ready.wait()
            lines.write("{}\n")
            lines.flush()
            for line in lines:
                order = json.loads(line)
                answer = getattr(orders, order.pop("do"))(**order)
                lines.write(json.dumps({"answer": answer}) + "\n")
                lines.flush()

    threading.Thread(target=obey, daemon=True).start()
    kernel.serve(fd, fresh=given["fresh"])
    os._exit(0)


if __name__ == "__main__":
    main()
