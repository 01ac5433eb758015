"""A model server on a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Self, TypeVar

from tests.s3model.service import VAULT, Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.s3model.faults import Faults
    from tests.s3model.latency import Latency
    from tests.s3model.record import Record
    from tests.s3model.settings import Settings
    from tests.s3model.state import Bucket

T = TypeVar("T")


class S3Model:
    """Runs a server while the block runs.

    Its parts may be read and set from any thread; what has to happen between two requests goes
    through `call`.

    Args:
        port: Where to listen on the loopback address; 0 for any.

    Attributes:
        service: All of the server's state.
        url: Its endpoint.
    """

    def __init__(self, port: int = 0) -> None:
        self.service = Service()
        self.url = ""
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="s3model", daemon=True)
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._failure: OSError | None = None

    @property
    def settings(self) -> Settings:
        """What kind of server it is."""
        return self.service.settings

    @property
    def latency(self) -> Latency:
        """How far away it is."""
        return self.service.latency

    @property
    def faults(self) -> Faults:
        """What goes wrong."""
        return self.service.faults

    @property
    def record(self) -> Record:
        """What was asked and written."""
        return self.service.record

    @property
    def vault(self) -> Bucket:
        """The bucket that is there from the start."""
        return self.service.buckets[VAULT]

    def operations(self) -> list[str]:
        """The names of the requests so far, in order."""
        return [asked.operation for asked in self.record.requests]

    def call(self, act: Callable[[], T]) -> T:
        """Do something between two requests; returns or raises what it does."""

        async def run() -> T:
            return act()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    def drop(self) -> None:
        """Hang up on everybody."""
        self.call(self.service.drop)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(30)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(
                serve(self.service, self._port, self._announce, self._stop)
            )
        except OSError as error:
            self._failure = error
            self._ready.set()
        finally:
            self._loop.close()

    def _announce(self, url: str) -> None:
        self.url = url
        self._ready.set()


async def serve(
    service: Service, port: int, announce: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Serve on the loopback address until told to stop.

    Args:
        service: What is served.
        port: Where; 0 for any.
        announce: Called with the endpoint once requests can be sent there.
        stop: Ends it.
    """
    loop = asyncio.get_running_loop()
    server = await loop.create_server(service.connection, "127.0.0.1", port, backlog=1024)
    try:
        announce(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await stop.wait()
    finally:
        server.close()
        service.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(service.quiet.wait(), 5)
