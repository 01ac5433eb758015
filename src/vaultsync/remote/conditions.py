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
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vaultsync.core.errors import Blocked, Stale
from vaultsync.core.names import CONTROL
from vaultsync.remote.client import ABSENT, Condition
from vaultsync.remote.faults import Denied, Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vaultsync.remote.client import Transport

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
    """

    put: bool
    complete: bool
    delete: bool
    versioned: bool

    @property
    def honoured(self) -> bool:
        """Whether all kinds of writes are safe."""
        return self.put and self.complete and self.delete

    def written(self) -> Mapping[str, bool]:
        """JSON-ready; `Conditions(**values)` reads it."""
        return asdict(self)


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

    def put(body: bytes, condition: Condition) -> str | None:
        digest = hashlib.sha256(body).digest()
        written = transport.put(key, body, condition, digest=digest, metadata={}, headers={})
        return written.version

    def honours(request: Callable[[Condition], object]) -> bool:
        """Whether both conditions, neither of which holds, keep a request from being done."""
        heeded = [_refused(request, condition) for condition in (ABSENT, OTHER)]
        return all(heeded)

    version = put(b"first", ABSENT)
    try:
        return Conditions(
            put=honours(lambda condition: put(b"second", condition)),
            complete=honours(lambda condition: _complete(transport, key, condition)),
            delete=_refused(lambda other: transport.delete(key, str(other.etag)), OTHER),
            versioned=version is not None,
        )
    finally:
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
