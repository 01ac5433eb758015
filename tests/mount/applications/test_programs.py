"""git, tar, rsync, vim, fio and stress-ng."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.mount.kernel.mounted import needs_fuse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.mount.live import Mounted

pytestmark = [needs_fuse, pytest.mark.timeout(120)]

_GIT = """
export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git init -q -b main one; cd one
for i in $(seq 40); do mkdir -p d$((i % 5)); seq $i $((i * 9)) > d$((i % 5))/f$i; done
chmod +x d1/f1; ln -s d1/f1 link
git add .; git commit -qm first
git checkout -q -b side; echo side >> d2/f2; git mv d3 moved; git commit -qam side
git checkout -q main; echo main >> d4/f4; git commit -qam main
git merge -q -m merged side
cd ..; git clone -q one two; git clone -q --no-hardlinks one three
cd two; echo more >> d0/f5; git commit -qam more; git push -q origin HEAD:other; cd ../one
git merge -q other
git gc -q --aggressive --prune=now; git repack -qad; git fsck --strict --full
cd ../three; git pull -q; git stash list; echo x > d1/f1; git stash -q; git stash pop -q
git checkout -q -- .; git worktree add -q ../four; cd ..
for r in one three; do git -C $r status --porcelain; git -C $r log --oneline | wc -l; done
cmp one/d0/f5 three/d0/f5; test -x three/d1/f1; readlink three/link
git -C two fsck --full; git -C four status --porcelain
"""


def test_git(mounted: Mounted, program: Callable[[str], str]) -> None:
    program("git")
    said = mounted.run(_GIT)
    assert said.split() == ["5", "5", "d1/f1"]


_SOURCE = """
mkdir -p s/deep/er s/empty; cd s
for i in $(seq 60); do head -c $((i * 997)) /dev/urandom > deep/f$i; done
ln deep/f1 hard; ln -s deep/f2 soft; chmod 640 deep/f3; chmod 755 deep/f4; chmod 500 empty
truncate -s 1M sparse; printf end >> sparse; mkfifo fifo
touch "deep/er/name with  spaces" deep/er/é
cd ..
find s -exec touch -h -d '2001-02-03 04:05:06.000000007' {} +
touch -d '2001-02-03 04:05:06.123456789' s/deep/f9
"""
_FOUND = "find . -printf '%P %y %m %s %T@ %n %l\\n' | sort"


def test_tar(mounted: Mounted, program: Callable[[str], str]) -> None:
    program("tar")
    said = mounted.run(f"""{_SOURCE}
tar --sparse --format=posix -cf a.tar s; tar -df a.tar; mkdir o; tar -xpf a.tar -C o
(cd s; {_FOUND} | grep -v '^ ') > one; (cd o/s; {_FOUND} | grep -v '^ ') > two; cmp one two
tar --listed-incremental=snar -cf full.tar s; tar --listed-incremental=snar -cf next.tar s
tar -tf next.tar | grep -v '/$' || true
""")
    assert said == "", "what did not change is not saved a second time"


def test_rsync(mounted: Mounted, program: Callable[[str], str]) -> None:
    program("rsync")
    said = mounted.run(f"""{_SOURCE}
rsync -aHX s/ t/; rsync -aHXi --delete s/ t/; rsync -aHXic --delete s/ t/
echo changed >> t/deep/f9; echo new > t/deep/new; rm t/soft
rsync -aHXi --delete s/ t/ | sed -E 's/^(..)[^ ]* /\\1 /' | sort
(cd s; {_FOUND}) > one; (cd t; {_FOUND}) > two; cmp one two
rsync -a --inplace --no-whole-file s/ t/; rsync -a --sparse s/ u/; cmp s/sparse u/sparse
""")
    told = sorted(tuple(line.split()) for line in said.splitlines())
    assert told == [
        ("*d", "deep/new"),
        (".d", "./"),
        (".d", "deep/"),
        (">f", "deep/f9"),
        ("cL", "soft", "->", "deep/f2"),
    ]


def test_vim_with_backups(mounted: Mounted, program: Callable[[str], str]) -> None:
    vim = shutil.which("vim") or program("vim.tiny")
    said = mounted.run(f"""
printf 'one\\ntwo\\n' > text; chmod 640 text; ln text other; touch -d 2001-01-01 text
for copy in no yes auto; do
  {vim} -N -u NONE -n -es -c "set backup backupskip= backupcopy=$copy" -c '1s/^/X/' -c wq text
  cat text 'text~'; stat -c '%a' text
done
{vim} -N -u NONE -es -c 'set swapfile' -c 'edit text' -c '1d' -c wq; cat text; ls -A
""")
    assert said.split() == [
        *("Xone", "two", "one", "two", "640"),
        *("XXone", "two", "Xone", "two", "640"),
        *("XXXone", "two", "XXone", "two", "640"),
        *("two", "other", "text", "text~"),
    ]


_FIO = """
fio --name=v --directory=. --size=4m --bs=4k-64k --ioengine=psync --rw=randrw --verify=crc32c \\
    --verify_fatal=1 --do_verify=1 --fsync=64 --numjobs=2 --fallocate=posix --output-format=terse
fio --name=m --directory=. --size=4m --bs=4k --ioengine=mmap --rw=randwrite --verify=md5 \\
    --verify_fatal=1 --fallocate=none --output-format=terse
fio --name=a --directory=. --size=4m --bs=16k --ioengine=libaio --iodepth=8 --rw=write \\
    --verify=xxhash --verify_fatal=1 --overwrite=1 --output-format=terse
"""


def test_fio_verifies_what_it_wrote(mounted: Mounted, program: Callable[[str], str]) -> None:
    program("fio")
    # terse, version 3: the fifth field is the error
    for line in mounted.run(_FIO).splitlines():
        assert line.split(";")[4] == "0", line


STRESSORS = {
    "access": 2,
    "chmod": 1,
    "chown": 20,
    "copy-file": 2,
    "dentry": 100,
    "dir": 100,
    "dirdeep": 50,
    "dup": 1,
    "fallocate": 1,
    "fcntl": 20,
    "filename": 1,
    "flock": 100,
    "fsize": 1,
    "fstat": 50,
    "getdent": 50,
    "hdd": 16,
    "io": 1,
    "iomix": 5,
    "lease": 20,
    "locka": 100,
    "lockf": 100,
    "lockofd": 100,
    "mknod": 20,
    "open": 20,
    "rename": 50,
    "seek": 50,
    "sync-file": 1,
    "touch": 20,
    "utime": 10,
}
"""What makes sense here of stress-ng's class `filesystem`, with operations that take no second."""


def test_stress_ng(mounted: Mounted, program: Callable[[str], str]) -> None:
    program("stress-ng")
    wanted = " ".join(f"--{name} 1 --{name}-ops {count}" for name, count in STRESSORS.items())
    said = mounted.run(
        f"stress-ng --temp-path . {wanted} --verify --timeout 20 --metrics-brief"
        " --hdd-bytes 1m --fallocate-bytes 1m --iomix-bytes 1m --sync-file-bytes 1m"
        " --dirdeep-inodes 100 2>&1; ls -A"
    )
    assert "successful run completed" in said
    assert "fail" not in said
    assert "skip" not in said
