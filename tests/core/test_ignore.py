"""Rules for what is left alone, measured against git itself."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.profiles import at_most
from vaultsync.core.ignore import DEFAULTS, REMEMBERED, Ignore
from vaultsync.core.names import parents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

TREE = (
    "a.txt",
    "a.iso",
    "b",
    "build/out.o",
    "build/keep.txt",
    "cache/x/y.txt",
    "d/a.txt",
    "d/b",
    "d/build/out.o",
    "d/e/a.iso",
    "d/e/f/a.txt",
    "foo/bar/baz/q",
    "foo/x/bar",
    "notes#1",
    "!bang",
    "with space ",
    "üml/ä.txt",
    "tmp[1]",
    "back\\slash",
)

CASES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "by name": ("b",),
    "by extension": ("*.iso",),
    "anchored": ("/b", "/build"),
    "inside": ("d/b",),
    "directories only": ("build/", "a.txt/"),
    "un-ignored": ("*.txt", "!a.txt"),
    "un-ignored and ignored again": ("*.txt", "!a.txt", "d/a.txt"),
    "not below an ignored directory": ("build/", "!build/keep.txt"),
    "not below, whatever follows": ("/d", "!d/", "!/d/e", "d/"),
    "all but": ("build/*", "!build/keep.txt"),
    "two stars before": ("**/a.txt",),
    "two stars between": ("foo/**/bar", "d/**/a.iso"),
    "star is no slash": ("d/*.txt", "foo/*/q"),
    "question mark": ("?.iso", "d/?"),
    "ranges": ("[a-c].txt", "a.[!t]*"),
    "comments and blanks": ("# *.txt", "", "   ", "a.iso"),
    "escapes": (r"\#x", r"\!bang", r"notes\#1", r"tmp\[1\]", r"back\\slash"),
    "spaces": ("with space", r"with\ space\ "),
    "beyond ASCII": ("ü*/", "ä.txt"),
    "everything": ("*",),
    "by default, un-ignored": ("!*~", "!*.part"),
}

WORDS = st.sampled_from(["a", "b", "d", "e", "*", "**", "?", "*.txt", "a.*", "build", "foo", "bar"])
RULES = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "/"]),
    st.lists(WORDS, min_size=1, max_size=3).filter(lambda it: it[-1] != "**").map("/".join),
    st.sampled_from(["", "/"]),
)


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[list[str]], set[str]]]:
    """What git ignores in TREE by given rules; directories end with a slash."""
    folder = tmp_path_factory.mktemp("git")
    home = {"HOME": str(folder), "PATH": "/usr/bin:/bin:/usr/local/bin", "LC_ALL": "C.UTF-8"}

    def run(*words: str, text: str = "") -> str:
        command = ["git", "-c", "core.excludesFile=/dev/null", *words]
        done = subprocess.run(
            command, cwd=folder, env=home, input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    run("init", "-q")
    for path in TREE:
        file: Path = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")

    def ignored(rules: list[str]) -> set[str]:
        (folder / ".git/info/exclude").write_text("\n".join([*DEFAULTS, *rules]) + "\n")
        asked = "\0".join(path.rstrip("/") for path in everything())
        found = run("check-ignore", "--no-index", "-z", "--stdin", text=asked)
        names = set(found.split("\0"))
        return {path for path in everything() if path.rstrip("/") in names}

    yield ignored
    shutil.rmtree(folder)


def everything() -> list[str]:
    return sorted({*TREE, *(above for path in TREE for above in parents(path))})


def ours(rules: tuple[str, ...]) -> set[str]:
    ignore = Ignore(rules)
    return {path for path in everything() if ignore(path)}


@needs_git
@pytest.mark.parametrize("rules", CASES.values(), ids=CASES)
def test_rules_mean_what_git_says(
    rules: tuple[str, ...], git: Callable[[list[str]], set[str]]
) -> None:
    assert ours(rules) == git(list(rules))


@needs_git
@at_most(300)
@given(st.lists(RULES, max_size=5))
def test_any_rules_mean_what_git_says(
    git: Callable[[list[str]], set[str]], rules: list[str]
) -> None:
    assert ours(tuple(rules)) == git(rules)


@given(st.lists(RULES, max_size=5))
def test_below_an_ignored_directory_nothing_is_un_ignored(rules: list[str]) -> None:
    ignore = Ignore(rules)
    for path in everything():
        if any(ignore(above) for above in parents(path)):
            assert ignore(path)


@pytest.mark.parametrize(
    "path",
    ["a~", ".a.swp", ".~lock.a.odt#", "~$a.docx", "d/.#a", "x.part", ".Trash-1000/", "d/.DS_Store"],
)
def test_droppings_are_ignored_by_default(path: str) -> None:
    assert Ignore()(path)
    assert Ignore().rule(path) in DEFAULTS


@pytest.mark.parametrize("path", ["a", "a.txt", ".vaultsyncignore", "partial", "d/part", "~a"])
def test_a_persons_files_are_not(path: str) -> None:
    assert not Ignore()(path)
    assert Ignore().rule(path) is None


def test_the_rule_that_decides_is_named() -> None:
    ignore = Ignore(["", "*.iso", "  ", "old/", "# remark"])
    assert ignore.rule("a.iso") == "*.iso"
    assert ignore.rule("d/old/") == "old/"
    assert ignore.rule("old/deep/er/a.txt") == "old/"
    assert ignore.rule("old") is None


def test_a_question_mark_is_a_character_where_git_takes_it_for_a_byte() -> None:
    assert Ignore(["?.txt"])("ä.txt")


def test_memory_is_bounded_and_forgetting_changes_nothing() -> None:
    ignore = Ignore(["odd*/"])
    names = [f"{'odd' if number % 2 else 'even'}{number}/" for number in range(REMEMBERED + 10)]
    assert [ignore(name + "x") for name in names] == [name.startswith("odd") for name in names]
    assert len(ignore._directories) <= REMEMBERED
    assert [ignore(name + "x") for name in names[:4]] == [False, True, False, True]
