"""Times on the command line, as people write and read them. Both are local time."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any

import click

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)")
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class Age(click.ParamType[float]):
    """A span of time such as `30min`, `12h` or `7d`, as seconds."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds; a UsageError for anything else."""
        if isinstance(value, float):
            return value
        match = _AGE.fullmatch(str(value).strip())
        if match is None:
            self.fail(
                f"'{value}' is no span of time; write it as 30min, 12h, 7d or 2w.", param, ctx
            )
        return float(match[1]) * _SECONDS[match[2]]


class Moment(click.ParamType[float]):
    """A time in the past, as seconds since the epoch.

    `2026-11-23`, `2026-11-23 14:30`, `2026-11-23T14:30:05Z`, or an age such as `2h`.
    """

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Seconds since the epoch; a UsageError for anything else."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        if _AGE.fullmatch(text):
            return time.time() - Age().convert(text, param, ctx)
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError):
            self.fail(
                f"'{value}' is no time; write it as 2026-11-23, '2026-11-23 14:30' or 2h.",
                param,
                ctx,
            )


def shown(seconds: float) -> str:
    """A moment for a person: `2026-11-23 14:30:05`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
