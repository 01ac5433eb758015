"""HTTP/1.1 over asyncio: requests in, answers out, connections kept; nothing here knows S3."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.s3model.faults import Fault
    from tests.s3model.latency import Latency, Pipe

Buffer = bytes | bytearray | memoryview
SMALL = 64 << 10
"""Answers up to this many bytes are written at once."""
PIECE = 256 << 10
_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(slots=True)
class Request:
    """A request; the body is there once it has come in whole.

    `cut_at` hangs up after that many bytes of the body.
    """

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    connection: int
    first: bool
    length: int = 0
    body: Buffer = b""
    operation: str = ""
    bucket: str = ""
    key: str = ""
    number: int = 0
    arrived: float = 0.0
    fault: Fault | None = None
    cut_at: int | None = None


@dataclass(slots=True)
class Response:
    """An answer. `pieces` is its body; with `length` only the length is told (HEAD)."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    pieces: tuple[Buffer, ...] = ()
    length: int | None = None

    @property
    def size(self) -> int:
        """Bytes of the body that is sent."""
        return sum(map(len, self.pieces))


class Application(Protocol):
    """What a server does with requests."""

    latency: Latency

    def connected(self, connection: Connection) -> tuple[Pipe, Pipe]:
        """A connection is there; gives what its bytes go through, up and down."""
        ...

    def lost(self, connection: Connection) -> None:
        """A connection has ended."""
        ...

    def begin(self, request: Request) -> None:
        """A head has come in."""
        ...

    def cut(self, request: Request) -> None:
        """A request was cut off as `cut_at` said."""
        ...

    def finish(self, connection: Connection, request: Request) -> None:
        """A whole request has come in; leads to one `reply` or `hang_up`."""
        ...


