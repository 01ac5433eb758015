"""A rule of the sync model, for the tests: a sentence, and the code without which it fails."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "src/vaultsync"


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of the sources.

    Attributes:
        file: Path below `src/vaultsync`.
        old: Text that is in it exactly once.
        new: What stands there when the rule is missing.
    """

    file: str
    old: str
    new: str

    def apply(self, sources: Path) -> None:
        """Take the rule out of a copy of `src`."""
        file = sources / "vaultsync" / self.file
        text = file.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has not exactly once: {self.old!r}")
        file.write_text(text.replace(self.old, self.new))


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, how to take it out of the code, and the tests that must turn red then.

    Attributes:
        name: Short, for people and the command line.
        sentence: What holds.
        edits: Usually one; more where another rule masks this one, or where it is held twice.
        tests: pytest ids; each of them must turn red.
    """

    name: str
    sentence: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
