"""How the nouns and the errors look as JSON: times are RFC 3339 in UTC, sizes are bytes."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from vaultsync.core import errors
from vaultsync.core.errors import VaultsyncError
from vaultsync.core.model import (
    Deed,
    Emptied,
    Event,
    Held,
    Mount,
    State,
    Status,
    Transfer,
    Trashed,
    Verb,
    Version,
    Waiting,
)
from vaultsync.core.standing import Condition, Standing

SCHEMA = 1
"""Version of the envelope; it changes only when a field changes its meaning or goes away."""

BASE = "/v1"
"""Where the API's routes begin."""


def success(result: object) -> dict[str, object]:
    """The envelope of an answer."""
    return {"schema": SCHEMA, "ok": True, "result": result}


def failure(error: VaultsyncError) -> dict[str, object]:
    """The envelope of an error, under the code of the nearest class that every client knows."""
    family = [kind for kind in type(error).__mro__ if issubclass(kind, VaultsyncError)]
    known = next(kind for kind in family if kind.__module__ == errors.__name__)
    told = {"code": known.code, "message": error.message, "hint": error.hint}
    return {"schema": SCHEMA, "ok": False, "error": told}


def error_from_json(told: dict[str, Any]) -> VaultsyncError:
    """The error that `failure` described; an unknown code becomes Fatal."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    known = {kind.code: kind for kind in kinds if issubclass(kind, VaultsyncError)}
    kind = known.get(told.get("code", ""), errors.Fatal)
    return kind(str(told.get("message", "")), str(told.get("hint", "")))


def status_to_json(status: Status) -> dict[str, Any]:
    """A status as JSON-ready values."""
    return asdict(status) | {
        "state": str(status.state),
        "transfers": [
            asdict(transfer) | {"verb": str(transfer.verb), "since": _text(transfer.since)}
            for transfer in status.transfers
        ],
        "scanned_at": _text(status.scanned_at),
        "polled_at": _text(status.polled_at),
        "warnings": list(status.warnings),
    }


def status_from_json(told: dict[str, Any]) -> Status:
    """The status that `status_to_json` described."""
    return Status(
        **told
        | {
            "state": State(told["state"]),
            "transfers": tuple(
                Transfer(
                    Verb(item["verb"]), item["path"], item["size"], _seconds(item["since"]) or 0.0
                )
                for item in told["transfers"]
            ),
            "scanned_at": _seconds(told["scanned_at"]),
            "polled_at": _seconds(told["polled_at"]),
            "warnings": tuple(told.get("warnings", ())),
            "drive": Mount(**told["drive"]) if told.get("drive") else None,
        }
    )


def waiting_to_json(item: Waiting) -> dict[str, Any]:
    """An item that is not in sync as JSON-ready values."""
    return asdict(item) | {"next_try": _text(item.next_try)}


def waiting_from_json(told: dict[str, Any]) -> Waiting:
    """The item that `waiting_to_json` described."""
    return Waiting(**told | {"next_try": _seconds(told["next_try"])})


def standing_to_json(found: Standing) -> dict[str, Any]:
    """How a path stands as JSON-ready values."""
    return asdict(found) | {
        "condition": None if found.condition is None else str(found.condition),
        "next_try": _text(found.next_try),
    }


def standing_from_json(told: dict[str, Any]) -> Standing:
    """What `standing_to_json` described."""
    word = told["condition"]
    condition = None if word is None else Condition(word)
    return Standing(**told | {"condition": condition, "next_try": _seconds(told["next_try"])})


def held_to_json(item: Held) -> dict[str, Any]:
    """What a guard holds as JSON-ready values."""
    return asdict(item) | {"since": _text(item.since), "paths": list(item.paths)}


def held_from_json(told: dict[str, Any]) -> Held:
    """What `held_to_json` described."""
    since = _seconds(told["since"]) or 0.0
    return Held(**told | {"since": since, "paths": tuple(told["paths"])})


def conflict_to_json(pair: tuple[str, str]) -> dict[str, str]:
    """A conflict copy as JSON-ready values."""
    copy, original = pair
    return {"copy": copy, "original": original}


def conflict_from_json(told: dict[str, str]) -> tuple[str, str]:
    """The pair that `conflict_to_json` described."""
    return told["copy"], told["original"]


def event_to_json(event: Event) -> dict[str, Any]:
    """An event of the history as JSON-ready values."""
    return asdict(event) | {"at": _text(event.at), "verb": str(event.verb)}


def event_from_json(told: dict[str, Any]) -> Event:
    """The event that `event_to_json` described."""
    verb = told["verb"]
    known = Deed(verb) if verb in frozenset(Deed) else Verb(verb)
    return Event(**told | {"at": moment(told["at"]), "verb": known})


def trashed_to_json(item: Trashed) -> dict[str, Any]:
    """An item of the trash as JSON-ready values."""
    return asdict(item) | {"at": _text(item.at)}


def trashed_from_json(told: dict[str, Any]) -> Trashed:
    """The item that `trashed_to_json` described."""
    return Trashed(**told | {"at": moment(told["at"])})


def emptied_to_json(done: Emptied) -> dict[str, Any]:
    """What emptying the trash came to, as JSON-ready values."""
    return asdict(done)


def emptied_from_json(told: dict[str, Any]) -> Emptied:
    """What `emptied_to_json` described."""
    return Emptied(**told)


def version_to_json(version: Version) -> dict[str, Any]:
    """An old version as JSON-ready values."""
    return asdict(version) | {"at": _text(version.at)}


def version_from_json(told: dict[str, Any]) -> Version:
    """The version that `version_to_json` described."""
    return Version(**told | {"at": moment(told["at"])})


def moment(text: str) -> float:
    """RFC 3339 as seconds since the epoch; ValueError when it is not, or names no time zone."""
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without its zone")
    return found.timestamp()


def written(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, exact to the microsecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def _text(seconds: float | None) -> str | None:
    """Seconds since the epoch as RFC 3339, in milliseconds."""
    if seconds is None:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(text: str | None) -> float | None:
    """RFC 3339 as seconds since the epoch."""
    return None if text is None else datetime.fromisoformat(text).timestamp()
