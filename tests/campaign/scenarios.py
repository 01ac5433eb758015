"""Directed work on two real devices: what people and their programs are known to do."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from tests.campaign.ledger import made
from tests.campaign.trees import look
from tests.campaign.verdict import Verdict
from vaultsync.core.names import is_conflict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.campaign.device import Device
    from tests.campaign.world import World


class ScenarioError(AssertionError):
    """A scenario did not end as it must."""


def big_move(world: World, size: int) -> None:
    """A directory of `size` files is moved on one device while the other edits ten of them."""
    hands, others = world.people[0].hands, world.people[1].hands
    names = [f"{number % 100:02}/{number:05}.txt" for number in range(size)]
    for name in names:
        hands.create(f"shared/before/{name}", made(world.ledger.token("laptop"), 60))
    _equal(world)
    edited = random.Random(size).sample(names, 10)
    for name in edited[:5]:
        others.overwrite(f"shared/before/{name}", made(world.ledger.token("desktop"), 90))
    hands.move("shared/before", "shared/after")
    for name in edited[5:]:
        path = f"shared/before/{name}"
        if others.exists(path):
            others.overwrite(path, made(world.ledger.token("desktop"), 90))
    _equal(world)
    _judged(world)
    tree = look(world.devices[1].folder, "shared/after")
    _must(len([path for path in tree if path.endswith(".txt")]) >= size, "files are missing")


def git(world: World, size: int) -> None:
    """A repository is worked in on both devices in turn, `size` turns long."""
    first = world.devices[0].folder / "repo"
    first.mkdir()
    _git(first, "init", "-q", "-b", "main")
    for turn in range(size):
        repository = world.devices[turn % 2].folder / "repo"
        _turn(repository, turn)
        _equal(world)
        heads = []
        for device in world.devices:
            repository = device.folder / "repo"
            told = _git(repository, "fsck", "--full", "--strict", "--no-dangling")
            _must(not told.strip(), f"{device.name}, turn {turn}: {told}")
            changed = _git(repository, "status", "--porcelain")
            _must(not changed, f"{device.name}, turn {turn}: {changed}")
            heads.append(_git(repository, "log", "--all", "--format=%H"))
        _must(heads[0] == heads[1], f"turn {turn}: histories differ")
        # What `git status` itself wrote (the index) belongs to the next turn.
        _equal(world)
    _no_copies(world)


def editors(world: World, size: int) -> None:
    """Documents are saved `size` times each as editors do it."""
    laptop, desktop = (device.folder for device in world.devices)
    savers: dict[str, Callable[[Path, bytes], None]] = {
        "vim.txt": _vim if shutil.which("vim") else _rename_aside,
        "backup.txt": _rename_aside,
        "office.odt": _office,
        "code.py": _in_place,
        "gnome.txt": _stream,
    }
    for turn in range(size):
        for name, save in savers.items():
            save(laptop / name, made(f"{name}-{turn}", 2000))
            # Sometimes the daemon has seen the last save already, sometimes it has not.
            time.sleep(0.3 * (turn % 3))
    _equal(world)
    expected = {name: made(f"{name}-{size - 1}", 2000) for name in savers}
    found = {path.name: path.read_bytes() for path in desktop.iterdir() if path.is_file()}
    left = sorted(found.keys() ^ expected.keys())
    _must(not left, f"names that are too many or too few: {left}")
    _must(found == expected, "content differs")
    _no_copies(world)


def slow_files(world: World, size: int) -> None:
    """One file is written for `size` seconds, a log is appended to meanwhile, others arrive."""
    hands, desktop = world.people[0].hands, world.devices[1].folder
    ending = threading.Event()

    def chatter() -> None:
        hands.create("shared/chatter.log", made("chatter-start", 60))
        while not ending.wait(0.1):
            hands.append("shared/chatter.log", made(world.ledger.token("chatter"), 40))

    log = threading.Thread(target=chatter)
    slow = threading.Thread(
        target=hands.create,
        args=("shared/slow.bin", made("slow", 400_000)),
        kwargs={"pieces": size * 4, "pause": 0.25},
    )
    log.start()
    slow.start()
    arrived = 0
    while slow.is_alive():
        name = f"shared/other {arrived}.txt"
        hands.create(name, made(world.ledger.token("laptop"), 60))
        _await(lambda name=name: (desktop / name).exists(), 60, f"{name} does not arrive")  # type: ignore[misc]
        arrived += 1
        world.people[1].hands.read("shared/slow.bin")
        world.people[1].hands.read("shared/chatter.log")
        if size >= 60 and arrived == 1:
            _await(
                (desktop / "shared/chatter.log").exists, 60, "a log that never rests is not sent"
            )
    slow.join()
    ending.set()
    log.join()
    _equal(world)
    _judged(world)
    _no_copies(world)


SCENARIOS: dict[str, tuple[Callable[[World, int], None], int]] = {
    "big-move": (big_move, 10_000),
    "git": (git, 8),
    "editors": (editors, 12),
    "slow-files": (slow_files, 70),
}
"""By name: what is done, and how much of it unless told otherwise."""


def _turn(repository: Path, turn: int) -> None:
    """Commits, a branch, a merge, sometimes a collection."""
    (repository / f"file {turn}.txt").write_text("".join(f"line {n}\n" for n in range(turn + 5)))
    with (repository / "common.txt").open("a") as file:
        file.write(f"turn {turn}\n")
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", f"turn {turn}")
    _git(repository, "checkout", "-q", "-b", f"topic-{turn}")
    (repository / "topic").mkdir(exist_ok=True)
    (repository / "topic" / f"{turn}.txt").write_text(f"topic {turn}\n")
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", f"topic {turn}")
    _git(repository, "checkout", "-q", "main")
    _git(repository, "merge", "-q", "--no-ff", "-m", f"merge {turn}", f"topic-{turn}")
    if turn % 2:
        _git(repository, "branch", "-q", "-d", f"topic-{turn}")
        _git(repository, "gc", "-q", "--prune=now")


def _git(repository: Path, *words: str) -> str:
    settings = ("-c", "user.name=Someone", "-c", "user.email=someone@example.com")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        ("git", "-C", repository, *settings, "-c", "gc.auto=0", *words),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    _must(done.returncode == 0, f"git {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def _vim(path: Path, data: bytes) -> None:
    """The real one, with backups kept while writing."""
    source = path.parent.parent / "typed.txt"
    source.write_bytes(data)
    commands = ("set nocompatible backup writebackup", f"%!cat {source}", "wq")
    words = [word for command in commands for word in ("-c", command)]
    path.touch()
    subprocess.run(
        ("vim", "-u", "NONE", "-es", *words, str(path)),
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=True,
    )


def _rename_aside(path: Path, data: bytes) -> None:
    """The old version becomes `name~`, a new file is written under its name: vim, Emacs."""
    if path.exists():
        path.rename(path.with_name(path.name + "~"))
    with path.open("wb") as file:
        file.write(data[:1000])
        file.flush()
        file.write(data[1000:])
        os.fsync(file.fileno())
    path.with_name(path.name + "~").unlink(missing_ok=True)


def _office(path: Path, data: bytes) -> None:
    """A lock file, a temporary file beside, a rename over: LibreOffice."""
    lock = path.with_name(f".~lock.{path.name}#")
    lock.write_text(",someone,desk,26.11.2026 10:00,file:///home/someone/.config;")
    beside = path.with_name("lu12345abc.tmp")
    beside.write_bytes(data)
    beside.replace(path)
    lock.unlink()


def _in_place(path: Path, data: bytes) -> None:
    """Truncated and written in place: VS Code, nano."""
    with path.open("wb") as file:
        file.write(data)


def _stream(path: Path, data: bytes) -> None:
    """GLib's way: a hidden temporary file, synced, renamed over."""
    beside = path.with_name(".goutputstream-A1B2C3")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _equal(world: World) -> None:
    world.settle()
    _judge_so_far(world)


def _judged(world: World) -> None:
    Verdict(world).judge()
    _judge_so_far(world)


def _judge_so_far(world: World) -> None:
    told = [f"{each.rule} {each.path!r}: {each.detail}" for each in world.ledger.broken]
    _must(not told, "\n".join(told[:10]))


def _no_copies(world: World) -> None:
    for device in world.devices:
        _must(not (copies := _copies(device)), f"{device.name}: {copies}")


def _copies(device: Device) -> list[str]:
    return [path for path in look(device.folder) if is_conflict(path)]


def _await(holds: Callable[[], bool], seconds: float, otherwise: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        _must(time.monotonic() < deadline, otherwise)
        time.sleep(0.1)


def _must(holds: object, otherwise: str) -> None:
    if not holds:
        raise ScenarioError(otherwise)
