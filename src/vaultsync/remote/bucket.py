"""The remote side: one prefix of a bucket, every change conditional on what was seen."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Fatal, Stale
from vaultsync.core.model import MARKER, Entry, Kind, Seen, Unseen
from vaultsync.core.names import conflict_name, remote_problem
from vaultsync.remote import metadata
from vaultsync.remote.client import ABSENT, Condition, Head
from vaultsync.remote.copying import Copier, Copy
from vaultsync.remote.download import Download
from vaultsync.remote.faults import Denied, Missing
from vaultsync.remote.likeness import alike
from vaultsync.remote.listing import Listing
from vaultsync.remote.mark import Mark
from vaultsync.remote.metadata import Authorship
from vaultsync.remote.upload import Upload, Uploader
from vaultsync.remote.versions import UNVERSIONED, Versions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vaultsync.core.ports import Content, Staged
    from vaultsync.remote.client import Transport, Written
    from vaultsync.remote.conditions import Permit
    from vaultsync.remote.unfinished import UploadLedger

WHOLE = 1 << 20
"""Content up to this many bytes is read with the request that opens it, where nobody says else."""
_COMMON = "vault"
"""Stands for the device in the name of a copy that any device may make."""
_EPOCH = "1970-01-01T00:00:00+00:00"
_NOTHING = hashlib.sha256(b"")
_NOTHING_ETAG = hashlib.md5(b"", usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Shown:
    """What a commit did.

    Attributes:
        entry: The version now shown.
        kept: Nothing is ever set aside on this side.
    """

    entry: Entry
    kept: str | None = None


class Bucket:
    """One person's prefix as a `core.ports.Side`.

    Args:
        transport: Sends the requests.
        prefix: What every key starts with; empty, or ending with `/`.
        device: This device's name, written into each object's metadata.
        ignored: Tells whether a path (a directory's with `/`) is to be left alone.
        permit: Whether the vault may be written to; None when that is beyond doubt.
        ledger: Keeps what is needed to go on with uploads after a restart.
        whole: Content up to so many bytes is read with the request that opens it.

    Attributes:
        mark: The object by which the vault is recognised.
        versions: What the bucket keeps of the past.
    """

    def __init__(
        self,
        transport: Transport,
        prefix: str,
        device: str,
        ignored: Callable[[str], bool],
        permit: Permit | None = None,
        ledger: UploadLedger | None = None,
        whole: int = WHOLE,
    ) -> None:
        self._whole = whole
        self._transport = transport
        self._prefix = prefix
        self._device = device
        self._listing = Listing(transport, prefix, ignored)
        self._uploader = Uploader(transport, prefix, ledger)
        self._copier = Copier(transport, prefix, self._uploader, self._head)
        self._permit = permit
        self.mark = Mark(transport, prefix, self._listing, permit)
        self.versions = Versions(transport, prefix)

    @property
    def requests(self) -> dict[str, int]:
        """Requests sent so far, by operation name."""
        return self._transport.requests

    def tidy(self, wanted: Callable[[str], bool]) -> None:
        """Give up uploads that were begun too long ago, or of paths that are not wanted any more.

        For once after the start; costs nothing where none is unfinished.
        """
        self._uploader.tidy(wanted)

    def close(self) -> None:
        """Release threads and connections."""
        self._uploader.close()
        self._transport.close()

    def entries(self, at: str = "", after: str = "") -> Iterator[Seen | Unseen]:
        """Yield what is at and below a path; directories are those that keys imply."""
        return self._listing.entries(at, after)

    def look(self, path: str) -> Entry | None:
        """Observe one path: HEAD for a file; absence is believed only from a listing."""
        if path.endswith("/"):
            return self._look_directory(path)
        head = self._head(path)
        if head is None:
            return None
        if head.archived:
            raise Blocked(f"'{path}' is archived.", "Restore it in S3 first.")
        return metadata.read(head)

    def identify(self, path: str, entry: Entry, like: Content | None = None) -> Entry:
        """Return `entry` with its sha256: from the server's word, an ETag, or the bytes."""
        now = self.look(path)
        if now is None or now.tag != entry.tag:
            raise Stale(f"'{path}' is not what it was.")
        if now.sha256 is not None:
            return now
        if like is not None and alike(self._transport, self._prefix + path, now, like):
            return replace(now, sha256=like.sha256())
        with self.open(path, now) as content:
            return replace(now, sha256=content.sha256())

    def open(self, path: str, entry: Entry) -> Download:
        """Open this very version: with all its bytes when they are few."""
        key = self._prefix + path
        if entry.size > self._whole:
            head = self._head(path)
            if head is None or head.etag != entry.tag:
                raise Stale(f"'{path}' is not what it was.")
            return Download(self._transport, key, metadata.read(head))
        try:
            return self._fetch(key, entry)
        except Denied:
            if self._listing.holds(path):
                raise
            raise Missing(f"'{path}' is not there.") from None

    def fetch(
        self, path: str, etag: str, version: str | None, offset: int, length: int
    ) -> Iterator[bytes]:
        """Yield exactly those bytes of exactly that version, in pieces.

        Where the version is not the newest one any more, it is read as an old one if its VersionId
        is known. Raises Stale when it is not there.
        """
        key, position, end = self._prefix + path, offset, offset + length
        try:
            for piece in self._range(key, etag, position, end, None):
                position += len(piece)
                yield piece
        except (Stale, Denied) as error:
            if version is None or version == UNVERSIONED:
                if isinstance(error, Denied) and not self._listing.holds(path):
                    raise Missing(f"'{path}' is not there.") from None
                raise
        else:
            return
        try:
            yield from self._range(key, etag, position, end, version)
        except Denied:
            raise Missing(f"That version of '{path}' is not given any more.") from None

    def _range(
        self, key: str, etag: str, start: int, end: int, version: str | None
    ) -> Iterator[bytes]:
        with self._transport.get(key, etag, start, end - 1, version) as answer:
            yield from answer

    def snapshot(self, path: str, entry: Entry) -> Download:  # noqa: ARG002
        """Versions of an object hold still by themselves."""
        raise Fatal("Only of a local file a snapshot can be taken.")

    def stage(self, path: str, content: Content, op: str, parents: tuple[str, ...] = ()) -> Upload:
        """Upload large content in parts, invisible until commit; keep small content for commit."""
        self._require_key(path)
        return self._uploader.stage(path, content, Authorship(op, parents, self._device))

    def borrow(self, path: str, source: str, entry: Entry, like: Entry, op: str) -> Copy:
        """Prepare a copy on the server; times, mode and operation ids are those of the source.

        A source without an operation id gets `op`, and what it lacks from `like`, in its copy.
        """
        self._require_key(path)
        authorship = Authorship(op, (), self._device)
        return self._copier.stage(
            path, source, entry, like, authorship, at_once=self._copies_at_once()
        )

    def commit(self, staged: Staged, expected: Entry | None) -> Shown:
        """Show what is staged with one conditional PutObject, Complete or CopyObject."""
        if isinstance(staged, Copy):
            return Shown(staged.shown(self._copier.commit(staged, _condition(expected))))
        if not isinstance(staged, Upload):
            raise Fatal("What was staged elsewhere cannot be committed here.")
        written = self._uploader.commit(staged, _condition(expected))
        return Shown(_entry(staged, written))

    def discard(self, token: str) -> None:
        """Give a multipart upload up, unless the next stage of its path is to go on with it."""
        self._uploader.discard(token)

    def recover(self, path: str, op: str, token: str) -> Entry | None:
        """Tell whether the write `op` happened; else give its upload up.

        It did when the version at `path` names it: first, then it made that version; later, then
        somebody has built upon it since. A copy carries the id of what it was copied from; it must
        have that content, too.
        """
        word = json.loads(token or "{}")
        entry = self._mine(path, op, word.get("sha256"))
        if entry is None and self._uploader.discard(token):
            # A completion that was still under way either won against that or never will.
            entry = self._mine(path, op, word.get("sha256"))
        if entry is not None:
            self._uploader.finished(path, token)
        return entry

    def make_directory(self, path: str) -> Entry:
        """Put a directory's marker, unless it has one."""
        if self._listing.holds(path.removesuffix("/")):
            raise Blocked(f"A file is where the folder '{path}' should be.", "Rename one of them.")
        self._require_permit()
        try:
            self._put_nothing(path, ABSENT, {}, {"Content-Type": "application/x-directory"})
        except Stale:
            # There should be what was wanted; the folder's last file may be deleted next, so look.
            if not self._listing.holds(path):
                raise
        return Entry(Kind.DIR, 0, MARKER)

    def delete(self, path: str, expected: Entry) -> None:
        """Delete one version; of a directory, its marker only."""
        if self._permit is not None:
            self._permit.to_delete()
        if expected.kind is Kind.DIR:
            if expected.tag == MARKER:
                self._delete_marker(path)
            return
        self._uploader.drop(path)
        try:
            self._transport.delete(self._prefix + path, expected.tag)
        except Missing:
            return
        except (Stale, Denied):
            if self._listing.holds(path):
                raise

    def apply(
        self, path: str, expected: Entry, mtime_ns: int | None, mode: int | None, op: str = ""
    ) -> Entry:
        """Set mtime and permission bits by copying the object onto itself.

        None leaves a value as it is. Where nothing binds an operation id to the bytes, it is not
        noted.
        """
        if expected.kind is Kind.DIR:
            return expected
        self._require_permit()
        head = self._head(path)
        if head is None or head.etag != expected.tag:
            raise Stale(f"'{path}' is not what it was.")
        fields = metadata.times_and_mode(metadata.read(head).kind, mtime_ns, mode)
        if op:
            fields |= metadata.authored(Authorship(op, metadata.read(head).ops, self._device))
        if head.size:
            at_once = self._copies_at_once()
            return _seen(head, *self._copier.change(path, head, fields, at_once=at_once))
        fields = metadata.carried(head, _NOTHING.hexdigest(), _NOTHING_ETAG) | fields
        written = self._put_nothing(path, Condition(head.etag), fields, dict(head.headers))
        return _seen(head, fields, written)

    def set_aside(self, path: str, expected: Entry) -> str:
        """Copy a version to a conflict name, then delete it under its own.

        Whoever does this to the same version chooses the same name, so that two devices at once,
        or one that dies between the two steps, leave one copy.
        """
        self._require_permit()
        with self.open(path, expected) as content:
            digest = content.sha256()
            when = datetime.fromisoformat(content.entry.stamp or _EPOCH)
            copy = conflict_name(path, _COMMON, when, digest)
            staged = self.stage(copy, content, f"part-{digest[:16]}", expected.ops[:7])
            try:
                self.commit(staged, None)
            except Stale:
                self.discard(staged.token)
                there = self.look(copy)
                if there is None or self.identify(copy, there, content).sha256 != digest:
                    raise
        self.delete(path, expected)
        return copy

    def check(self) -> None:
        """List one key of the prefix; whatever is wrong with the vault shows in that."""
        self._transport.list_page(self._prefix, limit=1)

    def _require_key(self, path: str) -> None:
        problem = remote_problem(path, self._prefix)
        if problem is not None:
            raise Blocked(f"'{path}' cannot be a key: {problem}.", "Rename it.")
        self._require_permit()

    def _copies_at_once(self) -> bool:
        return self._permit is None or self._permit.copies()

    def _require_permit(self) -> None:
        if self._permit is not None:
            self._permit.to_write()

    def _head(self, path: str) -> Head | None:
        key = self._prefix + path
        try:
            head = self._transport.head(key)
        except Denied:
            head = None
        if head is not None or not self._listing.holds(path):
            return head
        # It appeared just now, or the credentials were renewed, or the refusal is meant.
        head = self._transport.head(key)
        if head is None:
            raise Stale(f"'{path}' came and went.")
        return head

    def _look_directory(self, path: str) -> Entry | None:
        for item in self._listing.below(path, limit=100):
            if isinstance(item, Seen) and item.path == path:
                return item.entry
        return None

    def _fetch(self, key: str, entry: Entry) -> Download:
        with self._transport.get(key, entry.tag) as answer:
            found = metadata.read(answer.head)
            body = b"".join(answer)
        if len(body) != found.size:
            return Download(self._transport, key, found)
        sha256 = found.sha256 or hashlib.sha256(body).hexdigest()
        return Download(self._transport, key, replace(found, sha256=sha256), body)

    def _mine(self, path: str, op: str, sha256: str | None) -> Entry | None:
        entry = self.look(path)
        if entry is None or op not in entry.ops:
            return None
        same = sha256 in (None, entry.sha256)
        return entry if same or entry.ops[0] != op else None

    def _delete_marker(self, path: str) -> None:
        try:
            self._transport.delete(self._prefix + path, _NOTHING_ETAG)
        except Missing:
            return
        except (Stale, Denied):
            # An encrypted object has another ETag; one with content is no marker.
            head = self._head(path)
            if head is not None and head.size == 0:
                self._transport.delete(self._prefix + path, head.etag)

    def _put_nothing(
        self, path: str, condition: Condition, fields: dict[str, str], headers: dict[str, str]
    ) -> Written:
        return self._transport.put(
            self._prefix + path,
            b"",
            condition,
            digest=_NOTHING.digest(),
            metadata=fields,
            headers=headers,
        )


def _condition(expected: Entry | None) -> Condition:
    if expected is None or expected.kind is Kind.DIR:
        return ABSENT
    return Condition(expected.tag)


def _seen(before: Head, fields: dict[str, str], written: Written) -> Entry:
    """The entry that a look would give once an object has got other metadata, without looking."""
    now = Head(written.etag, before.size, "", written.version, written.checksum, fields)
    return replace(metadata.read(now), stamp=None)


def _entry(staged: Upload, written: Written) -> Entry:
    """The entry that a look would give, without looking."""
    digest = base64.b64encode(bytes.fromhex(staged.sha256)).decode("ascii")
    head = Head(written.etag, staged.size, "", written.version, digest, staged.fields)
    return replace(metadata.read(head), stamp=None)
