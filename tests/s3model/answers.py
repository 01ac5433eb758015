"""How S3 says things: errors, XML, dates."""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from functools import lru_cache
from xml.sax.saxutils import escape

from tests.s3model.wire import Response

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class RefusedError(Exception):
    """An answer with an error in it."""

    def __init__(
        self, status: int, code: str, message: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or code
        self.headers = headers or {}


def missing() -> RefusedError:
    """There is no such key."""
    return RefusedError(404, "NoSuchKey", "The specified key does not exist.")


def precondition() -> RefusedError:
    """A condition does not hold."""
    return RefusedError(
        412,
        "PreconditionFailed",
        "At least one of the pre-conditions you specified did not hold",
    )


def invalid(message: str, code: str = "InvalidRequest") -> RefusedError:
    """The request makes no sense."""
    return RefusedError(400, code, message)


def denied() -> RefusedError:
    """Not allowed."""
    return RefusedError(403, "AccessDenied", "Access Denied")


def error(refused: RefusedError, request_id: str, method: str) -> Response:
    """The answer that an error makes; HEAD and 304 have no body."""
    if method == "HEAD" or refused.status == 304:
        return Response(refused.status, dict(refused.headers), length=0)
    text = (
        f"<Error><Code>{refused.code}</Code><Message>{escape(refused.message)}</Message>"
        f"<RequestId>{request_id}</RequestId><HostId>model</HostId></Error>"
    )
    return xml(text, refused.status, refused.headers)


def xml(text: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer with an XML body."""
    body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode("utf-8", "replace")
    return Response(status, {"Content-Type": "application/xml", **(headers or {})}, (body,))


def element(name: str, value: str | int | None) -> str:
    """One element; nothing when there is no value."""
    return "" if value is None else f"<{name}>{said(str(value))}</{name}>"


def said(text: str) -> str:
    """Text as XML 1.0 can say it: it has no way to write control characters."""
    return escape(_UNSPEAKABLE.sub("\ufffd", text)).replace("\r", "&#13;")


@lru_cache(maxsize=1024)
def iso(seconds: int) -> str:
    """A moment as listings tell it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


@lru_cache(maxsize=1024)
def http_date(seconds: int) -> str:
    """A moment as headers tell it."""
    return formatdate(seconds, usegmt=True)
