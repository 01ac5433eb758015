"""An HTTP proxy before an S3 server that misbehaves when told to."""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import urlsplit

from tests.guards import foreign_writer

ALWAYS = 1 << 30


@dataclass
class Fault:
    """What to do with matching requests.

    Attributes:
        kind: `answer` (status and body, nothing is forwarded), `drop` (hang up before anything
            happens), `lose` (forward, then hang up), `cut` (forward, hang up within the body),
            `page` (answer with the proxy's page), `hang` (answer nothing until the proxy ends).
        method: Which requests.
        where: Part of their target.
        times: How many of them.
        status: Of the answer.
        code: S3's error code in the answer.
        headers: Of the answer.
        keep: Bytes of the body to let through.
    """

    kind: str
    method: str = ""
    where: str = ""
    times: int = 1
    status: int = 0
    code: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    keep: int = 0


class FaultyProxy:
    """Forwards requests, remembers them, and obeys the faults it is given.

    Attributes:
        faults: What to do wrong; the first one that matches and is not used up.
        seen: Method, target and headers (names in lower case) of each request.
        page: What `page` answers with.
        hold: Where faulty answers wait for one another.
        deaf: Methods with a part of the target: such requests lose their conditions on the way,
            as on a server that ignores them.
        strict: Whether the conditions of copies are judged here, as S3 does and moto does not.
        blind: Names of conditions that are not judged here all the same.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.page = b""
        self.deaf: list[tuple[str, str]] = []
        self.strict = False
        self.blind: set[str] = set()
        self.hold: threading.Barrier | None = None
        self.ended = threading.Event()
        self._lock = threading.Lock()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def sent(self, method: str) -> list[dict[str, str]]:
        """The headers (names in lower case) of the requests seen with a method."""
        return [headers for each, _, headers in self.seen if each == method]

    def fault(self, method: str, target: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.times and fault.method in ("", method) and fault.where in target:
                    fault.times -= 1
                    return fault
        return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.close_connection = True
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.owner.seen.append((self.command, self.path, headers))
        fault = self.owner.fault(self.command, self.path) or Fault("none")
        if fault.kind == "hang":
            self.owner.ended.wait()
        elif fault.kind == "answer":
            if self.owner.hold is not None:
                self.owner.hold.wait()
            error = f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>"
            text = error.encode() if fault.code and self.command != "HEAD" else b""
            self._answer(fault.status, fault.headers | {"Content-Length": str(len(text))}, text)
        elif fault.kind == "page":
            self._answer(200, {"Content-Length": str(len(self.owner.page))}, self.owner.page)
        elif self.owner.strict and "x-amz-copy-source" in headers and not self._holds(headers):
            self._answer(412, {"Content-Length": "0"}, b"")
        elif fault.kind != "drop":
            self._forward(body, fault)

    def _holds(self, headers: dict[str, str]) -> bool:
        """Whether what a copy demands of its source and of its destination is true."""
        given = {name: value for name, value in headers.items() if name not in self.owner.blind}
        there = self._etag(self.path, headers)
        if "if-none-match" in given and there is not None:
            return False
        if "if-match" in given and there != given["if-match"]:
            return False
        source = self._etag("/" + headers["x-amz-copy-source"].lstrip("/"), headers)
        return source is None or source == given.get("x-amz-copy-source-if-match", source)

    def _etag(self, target: str, headers: dict[str, str]) -> str | None:
        upstream = http.client.HTTPConnection(self.owner.upstream)
        given = {"Authorization": headers["authorization"]}
        upstream.request("HEAD", target.partition("?")[0], headers=given)
        response = upstream.getresponse()
        response.read()
        upstream.close()
        return response.getheader("ETag")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815 - names that are called

    def _forward(self, body: bytes, fault: Fault) -> None:
        upstream = http.client.HTTPConnection(self.owner.upstream)
        given = dict(self.headers.items())
        if any(self.command == how and where in self.path for how, where in self.owner.deaf):
            given = {name: value for name, value in given.items() if "-match" not in name.lower()}
        with foreign_writer():
            upstream.request(self.command, self.path, body or None, given)
        response = upstream.getresponse()
        content = response.read()
        headers = dict(response.getheaders())
        upstream.close()
        if fault.kind == "lose":
            return
        if fault.kind == "cut":
            content = content[: fault.keep]
        skip = {"transfer-encoding", "connection", "content-length"}
        kept = {name: value for name, value in headers.items() if name.lower() not in skip}
        length = headers.get("Content-Length", str(len(content)))
        self._answer(response.status, kept | {"Content-Length": length}, content)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass
