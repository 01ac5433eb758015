"""Real mounts: programs on one side, a server process on the other.

This process never looks into a mount itself: were a server stuck, it would be too.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import Mounted, needs_fuse
from vaultsync.core.errors import Blocked
from vaultsync.mount.kernel import holder

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [needs_fuse, pytest.mark.timeout(120)]

LIMIT = 60.0


def test_files(mount: Mounted) -> None:
    assert mount.python("""
with open("file", "x") as file: file.write("content")
with open("file", "a") as file: file.write(" and more")
with open("file", "r+") as file: file.seek(3); file.write("TENT")
text = open("file").read()
os.truncate("file", 5)
short = open("file").read()
os.truncate("file", 8)
os.chmod("file", 0o640)
os.utime("file", ns=(5, 1_234_567_890_123_456_789))
found = os.stat("file")
open("file", "w").close()
print(json.dumps([text, short, found.st_size, found.st_mode, found.st_mtime_ns, found.st_atime_ns,
    os.stat("file").st_size]))
""") == ["conTENT and more", "conTE", 8, 0o100640, 1_234_567_890_123_456_789, 5, 0]


def test_names(mount: Mounted) -> None:
    assert mount.python("""
os.mkdir("dir"); open("dir/file", "w").close()
os.symlink("dir/file", "link"); os.link("dir/file", "other"); os.mkfifo("fifo")
os.rename("dir/file", "dir/moved")
refused = []
for call in (lambda: os.rmdir("dir"), lambda: os.unlink("dir"), lambda: os.unlink("nothing"),
             lambda: os.mkdir("dir"), lambda: os.mkdir("x" * 256), lambda: os.readlink("dir")):
    try: call()
    except OSError as error: refused.append(error.errno)
os.unlink("dir/moved"); os.rmdir("dir")
print(json.dumps([sorted(os.listdir()), os.readlink("link"), os.stat("other").st_nlink, refused]))
""") == [["fifo", "link", "other"], "dir/file", 1, [39, 21, 2, 17, 36, 22]]


def test_two_thousand_names(mount: Mounted) -> None:
    mount.tell("fill", name="dir", count=2000)

    names = mount.python("print(json.dumps(os.listdir('dir')))")
    sizes = mount.python("print(json.dumps([e.stat().st_size for e in os.scandir('dir')]))")

    assert sorted(names) == [f"{index:06d}" for index in range(2000)]
    assert sizes == [0] * 2000


def test_rename_flags(mount: Mounted) -> None:
    assert mount.python("""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def rename(old, new, flags):
    if libc.renameat2(-100, old, -100, new, flags): return ctypes.get_errno()
    return 0
for name in "ab":
    with open(name, "w") as file: file.write(name)
told = [rename(b"a", b"b", 1), rename(b"a", b"b", 2), rename(b"a", b"c", 2), rename(b"a", b"c", 1)]
print(json.dumps([told, open("b").read(), open("c").read()]))
""") == [[17, 0, 2, 0], "a", "b"]


def test_extended_attributes(mount: Mounted) -> None:
    assert mount.python("""
open("file", "w").close()
os.setxattr("file", "user.name", b"value"); os.setxattr("file", "user.empty", b"")
found = [os.listxattr("file"), os.getxattr("file", "user.name").decode(),
    os.getxattr("file", "user.empty").decode()]
