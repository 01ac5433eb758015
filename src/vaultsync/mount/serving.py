"""What serves a mount: one contract, and the two that keep it.

`kernel` speaks the kernel's protocol itself; `compat` has libfuse do it, through mfusepy. What they
differ in is told in `docs/semantics.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from vaultsync.core.errors import Misconfigured
from vaultsync.mount.ports import FileSystem, Invalidate

if TYPE_CHECKING:
    import threading

    from vaultsync.mount.kernel.kernel import Keeper

KERNEL: Final = "kernel"
MFUSEPY: Final = "mfusepy"
BACKENDS: Final = (KERNEL, MFUSEPY)


class Serving(Invalidate, Protocol):
    """Serves one connection to the kernel, once.

    Whatever a request raises is its answer, as the errno of an OSError or EIO, and ends nothing.

    Attributes:
        ready: Set while requests are being served.
    """

    ready: threading.Event

    def serve(self, fd: int, *, fresh: bool) -> None:
        """Serve until the mount is gone or `close` is called.

        Args:
            fd: Of /dev/fuse. It is made non-blocking and stays open: it is the caller's.
            fresh: Whether nobody has served this connection yet; always, unless `outlives`.

        Raises MachineRefused when this machine cannot do it.
        """
        ...

    def close(self) -> None:
        """Have `serve` return soon; from any thread."""
        ...


def outlives(backend: str) -> bool:
    """Whether a connection can be served by another process after the one that began."""
    return backend == KERNEL


def serving(backend: str, files: FileSystem, keeper: Keeper) -> Serving:
    """What serves a file system.

    Args:
        backend: One of `BACKENDS`.
        files: The file system.
        keeper: Keeps what is agreed on with the kernel.

    Raises MachineRefused when this machine lacks what the backend needs, Misconfigured when there
    is no such backend.
    """
    if backend == KERNEL:
        from vaultsync.mount.kernel.kernel import Kernel  # noqa: PLC0415 - only one is needed

        return Kernel(files, keeper)
    if backend == MFUSEPY:
        from vaultsync.mount.compat.compat import Compat  # noqa: PLC0415 - it loads libfuse

        return Compat(files, keeper)
    raise Misconfigured(f"There is no backend '{backend}'.", f"Use {' or '.join(BACKENDS)}.")
