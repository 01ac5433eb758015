"""The system's port with a finger in it: something happens at exactly the chosen call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from vaultsync.local.files import SystemFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from vaultsync.local.files import Files


class Crash(BaseException):
    """The process is dead: nothing after this call happens, clean-up included."""


class Hooked:
    """Passes every call on to `real`, with hooks before and after the chosen ones."""

    def __init__(self, real: Files | None = None) -> None:
        self.real = real or SystemFiles()
        self.calls: list[str] = []
        self._hooks: list[tuple[str, str, Callable[[], object]]] = []
        self._crash_at: int | None = None

    @property
    def files(self) -> Files:
        return cast("Files", self)

    def before(self, operation: str, action: Callable[[], object]) -> None:
        """Run `action` once, before the next call of `operation`."""
        self._hooks.append(("before", operation, action))

    def after(self, operation: str, action: Callable[[], None]) -> None:
        """Run `action` once, after the next call of `operation`."""
        self._hooks.append(("after", operation, action))

    def fail(self, operation: str, code: int) -> None:
        """Let the next call of `operation` fail with an errno."""

        def fault() -> None:
            raise OSError(code, os.strerror(code))

        self.before(operation, fault)

    def forget(self) -> None:
        """Drop the hooks that never came to run."""
        self._hooks.clear()

    def crash_at(self, call: int) -> None:
        """Die instead of making the call of this number, counted from now on."""
        self.calls.clear()
        self._crash_at = call

    def __getattr__(self, operation: str) -> Any:
        real = getattr(self.real, operation)

        def call(*arguments: Any) -> Any:
            if operation == "close":
                return real(*arguments)
            if self._crash_at is not None and len(self.calls) >= self._crash_at:
                raise Crash
            self.calls.append(operation)
            self._run("before", operation)
            result = real(*arguments)
            self._run("after", operation)
            return result

        return call

    def _run(self, when: str, operation: str) -> None:
        for hook in self._hooks:
            if hook[:2] == (when, operation):
                self._hooks.remove(hook)
                hook[2]()
                return
