"""OSError to the project's errors, once, at the edge of the folder."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Retry, Stale, VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Iterator

GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""A name, or a directory on the way to it, is not there (any more)."""
UNSUPPORTED = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})
"""How file systems say that they cannot do a kind of rename or link."""

_BLOCKED = {
    errno.ENOSPC: ("the disk is full", "Free some space on the disk that holds the folder."),
    errno.EDQUOT: ("the disk quota is used up", "Free some space, or ask for more."),
    errno.EROFS: ("the file system is read-only", "Mount it for writing."),
    errno.EACCES: ("access is denied", "Check the owner and the permissions."),
    errno.EPERM: ("the system forbids it", "Check the owner and attributes such as 'immutable'."),
    errno.EXDEV: ("another file system is mounted there", "Add it to .vaultsyncignore."),
    errno.ENAMETOOLONG: ("the name is too long for this file system", "Give it a shorter name."),
    errno.EIO: ("the disk reports an input/output error", "Check the disk's health."),
    errno.EFBIG: ("the file is too large for this file system", ""),
    errno.EILSEQ: ("the file system cannot hold this name", "Rename it."),
    errno.EINVAL: ("the file system cannot do this", "Rename the file, or move the folder."),
}
_PASSING = frozenset(
    {errno.ESTALE, errno.EBUSY, errno.ETXTBSY, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
     errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT, errno.ENOLCK}
)  # fmt: skip


def translate(fault: OSError, path: str) -> VaultsyncError:
    """The error to raise for a fault of the system while `path` was being handled."""
    code = fault.errno or 0
    if code in GONE or code in (errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR):
        return Stale(f"'{path}' changed while it was being handled")
    text = os.strerror(code) if code else str(fault)
    if code in _PASSING:
        return Retry(f"'{path}' is not available at the moment: {text}")
    reason, hint = _BLOCKED.get(code, (text, ""))
    return Blocked(f"'{path}': {reason}", hint)


def reason(fault: OSError) -> tuple[str, str]:
    """What happened and what to try, for something that could not be looked at."""
    code = fault.errno or 0
    return _BLOCKED.get(code, (os.strerror(code) if code else str(fault), ""))


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise what `translate` gives for an OSError of the block."""
    try:
        yield
    except OSError as fault:
        raise translate(fault, path) from fault
