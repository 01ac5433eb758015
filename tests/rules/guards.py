"""What keeps much from being lost at once."""

from __future__ import annotations

from tests.rules.rule import Edit, Rule

_GUARD = "tests/sync/test_guard.py::"
_OBSERVE = "tests/sync/test_observe.py::"
_RECOGNITION = "tests/sync/test_recognition.py::"

RULES = (
    Rule(
        "UNKNOWN subtree",
        "What cannot be read, and all below it, is not gone.",
        (
            Edit(
                "sync/sweep.py",
                "if not shown and self._is_hidden(path):",
                "if not shown and not path:",
            ),
        ),
        (_OBSERVE + "test_what_cannot_be_read_is_not_gone",),
    ),
    Rule(
        "UNKNOWN subtree: an unreadable directory is one",
        "A directory that gives an error is told of, not passed over.",
        (
            Edit(
                "local/scan.py",
                "                    if isinstance(opened, Unseen):\n"
                "                        yield opened",
                "                    if isinstance(opened, Unseen):\n                        pass",
            ),
        ),
        ("tests/local/test_scan.py::test_unreadable_directory_says_nothing_about_what_is_below",),
    ),
    Rule(
        "a page that failed proves nothing",
        "A pass that breaks off ends there: what it did not show is not absent.",
        (
            Edit(
                "sync/observe.py",
                "            sweep, self._there = self._there, None\n"
                "            self._there = self._advance(sweep)",
                "            self._there = self._advance(self._there)",
            ),
        ),
        (_OBSERVE + "test_a_page_that_fails_proves_nothing",),
    ),
    Rule(
        "mass delete",
        "More deletions than 25 files and a fifth of all are held.",
        (
            Edit(
                "core/safety.py",
                "if tally.done + tally.pending <= limit:",
                "if tally.done + tally.pending >= 0:",
            ),
        ),
        (
            _GUARD + "test_a_mass_deletion_here_is_held_whole_and_all_else_goes_on",
            _GUARD + "test_a_mass_deletion_in_the_vault_is_held_whole",
        ),
    ),
    Rule(
        "mass delete: every file of a small vault",
        "A vault of more than three files does not lose all of them.",
        (
            Edit(
                "core/safety.py",
                "return min(limit, files - 1) if files > limits.few else limit",
                "return limit",
            ),
        ),
        (_GUARD + "test_every_file_of_a_small_vault_is_held",),
    ),
    Rule(
        "mass delete: by slices",
        "What is pending is counted in the database, not in the part that was seen last.",
        (
            Edit(
                "sync/guard.py",
                "pending = self._rows.pending(guard)",
                "pending = min(1, self._rows.pending(guard))",
            ),
        ),
        (_GUARD + "test_slices_do_not_slip_through",),
    ),
    Rule(
        "mass delete: by pieces",
        "What was deleted within the last day counts.",
        (
            Edit(
                "sync/guard.py",
                "self._rows.done(guard, since), pending)",
                "0, pending)",
            ),
        ),
        (_GUARD + "test_pieces_and_restarts_do_not_slip_through",),
    ),
    Rule(
        "mass delete: by restarts",
        "That something is held is kept in the database.",
        (
            Edit(
                "sync/guard.py",
                "{guard: self._rows.hold(guard) for guard in (*COUNTED, Guard.CONFLICTS)}",
                "dict.fromkeys((*COUNTED, Guard.CONFLICTS))",
            ),
        ),
        (_GUARD + "test_a_hold_does_not_end_with_the_day",),
    ),
    Rule(
        "mass delete: by waiting",
        "While something is held, neither its window nor its limit moves.",
        (
            Edit(
                "core/safety.py",
                "return (now if before is None else min(now, before.since)) - span",
                "return now - span",
            ),
        ),
        (_GUARD + "test_a_hold_does_not_end_with_the_day",),
    ),
    Rule(
        "mass delete: moves do not count",
        "A deletion whose content lives on under another path is not held.",
        (
            Edit(
                "sync/guard.py",
                "if hold is not None and guard in DELETIONS:",
                "if hold is not None and guard not in COUNTED:",
            ),
        ),
        (_GUARD + "test_what_was_moved_is_not_deleted",),
    ),
    Rule(
        "mass change",
        "Over half of all files and at least 50 within ten minutes: those uploads are held.",
        (
            Edit(
                "core/safety.py",
                'return None if action.path.endswith("/") else Guard.CHANGES',
                "return None",
            ),
        ),
        (_GUARD + "test_a_mass_change_is_held_and_new_files_are_not",),
    ),
    Rule(
        "marker object",
        "Without the object by which the vault is recognised, nothing is deleted.",
        (
            Edit(
                "sync/guard.py",
                "if guard in DELETIONS and self._recognition is not None and not"
                " self._recognition.trusted:",
                "if not path:",
            ),
        ),
        (
            _RECOGNITION + "test_without_its_mark_a_vault_deletes_nothing",
            _RECOGNITION + "test_not_even_the_first_turn_of_a_new_life_deletes",
        ),
    ),
    Rule(
        "root marker",
        "The folder is recognised by its marker; another one in its place is left alone.",
        (
            Edit(
                "local/folder.py",
                "if self.marker is None or found != self.marker:",
                "if self.marker is None:",
            ),
        ),
        ("tests/local/test_folder.py::TestCheck::test_another_synced_folder_in_its_place",),
    ),
    Rule(
        "root marker: missing",
        "A folder without a marker (a disk that is not mounted) stops everything.",
        (
            Edit(
                "sync/observe.py",
                "    def _start_here(self, at: str) -> None:\n        self._local.check()",
                "    def _start_here(self, at: str) -> None:",
            ),
            Edit(
                "local/folder.py",
                "                self.check()\n                if self._which(top) != self._known:",
                "                if self._which(top) is None:",
            ),
            Edit(
                "local/folder.py",
                "            if self._which(now) != self._which(top):\n",
                "            if self._which(now) is None:\n",
            ),
        ),
        ("tests/local/test_folder.py::TestCheck::test_another_folder_in_its_place",),
    ),
    Rule(
        "disk reserve",
        "The last of the disk's space is left free, whatever arrives.",
        (
            Edit(
                "local/room.py",
                "if total and free - self._promised - size < self._kept(total):",
                "if total and free - self._promised - size < 0:",
            ),
        ),
        (
            "tests/local/test_room.py::test_what_fits_but_for_the_reserve_is_refused_and_nothing_staged",
        ),
    ),
    Rule(
        "probed conditions",
        "A server that ignores the conditions of uploads is only read.",
        (
            Edit(
                "remote/conditions.py",
                "if not ((conditions.put and conditions.complete) or self._regardless):",
                "if conditions is None:",
            ),
        ),
        ("tests/remote/test_conditions.py::test_without_conditions_the_vault_is_only_read",),
    ),
    Rule(
        "probed conditions: deletions",
        "A server that ignores the condition of a deletion is asked for none.",
        (
            Edit(
                "remote/conditions.py",
                "if not (self._ask().delete or self._regardless):",
                "if self._ask() is None:",
            ),
        ),
        ("tests/remote/test_conditions.py::test_without_conditional_deletes_nothing_is_deleted",),
    ),
    Rule(
        "conflict storms",
        "More than ten conflict copies a minute are held, and nothing else.",
        (
            Edit(
                "sync/guard.py",
                "hold = before or safety.judge(Guard.CONFLICTS, tally, None, now, self._limits)",
                "hold = None",
            ),
        ),
        (_GUARD + "test_a_flood_of_conflicts_is_held_and_all_else_goes_on",),
    ),
)
