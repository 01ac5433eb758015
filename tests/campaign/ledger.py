"""Every version that anybody ever saved, and what became of it by its own person's hand."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

EMPTY = hashlib.sha256(b"").hexdigest()
"""Nobody asks for it, and it is never torn."""


def digest(data: bytes) -> str:
    """What a version is known by."""
    return hashlib.sha256(data).hexdigest()


def made(token: str, size: int) -> bytes:
    """Content that says on each line whose it is, so that a mixture gives itself away."""
    lines = max(1, size // (len(token) + 8))
    return "".join(f"{token} {number:06d}\n" for number in range(lines)).encode()


@dataclass
class Version:
    """Some content that was visible somewhere.

    Attributes:
        sha256: Of the content.
        who: Who wrote it.
        path: Where it first was.
        size: Bytes.
        time: When it was about to become visible.
        saved: Whether it is a version that a person meant, or only passed by (half of a file
            that was still being written, say).
        gone: How its own person superseded it; empty while it must be kept.
    """

    sha256: str
    who: str
    path: str
    size: int
    time: float
    saved: bool
    gone: str = ""


class Event(NamedTuple):
    """Something that happened."""

    time: float
    who: str
    what: str
    path: str
    sha256: str


class Broken(NamedTuple):
    """A rule that was broken, and where."""

    rule: str
    path: str
    detail: str


class Ledger:
    """All versions and events of a campaign; any thread may write.

    Attributes:
        versions: By SHA-256.
        events: In order.
        broken: Rules that were broken so far.
    """

    def __init__(self) -> None:
        self.versions: dict[str, Version] = {}
        self.events: list[Event] = []
        self.broken: list[Broken] = []
        self._lock = threading.Lock()
        self._serial = 0
        self.began = time.time()

    def token(self, who: str) -> str:
        """One that no other version has."""
        with self._lock:
            self._serial += 1
            return f"{who}-{self._serial:06d}"

    def saved(self, who: str, path: str, data: bytes, how: str) -> str:
        """Somebody is about to save a version; the same bytes again are asked for again."""
        return self._add(who, path, data, how, saved=True)

    def passing(self, who: str, path: str, data: bytes) -> str:
        """Content that will be visible on the way to something else."""
        return self._add(who, path, data, "", saved=False)

    def superseded(self, who: str, path: str, sha256: str, how: str) -> None:
        """Somebody is about to overwrite or remove this; that counts if it is their own."""
        with self._lock:
            found = self.versions.get(sha256)
            if found is not None and found.who == who and not found.gone:
                found.gone = how
            self._note(who, how, path, sha256)

    def withdrawn(self, who: str, path: str, sha256: str, why: str) -> None:
        """It did not become visible after all."""
        with self._lock:
            self.versions[sha256].gone = why
            self._note(who, f"failed: {why}", path, sha256)

    def note(self, who: str, what: str, path: str = "", sha256: str = "") -> None:
        """Something happened."""
        with self._lock:
            self._note(who, what, path, sha256)

    def broke(self, rule: str, path: str, detail: str) -> None:
        """A rule was broken; each one is told once per path."""
        with self._lock:
            if not any(each.rule == rule and each.path == path for each in self.broken):
                self.broken.append(Broken(rule, path, detail))
            self._note("judge", f"BROKEN {rule}: {detail}", path, "")

    def knows(self, sha256: str) -> bool:
        """Whether anybody ever made this content."""
        return sha256 == EMPTY or sha256 in self.versions

    def wanted(self) -> Iterator[Version]:
        """What must exist somewhere."""
        for version in list(self.versions.values()):
            if version.saved and not version.gone and version.sha256 != EMPTY:
                yield version

    def story(self, path: str, sha256: str = "") -> list[str]:
        """All that happened to a path, to the directories above it, or to a version."""
        return [
            self.line(event)
            for event in list(self.events)
            if (event.path and (event.path == path or path.startswith(event.path + "/")))
            or (sha256 and event.sha256 == sha256)
        ]

    def line(self, event: Event) -> str:
        """An event for people."""
        when = event.time - self.began
        return f"{when:9.3f} {event.who:9} {event.what} {event.path!r} {event.sha256[:8]}"

    def _add(self, who: str, path: str, data: bytes, how: str, *, saved: bool) -> str:
        sha256 = digest(data)
        with self._lock:
            found = self.versions.get(sha256)
            if found is None:
                made = Version(sha256, who, path, len(data), time.time(), saved)
                self.versions[sha256] = made
            elif saved:
                found.saved, found.gone, found.who = True, "", who
            if saved:
                self._note(who, how, path, sha256)
        return sha256

    def _note(self, who: str, what: str, path: str, sha256: str) -> None:
        self.events.append(Event(time.time(), who, what, path, sha256))
