"""Names: which can exist where, and how conflict copies are called."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vaultsync.core import names
from vaultsync.core.names import (
    conflict_digest,
    conflict_name,
    is_conflict,
    is_control,
    local_problem,
    original_name,
    parent,
    parents,
    remote_problem,
)

WHEN = datetime(2026, 11, 23, 14, 30, 5)  # noqa: DTZ001 - local time, for people
DIGEST = "3f9a1c" + "0" * 58
COPY = "report (conflict laptop 2026-11-23 143005 3f9a1c).pdf"

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="/\0")
PRINTABLE = st.sampled_from("ab. -()é日\U0001f984")


def fits(segment: str) -> bool:
    return 0 < len(segment.encode()) <= names.MAX_SEGMENT and segment not in (".", "..")


SEGMENTS = (st.text(CHARACTERS, min_size=1, max_size=80) | st.text(PRINTABLE, min_size=1)).filter(
    fits
)
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)
DEVICES = st.text(CHARACTERS, max_size=20) | st.sampled_from(["()", "", " / ", "dévice " * 10])
TIMES = st.datetimes(min_value=datetime(1000, 1, 1))  # noqa: DTZ001
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)


class TestOrder:
    @given(st.text(st.characters(exclude_categories=["Cs"])), st.text())
    def test_strings_compare_as_their_bytes_do(self, one: str, other: str) -> None:
        other = other.encode(errors="ignore").decode()
        assert (one < other) == (one.encode() < other.encode())
        assert (one == other) == (one.encode() == other.encode())


class TestAbove:
    @pytest.mark.parametrize(
        ("path", "above", "all_above"),
        [
            ("", "", []),
            ("a", "", []),
            ("a/", "", []),
            ("a/b", "a/", ["a/"]),
            ("a/b/", "a/", ["a/"]),
            ("a/b/c", "a/b/", ["a/", "a/b/"]),
            ("a b/ü/c.d/", "a b/ü/", ["a b/", "a b/ü/"]),
        ],
    )
    def test_examples(self, path: str, above: str, all_above: list[str]) -> None:
        assert parent(path) == above
        assert parents(path) == all_above

    @given(PATHS)
    def test_parents_are_the_parents_of_parents(self, path: str) -> None:
        found, above = [], parent(path)
        while above:
            found.append(above)
            above = parent(above)
        assert parents(path) == found[::-1]
        assert parents(path + "/") == parents(path)
        assert sorted(found) == found[::-1]


class TestControl:
    @pytest.mark.parametrize(
        ("path", "control"),
        [
            (".vaultsync", True),
            (".vaultsync/", True),
            (".vaultsync/staging/x", True),
            ("a/.vaultsync/b", True),
            ("a/.vaultsync", True),
            ("x.vaultsync", False),
            (".vaultsyncignore", False),
            (".vaultsync2/a", False),
            ("a", False),
            ("", False),
        ],
    )
    def test_at_any_depth(self, path: str, control: bool) -> None:
        assert is_control(path) is control


class TestProblems:
    @pytest.mark.parametrize(
        ("path", "problem"),
        [
            ("a", None),
            ("a/", None),
            ("a/b.c/d e", None),
            ("..a/...", None),
            ("x" * 255, None),
            ("ü" * 127, None),
            ("", "empty part"),
            ("/", "empty part"),
            ("/a", "empty part"),
            ("a//b", "empty part"),
            ("a//", "empty part"),
            (".", "'.'"),
            ("a/./b", "'.'"),
            ("../a", "'..'"),
            ("a/..", "'..'"),
            ("a/../", "'..'"),
            ("x" * 256, "longer"),
            ("ü" * 128 + "/a", "longer"),
            ("a\0b", "NUL"),
        ],
    )
    def test_of_a_key_as_a_local_name(self, path: str, problem: str | None) -> None:
        found = local_problem(path)
        assert (found is None) == (problem is None)
        assert (problem or "") in (found or "")

    @given(PATHS)
    def test_what_a_file_system_takes_is_no_problem(self, path: str) -> None:
        assert local_problem(path) is None
        assert local_problem(path + "/") is None

    @pytest.mark.parametrize(
        ("path", "problem"),
        [
            ("a" * 1014, None),
            ("a" * 1015, "1025 bytes"),
            ("ü" * 507, None),
            ("ü" * 508, "1026 bytes"),
            (b"\xff".decode(errors="surrogateescape"), "UTF-8"),
        ],
    )
    def test_of_a_local_name_as_a_key(self, path: str, problem: str | None) -> None:
        found = remote_problem(path, "private/x/")
        assert (found is None) == (problem is None)
        assert (problem or "") in (found or "")


class TestConflicts:
    @pytest.mark.parametrize(
        ("path", "copy"),
        [
            ("report.pdf", COPY),
            ("d/e/report.pdf", "d/e/" + COPY),
            (COPY, COPY),
            ("d.x/report", "d.x/report (conflict laptop 2026-11-23 143005 3f9a1c)"),
            (".bashrc", ".bashrc (conflict laptop 2026-11-23 143005 3f9a1c)"),
            ("a.tar.gz", "a.tar (conflict laptop 2026-11-23 143005 3f9a1c).gz"),
            (
                "v1.a long end is none at all",
                "v1.a long end is none at all (conflict laptop 2026-11-23 143005 3f9a1c)",
            ),
        ],
    )
    def test_examples(self, path: str, copy: str) -> None:
        assert conflict_name(path, "laptop", WHEN, DIGEST) == copy
        assert original_name(copy) == original_name(path)

    @pytest.mark.parametrize(
        ("device", "shown"),
        [
            ("Anna's laptop", "Anna's laptop"),
            ("a(b)/c", "abc"),
            ("()", "device"),
            ("  ", "device"),
            ("x" * 50, "x" * 40),
        ],
    )
    def test_the_device_is_shown(self, device: str, shown: str) -> None:
        assert f"(conflict {shown} 2026" in conflict_name("a", device, WHEN, DIGEST)

    @pytest.mark.parametrize(
        "path",
        [
            "report.pdf",
            "report (conflict).pdf",
            "report (conflict laptop).pdf",
            "report (conflict laptop 2026-11-23 143005 3F9A1C).pdf",
            "report (conflict laptop 2026-11-23 143005 3f9a1c) 2.pdf",
            "report(conflict laptop 2026-11-23 143005 3f9a1c).pdf",
            "d (conflict laptop 2026-11-23 143005 3f9a1c)/report.pdf",
        ],
    )
    def test_other_names_are_no_copies(self, path: str) -> None:
        assert original_name(path) == path
        assert not is_conflict(path)
        assert conflict_digest(path) is None

    @given(PATHS, DEVICES, TIMES, DIGESTS)
    def test_every_copy_can_exist_and_is_known_as_one(
        self, path: str, device: str, when: datetime, digest: str
    ) -> None:
        assume(not is_conflict(path))
        copy = conflict_name(path, device, when, digest)
        assert parent(copy) == parent(path)
        assert local_problem(copy) is None
        assert is_conflict(copy)
        assert conflict_digest(copy) == digest[:6]
        cut = len(copy) < len(path) + len(" (conflict d 2026-11-23 143005 3f9a1c)")
        original = original_name(copy)
        assert original == path or (cut and len(original) < len(path))

    @given(PATHS, DEVICES, TIMES, DIGESTS)
    def test_a_conflict_of_a_conflict_does_not_grow(
        self, path: str, device: str, when: datetime, digest: str
    ) -> None:
        copy = conflict_name(path, device, when, digest)
        again = conflict_name(copy, device, when, digest[::-1])
        assert len(again) == len(copy)
        assert original_name(again) == original_name(copy)

    @given(PATHS, st.text("abc", min_size=1, max_size=15))
    def test_the_extension_stays(self, path: str, extension: str) -> None:
        directory = parent(path)
        name = path[len(directory) :].encode()[:200].decode(errors="ignore").rstrip(".") or "x"
        path = f"{directory}{name}.{extension}"
        assume(not is_conflict(path))
        assert conflict_name(path, "laptop", WHEN, DIGEST).endswith("." + extension)
