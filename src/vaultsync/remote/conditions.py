"""Does the server honour the conditions that every write of ours rests on?

Not all that speaks S3 does, and one that does not says nothing: it takes the write and overwrites
what somebody else has just stored. So it is asked once, on an object of our own, before the first
write.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Stale
from vaultsync.core.names import CONTROL
from vaultsync.remote.client import ABSENT, Condition
from vaultsync.remote.faults import Denied, Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaultsync.remote.client import Transport, Written

OTHER = Condition("0" * 32)
"""A version that was never there."""
_HINT = (
    "Use a server that honours If-Match; or, if nothing else ever writes to this vault, set "
    "safety.allow_unconditional."
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a server is known to do.

    Attributes:
        put: Whether PutObject honours If-Match and If-None-Match.
        complete: Whether CompleteMultipartUpload does.
        delete: Whether DeleteObject honours If-Match.
        versioned: Whether the bucket keeps the versions that are overwritten or deleted.
        copy: Whether CopyObject honours a condition on its source, and If-Match and
            If-None-Match on its destination.
    """

    put: bool
    complete: bool
    delete: bool
    versioned: bool
    copy: bool

    @property
    def honoured(self) -> bool:
        """Whether all that cannot be done without is safe; copies can be made in other ways."""
        return self.put and self.complete and self.delete

    def written(self) -> Mapping[str, bool]:
        """JSON-ready; `restored` reads it."""
        return asdict(self)

    @classmethod
    def restored(cls, values: Mapping[str, bool]) -> Conditions | None:
        """What `written` gave; None when another version wrote it, which knew less or more."""
        return cls(**values) if values.keys() == {field.name for field in fields(cls)} else None


class Permit:
    """Whether the vault may be written to. Asked from many threads.

    Args:
        transport: Sends the requests.
        prefix: What every key starts with.
        known: What an earlier run found out; None asks the server, before the first write.
        regardless: Write even where conditions are ignored.
    """

    def __init__(
        self,
        transport: Transport,
        prefix: str,
        known: Conditions | None = None,
        *,
        regardless: bool = False,
    ) -> None:
        self._transport = transport
        self._prefix = prefix
        self._known = known
        self._regardless = regardless
        self._lock = threading.Lock()

    @property
    def known(self) -> Conditions | None:
        """What is known so far."""
        return self._known

    def to_write(self) -> None:
        """Raise Blocked when the server would let a write of ours overwrite another's."""
        conditions = self._ask()
        if not ((conditions.put and conditions.complete) or self._regardless):
            raise Blocked(
                "The vault's server ignores the conditions of uploads: another device's change "
                "of the same moment would be lost.",
                _HINT,
            )

    def to_delete(self) -> None:
        """Raise Blocked when the server would delete a version that we have never seen."""
        if not (self._ask().delete or self._regardless):
            raise Blocked(
                "The vault's server ignores the condition of a deletion: a version that another "
                "device stored at the same moment would be lost.",
                _HINT,
            )

    def copies(self) -> bool:
        """Whether CopyObject is safe; else a copy is made in parts, which Complete shows."""
        return self._ask().copy

    def _ask(self) -> Conditions:
        with self._lock:
            if self._known is None:
                self._known = probe(self._transport, self._prefix)
            return self._known


def probe(transport: Transport, prefix: str) -> Conditions:
    """Find out what the server does, on a control object made for it and removed again.

    Raises:
        Retry, SignIn, Blocked, Fatal: As the transport raises them; nothing is known then.
    """
    key = f"{prefix}{CONTROL}/probe-{secrets.token_hex(8)}"

    def put(body: bytes, condition: Condition) -> Written:
        digest = hashlib.sha256(body).digest()
        return transport.put(key, body, condition, digest=digest, metadata={}, headers={})

    def honours(request: Callable[[Condition], object]) -> bool:
        """Whether both conditions, neither of which holds, keep a request from being done."""
        heeded = [_refused(request, condition) for condition in (ABSENT, OTHER)]
        return all(heeded)

    first = put(b"first", ABSENT)
    try:
        # Before a server that ignores conditions makes another version of what is copied.
        copy = _copies(transport, key, first.etag)
        return Conditions(
            put=honours(lambda condition: put(b"second", condition)),
            complete=honours(lambda condition: _complete(transport, key, condition)),
            delete=_refused(lambda other: transport.delete(key, str(other.etag)), OTHER),
            versioned=first.version is not None,
            copy=copy,
        )
    finally:
        _remove(transport, key)


def _copies(transport: Transport, source: str, etag: str) -> bool:
    """Whether CopyObject does what it should when its conditions hold, and nothing when not."""
    key = f"{source}-copy"

    def copy(condition: Condition, version: str = etag) -> Written:
        return transport.copy(key, source, version, condition)

    try:
        made = Condition(copy(ABSENT).etag)
        return (
            _refused(copy, ABSENT)
            and _refused(copy, OTHER)
            and _refused(lambda other: copy(made, str(other.etag)), OTHER)
            and bool(copy(made))
        )
    except (Stale, Blocked):
        return False
    finally:
        _remove(transport, key)


def _remove(transport: Transport, key: str) -> None:
    with contextlib.suppress(Stale, Denied):
        head = transport.head(key)
        if head is not None:
            transport.delete(key, head.etag)


def _complete(transport: Transport, key: str, condition: Condition) -> None:
    upload = transport.create_upload(key, metadata={}, headers={})
    try:
        body = b"third"
        part = transport.upload_part(key, upload, 1, body, hashlib.sha256(body).digest())
        transport.complete(key, upload, [part], condition)
    finally:
        transport.abort(key, upload)


def _refused(request: Callable[[Condition], object], condition: Condition) -> bool:
    """Whether a request was refused because its condition does not hold.

    Missing rights are a refusal too: what is not allowed at all does no harm.
    """
    try:
        request(condition)
    except Missing:
        raise
    except (Stale, Denied):
        return True
    return False
