"""The daemon's API: a Vault over HTTP and JSON; `server` serves it on a Unix socket.

Every answer is an envelope: `{"schema": 1, "ok": true, "result": ...}`, or `"ok": false` with
`"error": {"code", "message", "hint"}`. With curl:
`curl --unix-socket $XDG_RUNTIME_DIR/vaultsync/default.sock http://vaultsync/v1/status`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import TYPE_CHECKING, TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vaultsync import __version__
from vaultsync.core.errors import Fatal, NotFound, Usage, VaultsyncError
from vaultsync.daemon import past_api, wire
from vaultsync.daemon.query import number as _number

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from vaultsync.core.ports import Vault

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_HTTP_STATUS = {
    "usage": 400,
    "sign-in-needed": 401,
    "refused": 403,
    "not-found": 404,
    "guard": 409,
    "another-instance": 409,
    "offline": 503,
    "timed-out": 504,
}
"""What a generic HTTP client is told; ours looks at the error's code."""

MOST_ROWS = 100_000
"""The largest `limit` of a list."""


def application(vault: Vault, stop: Callable[[], None]) -> Starlette:
    """The routes over a vault. Methods of the vault are called in worker threads."""

    async def about(_request: Request) -> object:
        return {"version": __version__, "pid": os.getpid()}

    async def status(_request: Request) -> object:
        return wire.status_to_json(await run_in_threadpool(vault.status))

    async def waiting(request: Request) -> object:
        limit = int(_number(request, "limit", 1000, MOST_ROWS))
        return [
            wire.waiting_to_json(item) for item in await run_in_threadpool(vault.waiting, limit)
        ]

    async def conflicts(_request: Request) -> object:
        return [wire.conflict_to_json(pair) for pair in await run_in_threadpool(vault.conflicts)]

    async def held(_request: Request) -> object:
        return [wire.held_to_json(item) for item in await run_in_threadpool(vault.held)]

    async def why(request: Request) -> object:
        return await run_in_threadpool(vault.why, _path(request))

    async def standing(request: Request) -> object:
        found = await run_in_threadpool(vault.standing, _path(request))
        return wire.standing_to_json(found)

    async def pin(request: Request) -> object:
        path, pinned = _path(request), request.query_params.get("pinned", "1") != "0"
        await run_in_threadpool(lambda: vault.pin(path, pinned=pinned))
        return {}

    async def wait(request: Request) -> object:
        timeout = _number(request, "timeout", 60, 86_400)
        await _in_own_thread(lambda: vault.wait_at_rest(timeout))
        return wire.status_to_json(await run_in_threadpool(vault.status))

    def command(act: Callable[[], None]) -> _Endpoint:
        async def run(_request: Request) -> object:
            await run_in_threadpool(act)
            return {}

        return run

    looking = {"about": about, "status": status, "waiting": waiting, "conflicts": conflicts}
    looking |= {"held": held, "why": why, "standing": standing}
    steering = {
        "sync": command(vault.sync),
        "pause": command(vault.pause),
        "resume": command(vault.resume),
        "allow-held": _decision(vault.allow_held),
        "restore-held": _decision(vault.restore_held),
        "pin": pin,
        "wait": wait,
        "stop": command(stop),
    }
    past = past_api.looking(vault.past, _in_own_thread), past_api.acting(vault.past, _in_own_thread)
    return Starlette(
        routes=[
            *(_route(name, endpoint, "GET") for name, endpoint in looking.items()),
            *(_route(name, endpoint, "POST") for name, endpoint in steering.items()),
            *(_route(name, endpoint, "GET") for name, endpoint in past[0].items()),
            *(_route(name, endpoint, "POST") for name, endpoint in past[1].items()),
        ],
        exception_handlers={HTTPException: _no_such_route},
    )


if TYPE_CHECKING:
    _Endpoint = Callable[[Request], Awaitable[object]]


def _path(request: Request) -> str:
    if "path" not in request.query_params:
        raise Usage("The parameter `path` is missing.", "Ask for `?path=...`.")
    return request.query_params["path"]


def _decision(act: Callable[[str | None], int]) -> _Endpoint:
    """What a person says to what a guard (the parameter `guard`; by default all) holds."""

    async def run(request: Request) -> object:
        guard = request.query_params.get("guard") or None
        return {"files": await run_in_threadpool(act, guard)}

    return run


def _route(name: str, endpoint: _Endpoint, method: str) -> Route:
    """A route whose endpoint returns a result or raises, and which answers with an envelope."""

    async def answer(request: Request) -> Response:
        try:
            return JSONResponse(wire.success(await endpoint(request)))
        except VaultsyncError as error:
            return JSONResponse(wire.failure(error), _HTTP_STATUS.get(error.code, 500))
        except Exception:  # noqa: BLE001 - logged, and the daemon goes on
            _log.exception("The request %s failed.", name)
            fault = Fatal("The daemon met an error of its own.", "The log has the details.")
            return JSONResponse(wire.failure(fault), 500)

    return Route(f"{wire.BASE}/{name}", answer, methods=[method])


async def _no_such_route(_request: Request, error: Exception) -> Response:
    """An envelope for what Starlette itself refuses: a wrong route or method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    fault = NotFound("There is no such request.", "Is the daemon of another version?")
    return JSONResponse(wire.failure(fault), status)


async def _in_own_thread(call: Callable[[], _T]) -> _T:
    """Await a call that may take very long, outside the shared pool.

    A pool's thread would keep others waiting and the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(value: _T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(value)  # type: ignore[arg-type]
        else:
            future.set_exception(error)

    def run() -> None:
        value: _T | None = None
        failed: BaseException | None = None
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - handed to the one who awaits
            failed = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=run, name="api-wait", daemon=True).start()
    return await future
