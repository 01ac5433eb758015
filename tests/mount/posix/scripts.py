"""The scripts: who may do what, what fails how, and whose times and link counts change.

They ask what the manual pages of section 2 say, and what POSIX says of errors. U, V and W are
people who are not root. `play` explains the words; `stories.txt` has those told one by one.

Left out is what the kernel does itself with each file system of FUSE, another way than with ext4:
O_RDONLY with O_TRUNC empties a program that runs and fails with ETXTBSY only then, RENAME_WHITEOUT
is for file systems below an overlay, and a chown(2) to nobody and no group by somebody else, which
is EPERM where setuid is set, is answered as if it had been done.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

U, V, W = 65533, 65534, 65532
SCRIPTS: dict[str, str] = {}
LONG = "n" * 255
LONGER = "n" * 256
DEEP = "d" * 200
FAR = "./" * 2046
"""With a name of three letters the longest path that there is."""

MAKE = {
    "file": "create {0} 644",
    "dir": "mkdir {0} 755",
    "fifo": "mkfifo {0} 644",
    "block": "mknod {0} block 644 17 4660",
    "char": "mknod {0} char 644 255 65535",
    "socket": "bind {0}",
    "link": "symlink target {0}",
}
"""How each kind of thing is made."""
REMOVE = {kind: "rmdir {0}" if kind == "dir" else "unlink {0}" for kind in MAKE}


def add(name: str, *parts: str) -> None:
    """Note a script."""
    assert name not in SCRIPTS
    SCRIPTS[name] = "\n".join(parts)


# Each kind of thing, through its life

for kind, make in MAKE.items():
    thing = make.format("a")
    add(
        f"life of a {kind}",
        thing,
        thing,
        "chmod a 111",
        "chmod a 7777",
        f"lchown a {U} {V}",
        f"lchown a -1 {W}",
        "lchown a -1 -1",
        f"@{U} lchown a -1 -1",
        f"@{V} lchown a -1 -1",
        "link a b",
        "link b a",
        f"@{U} chmod a 640",
        f"@{V} chmod a 600",
        f"@{U}:{U},{V} lchown a {U} {V}",
        f"@{U} lchown a {U} {W}",
        f"@{U} lchown a {V} -1",
        f"@{V} lchown a {V} -1",
        "utimens a 1000000001 2000000002 no",
        "utimens b omit 5 no",
        "utimens b 7 omit no",
        "utimens b omit omit no",
        "mkdir inner 777",
        "rename b inner/c",
        "rename inner/c a",
        "rename a inner/c",
        "rename inner/c d",
        REMOVE[kind].format("d"),
        REMOVE[kind].format("d"),
        "list .",
    )

for kind, other in product(MAKE, MAKE):
    add(
        f"a {kind} renamed over a {other}",
        MAKE[kind].format("a"),
        MAKE[other].format("b"),
        "rename a b 1",
        "rename a b 2",
        "rename b a 2",
        "rename a b",
        "list .",
    )

for kind, make in MAKE.items():
    again = [other.format("a") for other in MAKE.values()]
    add(f"made where a {kind} is", make.format("a"), *again, "open a rdwr,creat,excl", "link a a")

# What keeps a path from leading anywhere

CALLS = {
    "open": "open {0} rdonly",
    "open to make": "open {0} rdwr,creat 640",
    "open to empty": "open {0} wronly,trunc",
    "mkdir": "mkdir {0}",
    "mkfifo": "mkfifo {0}",
    "mknod": "mknod {0} file",
    "bind": "bind {0}",
    "connect": "connect {0}",
    "symlink": "symlink target {0}",
    "readlink": "readlink {0}",
    "link from": "link {0} made",
    "link to": "link there {0}",
    "unlink": "unlink {0}",
    "rmdir": "rmdir {0}",
    "rename from": "rename {0} made",
    "rename to": "rename there {0}",
    "chmod": "chmod {0} 640",
    "chown": f"chown {{0}} {U} {U}",
    "lchown": f"lchown {{0}} {U} {U}",
    "truncate": "truncate {0} 7",
    "utimens": "utimens {0} 5 5",
    "access": "access {0} 4",
    "list": "list {0}",
    "setxattr": "setxattr {0} user.a b",
}
PATHS = {
    "below a file": "there/x",
    "nowhere": "gone/x",
    "gone": "gone",
    "through a loop": "round/x",
    "a loop": "round",
    "a link to nothing": "dangling",
    "the longest name": LONG,
    "too long a name": LONGER,
    "too long a name on the way": f"{LONGER}/x",
    "the longest path": f"{FAR}abc",
    "too long a path": f"{FAR}abcd",
    "with a slash": "gone/",
    "a file with a slash": "there/",
    "a folder with a slash": "folder/",
    "a dot": "folder/.",
    "two dots": "folder/..",
    "nothing": "''",
    "through a link": "way/x",
    "a link to a folder": "way",
}
BEFORE = """create there 644 text; mkdir folder; symlink turn round; symlink round turn; \
symlink gone dangling; symlink folder way"""
for name, call in CALLS.items():
    for where, path in PATHS.items():
        add(f"{name}: {where}", BEFORE, call.format(path))
    # The same by somebody who may not search, may not write, or owns nothing.
    add(
        f"{name}: by others",
        f"create there 644 text\nchown there {U} {U}",
        f"mkdir d 755\nchown d {U} {U}",
        f"@{U} create d/x 644 text",
        f"@{V} " + call.format("d/x"),
        f"@{V} " + call.format("d/new"),
        f"@{U} " + call.format("d/new"),
        "chmod d 644",
        f"@{U} " + call.format("d/x"),
        "chmod d 555",
        f"@{U} " + call.format("d/other"),
        f"@{U} " + call.format("d/x"),
        "chmod d 070",
        f"@{V}:{U} " + call.format("d/by-group"),
        f"@{V}:{V},{U} " + call.format("d/by-another-group"),
        f"@{U} " + call.format("d/as-owner"),
        "chmod d 007",
        f"@{V}:{U} " + call.format("d/as-group"),
        f"@{V} " + call.format("d/as-other"),
        "chmod . 555",
        f"@{V} " + call.format("d/as-other"),
    )

# Permissions to open

for mode in (0o000, 0o400, 0o200, 0o100, 0o600, 0o040, 0o020, 0o060, 0o004, 0o002, 0o006):
    add(
        f"open with mode {mode:03o}",
        f"create a {mode:o} text",
        f"chown a {U} {U}",
        *(
            f"@{who} open a {how}"
            for who in (U, f"{V}:{U}", f"{V}:{V},{U}", V)
            for how in ("rdonly", "wronly", "rdwr", "rdonly,trunc", "wronly,trunc", "wronly,append")
        ),
        f"@{U} access a 1",
        f"@{U} access a 4",
        f"@{V} access a 2",
    )

add(
    "umask",
    *(f"umask {mask:o}\ncreate f{mask} 666\nmkdir d{mask} 777" for mask in (0o22, 0o77, 0o777, 0)),
)

# Sticky folders

STICKY = {
    "unlink": "unlink d/x",
    "rmdir": "rmdir d/y",
    "rename": "rename d/x d/z",
    "rename out": "rename d/x e",
    "rename over": "rename mine d/x",
    "rename a folder over": "rename folder d/y",
    "exchange": "rename mine d/x 2",
}
for name, call in STICKY.items():
    for owner, folder in ((U, V), (V, U), (U, U), (V, V)):
        add(
            f"sticky: {name}, {owner} in {folder}'s",
            f"mkdir d 777\nchown d {folder} {folder}",
            f"create d/x 666 x\nchown d/x {owner} {owner}",
            f"mkdir d/y 777\nchown d/y {owner} {owner}",
            f"@{U} create mine 644 m",
            f"@{U} mkdir folder 755",
            "chmod d 1777",
            f"@{W} {call}",
            f"@{U} {call}",
            "chmod d 777",
            f"@{U} {call}",
        )

# Setuid and setgid

for mode in (0o6555, 0o4555, 0o2555, 0o6777, 0o7777):
    add(
        f"setuid and setgid of {mode:04o}",
        *(
            f"{make.format(kind)}\nlchown {kind} {U} {U}"
            for kind, make in MAKE.items()
            if kind != "link"
        ),
        *(
            f"chmod {kind} {mode:o}\n{call.format(kind)}"
            for kind in MAKE
            for call in (
                f"chown {{0}} {U} {U}",
                f"chown {{0}} -1 {U}",
                "chown {0} -1 -1",
                f"@{U} chown {{0}} -1 {U}",
                f"@{U} chown {{0}} -1 -1",
                f"@{U}:{U},{V} chown {{0}} -1 {U}",
                f"@{U}:{W} chmod {{0}} {mode:o}",
            )
            if kind in ("file", "dir", "fifo")
        ),
    )
    add(
        f"writing to {mode:04o}",
        f"create a 777 text\nchown a {U} {U}",
        *(
            f"chmod a {mode | 0o222:o}\n{call}"
            for call in (
                "write a more",
                f"@{U} write a more",
                f"@{V} write a more",
                f"@{V}:{U} write a more wronly,append",
                f"@{V} truncate a 2",
                f"@{V} truncate a 2",
                f"@{U} truncate a 5",
                "truncate a 3",
                f"@{V} open a wronly,trunc",
                "open a wronly,trunc",
                f"@{V} open a wronly,trunc",
            )
        ),
        "hold f a wronly",
        f"chmod a {mode:o}",
        f"@{V} fwrite f more",
        f"chmod a {mode:o}",
        f"@{V} ftruncate f 1",
        f"chmod a {mode:o}",
        f"@{V} fallocate f 0 0 10",
        f"chmod a {mode:o}",
        f"@{V} fwrite f '' 0",
    )

# Links and names

add(
    "names of every kind",
    f"create {LONG}\nmkdir x\nrename {LONG} x/{LONG}\nrename x/{LONG} {LONGER}\nlist x",
    "create 'näme ☃ 名前'\ncreate 'a b\"c'\ncreate '-rf'\ncreate 'tab\there'",
    f"link x/{LONG} {'é' * 127}\nlink x/{LONG} {'é' * 128}",
    f"symlink {'t' * 4095} l\nsymlink {'t' * 4096} m\nsymlink '' n\nreadlink l",
    "symlink a/../../b o\nreadlink o\nsymlink . p\nlist p",
    *(f"mkdir {'/'.join([DEEP] * depth)}" for depth in range(1, 5)),
    f"create {'/'.join([DEEP] * 4)}/f\nunlink {'/'.join([DEEP] * 4)}/f",
)

# Sizes

SIZES = (0, 1, 3, 4095, 4096, 65_537, 2**31 - 1, 2**31, 2**32 + 1, 2**40, -1, -(2**62), 10**15)
add(
    "truncate",
    "create a 644 text",
    *(f"truncate a {size}" for size in (*SIZES, 2**63 - 1, 2)),
    "truncate a 2",
    "mkdir d\ntruncate d 5",
    "mkfifo f\ntruncate f 5",
    "symlink a l\ntruncate l 1",
    f"@{U} truncate a 0",
    "chmod a 222",
    f"@{U} truncate a 0",
    f"@{U} truncate a 0",
)
add(
    "ftruncate",
    "hold a a rdwr,creat",
    "fwrite a text",
    *(f"ftruncate a {size}" for size in (*SIZES, 2**63 - 1, 2)),
    "hold r a rdonly\nftruncate r 0",
    "chmod a 0",
    f"@{U} ftruncate a 1",
    "unlink a",
    "ftruncate a 9\nfwrite a more 3\nfread a 20 0\nfstat a",
    f"hold n n wronly,creat 0\n@{U} ftruncate n 5\nfstat n",
    f"@{U} hold o o wronly,creat 0\n@{U} ftruncate o 5\n@{U} fwrite o x 9",
)
add(
    "far away",
    "hold a a rdwr,creat",
    f"fwrite a end {2**31 - 2}",
    f"fread a 9 {2**31 - 4}",
    f"fwrite a end {2**33}",
    f"fread a 9 {2**33 - 2}",
    "fstat a",
    f"seek a 5 3\nseek a 0 4\nseek a {2**33} 4\nseek a {2**33 + 3} 3\nseek a {2**33 + 4} 4",
    f"seek a -1 3\nseek a {2**34} 0\nseek a -1 0\nseek a 0 2",
    f"fwrite a x {2**63 - 1}",
    f"fwrite a '' {2**34}",
    "fwrite a x -1",
)


# Times

add(
    "utimensat",
    f"create a 644\nchown a {U} {U}",
    *(
        f"@{who} utimens a {accessed} {modified}"
        for who in (U, V, 0)
        for accessed, modified in (
            (1, 1_900_000_000_123_456_789),
            (5, "omit"),
            ("omit", 6),
            ("omit", "omit"),
            ("omit", 2**31 * 10**9),
            (2**32 * 10**9 + 999_999_999, 2**31 * 10**9 - 1),
            (-1, -(10**18)),
            ("now", -1),
            (-(2**31) * 10**9, 9 * 10**18),
            (0, 0),
        )
    ),
    f"@{V} utimens a now now",
    f"@{V} touch a",
    f"@{V} utimens a now omit",
    "chmod a 666",
    f"@{V} utimens a now now",
    f"@{V} touch a",
    f"@{V} utimens a now omit",
    f"@{V} utimens a 5 now",
    f"@{U} utimens a now 5",
    f"chmod a 0\n@{U} utimens a now now\n@{U} touch a",
    "symlink a l\nutimens l 5 6 no\nutimens l 7 8",
    "symlink gone m\nutimens m 5 6\nutimens m 5 6 no",
    "mkdir d\nutimens d 5 6\ncreate d/x",
    "hold a a rdonly\nfutimens a 3 4\nfutimens a omit now\nchmod a 666",
    f"@{V} futimens a now now\n@{V} futimens a 3 4",
)

# Those told one by one

for story in Path(__file__).with_name("stories.txt").read_text().split("\n== ")[1:]:
    title, _, told = story.partition("\n")
    for mark, person in (("$U", U), ("$V", V), ("$W", W)):
        told = told.replace(mark, str(person))
    add(title, told)

add(
    "long names of attributes",
    "create a",
    f"setxattr a user.{'n' * 250} v",
    f"setxattr a user.{'n' * 251} v",
    "listxattr a",
)
