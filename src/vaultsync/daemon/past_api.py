"""The API's routes over history, trash and old versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool

from vaultsync.core.errors import Usage
from vaultsync.daemon import query, wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from vaultsync.core.ports import Past

    Endpoint = Callable[[Request], Awaitable[object]]
    Aside = Callable[[Callable[[], list[object]]], Awaitable[list[object]]]

MOST_ROWS = 100_000
"""The largest `limit` of a list."""
MOST_SECONDS = 86_400
"""The longest `wait`."""
LAST_EVENT = 1 << 62


def looking(past: Past, aside: Aside) -> dict[str, Endpoint]:
    """What is asked with GET.

    Args:
        past: What to serve.
        aside: Awaits a call that may take very long, outside the shared pool.
    """

    async def events(request: Request) -> object:
        limit = int(query.number(request, "limit", 100, MOST_ROWS))
        if "after" in request.query_params:
            after = int(query.number(request, "after", 0, LAST_EVENT))
            wait = query.number(request, "wait", 0, MOST_SECONDS)
            return await aside(
                lambda: [wire.event_to_json(each) for each in past.follow(after, wait, limit)]
            )
        before = int(query.number(request, "before", 0, LAST_EVENT))
        since = query.moment(request, "since") or 0.0
        path = request.query_params.get("path", "")
        found = await run_in_threadpool(past.events, path, before=before, since=since, limit=limit)
        return [wire.event_to_json(each) for each in found]

    async def trash(request: Request) -> object:
        found = await run_in_threadpool(past.trashed, request.query_params.get("path", ""))
        return [wire.trashed_to_json(each) for each in found]

    async def versions(request: Request) -> object:
        path = query.text(request, "path")
        return await aside(lambda: [wire.version_to_json(each) for each in past.versions(path)])

    async def versions_below(request: Request) -> object:
        path, at = query.text(request, "path"), query.moment(request, "at")
        return await aside(
            lambda: [wire.version_to_json(each) for each in past.versions_below(path, at)]
        )

    return {
        "events": events,
        "trash": trash,
        "versions": versions,
        "versions/below": versions_below,
    }


def acting(past: Past, aside: Aside) -> dict[str, Endpoint]:
    """What is told with POST; the arguments are those of `looking`."""

    async def put_back(request: Request) -> object:
        item, to = query.text(request, "item"), request.query_params.get("to", "")
        return {"path": await run_in_threadpool(past.put_back, item, to)}

    async def empty(request: Request) -> object:
        before = query.moment(request, "before")
        if before is None:
            raise Usage("The parameter `before` is missing.", "Say what is old enough to go.")
        (done,) = await aside(lambda: [wire.emptied_to_json(past.empty_trash(before))])
        return done

    async def bring_back(request: Request) -> object:
        path, version = query.text(request, "path"), query.text(request, "version")
        to = request.query_params.get("to", "")
        (shown,) = await aside(lambda: [past.bring_back(path, version, to)])
        return {"path": shown}

    return {
        "trash/put-back": put_back,
        "trash/empty": empty,
        "versions/bring-back": bring_back,
    }
