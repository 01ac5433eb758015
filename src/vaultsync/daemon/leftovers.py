"""What an earlier run began in the vault and nobody is going to finish."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vaultsync.core.errors import VaultsyncError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.core.ports import Side
    from vaultsync.remote.bucket import Bucket

log = logging.getLogger(__name__)


def give_up(bucket: Bucket, folder: Side, ignored: Callable[[str], bool]) -> None:
    """End uploads of files that are not there any more, and very old ones. Never raises.

    Args:
        bucket: Where they are.
        folder: Where the files would be.
        ignored: Tells whether a path is left alone.
    """

    def wanted(path: str) -> bool:
        return not ignored(path) and folder.look(path) is not None

    try:
        bucket.tidy(wanted)
    except VaultsyncError as error:
        log.debug("unfinished uploads stay for now: %s", error)
