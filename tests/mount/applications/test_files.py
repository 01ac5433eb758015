"""What programs do with files: saving, locking, appending, mapping, holes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.mount.kernel.mounted import needs_fuse

if TYPE_CHECKING:
    from tests.mount.live import Mounted

pytestmark = [needs_fuse, pytest.mark.timeout(120)]


def _python(mounted: Mounted, program: str) -> Any:
    """Run Python in the mount; returns what it printed as JSON."""
    # Not by `cwd`: this process would wait until the new one is there.
    done = subprocess.run(
        ["env", f"--chdir={mounted.point}", sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_reader_sees_the_old_or_the_new_whole(mounted: Mounted) -> None:
    wrong, seen, left = _python(
        mounted,
        """
import json, os, threading
def save(number):
    with open("text.tmp", "wb") as file:
        file.write(b"%06d\\n" % number * 3000); file.flush(); os.fsync(file.fileno())
    os.rename("text.tmp", "text")
    folder = os.open(".", os.O_RDONLY); os.fsync(folder); os.close(folder)
save(0)
done, wrong, seen = threading.Event(), [], set()
def read():
    while not done.is_set():
        with open("text", "rb") as file: text = file.read()
        lines = set(text.splitlines()); seen.update(lines)
        if len(lines) != 1 or len(text) != 21000: wrong.append(len(text))
readers = [threading.Thread(target=read) for _ in range(2)]
for reader in readers: reader.start()
for number in range(1, 100): save(number)
done.set()
for reader in readers: reader.join()
print(json.dumps([wrong, len(seen), sorted(os.listdir())]))
""",
    )
    assert wrong == []
    assert seen > 1
    assert left == ["text"]


def test_a_lock_file_is_made_by_one(mounted: Mounted) -> None:
    won = _python(
        mounted,
        """
import json, os, subprocess, sys
take = '''
import os, sys
sys.stdin.readline()
try:
    file = os.open(".~lock.text.odt#", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    os.write(file, sys.argv[1].encode()); print(sys.argv[1])
except FileExistsError: pass
'''
takers = [subprocess.Popen([sys.executable, "-c", take, str(n)], stdin=-1, stdout=-1, text=True)
    for n in range(6)]
for taker in takers: taker.stdin.write("now\\n"); taker.stdin.flush()
won = [taker.communicate()[0].strip() for taker in takers]
print(json.dumps([[one for one in won if one], [open(".~lock.text.odt#").read()]]))
""",
    )
    assert len(won[0]) == 1
    assert won[0] == won[1]


def test_lines_that_several_append_are_all_there(mounted: Mounted) -> None:
    lines, broken = _python(
        mounted,
        """
import json, os, subprocess, sys, threading
append = '''
import os, sys, threading
def run(who):
    file = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for number in range(150): os.write(file, f"{who} {number} {'x' * (number % 90)}\\\\n".encode())
threads = [threading.Thread(target=run, args=(f"{sys.argv[1]}{n}",)) for n in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
'''
programs = [subprocess.Popen([sys.executable, "-c", append, who]) for who in "abc"]
codes = [program.wait() for program in programs]
lines = open("log").read().splitlines()
broken = [line for line in lines if len(line.split()[-1]) != int(line.split()[1]) % 90
    and int(line.split()[1]) % 90]
print(json.dumps([len(set(lines)), broken + codes * any(codes)]))
""",
    )
    assert lines == 9 * 150
    assert broken == []


def test_two_programs_share_a_mapping(mounted: Mounted) -> None:
    counts = _python(
        mounted,
        """
