"""The root: is it the right one, and how to open what lies beneath it.

Control data lives in `.vaultsync` at the root: `marker` (what binds a database to this folder),
`staging` (bytes not shown yet), `trash`, and `trashed` (what is known of it). Nothing else of the
folder is ever made, filled or removed by this module.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from vaultsync.core.errors import Blocked, Fatal, MachineRefused, Stale
from vaultsync.core.names import CONTROL, is_control, local_problem, parent, parents
from vaultsync.local.abilities import Abilities, move, other_name, probe, refuse_odd_locale
from vaultsync.local.faults import GONE, translate, translated
from vaultsync.local.identity import Grain, measure_grain
from vaultsync.local.nesting import MARKER, read_marker, refuse_nesting

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vaultsync.local.files import Files, Node

STAGING = "staging"
TRASH = "trash"
TRASHED = "trashed"
ERRANDS = "errands"
_DAMAGED = (
    "The folder was replaced, or its control data was removed. Nothing was changed. Put the right "
    "folder back, or set up a new profile for this one."
)


class Place(NamedTuple):
    """Where one operation happens: a name in a directory held open."""

    path: str
    directory: int
    name: str


class ParentMissing(Stale):
    """A directory on the way to a path is not there, so neither is the path."""


class Folder:
    """The root directory, anchored by its marker.

    Args:
        path: The root.
        files: The port to the system.
        marker: What `bind` returned when the folder was first used; None before that.
    """

    def __init__(self, path: Path, files: Files, marker: str | None) -> None:
        self.path = path.absolute()
        self.files = files
        self.marker = marker
        self.grain = Grain()
        self.abilities = Abilities(noreplace=True, exchange=True, link=True)
        self._known: tuple[int, int] | None = None

    def bind(self) -> str:
        """Make the folder usable and return its marker; one that is there already is kept.

        Raises:
            Fatal: When the folder is missing, no folder, not writable, lies in or above another
                synced folder, or its file system cannot rename without overwriting.
        """
        refuse_odd_locale()
        top = self._open_top()
        try:
            self._require_writable(top)
            refuse_nesting(self.files, self.path, top)
            with self._fatal():
                control = self._subdirectory(top, CONTROL)
                try:
                    self.abilities = probe(self.files, control)
                    if not self.abilities.noreplace and not self.abilities.link:
                        raise MachineRefused(
                            f"The file system of '{self.path}' can neither rename without "
                            "overwriting nor make hard links.",
                            "Choose a folder on a Linux file system (ext4, xfs, btrfs, NFS).",
                        )
                    self.marker = read_marker(self.files, control) or self._write_marker(control)
                finally:
                    self.files.close(control)
                self.files.sync(top)
        finally:
            self.files.close(top)
        self.check()
        return self.marker

    def check(self) -> None:
        """Raise Fatal unless this is the bound folder and it can be written to.

        Makes nothing outside `.vaultsync` and removes nothing.
        """
        top = self._open_top()
        try:
            self._check_marker(top)
            self._require_writable(top)
            if self._which(top) != self._known:
                self._measure(top)
            self._known = self._which(top)
        finally:
            self.files.close(top)

    def _measure(self, top: int) -> None:
        """Find out, once per mount, what the file system can do; makes what is missing in control.

        The files for it are made in staging, where a crash's leftovers are cleared.
        """
        with self._fatal():
            control = self.files.enter(top, CONTROL)
            try:
                for name in (TRASH, TRASHED, ERRANDS):
                    self.files.close(self._subdirectory(control, name))
                staging = self._subdirectory(control, STAGING)
                try:
                    name = f"probe-{secrets.token_hex(8)}"
                    self.grain = measure_grain(self.files, staging, name)
                    self.abilities = probe(self.files, staging)
                finally:
                    self.files.close(staging)
            finally:
                self.files.close(control)

    @contextmanager
    def top(self) -> Iterator[int]:
        """Open the root for one operation, sure that it is the bound one.

        Raises:
            Fatal: When it is not.
        """
        top = self._open_top()
        try:
            if self._which(top) != self._known:
                # First use, or mounted anew: device numbers change, the marker does not.
                self.check()
                if self._which(top) != self._known:
                    raise Fatal(f"The folder '{self.path}' was replaced a moment ago.", _DAMAGED)
            yield top
        finally:
            self.files.close(top)

    def still_bound(self, top: int) -> None:
        """Raise Fatal unless `top` is still what the root's path leads to, with its marker."""
        now = self._open_top()
        try:
            if self._which(now) != self._which(top):
                raise Fatal(f"The folder '{self.path}' was replaced a moment ago.", _DAMAGED)
            self._check_marker(now)
        finally:
            self.files.close(now)

    @contextmanager
    def place(self, path: str, *, make: bool = False) -> Iterator[Place]:
        """Open the directory that holds a path.

        Args:
            path: Relative to the root; a trailing `/` is dropped.
            make: Make missing directories; those are removed again when the block fails.

        Raises:
            ParentMissing: When a directory on the way is missing, or is none, or a link.
            Blocked: When it cannot be entered, or the path cannot be a name here.
        """
        plain = path.removesuffix("/")
        problem = local_problem(plain)
        if problem is None and is_control(plain):
            problem = "the name is reserved for vaultsync itself"
        if problem is not None:
            raise Blocked(f"'{path}' cannot be a name in the folder: {problem}", "Rename it.")
        with self.top() as top:
            twin = self.twin(top, plain)
            if twin is not None and make:
                raise taken(path, twin)
            if twin is not None:
                raise ParentMissing(f"'{path}' is not there, only '{twin}' is.")
            made = self._make_parents(top, plain) if make else []
            try:
                directory = self._enter_parent(top, plain)
                try:
                    yield Place(plain, directory, plain.rpartition("/")[2])
                finally:
                    self.files.close(directory)
            except BaseException:
                for directory_path in reversed(made):
                    self._unmake(top, directory_path)
                raise

    def twin(self, top: int, path: str) -> str | None:
        """What the file system shows under a path although it bears another name, or None.

        Only where names are folded. Whether a name is there is told by the bytes that a listing of
        its directory gives, not by asking for it.

        Args:
            top: The root, open.
            path: Without a trailing `/`.
        """
        if not self.abilities.folds:
            return None
        above = ""
        for segment in path.split("/"):
            try:
                directory = self.files.enter(top, above)
            except OSError:
                return None
            try:
                found = other_name(self.files, directory, segment)
            finally:
                self.files.close(directory)
            if found is not None:
                return above + found
            above += segment + "/"
        return None

    @contextmanager
    def control(self, name: str) -> Iterator[int]:
        """Open `.vaultsync/<name>`.

        Raises:
            Fatal: When the root is not the bound one, or the control folder is gone.
        """
        with self.top() as top:
            try:
                directory = self.files.enter(top, f"{CONTROL}/{name}")
            except OSError as fault:
                if fault.errno in GONE:
                    raise Fatal(f"'{CONTROL}/{name}' is missing in '{self.path}'.", _DAMAGED) from (
                        fault
                    )
                raise translate(fault, f"{CONTROL}/{name}") from fault
            try:
                yield directory
            finally:
                self.files.close(directory)

    def moved(self, place: Place) -> bool:
        """Whether the directory that is held open is not what its path leads to any more."""
        with self.top() as top:
            try:
                now = self.files.enter(top, parent(place.path))
                try:
                    return _same(self.files.fstat(now)) != _same(self.files.fstat(place.directory))
                finally:
                    self.files.close(now)
            except OSError:
                return True

    def _enter_parent(self, top: int, path: str) -> int:
        try:
            return self.files.enter(top, parent(path))
        except OSError as fault:
            if fault.errno in GONE:
                raise ParentMissing(f"The folder that holds '{path}' is not there.") from fault
            raise translate(fault, path) from fault

    def _make_parents(self, top: int, path: str) -> list[str]:
        made: list[str] = []
        missing = []
        with translated(path):
            for directory in reversed(parents(path)):
                try:
                    self.files.close(self.files.enter(top, directory))
                    break
                except FileNotFoundError:
                    missing.append(directory)
            for directory in reversed(missing):
                above = self.files.enter(top, parent(directory))
                try:
                    name = directory.removesuffix("/").rpartition("/")[2]
                    with suppress(FileExistsError):
                        self.files.mkdir(above, name, 0o777)
                        made.append(directory)
                    self.files.sync(above)
                finally:
                    self.files.close(above)
        return made

    def _unmake(self, top: int, path: str) -> None:
        with suppress(OSError):
            above = self.files.enter(top, parent(path))
            try:
                self.files.rmdir(above, path.removesuffix("/").rpartition("/")[2])
            finally:
                self.files.close(above)

    def _which(self, top: int) -> tuple[int, int]:
        with self._fatal():
            return _same(self.files.fstat(top))

    def _open_top(self) -> int:
        try:
            return self.files.top(self.path)
        except FileNotFoundError as fault:
            raise Fatal(
                f"The folder '{self.path}' is not there.",
                "Mount the disk that holds it, or set up another folder. Nothing was deleted.",
            ) from fault
        except NotADirectoryError as fault:
            raise Fatal(f"'{self.path}' is not a folder.", "Choose a folder.") from fault
        except OSError as fault:
            raise Fatal(
                f"The folder '{self.path}' cannot be opened: {fault.strerror}.",
                "Check its permissions and its disk.",
            ) from fault

    def _check_marker(self, top: int) -> None:
        with self._fatal():
            try:
                control = self.files.enter(top, CONTROL)
            except OSError as fault:
                if fault.errno not in GONE:
                    raise
                raise Fatal(
                    f"'{self.path}' is not a synced folder: its marker is missing.", _DAMAGED
                ) from fault
            try:
                found = read_marker(self.files, control)
            finally:
                self.files.close(control)
        if found is None:
            raise Fatal(f"'{self.path}' is not a synced folder: its marker is missing.", _DAMAGED)
        if self.marker is None or found != self.marker:
            raise Fatal(f"'{self.path}' is not the folder that this profile is for.", _DAMAGED)

    def _write_marker(self, control: int) -> str:
        marker = secrets.token_hex(16)
        fresh = f"{MARKER}-{marker}"
        descriptor = self.files.create(control, fresh)
        try:
            self.files.write(descriptor, f"{marker}\n".encode())
            self.files.sync(descriptor)
        finally:
            self.files.close(descriptor)
        with suppress(FileNotFoundError):  # one that a crash left empty
            self.files.unlink(control, MARKER)
        move(self.files, self.abilities, control, fresh, control, MARKER)
        self.files.sync(control)
        return marker

    def _subdirectory(self, above: int, name: str) -> int:
        try:
            return self.files.enter(above, name)
        except FileNotFoundError:
            with suppress(FileExistsError):
                self.files.mkdir(above, name, 0o700)
            self.files.sync(above)
            return self.files.enter(above, name)

    def _require_writable(self, top: int) -> None:
        if not self.files.writable(top):
            raise Fatal(
                f"The folder '{self.path}' cannot be written to.",
                "Check its owner and permissions, and whether its disk is mounted read-only.",
            )

    @contextmanager
    def _fatal(self) -> Iterator[None]:
        try:
            yield
        except OSError as fault:
            problem = translate(fault, f"{self.path}/{CONTROL}")
            raise Fatal(problem.message, problem.hint) from fault


def taken(path: str, twin: str) -> Blocked:
    """The error for a name that the file system takes for that of something else."""
    return Blocked(
        f"'{path}' cannot be put beside '{twin}': to the folder's disk they are one name.",
        "Rename one of them.",
    )


def _same(node: Node) -> tuple[int, int]:
    return node.dev, node.ino
