"""Errors carry words for people, and a code that no two kinds share."""

from __future__ import annotations

import pytest

from vaultsync.core import errors
from vaultsync.core.errors import Blocked, Fatal, Retry, VaultsyncError

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, VaultsyncError)
]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_what_happened_and_what_to_try(kind: type[VaultsyncError]) -> None:
    error = kind("It broke.", "Mend it.")
    assert (str(error), error.message, error.hint) == ("It broke.", "It broke.", "Mend it.")
    assert kind("It broke.").hint == ""


def test_codes_tell_kinds_apart() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)


def test_a_passing_fault_says_when_and_whether_it_may_have_happened() -> None:
    plain = Retry("offline")
    assert (plain.after, plain.unknown_outcome) == (None, False)
    told = Retry("busy", after=3.0, unknown_outcome=True)
    assert (told.after, told.unknown_outcome) == (3.0, True)


def test_only_some_errors_end_everything() -> None:
    assert not issubclass(Retry, Fatal)
    assert not issubclass(Blocked, Fatal)
    assert issubclass(errors.Refused, Fatal)
