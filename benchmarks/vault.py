"""The vault that all rivals mount: a model server, filled without anybody's help."""

from __future__ import annotations

import http.client
import time
from typing import Any, Self
from urllib.parse import quote, urlsplit

from tests.s3model import ModelProcess
from tests.s3model.service import VAULT

NEAR: dict[str, float] = {"round_trip": 0.0, "setup": 0.0, "down": 0.0, "total_down": 0.0}
FAR = {"round_trip": 0.03, "setup": 2.0, "down": 50e6, "total_down": 125e6}
"""30 ms away; 50 MB a second through a connection, 125 MB through all of them."""


class Vault:
    """A model server as a process of its own, while the block runs."""

    def __init__(self) -> None:
        self._process = ModelProcess()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return self._process.url

    def __enter__(self) -> Self:
        self._process.__enter__()
        # Digests and a record of what was asked are for judges; here they would only take time.
        self._process.control("PUT", "settings", {"digests": False})
        self._process.control("DELETE", "record?keep=0")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.__exit__(*error)

    def put(self, key: str, data: bytes) -> None:
        """Write an object, as somebody elsewhere would."""
        self._ask("PUT", key, data)

    def copy(self, key: str, to: str) -> None:
        """Copy an object; the server keeps the bytes once."""
        self._ask("PUT", to, headers={"x-amz-copy-source": quote(f"/{VAULT}/{key}")})

    def has(self, key: str) -> bool:
        """Whether there is such an object."""
        return self._ask("HEAD", key, fine=(200, 404)) == 200

    def seed(self, prefix: str, count: int, size: int) -> None:
        """Put so many objects of zeros below `<prefix>00000/`."""
        given = {"bucket": VAULT, "prefix": prefix, "count": count, "size": size}
        self._process.control("POST", "objects", given | {"per_directory": count})

    def written(self, prefix: str) -> int:
        """How many writes there were below a prefix."""
        found: list[Any] = self._process.control("GET", f"versions?prefix={quote(prefix)}")
        return len(found)

    def arrived(self, prefix: str, count: int, seconds: float) -> float | None:
        """Wait for so many writes; returns seconds, None when they did not come in time."""
        began = time.monotonic()
        while self.written(prefix) < count:
            if time.monotonic() - began > seconds:
                return None
            time.sleep(0.05)
        return time.monotonic() - began

    def away(self, distance: dict[str, float]) -> None:
        """Move the server: NEAR or FAR."""
        self._process.control("PUT", "latency", distance)

    def _ask(
        self,
        method: str,
        key: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        fine: tuple[int, ...] = (200,),
    ) -> int:
        where = urlsplit(self.url)
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=120)
        try:
            connection.request(method, f"/{VAULT}/{quote(key)}", body, headers or {})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status not in fine:
            raise OSError(f"{method} of {key}: {answer.status} {said[:200]!r}")
        return answer.status
