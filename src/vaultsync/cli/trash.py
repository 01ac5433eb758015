"""Commands about the trash: what was replaced or deleted here, and is kept for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from vaultsync.cli import past
from vaultsync.cli.call import Call, Family
from vaultsync.cli.moments import Age, shown
from vaultsync.cli.render import amount
from vaultsync.core.errors import NotFound, Usage
from vaultsync.daemon import wire

if TYPE_CHECKING:
    from vaultsync.core.model import Trashed


@click.group(cls=Family)
def trash() -> None:
    """What was replaced or deleted here."""


@trash.command("list")
@click.argument("path", default="")
@click.pass_obj
def list_trash(call: Call, path: str) -> None:
    """List what is in the trash, newest first: of a file, of a folder, or all."""
    with past.folder(call) as found:
        items = found.trashed(past.relative(call, path))
    call.screen.result([wire.trashed_to_json(item) for item in items])
    if call.screen.json:
        return
    rows = [(shown(item.at), item.path, amount(item.size), item.id) for item in items]
    call.screen.table(("WHEN", "PATH", "SIZE", "ID"), rows)
    if not items:
        call.screen.note("The trash holds nothing of that." if path else "The trash is empty.")


@trash.command()
@click.argument("path", metavar="PATH|ID")
@click.option("--to", default="", metavar="PATH", help="Where to put it (default: where it was).")
@click.option("--yes", is_flag=True, help="Do not ask before a whole folder is put back.")
@click.pass_obj
def restore(call: Call, path: str, to: str, yes: bool) -> None:
    """Put something back: an ID, the newest of a PATH, or all that was in a folder.

    Nothing is ever replaced: where a name is taken, a free one beside it is used.
    """
    name, target = past.relative(call, path), past.relative(call, to)
    with past.folder(call) as found:
        items = _chosen(found.trashed(), name)
        if not items:
            raise NotFound(f"There is no '{path}' in the trash.", "See `vaultsync trash list`.")
        if len(items) > 1:
            call.screen.confirm(f"Put {len(items):,} files back into the folder?", yes=yes)
        done = []
        for item in items:
            wanted = item.path
            if target:
                inside = item.path[len(name) :] if item.path.startswith(f"{name}/") else ""
                wanted = target + inside
            now = found.put_back(item.id, wanted if target else "")
            done.append({"id": item.id, "path": now})
            call.screen.result_line(now)
            if now != wanted:
                call.screen.note(f"'{wanted}' is taken: it is '{now}' now.")
    call.screen.result(done)


@trash.command()
@click.option(
    "--older-than", type=Age(), default=0.0, metavar="AGE", help="Only what went there before."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def empty(call: Call, older_than: float, yes: bool) -> None:
    """Remove for good what is in the trash.

    What a program has open stays, and so does what was changed after it went to the trash.
    """
    if older_than < 0:
        raise Usage("An age cannot be negative.", "Write it as 7d.")
    before = time.time() - older_than
    with past.folder(call) as found:
        items = [item for item in found.trashed() if item.at < before]
        if items:
            size = amount(sum(item.size for item in items))
            many = "1 file" if len(items) == 1 else f"{len(items):,} files"
            call.screen.confirm(f"Remove {many} ({size}) for good?", yes=yes)
        done = found.empty_trash(before)
    call.screen.result(
        wire.emptied_to_json(done), [f"Removed {done.files:,} files ({amount(done.bytes)})."]
    )
    if done.kept:
        call.screen.note(f"{done.kept:,} stay: they are open, or were changed in the trash.")


def _chosen(items: list[Trashed], name: str) -> list[Trashed]:
    """What is meant by an id or a path: of each path, the newest."""
    by_id = [item for item in items if item.id == name]
    if by_id:
        return by_id
    newest: dict[str, Trashed] = {}
    for item in items:
        if item.path == name or item.path.startswith(f"{name}/"):
            newest.setdefault(item.path, item)
    if name in newest:
        return [newest[name]]
    return [newest[path] for path in sorted(newest)]
