"""Conditions as AWS judges them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.s3model.answers import RefusedError, invalid, missing, precondition

if TYPE_CHECKING:
    from tests.s3model.state import Version


def names(value: str, etag: str) -> bool:
    """Whether the value of a condition names an ETag, or any (`*`)."""
    return any(each.strip().strip('"') in ("*", etag) for each in value.split(","))


def check_write(headers: dict[str, str], current: Version | None) -> None:
    """Judge a write's conditions on the object that is there.

    Raises:
        RefusedError: 412, or 404 for If-Match where nothing is.
    """
    if "if-none-match" in headers:
        if headers["if-none-match"].strip('"') != "*":
            raise RefusedError(501, "NotImplemented", "A header you provided implies functionality")
        if current is not None:
            raise precondition()
    if "if-match" in headers:
        if current is None:
            raise missing()
        if not names(headers["if-match"], current.etag):
            raise precondition()


def check_read(headers: dict[str, str], found: Version) -> None:
    """Judge the conditions of GET or HEAD.

    Raises:
        RefusedError: 412 or 304.
    """
    if "if-match" in headers and not names(headers["if-match"], found.etag):
        raise precondition()
    if "if-none-match" in headers and names(headers["if-none-match"], found.etag):
        raise RefusedError(304, "NotModified", headers={"ETag": f'"{found.etag}"'})


def check_source(headers: dict[str, str], source: Version) -> None:
    """Judge a copy's conditions on its source.

    Raises:
        RefusedError: 412.
    """
    match = headers.get("x-amz-copy-source-if-match")
    if match is not None and not names(match, source.etag):
        raise precondition()
    other = headers.get("x-amz-copy-source-if-none-match")
    if other is not None and names(other, source.etag):
        raise precondition()


def span(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last of a Range header; None: all of it.

    Raises:
        RefusedError: 416, there are no such bytes.
    """
    unit, _, spec = header.partition("=")
    first, dash, last = spec.strip().partition("-")
    if unit.strip() != "bytes" or not dash or "," in spec or not (first or last):
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= size or (last and first and int(last) < start):
        raise RefusedError(416, "InvalidRange", "The requested range is not satisfiable")
    return start, end


def exact_span(header: str, size: int) -> tuple[int, int]:
    """The bytes of x-amz-copy-source-range, all of which must be there."""
    unit, _, spec = header.partition("=")
    first, _, last = spec.partition("-")
    if unit != "bytes" or not (first.isdecimal() and last.isdecimal()):
        raise invalid("The x-amz-copy-source-range value must be of the form bytes=first-last")
    start, end = int(first), int(last) + 1
    if not 0 <= start < end <= size:
        raise invalid("Range specified is not valid for source object", "InvalidArgument")
    return start, end
