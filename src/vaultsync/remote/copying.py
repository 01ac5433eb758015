"""Copies on the server: of content that the vault holds already, to where it is to be as well.

Where the server honours the conditions of CopyObject that is one request, and the source's metadata
is carried along. Elsewhere the copy is made as a multipart upload, which Complete shows under a
condition; it carries nothing along, so what the source has is asked for first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from vaultsync.core.errors import Fatal, Stale
from vaultsync.core.model import is_stand_in
from vaultsync.remote import metadata
from vaultsync.remote.client import Condition, Head
from vaultsync.remote.upload import Uploader, content_type, part_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaultsync.core.model import Entry
    from vaultsync.remote.client import Part, Transport, Written
    from vaultsync.remote.metadata import Authorship

MAX_COPY = 5 << 30
"""Bytes that S3 copies at once, as an object or as a part."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that is not shown yet.

    Attributes:
        path: Where it is going to be.
        op: The operation id that it is going to carry: its source's, if that has one.
        source: Where the content is.
        version: What is copied; its sha256 is known.
        fields: User metadata of the copy; None when the source's is carried along.
        headers: Standing headers of the copy, when `fields` is given.
        upload: Id of the multipart upload; empty when it is copied at once.
        parts: Its parts, in order.
    """

    path: str
    op: str
    source: str
    version: Entry
    fields: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def sha256(self) -> str:
        """Hex digest of the content."""
        return self.version.sha256 or ""

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return self.version.size

    @property
    def token(self) -> str:
        """What is needed to recognise the copy, or to give it up."""
        sha256 = None if is_stand_in(self.sha256) else self.sha256
        return json.dumps({"path": self.path, "upload": self.upload, "sha256": sha256})

    def shown(self, written: Written) -> Entry:
        """The entry that a look at the copy would give, without looking."""
        version = self.version
        fields = self.fields
        if fields is None:
            # What the source is recognised by is carried along, and holds if the ETag is kept.
            fields = {metadata.SHA256: self.sha256, metadata.BIND: version.tag}
        head = Head(written.etag, self.size, "", written.version, written.checksum, metadata=fields)
        ops = version.ops or (self.op,)
        return replace(
            version,
            tag=written.etag,
            version=written.version,
            stamp=None,
            ops=ops if metadata.bound(head) else (),
        )


class Copier:
    """Copies content below a prefix.

    Args:
        transport: Sends the requests.
        prefix: What every key starts with.
        uploader: Copies parts, and gives uploads up.
        head: Describes what is at a path, None when nothing is.
    """

    def __init__(
        self,
        transport: Transport,
        prefix: str,
        uploader: Uploader,
        head: Callable[[str], Head | None],
    ) -> None:
        self._transport = transport
        self._prefix = prefix
        self._uploader = uploader
        self._head = head

    def stage(
        self,
        path: str,
        source: str,
        version: Entry,
        like: Entry,
        authorship: Authorship,
        *,
        at_once: bool,
    ) -> Copy:
        """Prepare a copy; without a request if it can be made at once and carry all along.

        Args:
            path: Where the copy is going to be.
            source: Where the content is.
            version: The version to copy; Stale when it is seen not to be there any more. Its digest
                may be a stand-in: then nothing is said of the copy's.
            like: Times and mode for a source that has none, if its metadata is not carried along.
            authorship: Who copies, for a source that has no operation id.
            at_once: Whether CopyObject is safe on this server.
        """
        if version.sha256 is None or not version.size:
            raise Fatal(f"'{source}' is not known well enough to be copied.")
        at_once = at_once and version.size <= MAX_COPY
        if at_once and version.ops:
            return Copy(path, version.ops[0], source, version)
        head = self._present(source, version)
        found = metadata.read(head)
        fields = metadata.times_and_mode(found.kind, like.mtime_ns, like.mode)
        sha256 = metadata.proven(head) if is_stand_in(version.sha256) else version.sha256
        bind = None if sha256 is None else self._foreseen(head, sha256)
        fields |= metadata.carried(head, sha256, bind)
        if not found.ops:
            fields |= metadata.authored(authorship)
        now = replace(metadata.read(replace(head, metadata=fields)), sha256=version.sha256)
        op = (found.ops or (authorship.op,))[0]
        copy = Copy(path, op, source, now, fields, head.headers or content_type(path))
        if at_once:
            return copy
        upload, parts = self._assemble(path, source, head, fields, copy.headers)
        proof = None if sha256 is None else bytes.fromhex(sha256)
        if len(parts) == 1 and proof and parts[0].digest not in (None, proof):
            self._uploader.abandon(self._prefix + path, upload)
            raise Stale(f"'{source}' is not what it was.")
        return replace(copy, upload=upload, parts=parts)

    def commit(self, copy: Copy, condition: Condition) -> Written:
        """Show the copy under its key if the condition holds."""
        key = self._prefix + copy.path
        if copy.upload:
            return self._transport.complete(key, copy.upload, copy.parts, condition)
        return self._transport.copy(
            key,
            self._prefix + copy.source,
            copy.version.tag,
            condition,
            metadata=copy.fields,
            headers=copy.headers,
        )

    def change(
        self, path: str, head: Head, fields: Mapping[str, str], *, at_once: bool
    ) -> tuple[dict[str, str], Written]:
        """Give an object other metadata by copying it onto itself.

        What has an ETag of one part is copied as a multipart upload: CopyObject would keep the
        ETag, and a device that had listed the object in the same second would not see the change.

        Args:
            path: Which object.
            head: What it is; Stale when it is not that any more.
            fields: The metadata that it gets beside what it has; who wrote is left out when nothing
                binds it to the bytes.
            at_once: Whether CopyObject is safe on this server.

        Returns:
            The metadata that it has now, and what the server said of it.
        """
        key = self._prefix + path
        sha256 = metadata.proven(head)
        bind = None if sha256 is None else self._foreseen(head, sha256)
        known = metadata.carried(head, sha256, bind)
        known |= fields if metadata.SHA256 in known else metadata.anonymous(fields)
        headers = head.headers or content_type(path)
        only = Condition(head.etag)
        if at_once and "-" in head.etag and head.size <= MAX_COPY:
            written = self._transport.copy(
                key, key, head.etag, only, metadata=known, headers=headers
            )
            return known, written
        upload, parts = self._assemble(path, path, head, known, headers)
        try:
            return known, self._transport.complete(key, upload, parts, only)
        except BaseException:
            self._uploader.abandon(key, upload)
            raise

    def _present(self, path: str, version: Entry) -> Head:
        head = self._head(path)
        if head is None or head.etag != version.tag:
            raise Stale(f"'{path}' is not what it was.")
        return head

    def _foreseen(self, head: Head, sha256: str) -> str | None:
        """What the server is going to say of a copy, as far as that can be told."""
        if head.size <= MAX_COPY:
            return metadata.copied(head, sha256)
        # With the parts that our upload had, the copy has the checksum and the ETag that it had.
        bind = head.metadata.get(metadata.BIND)
        return bind if bind is None or head.etag in bind.split() else f"{bind} {head.etag}"

    def _assemble(
        self,
        path: str,
        source: str,
        head: Head,
        fields: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> tuple[str, tuple[Part, ...]]:
        """Copy all of `source` into a multipart upload; its id and its parts."""
        key = self._prefix + path
        step = MAX_COPY if head.size <= MAX_COPY else part_size(head.size)
        starts = range(0, head.size, step)
        upload = self._transport.create_upload(key, metadata=fields, headers=headers)

        def copy(index: int) -> Part:
            span = (starts[index], min(starts[index] + step, head.size) - 1)
            return self._transport.copy_part(
                key,
                upload,
                index + 1,
                self._prefix + source,
                head.etag,
                None if len(starts) == 1 else span,
            )

        try:
            return upload, tuple(self._uploader.together(copy, len(starts)))
        except BaseException:
            self._uploader.abandon(key, upload)
            raise
