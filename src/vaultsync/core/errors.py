"""Errors, sorted by what the caller must do about them.

A library's exception is translated into one of these once, at the edge where it is raised.
`message` says what happened, `hint` what to try; neither ever holds a secret.
"""

from __future__ import annotations

from typing import ClassVar


class VaultsyncError(Exception):
    """Base of all errors that vaultsync raises on purpose.

    Attributes:
        code: A stable machine-readable word, part of the JSON envelope.
        message: What happened, one sentence for a person.
        hint: What to try next, or an empty string.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Stale(VaultsyncError):  # noqa: N818 - a verdict, not a fault
    """The world differs from what was decided on. Nothing changed: observe and plan again."""

    code = "stale"


class Retry(VaultsyncError):  # noqa: N818
    """A passing fault (offline, throttled, busy): the same call may succeed later.

    Attributes:
        after: Seconds to wait at least, when the other side said so.
        unknown_outcome: True when the request may have taken effect although no answer came.
    """

    code = "offline"

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        after: float | None = None,
        unknown_outcome: bool = False,
    ) -> None:
        super().__init__(message, hint)
        self.after = after
        self.unknown_outcome = unknown_outcome


class SignIn(VaultsyncError):  # noqa: N818
    """The person has to sign in (again) before anything can go on."""

    code = "sign-in-needed"


class Blocked(VaultsyncError):  # noqa: N818
    """This item cannot proceed until somebody changes something; the others go on."""

    code = "blocked"


class Fatal(VaultsyncError):  # noqa: N818
    """The command or the engine cannot go on at all."""

    code = "failed"


class Refused(Fatal):
    """The cloud refused the request for good: missing rights, wrong ids, no such bucket."""

    code = "refused"


class Misconfigured(Fatal):
    """The configuration is missing or wrong."""

    code = "configuration"


class Usage(Fatal):
    """The command was called with words that make no sense together."""

    code = "usage"


class NotFound(Fatal):
    """The thing that was asked for does not exist."""

    code = "not-found"


class NotRunning(Fatal):
    """The daemon of this profile is not running."""

    code = "not-running"


class AnotherInstance(Fatal):
    """Another daemon already serves this profile or this folder."""

    code = "another-instance"


class GuardRefused(Fatal):
    """A safety guard refused what was asked."""

    code = "guard"


class TimedOut(Fatal):
    """What was waited for did not happen in the time given."""

    code = "timed-out"


class MachineRefused(Fatal):
    """This machine lacks something that cannot be done without."""

    code = "machine"
