"""Buckets, keys and versions in memory; every change goes through `Bucket.put` or `remove`."""

from __future__ import annotations

import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sortedcontainers import SortedDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.s3model.wire import Buffer

PAST = 200_000
"""How many changes a bucket remembers for stale listings."""
NULL = "null"
META = "x-amz-meta-"


@dataclass(slots=True)
class Part:
    """A part of an upload, or of the object that was made of it; then without its body."""

    number: int
    size: int
    etag: str
    checksums: dict[str, str]
    modified: int
    body: tuple[Buffer, ...] = ()


@dataclass(slots=True)
class Version:
    """One version of an object, or a delete marker. `older` is the one below it."""

    key: str
    body: tuple[Buffer, ...]
    size: int
    etag: str
    modified: int
    headers: dict[str, str]
    checksums: dict[str, str]
    checksum_type: str = "FULL_OBJECT"
    parts: tuple[Part, ...] = ()
    deleted: bool = False
    id: str = NULL
    older: Version | None = None

    def chain(self) -> Iterator[Version]:
        """This version and those below it."""
        version: Version | None = self
        while version is not None:
            yield version
            version = version.older

    @property
    def metadata(self) -> dict[str, str]:
        """User metadata, names without their prefix."""
        return {
            name.removeprefix(META): value
            for name, value in self.headers.items()
            if name.startswith(META)
        }


@dataclass(slots=True)
class Upload:
    """A multipart upload under way."""

    id: str
    key: str
    headers: dict[str, str]
    algorithm: str
    checksum_type: str
    began: int
    parts: SortedDict[int, Part] = field(default_factory=SortedDict)


class Change(NamedTuple):
    """A key's current version before something was done to it."""

    time: float
    key: str
    before: Version | None


class Bucket:
    """One bucket.

    Attributes:
        name: Its name.
        versioning: Empty, `Enabled` or `Suspended`.
        objects: The newest version of each key, delete markers included, in S3's order: that of
            code points is that of UTF-8's bytes.
        uploads: Multipart uploads under way, by id.
    """

    def __init__(self, name: str, versioning: str = "") -> None:
        self.name = name
        self.versioning = versioning
        self.objects: SortedDict[str, Version] = SortedDict()
        self.uploads: dict[str, Upload] = {}
        self._past: deque[Change] = deque(maxlen=PAST)

    def current(self, key: str) -> Version | None:
        """The version that a reader gets, or None."""
        version = self.objects.get(key)
        return None if version is None or version.deleted else version

    def version(self, key: str, version_id: str) -> Version | None:
        """One version by its id."""
        newest = self.objects.get(key)
        chain = newest.chain() if newest is not None else iter(())
        return next((version for version in chain if version.id == version_id), None)

    def put(self, version: Version) -> None:
        """Make a version the newest one of its key."""
        key = version.key
        newest = self.objects.get(key)
        self._remember(key)
        if self.versioning == "Enabled":
            version.id = secrets.token_urlsafe(24)
        else:
            version.id = NULL
            newest = _without(newest, NULL)
        version.older = newest
        self.objects[key] = version

    def mark_deleted(self, key: str, now: int) -> Version | None:
        """Delete as readers see it; returns the delete marker where there are versions."""
        if not self.versioning:
            self.remove(key, NULL)
            return None
        marker = Version(key, (), 0, "", now, {}, {}, deleted=True)
        self.put(marker)
        return marker

    def remove(self, key: str, version_id: str) -> Version | None:
        """Remove one version for good; returns it."""
        found = self.version(key, version_id)
        if found is not None:
            self._remember(key)
            left = _without(self.objects[key], version_id)
            if left is None:
                del self.objects[key]
            else:
                self.objects[key] = left
        return found

    def since(self, moment: float) -> dict[str, Version | None]:
        """What every key that changed since then was at that moment."""
        then: dict[str, Version | None] = {}
        for change in reversed(self._past):
            if change.time <= moment:
                break
            then[change.key] = change.before
        return then

    def _remember(self, key: str) -> None:
        before = self.current(key)
        if before is not None:
            # What a listing tells of it, without the body.
            before = Version(key, (), before.size, before.etag, before.modified, before.headers, {})
        self._past.append(Change(time.time(), key, before))


def _without(newest: Version | None, version_id: str) -> Version | None:
    """The chain with one version taken out of it."""
    if newest is None:
        return None
    if newest.id == version_id:
        return newest.older
    for version in newest.chain():
        if version.older is not None and version.older.id == version_id:
            version.older = version.older.older
            break
    return newest
