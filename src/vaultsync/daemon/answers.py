"""Answers to people's questions, from the stored rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from vaultsync.core import names
from vaultsync.core.model import Row
from vaultsync.core.plan import decide

if TYPE_CHECKING:
    from vaultsync.core.model import Waiting
    from vaultsync.state.store import Store


def why(store: Store, path: str, rule: str | None, waiting: Waiting | None) -> dict[str, object]:
    """Everything that decides about one path; the keys are those of `core.ports.Vault.why`.

    Args:
        store: The rows.
        path: Which; a folder may be named without its trailing `/`.
        rule: The rule that ignores it, or None.
        waiting: What it waits for, or None.
    """
    row = store.row(path)
    if _is_nothing(row) and not path.endswith("/"):
        folder = store.row(path + "/")
        row = row if _is_nothing(folder) else folder
    action = None if row.path.endswith("/") else decide(row)
    decision, reason = "nothing", "it is the same on both sides"
    if rule is not None:
        reason = f"the rule {rule} leaves it alone"
    elif names.is_control(path):
        reason = "vaultsync's own files are never synced"
    elif waiting is not None:
        reason = waiting.reason
    elif action is not None:
        decision, reason = action.verb.value, action.reason
    elif _is_nothing(row):
        reason = "neither side has it"
    sides = {"local": row.local, "base": row.base, "remote": row.remote}
    return {
        "path": path,
        "decision": decision,
        "reason": reason,
        "ignored": rule,
        "waiting": None if waiting is None else asdict(waiting),
        **{name: None if found is None else asdict(found) for name, found in sides.items()},
    }


def _is_nothing(row: Row) -> bool:
    return row == Row(row.path)
