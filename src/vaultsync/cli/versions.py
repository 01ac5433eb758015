"""Commands about what the bucket keeps of the past: versions, restore."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from vaultsync.cli import exits, past
from vaultsync.cli.call import Call, Verb
from vaultsync.cli.moments import Moment, shown
from vaultsync.cli.render import amount, printable
from vaultsync.core.errors import NotFound, Refused, Retry, SignIn, Usage, VaultsyncError
from vaultsync.daemon import wire

if TYPE_CHECKING:
    from vaultsync.core.model import Version
    from vaultsync.core.ports import Past


@click.command(cls=Verb)
@click.argument("path")
@click.pass_obj
def versions(call: Call, path: str) -> None:
    """List the versions of one file that the vault keeps, newest first."""
    with past.vault(call) as found:
        rows = found.versions(past.relative(call, path))
    call.screen.result([wire.version_to_json(version) for version in rows])
    if not call.screen.json:
        head = ("WRITTEN", "SIZE", "STATE", "VERSION")
        call.screen.table(head, [_row(version) for version in rows])


@click.command(cls=Verb)
@click.argument("path")
@click.option("--version", "version", metavar="ID", help="Which one; see `vaultsync versions`.")
@click.option("--at", type=Moment(), help="As it was then.")
@click.option("--to", default="", metavar="PATH", help="Put it there, replacing nothing.")
@click.option("-r", "--recursive", is_flag=True, help="A folder with all that was in it.")
@click.option("--yes", is_flag=True, help="Do not ask before a whole folder is brought back.")
@click.pass_obj
def restore(
    call: Call,
    path: str,
    version: str | None,
    at: float | None,
    to: str,
    recursive: bool,
    yes: bool,
) -> int:
    """Bring an old version back from the vault; without more, a deleted file's last one.

    It becomes the newest version, like any edit; what it replaces here goes to the trash.
    """
    if version is not None and (at is not None or recursive):
        raise Usage("--version goes neither with --at nor with -r.", "Give one of them.")
    name, target = past.relative(call, path), past.relative(call, to)
    with past.vault(call) as found:
        if recursive:
            return _folder(call, found, name, target, at, yes=yes)
        wanted = _chosen(found.versions(name), path, version, at)
        now = found.bring_back(name, wanted.id, target)
    call.screen.result({"path": now, "version": wire.version_to_json(wanted)}, [printable(now)])
    if target and now != target:
        call.screen.note(f"'{target}' is taken: it is '{now}' now.")
    return exits.OK


def _folder(call: Call, found: Past, name: str, target: str, at: float | None, *, yes: bool) -> int:
    """Bring a folder back, a file at a time; what cannot be brought back stops no other."""
    rows = found.versions_below(name, at)
    if rows:
        size = amount(sum(version.size for version in rows))
        many = "1 file" if len(rows) == 1 else f"{len(rows):,} files"
        call.screen.confirm(f"Bring back {many} ({size})?", yes=yes)
    else:
        call.screen.note("Nothing is to be brought back there.")
    done, failed = [], []
    for version in rows:
        inside = version.path[len(name) :] if name else f"/{version.path}"
        try:
            now = found.bring_back(version.path, version.id, f"{target}{inside}" if target else "")
        except (SignIn, Retry, Refused):  # nor could any other
            raise
        except VaultsyncError as error:
            failed.append({"path": version.path, "message": error.message})
            call.screen.note(f"{version.path}: {error.message}")
        else:
            done.append({"path": now, "version": version.id})
            call.screen.result_line(now)
    call.screen.result({"restored": done, "failed": failed})
    return exits.PARTLY if failed else exits.OK


def _chosen(rows: list[Version], path: str, version: str | None, at: float | None) -> Version:
    """The version that is meant, of all that there are, newest first."""
    if version is not None:
        found = next((each for each in rows if each.id == version), None)
        if found is None:
            raise NotFound(
                f"There is no version '{version}' of '{path}'.", f"See `vaultsync versions {path}`."
            )
    elif at is not None:
        found = next((each for each in rows if each.at <= at), None)
        if found is None:
            raise NotFound(
                f"The vault keeps no version of '{path}' from before {shown(at)}.",
                f"See `vaultsync versions {path}`.",
            )
    elif rows[0].deleted:
        found = next((each for each in rows if not each.deleted), rows[0])
    else:
        raise Usage(
            f"'{path}' is not deleted, so it has to be said which version is meant.",
            f"Give --version or --at; see `vaultsync versions {path}`.",
        )
    if found.deleted:
        raise NotFound(f"'{path}' was deleted at that time.", f"See `vaultsync versions {path}`.")
    return found


def _row(version: Version) -> tuple[str, str, str, str]:
    state = "current" if version.current else "archived" if version.archived else "old"
    if version.deleted:
        return shown(version.at), "", "deleted", version.id
    return shown(version.at), amount(version.size), state, version.id
