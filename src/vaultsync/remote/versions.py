"""The old versions of a person's files, as a versioned bucket keeps them. Only read."""

from __future__ import annotations

from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Fatal, NotFound
from vaultsync.core.model import Version
from vaultsync.core.names import is_control, local_problem
from vaultsync.remote import metadata
from vaultsync.remote.download import Download
from vaultsync.remote.faults import Denied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vaultsync.remote.client import Stored, Transport

UNVERSIONED = "null"
"""VersionId of what was written while the bucket kept no versions."""
_ENOUGH = 100
"""Versions of a single file that the first page asks for."""


class Versions:
    """The versions below one prefix.

    Args:
        transport: Sends the requests.
        prefix: What every key starts with; empty, or ending with `/`.
    """

    def __init__(self, transport: Transport, prefix: str) -> None:
        self._transport = transport
        self._prefix = prefix

    def of(self, path: str) -> list[Version]:
        """The versions of exactly this file, newest first.

        Raises:
            NotFound: The bucket has nothing of it.
            Fatal: The bucket keeps no versions.
        """
        found: list[Version] = []
        # Of the keys that start with this one, it is the first.
        for item in self._stored(path, limit=_ENOUGH):
            if item.key != self._prefix + path:
                break
            found.append(self._version(item))
        if not found:
            self._require_versions()
            raise NotFound(
                f"The vault has no version of '{path}'.", "Check the name; it is case-sensitive."
            )
        if all(version.id == UNVERSIONED for version in found):
            self._require_versions(kept=False)
        return found

    def below(self, path: str, at: float | None = None) -> Iterator[Version]:
        """The versions that bringing a folder back means; see `core.ports.Past.versions_below`.

        Raises:
            Fatal: The bucket keeps no versions.
        """
        directory = path.rstrip("/") + "/" if path else ""
        kept: bool | None = None
        for key, items in groupby(self._stored(directory), key=lambda item: item.key):
            versions = [self._version(item) for item in items]
            kept = bool(kept) or any(version.id != UNVERSIONED for version in versions)
            name = key[len(self._prefix) :]
            if name.endswith("/") or is_control(name) or local_problem(name) is not None:
                continue
            chosen = last(versions) if at is None else as_of(versions, at)
            if chosen is not None and not chosen.current:
                yield chosen
        if not kept:
            self._require_versions(kept=kept)

    def open(self, version: Version) -> Download:
        """Open a version for reading.

        Raises:
            NotFound: It is not there any more.
            Blocked: It is archived.
        """
        key = self._prefix + version.path
        try:
            head = self._transport.head(key, version=version.id)
        except Denied as error:
            raise NotFound(f"The vault does not give that version of '{version.path}'.") from error
        if head is None:
            raise NotFound(f"That version of '{version.path}' is not there any more.")
        if head.archived:
            raise Blocked(f"That version of '{version.path}' is archived.", "Restore it in S3.")
        return Download(self._transport, key, metadata.read(head), version=version.id)

    def _stored(self, path: str, limit: int = 1000) -> Iterator[Stored]:
        more = None
        while True:
            page = self._transport.list_versions(self._prefix + path, more=more, limit=limit)
            yield from page.items
            more, limit = page.more, 1000
            if more is None:
                return

    def _version(self, item: Stored) -> Version:
        return Version(
            path=item.key[len(self._prefix) :],
            id=item.version,
            at=datetime.fromisoformat(item.modified).timestamp(),
            size=item.size,
            etag=item.etag,
            current=item.latest and not item.deleted,
            deleted=item.deleted,
            archived=item.archived,
        )

    def _require_versions(self, *, kept: bool | None = None) -> None:
        """Raise Fatal when nothing below the prefix was ever kept as a version.

        Args:
            kept: Whether something was, when that is known.
        """
        if kept is None:
            items = self._transport.list_versions(self._prefix, limit=_ENOUGH).items
            kept = not items or any(item.version != UNVERSIONED for item in items)
        if not kept:
            raise Fatal(
                "The bucket keeps no versions, so nothing of the past can be brought back from it.",
                "Turn versioning on for what comes; see `vaultsync trash list` for what was here.",
            )


def last(versions: list[Version]) -> Version | None:
    """The last version of a path that is no deletion; None when nothing else is kept.

    Args:
        versions: All its versions, newest first.
    """
    return next((version for version in versions if not version.deleted), None)


def as_of(versions: list[Version], at: float) -> Version | None:
    """The version of a path that was the current one at a time; None when there was none.

    Args:
        versions: All its versions, newest first.
        at: The time, seconds since the epoch; what was written in that very second counts.
    """
    then = next((version for version in versions if version.at <= at), None)
    return None if then is None or then.deleted else then
