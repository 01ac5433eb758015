"""The object by which a vault is recognised: a random number, put once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from vaultsync.core.names import VAULT_MARK
from vaultsync.remote.client import ABSENT

if TYPE_CHECKING:
    from vaultsync.remote.client import Transport
    from vaultsync.remote.conditions import Permit
    from vaultsync.remote.listing import Listing

LONGEST = 1024
"""Bytes of the object that are looked at."""


class Mark:
    """Implements `core.ports.VaultMark`.

    Args:
        transport: Sends the requests.
        prefix: What every key starts with.
        listing: Tells whether the last whole listing showed it.
        permit: Whether the vault may be written to; None when that is beyond doubt.
    """

    def __init__(
        self, transport: Transport, prefix: str, listing: Listing, permit: Permit | None
    ) -> None:
        self._transport = transport
        self._key = prefix + VAULT_MARK
        self._listing = listing
        self._permit = permit

    def shown(self) -> str | None:
        """Its tag in the last listing of everything; None when that did not show it."""
        return self._listing.mark

    def read(self) -> tuple[str, str] | None:
        """What it says and its tag; None when it is not there."""
        head = self._transport.head(self._key)
        if head is None:
            return None
        with self._transport.get(self._key, head.etag, 0, LONGEST - 1) as answer:
            body = b"".join(answer)
        return body.decode(errors="replace").strip(), head.etag

    def put(self, identity: str) -> str:
        """Put it where none is, and return its tag. Stale when there is one."""
        if self._permit is not None:
            self._permit.to_write()
        body = f"{identity}\n".encode()
        digest = hashlib.sha256(body).digest()
        headers = {"Content-Type": "text/plain"}
        written = self._transport.put(
            self._key, body, ABSENT, digest=digest, metadata={}, headers=headers
        )
        return written.etag