class Connection(asyncio.BufferedProtocol):
    """One connection. Bodies of known length are received right where they stay."""

    def __init__(self, application: Application, number: int) -> None:
        self.number = number
        self._application = application
        self._scratch = bytearray(SMALL)
        self._pending = bytearray()
        self._request: Request | None = None
        self._body = bytearray()
        self._filled = 0
        self._chunks: Chunks | None = None
        self._busy = False
        self._served = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._up, self._down = self._application.connected(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._application.lost(self)
        self._writable.set()
        if self._sending is not None:
            self._sending.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._request is None or self._busy or self._chunks is not None:
            return memoryview(self._scratch)
        room = memoryview(self._body)[self._filled :]
        return room[:SMALL] if self._up.slow else room

    def buffer_updated(self, nbytes: int) -> None:
        if self._request is None or self._busy or self._chunks is not None:
            self._pending += memoryview(self._scratch)[:nbytes]
        else:
            self._filled += nbytes
        wait = self._up.reserve(nbytes)
        if wait > 0:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(wait, self._resume)
        else:
            self._advance()

    def eof_received(self) -> bool:
        return False

    def reply(self, response: Response, keep: int | None = None) -> None:
        """Send the answer, then take the next request.

        Args:
            response: The answer.
            keep: Send only so many bytes of the body, then hang up.
        """
        if self._transport.is_closing():
            return
        lines = [f"HTTP/1.1 {response.status} {_REASONS.get(response.status, '')}"]
        lines += [f"{name}: {value}" for name, value in response.headers.items()]
        size = response.size
        if response.status not in (204, 304):
            lines.append(f"Content-Length: {size if response.length is None else response.length}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        if size <= SMALL and not self._down.slow:
            self._transport.write(b"".join((head, *response.pieces))[: _end(head, keep)])
            self._done(hang_up=keep is not None)
        else:
            pieces = _pieces((head, *response.pieces), _end(head, keep))
            sending = self._send(pieces, hang_up=keep is not None)
            self._sending = asyncio.get_running_loop().create_task(sending)

    def hang_up(self) -> None:
        """Close the connection without an answer."""
        self._transport.close()

    async def _send(self, pieces: Iterable[Buffer], *, hang_up: bool) -> None:
        for piece in pieces:
            wait = self._down.reserve(len(piece))
            if wait > 0:
                await asyncio.sleep(wait)
            await self._writable.wait()
            self._transport.write(piece)
        self._sending = None
        self._done(hang_up=hang_up)

    def _done(self, *, hang_up: bool) -> None:
        request, self._request = self._request, None
        self._busy = False
        if hang_up or request is None or request.headers.get("connection", "").lower() == "close":
            self._transport.close()
        elif self._pending:
            asyncio.get_running_loop().call_soon(self._advance)

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._advance()

    def _advance(self) -> None:
        """Get as far as the bytes that are there allow."""
        if self._busy or self._transport.is_closing():
            return
        if self._request is None and not self._head():
            return
        request = self._request
        assert request is not None
        if self._chunks is not None:
            self._chunks.feed(self._pending)
            whole, came = self._chunks.complete, len(self._chunks.body)
        else:
            whole, came = self._filled == request.length, self._filled
        if request.cut_at is not None and came >= request.cut_at:
            self._busy = True
            self._application.cut(request)
            self.hang_up()
        elif whole:
            request.body = self._body if self._chunks is None else self._chunks.body
            self._body, self._chunks, self._busy = bytearray(), None, True
            self._application.finish(self, request)

    def _head(self) -> bool:
        """Take a head from the bytes that are there, and make room for its body."""
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = self._pending[:end].decode("latin-1").split("\r\n")
        del self._pending[: end + 4]
        self._served += 1
        try:
            request = _parsed(lines, self.number, first=self._served == 1)
        except ValueError:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()
            return False
        self._request = request
        self._filled = 0
        if "chunked" in request.headers.get("transfer-encoding", ""):
            self._chunks = Chunks()
        else:
            self._body = bytearray(request.length)
            here = self._pending[: request.length]
            self._filled = len(here)
            self._body[: self._filled] = here
            del self._pending[: self._filled]
        self._application.begin(request)
        if request.headers.get("expect", "").lower() == "100-continue":
            # The client waits for it: a round trip before the body's first byte.
            wait = self._application.latency.round_trip
            asyncio.get_running_loop().call_later(wait, self._go_on, request)
        return True

    def _go_on(self, request: Request) -> None:
        if request is self._request and not self._busy and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class Chunks:
    """A body in chunks: HTTP's own and S3's `aws-chunked` have the same form.

    Attributes:
        body: What came so far.
        complete: Whether it came whole.
        trailers: The headers that came behind it, names in lower case.
    """

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False
        self.trailers: dict[str, str] = {}
        self._left = -1
        self._last = False

    def feed(self, pending: bytearray) -> None:
        """Take what can be taken from the front of `pending`."""
        place = 0
        while not self.complete:
            if self._left > 0:
                taken = pending[place : place + self._left]
                self.body += taken
                place += len(taken)
                self._left -= len(taken)
                if self._left:
                    break
            end = pending.find(b"\r\n", place)
            if end < 0:
                break
            line = pending[place:end].decode("latin-1")
            place = end + 2
            self._line(line)
        del pending[:place]

    def _line(self, line: str) -> None:
        if self._last:
            name, _, value = line.partition(":")
            if line:
                self.trailers[name.strip().lower()] = value.strip()
            self.complete = not line
        elif self._left == 0:
            self._left = -1  # the end of a chunk's data
        else:
            self._left = int(line.partition(";")[0], 16)
            self._last = self._left == 0


def _parsed(lines: list[str], connection: int, *, first: bool) -> Request:
    method, target, _ = lines[0].split(" ", 2)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    path, _, query = target.partition("?")
    return Request(
        method,
        target,
        unquote(path) if "%" in path else path,
        dict(parse_qsl(query, keep_blank_values=True)) if query else {},
        headers,
        connection,
        first,
        length=int(headers.get("content-length", "0")),
    )


def _end(head: bytes, keep: int | None) -> int | None:
    return None if keep is None else len(head) + keep


def _pieces(buffers: Iterable[Buffer], end: int | None) -> Iterable[Buffer]:
    """Bounded pieces of all buffers, up to so many bytes."""
    left = 1 << 62 if end is None else end
    for buffer in buffers:
        view = memoryview(buffer)
        for start in range(0, len(view), PIECE):
            piece = view[start : start + min(PIECE, left)]
            left -= len(piece)
            yield piece
            if left <= 0:
                return
