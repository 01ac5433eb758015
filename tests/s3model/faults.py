"""What goes wrong, on command: each fault is aimed at requests by operation, key and chance."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ANSWERS = {
    "409": (409, "ConditionalRequestConflict"),
    "412": (412, "PreconditionFailed"),
    "500": (500, "InternalError"),
    "503": (503, "SlowDown"),
    "200": (200, "InternalError"),
}
"""Kinds that are an answer: status and code."""
LISTINGS = ("ListObjectsV2", "ListObjects")
KINDS = frozenset(ANSWERS) | {
    "lost-request",
    "lost-response",
    "slow",
    "cut",
    "duplicate",
    "late",
    "stale",
}


@dataclass
class Fault:
    """One thing to do wrong.

    Attributes:
        kind: `lost-request`: the connection is closed, nothing is applied. `lost-response`:
            applied, then closed. `409`, `412`, `500`, `503`: that answer; `200`: an error behind a
            good status, as S3 gives for CopyObject and CompleteMultipartUpload. `slow`: `seconds`
            later.
            `cut`: half of the answer's body; of a request with a body, hangs up within it.
            `duplicate`: applied twice, the second answer is given. `late`: the connection is
            closed, the request is applied `seconds` later, its conditions are judged then.
            `stale`: a listing tells what was there `seconds` ago; no other request is struck.
        operations: S3's or Cognito's names; none for all.
        key: What the request's key starts with; for a listing its prefix.
        probability: Of each matching request.
        count: How many of them at most; None for any number.
        skip: How many matching requests go well before.
        seconds: For `slow`, `late` and `stale`.
        applied: Whether an answer such as `500` hides that the request was applied.
        done: How often it happened.
    """

    kind: str
    operations: Sequence[str] = ()
    key: str = ""
    probability: float = 1.0
    count: int | None = None
    skip: int = 0
    seconds: float = 0.0
    applied: bool = False
    done: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse what would silently never happen."""
        if self.kind not in KINDS:
            raise ValueError(f"no such fault: {self.kind}")
        if isinstance(self.operations, str):
            self.operations = (self.operations,)

    def matches(self, operation: str, key: str) -> bool:
        """Whether a request is among those that are aimed at."""
        if self.operations and operation not in self.operations:
            return False
        if self.kind == "stale" and operation not in LISTINGS:
            return False
        return key.startswith(self.key) and (self.count is None or self.done < self.count)


class Faults:
    """The faults in force; the first that strikes is the one. Chance is seeded."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._all: list[Fault] = []

    @property
    def all(self) -> tuple[Fault, ...]:
        """Those in force, used up or not."""
        return tuple(self._all)

    def add(self, *faults: Fault) -> None:
        """Put more in force."""
        self._all.extend(faults)

    def set(self, faults: Iterable[Fault], seed: int | None = None) -> None:
        """Put these in force and no others, with a new seed if one is given."""
        self._all = list(faults)
        if seed is not None:
            self._random.seed(seed)

    def clear(self) -> None:
        """Let everything go well from now on."""
        self._all = []

    def pick(self, operation: str, key: str) -> Fault | None:
        """What strikes this request."""
        for fault in self._all:
            if not fault.matches(operation, key):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if fault.probability >= 1 or self._random.random() < fault.probability:
                fault.done += 1
                return fault
        return None