os.removexattr("file", "user.name")
try: os.getxattr("file", "user.name")
except OSError as error: found.append(error.errno)
print(json.dumps(found))
""") == [["user.name", "user.empty"], "value", "", 61]


_LONG = """
content = os.urandom(3_000_001)
with open("long", "wb") as file: file.write(content)
os.posix_fadvise(os.open("long", os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
whole = open("long", "rb").read()
odd = open("long", "rb"); odd.seek(1_500_001); part = odd.read(1_000_000)
print(json.dumps([whole == content, part == content[1_500_001:2_500_001]]))
"""


@pytest.mark.parametrize("durable", [False, True], ids=["told", "lent"])
def test_long_reads(make_mount: Callable[..., Mounted], durable: bool) -> None:
    mount = make_mount(durable=durable)
    assert mount.python(_LONG) == [True, True]
    assert mount.tell("lent") > 0 if durable else mount.tell("lent") == 0


def test_mapping(mount: Mounted) -> None:
    assert mount.python("""
import mmap
with open("file", "w+b") as file:
    file.truncate(10_000)
    with mmap.mmap(file.fileno(), 10_000) as view:
        view[5000:5007] = b"content"
        view.flush()
print(json.dumps([os.path.getsize("file"), open("file", "rb").read()[5000:5008].decode()]))
""") == [10_000, "content\0"]


def test_holes_room_and_copies(mount: Mounted) -> None:
    assert mount.python("""
fd = os.open("file", os.O_RDWR | os.O_CREAT)
os.write(fd, b"content")
os.posix_fallocate(fd, 0, 20)
to = os.open("copy", os.O_RDWR | os.O_CREAT)
copied = os.copy_file_range(fd, to, 7, 0)
os.fsync(fd); os.fdatasync(to)
root = os.open(".", os.O_RDONLY); os.fsync(root)
print(json.dumps([os.lseek(fd, 0, os.SEEK_HOLE), os.lseek(fd, 3, os.SEEK_DATA), copied,
    os.pread(to, 100, 0).decode(), os.statvfs(".").f_bsize, os.statvfs(".").f_namemax]))
""") == [20, 3, 7, "content", 4096, 255]


def test_locks_are_the_machines_own(mount: Mounted) -> None:
    assert mount.python("""
import fcntl, subprocess
first = open("file", "w")
fcntl.flock(first, fcntl.LOCK_EX)
tries = "import fcntl; fcntl.%s(open('file', 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
def refused(how):
    return subprocess.run([sys.executable, "-c", tries % how], stderr=subprocess.DEVNULL).returncode
told = [refused("flock")]
fcntl.flock(first, fcntl.LOCK_UN)
told.append(refused("flock"))
fcntl.lockf(first, fcntl.LOCK_EX)
told.append(refused("lockf"))
print(json.dumps(told))
""") == [1, 0, 1]


def test_permissions_are_checked(make_mount: Callable[..., Mounted]) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    mount = make_mount(allow_other=True)
    mount.run(["sh", "-c", "echo secret > file; chmod 600 file; chmod 777 ."])
    # Only what pytest has made for itself is opened for them.
    for above in mount.point.parents:
        if not above.stat().st_mode & 0o001:
            if above == Path(tempfile.gettempdir()) or above in Path(tempfile.gettempdir()).parents:
                pytest.skip("others cannot get to the temporary folder")
            above.chmod(0o711)

    tried = mount.python("""
os.setgid(65534); os.setuid(65534)
told = []
for name, flags in (("file", os.O_RDONLY), ("own", os.O_WRONLY | os.O_CREAT)):
    try: told.append(os.fstat(os.open(name, flags)).st_uid)
    except OSError as error: told.append(-error.errno)
print(json.dumps(told))
""")

    assert tried == [-13, 65534]


def until(mount: Mounted, program: str, wanted: str) -> None:
    """Wait for a program to print something."""
    end = time.monotonic() + LIMIT
    while (found := mount.run(["sh", "-c", program])) != wanted:
        assert time.monotonic() < end, found


def test_change_of_ours_is_seen_once_it_is_told(mount: Mounted) -> None:
    mount.run(["sh", "-c", "printf old > file; cat file; ls -l file"])

    mount.tell("replace", name="file", content="new", tell=False)
    assert mount.run(["cat", "file"]) == "old", "the kernel keeps what it knows"
    mount.tell("replace", name="file", content="two", tell=True)

    until(mount, "cat file; stat -c %s file", "two3\n")


def test_rename_of_ours_is_seen_once_it_is_told(mount: Mounted) -> None:
    mount.run(["sh", "-c", "printf content > file; cat file"])

    mount.tell("rename", name="file", new_name="other", tell=True)

    until(mount, "ls; cat other", "other\ncontent")


def test_server_ends_when_it_is_unmounted(mount: Mounted) -> None:
    mount.run(["touch", "file"])

    holder.unmount(mount.point)

    assert mount.ended() == 0
    assert holder.mounted(mount.point) is None


def test_busy_mount_is_only_unmounted_lazily(mount: Mounted) -> None:
    user = mount.begin(["env", f"--chdir={mount.point}", "sleep", "60"])
    while Path(f"/proc/{user.pid}/cwd").readlink() != mount.point:
        time.sleep(0.01)
    with pytest.raises(Blocked, match="busy"):
        holder.unmount(mount.point)
    holder.unmount(mount.point, lazy=True)
    assert holder.mounted(mount.point) is None
    user.kill()
    assert mount.ended() == 0


# What a crash of the server does


def test_copy_goes_on_when_the_server_is_killed(
    make_mount: Callable[..., Mounted], tmp_path: Path
) -> None:
    mount = make_mount(durable=True)
    content = os.urandom(50 << 20)
    (tmp_path / "source").write_bytes(content)
    mount.tell("pause", after=0.01)

    copy = mount.begin(["cp", tmp_path / "source", mount.point / "copy"])
    for _ in range(3):
        time.sleep(0.15)
        assert copy.poll() is None, "it was over before it was interrupted"
        mount.kill()
        mount.start(fresh=False)
        mount.tell("pause", after=0.01)
    assert copy.wait(LIMIT) == 0

    told = mount.run(["sha256sum", "copy"])
    assert told.split()[0] == hashlib.sha256(content).hexdigest()


def test_names_are_made_once_however_often_the_server_is_killed(
    make_mount: Callable[..., Mounted],
) -> None:
    mount = make_mount(durable=True)
    program = """
i=0; while [ $i -lt 60 ]; do
  mkdir d$i && ln -s t d$i/l && (set -C; echo $i > d$i/f) && mv d$i/f d$i/g && rm d$i/l || exit 1
  i=$((i + 1))
done"""
    # Nearly always one is killed that has done what it was asked for, and has not said so.
    mount.tell("linger", after=0.01)

    worker = mount.begin(["env", f"--chdir={mount.point}", "sh", "-c", program])
    for _ in range(4):
        time.sleep(0.2)
        assert worker.poll() is None, "it was over before it was interrupted"
        mount.kill()
        mount.start(fresh=False)
        mount.tell("linger", after=0.01)
    assert worker.wait(LIMIT) == 0

    assert mount.run(["sh", "-c", "cat d*/* | wc -l; ls d* | wc -l"]).split() == ["60", "179"]


def test_killed_reader_does_not_wait_for_a_dead_server(
    make_mount: Callable[..., Mounted],
) -> None:
    mount = make_mount(durable=True)
    mount.run(["sh", "-c", "echo content > file"])
    mount.kill()

    reader = mount.begin(["cat", mount.point / "other"])
    time.sleep(0.1)
    reader.kill()
    assert reader.wait(LIMIT) == -9

    mount.start(fresh=False)
    assert mount.run(["cat", "file"]) == "content\n"


def test_abandoned_mount_is_replaced(make_mount: Callable[..., Mounted], tmp_path: Path) -> None:
    mount = make_mount()
    assert not holder.stale(mount.point)
    with pytest.raises(Blocked, match="is mounted at"):
        holder.mount(mount.point)
    os.close(mount.fd)
    mount.fd = -1
    mount.kill()
    assert holder.stale(mount.point)

    mount.fd = holder.mount(mount.point)
    mount.start(fresh=True)

    assert mount.run(["ls"]) == ""
    holder.unmount(mount.point)
    assert holder.mounted(mount.point) is None, "the abandoned one is still below"