import json, mmap, os, subprocess, sys
with open("shared", "wb") as file: file.truncate(1 << 16)
work = '''
import fcntl, mmap, struct, sys
with open("shared", "r+b") as file, open("lock", "w") as lock:
    view = mmap.mmap(file.fileno(), 1 << 16)
    for number in range(300):
        fcntl.lockf(lock, fcntl.LOCK_EX)
        for at in (0, 40_000):
            struct.pack_into("q", view, at, struct.unpack_from("q", view, at)[0] + 1)
        fcntl.lockf(lock, fcntl.LOCK_UN)
    view.flush()
'''
workers = [subprocess.Popen([sys.executable, "-c", work]) for _ in range(2)]
codes = [worker.wait() for worker in workers]
data = open("shared", "rb").read()
os.posix_fadvise(os.open("shared", os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)
again = open("shared", "rb").read()
told = [int.from_bytes(text[at:at + 8], "little") for text in (data, again) for at in (0, 40_000)]
print(json.dumps(told + codes))
""",
    )
    assert counts == [600, 600, 600, 600, 0, 0]


def test_locks_between_programs(mounted: Mounted) -> None:
    told = _python(
        mounted,
        """
import fcntl, json, os, subprocess, sys
tries = '''
import fcntl, os, sys
file = open("file", "r+b")
how = {"flock": lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB),
    "shared": lambda: fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB),
    "first": lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0),
    "second": lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)}
try: how[sys.argv[1]](); print("got")
except BlockingIOError: print("held")
'''
def other(how):
    return subprocess.run([sys.executable, "-c", tries, how], stdout=-1, text=True).stdout.strip()
file = open("file", "w+b"); file.write(b"x" * 100); file.flush()
told = []
fcntl.flock(file, fcntl.LOCK_SH); told += [other("flock"), other("shared")]
fcntl.flock(file, fcntl.LOCK_EX); told += [other("flock"), other("shared")]
fcntl.flock(file, fcntl.LOCK_UN); told += [other("flock")]
fcntl.lockf(file, fcntl.LOCK_EX, 10, 0); told += [other("first"), other("second")]
second = open("file", "rb"); second.close()  # closing any descriptor ends the locks of a program
told += [other("first")]
print(json.dumps(told))
""",
    )
    assert told == ["held", "got", "held", "held", "got", "held", "got", "got"]


def test_holes_take_no_room(mounted: Mounted) -> None:
    told = _python(
        mounted,
        """
import ctypes, json, os, subprocess
def taken(name): return os.stat(name).st_blocks * 512
def extents(name):
    with open(name, "rb") as file:
        size, at, found = os.fstat(file.fileno()).st_size, 0, []
        while at < size:
            try: start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError: break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE); found.append([start, at])
        return found
with open("holes", "wb") as file: file.truncate(100 << 20)
told = [taken("holes") < 1 << 20]
with open("holes", "r+b") as file: file.seek(50 << 20); file.write(b"x" * (1 << 20))
told += [1 << 20 <= taken("holes") < 2 << 20, extents("holes")]
subprocess.run(["cp", "--sparse=auto", "holes", "copy"], check=True)
told += [taken("copy") < 2 << 20, subprocess.run(["cmp", "holes", "copy"]).returncode]
with open("full", "wb") as file: file.write(b"y" * (3 << 20))
told += [taken("full") >= 3 << 20]
file = os.open("full", os.O_RDWR); libc = ctypes.CDLL(None)
libc.fallocate(file, 3, ctypes.c_int64(1 << 20), ctypes.c_int64(1 << 20)); os.fsync(file)
told += [2 << 20 <= taken("full") < 3 << 20, extents("full")]
os.pwrite(file, b"z" * (1 << 20), 1 << 20); os.fsync(file); told += [taken("full") >= 3 << 20]
print(json.dumps(told))
""",
    )
    mib = 1 << 20
    assert told == [
        *(True, True, [[50 * mib, 51 * mib]], True, 0),
        *(True, True, [[0, mib], [2 * mib, 3 * mib]], True),
    ]


def test_what_is_open_stays_when_its_name_goes(mounted: Mounted) -> None:
    told = _python(
        mounted,
        """
import json, os
with open("a", "wb") as file: file.write(b"old" * 50_000)
with open("b", "wb") as file: file.write(b"new" * 50_000)
reader, writer = open("a", "rb", 0), open("a", "r+b", 0)
os.rename("b", "a")
told = [reader.read(6).decode(), open("a", "rb").read(6).decode()]
writer.seek(3); writer.write(b"OLD"); os.fsync(writer.fileno())
reader.seek(0); told += [reader.read(9).decode(), os.fstat(reader.fileno()).st_nlink]
os.unlink("a")
told += [os.listdir(), len(reader.read())]
writer.truncate(5); reader.seek(0); told += [reader.read().decode()]
print(json.dumps(told))
""",
    )
    assert told == ["oldold", "newnew", "oldOLDold", 0, [], 149_991, "oldOL"]
