"""No write of ours leaves this process without a condition.

Every HTTP client in Python's world ends in `http.client`, so that is where the guard stands. It
records PutObject, CompleteMultipartUpload, CopyObject and DeleteObject of keys below `private/`
that carry neither If-Match nor If-None-Match, refuses to send them, and fails the test.

Tests that play another program's part say so: `with foreign_writer():` for what this thread does,
`FOREIGN` as the `config` of a boto client that works with threads of its own.
"""

from __future__ import annotations

import http.client
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARDED = "private/"
_EXAMINED = "self-test-"
"""Buckets that a local cloud makes to examine its own walls."""
_MARK = "foreign-writer"
FOREIGN = Config(user_agent_extra=_MARK)
"""Configuration of boto clients that play another program's part."""

_foreign: ContextVar[bool] = ContextVar("foreign", default=False)


@contextmanager
def foreign_writer() -> Iterator[None]:
    """Let this thread write without conditions, as other programs do."""
    token = _foreign.set(True)
    try:
        yield
    finally:
        _foreign.reset(token)


def is_unconditional(method: str, target: str, headers: dict[str, str]) -> bool:
    """Whether a request writes or deletes one of the guarded objects, come what may.

    Args:
        method: Of the HTTP request.
        target: Its target: a path or a URL, with the query.
        headers: Its headers, names in lower case.
    """
    url = urlsplit(target)
    path = unquote(url.path).lstrip("/")
    if path.startswith(_EXAMINED):
        return False
    below = path.startswith(GUARDED) or path.partition("/")[2].startswith(GUARDED)
    if not below or "if-match" in headers or "if-none-match" in headers:
        return False
    query = parse_qs(url.query, keep_blank_values=True)
    if method in ("PUT", "DELETE"):
        return not query.keys() & {"uploadId", "tagging", "acl"}
    return method == "POST" and "uploadId" in query


@pytest.fixture(autouse=True)
def conditional_writes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Fail the test in which an unconditional write was attempted; yields what was caught."""
    caught: list[str] = []
    send = http.client.HTTPConnection.endheaders

    def guarded(self: http.client.HTTPConnection, *arguments: Any, **options: Any) -> None:
        lines = [line.decode("latin-1") for line in self._buffer]  # type: ignore[attr-defined]
        method, target, _ = lines[0].split(" ", 2)
        fields = (line.partition(":") for line in lines[1:])
        headers = {name.strip().lower(): value.strip() for name, _, value in fields}
        foreign = _foreign.get() or _MARK in headers.get("user-agent", "")
        if not foreign and is_unconditional(method, target, headers):
            caught.append(f"{method} {target}")
            raise AssertionError(f"a write without a condition: {method} {target}")
        send(self, *arguments, **options)

    monkeypatch.setattr(http.client.HTTPConnection, "endheaders", guarded)
    yield caught
    assert not caught, f"writes without a condition: {caught}"
