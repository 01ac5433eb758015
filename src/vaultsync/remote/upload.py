"""Bringing new bytes to the prefix: at once when they are few, else in parts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from vaultsync.core.errors import Blocked, Retry, Stale, VaultsyncError
from vaultsync.remote import metadata
from vaultsync.remote.faults import Clash
from vaultsync.remote.unfinished import LIMIT, Register, Unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vaultsync.core.ports import Content
    from vaultsync.remote.client import Condition, Part, Transport, Written
    from vaultsync.remote.metadata import Authorship
    from vaultsync.remote.unfinished import UploadLedger

A = TypeVar("A")
T = TypeVar("T")

PART = 8 << 20
"""Content up to this many bytes goes in one request, and parts have at least this size."""
MAX_PARTS = 9000
"""S3 takes 10,000 parts."""
ABORTS = 3
"""How often an upload is given up while parts under way still arrive in it."""
_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/x-brotli",
    "compress": "application/x-compress",
}


@dataclass(frozen=True, slots=True)
class Upload:
    """New bytes of a path: in hand when they are few, else in the vault as parts.

    Attributes:
        path: Where the bytes are going to be.
        op: The operation id; of an upload that is gone on with, the one it was begun with.
        sha256: Hex digest.
        size: Bytes.
        content: Where they come from.
        fields: The object's user metadata; of an object in one piece, without its binding.
        upload: Id of the multipart upload; empty for an object in one piece.
        parts: Its parts, in order.
        checksum: Its composite SHA-256.
    """

    path: str
    op: str
    sha256: str
    size: int
    content: Content
    fields: Mapping[str, str]
    upload: str = ""
    parts: tuple[Part, ...] = ()
    checksum: str = ""

    @property
    def token(self) -> str:
        """All that is needed to give the upload up; empty when there is nothing to give up."""
        return json.dumps({"path": self.path, "upload": self.upload}) if self.upload else ""


class Uploader:
    """Sends content below a prefix.

    Args:
        transport: Sends the requests.
        prefix: What every key starts with.
        ledger: Keeps what is needed to go on with an upload after a restart; None: nothing does.
        workers: How many parts are under way at once, over all uploads together; each is held in
            memory.
    """

    def __init__(
        self,
        transport: Transport,
        prefix: str,
        ledger: UploadLedger | None = None,
        workers: int = 4,
    ) -> None:
        self._transport = transport
        self._prefix = prefix
        self._register = Register(ledger)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="part")

    def stage(self, path: str, content: Content, authorship: Authorship) -> Upload:
        """Bring large content to the vault; of small content only learn the digest."""
        sha256 = content.sha256()
        if content.entry.size <= PART:
            self.drop(path)
            fields = metadata.write(content.entry, sha256, "", authorship)
            return Upload(path, authorship.op, sha256, content.entry.size, content, fields)
        begun, there = self._resume(path, content, sha256, authorship)
        if begun is None:
            begun = self._begin(path, content, sha256, authorship)
        try:
            parts = self._send(path, content, begun, there)
        except Stale:
            self.drop(path, begun.upload)
            raise
        except BaseException:
            if not self._register.holds(path, begun.upload):
                self.abandon(self._prefix + path, begun.upload)
            raise
        return Upload(
            path,
            begun.op,
            sha256,
            begun.size,
            content,
            begun.fields,
            begun.upload,
            parts,
            metadata.composite(list(begun.digests)),
        )

    def _resume(
        self, path: str, content: Content, sha256: str, authorship: Authorship
    ) -> tuple[Unfinished | None, dict[int, Part]]:
        """What was begun with this very content and its parts by number; else it is given up."""
        found = self._register.find(path)
        if found is None:
            return None, {}
        bind = metadata.composite(list(found.digests))
        wanted = metadata.write(content.entry, sha256, bind, replace(authorship, op=found.op))
        fits = (found.sha256, found.size, found.step, dict(found.fields)) == (
            sha256,
            content.entry.size,
            part_size(content.entry.size),
            wanted,
        )
        if fits and time.time() - found.since < LIMIT:
            parts = self._arrived(path, found)
            if parts is not None:
                return found, {part.number: part for part in parts}
        self.drop(path, found.upload)
        return None, {}

    def _arrived(self, path: str, begun: Unfinished) -> list[Part] | None:
        """The parts that the server has; None when the upload is gone.

        Stale when it is gone because it was completed: by a request whose answer was lost.
        """
        key = self._prefix + path
        with contextlib.suppress(Blocked):
            parts = self._transport.list_parts(key, begun.upload)
            if parts is not None:
                return parts
            head = self._transport.head(key)
            if head is not None and begun.op in metadata.read(head).ops:
                self._register.strike(path, begun.upload)
                raise Stale(f"'{path}' was stored meanwhile.")
        return None

    def _begin(
        self, path: str, content: Content, sha256: str, authorship: Authorship
    ) -> Unfinished:
        size = content.entry.size
        step = part_size(size)
        digests = self._digests(content, step, sha256)
        fields = metadata.write(content.entry, sha256, metadata.composite(digests), authorship)
        upload = self._transport.create_upload(
            self._prefix + path, metadata=fields, headers=content_type(path)
        )
        begun = Unfinished(
            upload, authorship.op, sha256, size, step, tuple(digests), fields, time.time()
        )
        self._register.note(path, begun)
        return begun

    def _send(
        self, path: str, content: Content, begun: Unfinished, there: Mapping[int, Part]
    ) -> tuple[Part, ...]:
        """Send what is not there yet; all parts, in order."""
        key, lock = self._prefix + path, threading.Lock()

        def send(index: int) -> Part:
            digest, part = begun.digests[index], there.get(index + 1)
            if part is not None and part.size == begun.length(index) and part.digest == digest:
                return part
            with lock:
                body = content.read(index * begun.step, begun.step)
            if hashlib.sha256(body).digest() != digest:
                raise Stale(f"'{path}' changed while it was read.")
            if part is not None and part.digest is None and part.etag == _md5(body):
                # A server that keeps no checksums.
                return replace(part, digest=digest)
            return self._transport.upload_part(key, begun.upload, index + 1, body, digest)

        return tuple(self.together(send, len(begun.digests)))

    def commit(self, upload: Upload, condition: Condition) -> Written:
        """Show the bytes under their key if the condition holds."""
        if upload.upload:
            return self._complete(upload, condition)
        body = b"".join(upload.content.chunks())
        digest = hashlib.sha256(body)
        if digest.hexdigest() != upload.sha256:
            raise Stale(f"'{upload.path}' changed while it was read.")
        return self._transport.put(
            self._prefix + upload.path,
            body,
            condition,
            digest=digest.digest(),
            metadata={**upload.fields, metadata.BIND: _md5(body)},
            headers=content_type(upload.path),
        )

    def _complete(self, upload: Upload, condition: Condition) -> Written:
        try:
            # Whoever reads gets Stale if the file is not the one that was staged.
            upload.content.read(0, 1)
            written = self._transport.complete(
                self._prefix + upload.path,
                upload.upload,
                upload.parts,
                condition,
                upload.checksum,
            )
        except (Stale, Clash):
            # It is not what is wanted any more, or cannot be completed ever.
            self._register.strike(upload.path, upload.upload)
            raise
        self._register.strike(upload.path, upload.upload)
        return written

    def discard(self, token: str) -> bool:
        """Give up what a token stands for, unless that is going to be gone on with.

        Returns:
            Whether an upload was given up.
        """
        word = json.loads(token or "{}")
        if not word.get("upload") or self._register.holds(word["path"], word["upload"]):
            return False
        self.abort(self._prefix + word["path"], word["upload"])
        return True

    def drop(self, path: str, upload: str = "") -> None:
        """Give up what was begun under a path: by this upload, or by any that is known.

        A failure leaves it to the bucket's rules for uploads that nobody completes.
        """
        found = self._register.find(path)
        if found is not None and upload in ("", found.upload):
            upload = found.upload
            self._register.strike(path, upload)
        if upload:
            self.abandon(self._prefix + path, upload)

    def finished(self, path: str, token: str) -> None:
        """What a token stands for was completed."""
        self._register.strike(path, json.loads(token or "{}").get("upload", ""))

    def tidy(self, wanted: Callable[[str], bool]) -> None:
        """Give up what has grown too old, and what is not wanted any more."""
        for path, begun in list(self._register.all()):
            if time.time() - begun.since >= LIMIT or not wanted(path):
                self.drop(path, begun.upload)

    def abort(self, key: str, upload: str) -> None:
        """Give an upload up, and look that no part arrived in it meanwhile (they cost money)."""
        for _ in range(ABORTS):
            self._transport.abort(key, upload)
            if not self._transport.list_parts(key, upload):
                return
        raise Retry(f"The upload of '{key}' could not be given up.")

    def abandon(self, key: str, upload: str) -> None:
        """Give an upload up because of a failure, which matters more than one in doing this."""
        with contextlib.suppress(VaultsyncError):
            self.abort(key, upload)

    def together(self, work: Callable[[int], Part], count: int) -> list[Part]:
        """Do `work` for each number below `count` in the pool; on a failure, start no more."""
        futures = [self._start(work, index) for index in range(count)]
        try:
            return [_result(future) for future in futures]
        finally:
            for future in futures:
                future.cancel()
            # What the closing of the pool has cancelled would be waited for in vain.
            wait([future for future in futures if not future.cancelled()])

    def close(self) -> None:
        """End the threads, once they are through with the parts in their hands."""
        self._pool.shutdown(cancel_futures=True)

    def _start(self, work: Callable[[A], T], argument: A) -> Future[T]:
        try:
            return self._pool.submit(work, argument)
        except RuntimeError:
            # Closed meanwhile: by the end of the daemon, while this path was being sent.
            raise Retry("The transfer was ended.") from None

    def _digests(self, content: Content, step: int, sha256: str) -> list[bytes]:
        """The digest of each part, and the certainty that together they are what was hashed."""
        whole = hashlib.sha256()
        digests = []
        for body in _blocks(content, step):
            part = self._start(hashlib.sha256, body)
            whole.update(body)
            digests.append(_result(part).digest())
        if whole.hexdigest() != sha256:
            raise Stale("The file changed while it was read.")
        return digests


def part_size(size: int) -> int:
    """Bytes of each part but the last, for an object of `size` bytes."""
    return max(PART, -(-size // MAX_PARTS))


def content_type(path: str) -> dict[str, str]:
    """The Content-Type header that a name calls for."""
    guess, encoding = mimetypes.guess_type("name" + "".join(PurePosixPath(path).suffixes[-2:]))
    if encoding is not None:
        guess = _COMPRESSED.get(encoding)
    return {"Content-Type": guess or "application/octet-stream"}


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except CancelledError:
        raise Retry("The transfer was ended.") from None


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def _blocks(content: Content, step: int) -> Iterator[bytes]:
    for offset in range(0, content.entry.size, step):
        yield content.read(offset, step)
