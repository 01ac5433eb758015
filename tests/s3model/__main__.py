"""Serve a model until SIGTERM or Ctrl-C; its URL is the first line of the output."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal

from tests.s3model.running import serve
from tests.s3model.service import Service


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.s3model", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--ready-fd", type=int, help="the URL is written there as well")
    given = parser.parse_args()
    asyncio.run(_serve(given.port, given.ready_fd))


async def _serve(port: int, ready: int | None) -> None:
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)

    def announce(url: str) -> None:
        print(url, flush=True)
        if ready is not None:
            os.write(ready, f"{url}\n".encode())
            os.close(ready)

    await serve(Service(), port, announce, stop)


if __name__ == "__main__":
    main()
