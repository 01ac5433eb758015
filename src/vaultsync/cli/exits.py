"""What each exit code means, and which error ends with which: the only place that knows."""

from __future__ import annotations

from vaultsync.core.errors import (
    AnotherInstance,
    Blocked,
    GuardRefused,
    MachineRefused,
    Misconfigured,
    NotFound,
    NotRunning,
    Refused,
    Retry,
    SignIn,
    TimedOut,
    Usage,
    VaultsyncError,
)

OK = 0
FAILED = 1
USAGE = 2
FOUND = 5
PARTLY = 6
HELD = 7
CONFIGURATION = 78
INTERRUPTED = 130

MEANING = {
    OK: "done",
    FAILED: "failed for a reason without a code of its own",
    USAGE: "the command was called wrongly",
    3: "the daemon is not running",
    4: "sign-in needed",
    FOUND: "`status --check` found conflicts or blocked items",
    PARTLY: "partly done: the rest is blocked until somebody changes something",
    HELD: "a safety guard refused",
    8: "offline, or the cloud asks to come back later",
    9: "another instance serves this profile or folder",
    10: "refused by the cloud",
    11: "not found",
    12: "timed out waiting",
    77: "refused by this machine: something that is needed is missing",
    CONFIGURATION: "the configuration is missing or wrong",
    INTERRUPTED: "interrupted",
}

_OF_ERROR: dict[type[VaultsyncError], int] = {
    Usage: USAGE,
    NotRunning: 3,
    SignIn: 4,
    Blocked: PARTLY,
    GuardRefused: HELD,
    Retry: 8,
    AnotherInstance: 9,
    Refused: 10,
    NotFound: 11,
    TimedOut: 12,
    MachineRefused: 77,
    Misconfigured: CONFIGURATION,
}


def exit_code(error: VaultsyncError) -> int:
    """The exit code of a command that ended with this error: that of its nearest known class."""
    return next((_OF_ERROR[kind] for kind in type(error).__mro__ if kind in _OF_ERROR), FAILED)
