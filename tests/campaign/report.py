"""What is told of a campaign."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.s3model.process import control

if TYPE_CHECKING:
    from tests.campaign.world import World

LINES = 80
"""Of a path's story, at most: the last ones."""


def written(world: World, totals: dict[str, Any], minutes: float) -> str:
    """The report: broken rules with the whole story of each path, then totals as JSON."""
    record = control(world.url, "GET", "record")
    faults: dict[str, int] = {}
    for request in record["requests"]:
        if request["fault"]:
            faults[request["fault"]] = faults.get(request["fault"], 0) + 1
    lines = [f"seed {world.plan.seed}, {world.plan.devices} devices, files in {world.home}"]
    for broken in world.ledger.broken[:20]:
        lines += ["", f"BROKEN {broken.rule}: {broken.path!r}", f"  {broken.detail}"]
        lines += [f"  {line}" for line in story(world, broken.path, record["requests"])]
    if len(world.ledger.broken) > 20:
        lines.append(f"... and {len(world.ledger.broken) - 20} more")
    told = totals | {
        "seed": world.plan.seed,
        "minutes": round(minutes, 2),
        "requests": sum(record["counters"].values()),
        "network_faults": faults,
    }
    return "\n".join([*lines, json.dumps(told, indent=1)])


def story(world: World, path: str, requests: list[dict[str, Any]]) -> list[str]:
    """What people did to a path, what was asked of the vault about it, and what went wrong."""
    if not path:
        return []
    ledger, prefix = world.ledger, world.devices[0].prefix
    owner = next((each for each in ledger.versions.values() if each.path == path), None)
    told = [
        (event.time, ledger.line(event))
        for event in ledger.events
        if event.path == path and event.who != "judge"
    ]
    told += [
        (event.time, ledger.line(event))
        for event in ledger.events
        if event.who in ("chaos", "judge")
        or "daemon" in event.what
        or (event.path and path.startswith(event.path + "/"))
        or (owner is not None and event.sha256 == owner.sha256 and event.path != path)
    ]
    told += [
        (request["time"], _line(request, ledger.began))
        for request in requests
        if request["key"].removeprefix(prefix) == path and request["operation"] != "ListObjectsV2"
    ]
    return [line for _, line in sorted(told)][-LINES:]


def timeline(world: World) -> str:
    """Everything that happened, in order."""
    return "\n".join(world.ledger.line(event) for event in world.ledger.events)


def _line(request: dict[str, Any], began: float) -> str:
    conditions = " ".join(f"{name}={value}" for name, value in request["conditions"].items())
    fault = f" ({request['fault']})" if request["fault"] else ""
    when = f"{request['time'] - began:9.3f}"
    what = f"{request['operation']} {conditions} -> {request['status']}{fault}"
    return f"{when} vault     {what} by {request['access_key'][-4:]}"
