"""Bringing new bytes to the prefix: at once when they are few, else in parts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import mimetypes
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from vaultsync.core.errors import Retry, Stale, VaultsyncError
from vaultsync.remote import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from vaultsync.core.ports import Content
    from vaultsync.remote.client import Condition, Part, Transport, Written
    from vaultsync.remote.metadata import Authorship

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
        op: The operation id.
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
        workers: How many parts are under way at once, over all uploads together; each is held in
            memory.
    """

    def __init__(self, transport: Transport, prefix: str, workers: int = 4) -> None:
        self._transport = transport
        self._prefix = prefix
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="part")

    def stage(self, path: str, content: Content, authorship: Authorship) -> Upload:
        """Bring large content to the vault; of small content only learn the digest."""
        entry = content.entry
        sha256 = content.sha256()
        if entry.size <= PART:
            fields = metadata.write(entry, sha256, "", authorship)
            return Upload(path, authorship.op, sha256, entry.size, content, fields)
        step = part_size(entry.size)
        digests = self._digests(content, step, sha256)
        checksum = metadata.composite(digests)
        fields = metadata.write(entry, sha256, checksum, authorship)
        key = self._prefix + path
        upload = self._transport.create_upload(key, metadata=fields, headers=content_type(path))
        lock = threading.Lock()

        def send(index: int) -> Part:
            with lock:
                body = content.read(index * step, step)
            if hashlib.sha256(body).digest() != digests[index]:
                raise Stale(f"'{path}' changed while it was read.")
            return self._transport.upload_part(key, upload, index + 1, body, digests[index])

        try:
            parts = self.together(send, len(digests))
        except BaseException:
            self.abandon(key, upload)
            raise
        size = entry.size
        return Upload(
            path, authorship.op, sha256, size, content, fields, upload, tuple(parts), checksum
        )

    def commit(self, upload: Upload, condition: Condition) -> Written:
        """Show the bytes under their key if the condition holds."""
        if upload.upload:
            # Whoever reads gets Stale if the file is not the one that was staged.
            upload.content.read(0, 1)
            return self._transport.complete(
                self._prefix + upload.path,
                upload.upload,
                upload.parts,
                condition,
                upload.checksum,
            )
        body = b"".join(upload.content.chunks())
        digest = hashlib.sha256(body)
        if digest.hexdigest() != upload.sha256:
            raise Stale(f"'{upload.path}' changed while it was read.")
        md5 = hashlib.md5(body, usedforsecurity=False).hexdigest()
        return self._transport.put(
            self._prefix + upload.path,
            body,
            condition,
            digest=digest.digest(),
            metadata={**upload.fields, metadata.BIND: md5},
            headers=content_type(upload.path),
        )

    def discard(self, token: str) -> None:
        """Give up what a token stands for."""
        word = json.loads(token or "{}")
        if word.get("upload"):
            self.abort(self._prefix + word["path"], word["upload"])

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
        futures = [self._pool.submit(work, index) for index in range(count)]
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def _digests(self, content: Content, step: int, sha256: str) -> list[bytes]:
        """The digest of each part, and the certainty that together they are what was hashed."""
        whole = hashlib.sha256()
        digests = []
        for body in _blocks(content, step):
            part = self._pool.submit(hashlib.sha256, body)
            whole.update(body)
            digests.append(part.result().digest())
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


def _blocks(content: Content, step: int) -> Iterator[bytes]:
    for offset in range(0, content.entry.size, step):
        yield content.read(offset, step)
