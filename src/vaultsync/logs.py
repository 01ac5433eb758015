"""Where log lines go, and what never gets into them."""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ROTATE_AT = 5_000_000
"""Bytes after which a log file is set aside."""
KEPT = 3
"""How many log files that were set aside are kept."""

_HIDDEN = "[hidden]"
_SECRETS = (
    # A JSON Web Token or JWE: three to five base64url parts, the first a JSON object.
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]*){2,4}"), _HIDDEN),
    # AWS access key ids, long-lived and temporary.
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), _HIDDEN),
    # Passwords in URLs.
    (re.compile(r"(?<=://)([^\s/:@]*):[^\s/@]+@"), rf"\1:{_HIDDEN}@"),
    # Signed URLs and headers.
    (
        re.compile(
            r"(?i)\b(x-amz-(?:security-token|credential|signature)|signature)(\"?'?\s*[=:]\s*\"?'?)"
            r"[^\s&\"',;]+"
        ),
        rf"\1\2{_HIDDEN}",
    ),
    # Anything called a secret, as JSON, as a Python dict, as a query or as a header.
    (
        re.compile(
            r"(?i)(?<![a-z])((?:secret_?access_?key|secret_?key|session_?token|refresh_?token"
            r"|access_?token|id_?token|client_?secret|secret_?hash|secret_?code|password"
            r"|proposed_?password|previous_?password)[\"']?\s*[=:]\s*[\"']?)[^\s&\"',;}]+"
        ),
        rf"\1{_HIDDEN}",
    ),
)

_PRIORITY = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


def redact(text: str) -> str:
    """Return `text` without tokens, access keys, signatures and passwords."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class Redacting(logging.Formatter):
    """A formatter whose whole output, traceback included, is redacted."""

    def format(self, record: logging.LogRecord) -> str:
        """Format and redact."""
        return redact(super().format(record))


class ForJournal(Redacting):
    """Lines with the priority in front that journald takes from stderr (sd-daemon(3))."""

    def format(self, record: logging.LogRecord) -> str:
        """Format, redact, and put `<N>` before every line."""
        mark = f"<{_PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(mark + line for line in super().format(record).splitlines())


def under_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether stderr is connected to the journal: JOURNAL_STREAM names its device and inode."""
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def setup(level: str, file: Path | None = None) -> None:
    """Send this process's log lines to one place; a second call replaces the first.

    Args:
        level: `debug`, `info`, `warning` or `error`; libraries stay at `warning` unless `debug`.
        file: A file of mode 0600 to write to and to rotate, for a daemon in the background. Without
            it stderr is used: with priorities for the journal, with times for people.
    """
    handler = logging.StreamHandler() if file is None else _rotating(file)
    if file is None and under_journal():
        handler.setFormatter(ForJournal("%(name)s: %(message)s"))
    else:
        handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in list(root.handlers):
        if getattr(old, "vaultsync", False):
            root.removeHandler(old)
            old.close()
    handler.vaultsync = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    threshold = logging.getLevelNamesMapping()[level.upper()]
    # A library at its debug level prints whole requests, so even `debug` leaves them at info.
    root.setLevel(logging.INFO if threshold <= logging.DEBUG else logging.WARNING)
    logging.getLogger("vaultsync").setLevel(threshold)


def _rotating(file: Path) -> logging.Handler:
    """A handler on a file that only its owner can read, rotated by size."""
    from logging.handlers import RotatingFileHandler  # noqa: PLC0415 - only a daemon needs it

    class Private(RotatingFileHandler):
        """Opens its files with mode 0600."""

        def _open(self) -> object:  # type: ignore[override]
            descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            return os.fdopen(descriptor, "a", encoding="utf-8")

    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Private(file, maxBytes=ROTATE_AT, backupCount=KEPT, encoding="utf-8")
