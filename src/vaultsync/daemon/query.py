"""The parameters of a request to the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vaultsync.core.errors import Usage
from vaultsync.daemon import wire

if TYPE_CHECKING:
    from starlette.requests import Request


def number(request: Request, name: str, default: float, most: float) -> float:
    """A parameter between 0 and `most`."""
    try:
        value = float(request.query_params.get(name, default))
    except ValueError:
        value = -1
    if 0 <= value <= most:
        return value
    raise Usage(f"The parameter `{name}` is not a number from 0 to {most}.", "Mend it.")


def text(request: Request, name: str) -> str:
    """A parameter that has to be there."""
    if name not in request.query_params:
        raise Usage(f"The parameter `{name}` is missing.", f"Ask for `?{name}=...`.")
    return request.query_params[name]


def moment(request: Request, name: str) -> float | None:
    """A parameter that is a time in RFC 3339, as seconds since the epoch; None when not given."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        return wire.moment(given)
    except ValueError:
        raise Usage(
            f"The parameter `{name}` is not a time.", "Write it as 2026-11-23T14:30:05Z."
        ) from None
