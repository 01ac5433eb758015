"""Rows of the decision table that protect data, and what an observation may say."""

from __future__ import annotations

from tests.rules.rule import Edit, Rule

_PLAN = "tests/core/test_plan.py::"
_FOLDERS = "tests/core/test_plan_folders.py::TestFolders::"
_OBSERVE = "tests/sync/test_observe.py::"
_ENGINE = "tests/sync/test_engine.py::"

RULES = (
    Rule(
        "an edit here beats a deletion there",
        "Deleted in the vault and edited here: the edit is sent.",
        (
            Edit(
                "core/plan.py",
                "if here is Change.MODIFIED:\n        return Action(Verb.PUSH",
                "if here is Change.DELETED:\n        return Action(Verb.PUSH",
            ),
        ),
        (_PLAN + "TestTable::test_since_base", _ENGINE + "test_an_edit_beats_a_deletion"),
    ),
    Rule(
        "an edit there beats a deletion here",
        "Deleted here and edited in the vault: the edit is fetched.",
        (
            Edit(
                "core/plan.py",
                "if there is Change.MODIFIED:\n        return Action(Verb.PULL",
                "if there is Change.DELETED:\n        return Action(Verb.PULL",
            ),
        ),
        (
            _PLAN + "TestTable::test_since_base",
            _ENGINE + "test_an_edit_there_beats_a_deletion_here",
        ),
    ),
    Rule(
        "two edits are both kept",
        "Edited on both sides with different content: a conflict copy, not a winner.",
        (
            Edit(
                "core/plan.py",
                'return _meet(row, local, remote, "it was edited on both sides")',
                'return Action(Verb.PULL, row, "edited in the vault")',
            ),
        ),
        (
            _PLAN + "TestTable::test_since_base",
            _ENGINE + "test_a_conflict_keeps_both_versions_everywhere",
        ),
    ),
    Rule(
        "without base nothing is replaced",
        "Two versions that know nothing of each other can only be equal or both be kept.",
        (
            Edit(
                "core/plan.py",
                'return _meet(row, local, remote, "it appeared on both sides")',
                'return Action(Verb.PULL, row, "new in the vault")',
            ),
        ),
        (_PLAN + "TestTable::test_without_base",),
    ),
    Rule(
        "without base nothing is deleted",
        "A lost database merges: what is on one side only comes to the other.",
        (
            Edit(
                "core/plan.py",
                'return Action(Verb.PULL, row, "new in the vault")',
                'return Action(Verb.DELETE_REMOTE, row, "gone here")',
            ),
        ),
        (
            _PLAN + "TestTable::test_without_base",
            _ENGINE + "test_an_empty_database_only_merges",
        ),
    ),
    Rule(
        "a conflict forgets base first",
        "Before the version here is set aside, the path has no base any more.",
        (
            Edit(
                "sync/recorder.py",
                "self._store.save([replace(action.row, base=None)])",
                "self._store.save([action.row])",
            ),
        ),
        (_ENGINE + "test_a_crash_after_setting_aside_deletes_nothing",),
    ),
    Rule(
        "star: unknown is neither equal nor different",
        "Contents of which it is not known whether they are equal are looked at.",
        (
            Edit(
                "core/plan.py",
                "return one.sha256 == other.sha256\n    return None",
                "return one.sha256 == other.sha256\n    return False",
            ),
        ),
        (
            _PLAN + "TestValues::test_unknown_is_neither_equal_nor_different",
            _ENGINE + "test_the_same_edit_twice_is_no_conflict",
        ),
    ),
    Rule(
        "absence here is seen twice",
        "Nothing is deleted in the vault before a second look has found the file gone here.",
        (
            Edit(
                "core/plan.py",
                "if row.local_absence is not Absence.CONFIRMED:\n"
                "        return None\n    return Action(Verb.DELETE_REMOTE",
                "if row.local_absence is Absence.PRESENT:\n"
                "        return None\n    return Action(Verb.DELETE_REMOTE",
            ),
        ),
        (
            _PLAN + "TestTable::test_since_base",
            _OBSERVE + "test_what_is_missing_at_one_look_is_deleted_nowhere",
        ),
    ),
    Rule(
        "absence there is seen twice",
        "Nothing is deleted here before a second listing has found the object gone.",
        (
            Edit(
                "core/plan.py",
                "if row.remote_absence is not Absence.CONFIRMED:\n"
                "        return None\n    return Action(Verb.DELETE_LOCAL",
                "if row.remote_absence is Absence.PRESENT:\n"
                "        return None\n    return Action(Verb.DELETE_LOCAL",
            ),
        ),
        (
            _PLAN + "TestTable::test_since_base",
            _OBSERVE + "test_what_is_missing_at_one_look_is_deleted_nowhere",
        ),
    ),
    Rule(
        "the first look confirms nothing",
        "An absence counts as confirmed only by a look that began after the first one.",
        (
            Edit(
                "sync/sweep.py",
                "return Absence.ONCE if old is not None else _second(absence)",
                "return Absence.CONFIRMED",
            ),
        ),
        (_OBSERVE + "test_what_is_missing_at_one_look_is_deleted_nowhere",),
    ),
    Rule(
        "star: the marker comes before the last child's DELETE",
        "A folder that stays empty gets its marker.",
        (
            Edit(
                "core/plan.py",
                "if local.tag == EMPTY and remote.tag != MARKER and frame.deletes"
                " and not frame.remains:",
                "if local.tag == MARKER:",
            ),
        ),
        (
            _FOLDERS + "test_the_marker_comes_before_the_last_file_goes",
            _ENGINE + "test_the_last_file_goes_and_its_folder_stays",
        ),
    ),
    Rule(
        "star: what makes comes before what deletes",
        "Deletions start when all else of the plan has been done: the marker is there before the"
        " last child goes, and a moved file's new name before its old one goes.",
        (
            Edit(
                "sync/agenda.py",
                "if not action.verb.deletes:\n                yield action",
                "if not action.verb.deletes or action.verb.deletes:\n                yield action",
            ),
        ),
        (_ENGINE + "test_the_marker_is_there_before_the_last_file_goes",),
    ),
    Rule(
        "a marker that failed to arrive is waited for",
        "The last thing below a folder that stays, however deep, goes only once the folder's marker"
        " is there.",
        (
            Edit(
                "sync/starter.py",
                "if kept is None or kept not in self._backlog:",
                "if kept is None or kept != names.parent(path) or kept not in self._backlog:",
            ),
        ),
        (_ENGINE + "test_a_folder_that_is_emptied_from_below_stays_though_its_marker_is_late",),
    ),
    Rule(
        "star: a marker stays while something is in the folder",
        "The marker of a folder in which another program keeps something is not removed.",
        (
            Edit(
                "core/plan.py",
                "if row.local_absence is not Absence.CONFIRMED or remains:",
                "if row.local_absence is not Absence.CONFIRMED:",
            ),
        ),
        (_FOLDERS + "test_a_marker_stays_while_something_in_it_does",),
    ),
    Rule(
        "star: a marker goes only with its folder",
        "As long as the folder is here its marker stays, whatever else is in it.",
        (
            Edit(
                "core/plan.py",
                "return _directory_again(row, local, remote) if row.local_gone else None",
                'return Action(Verb.DELETE_REMOTE, row, "") if remote.tag == MARKER else None',
            ),
        ),
        (_FOLDERS + "test_since_base",),
    ),
    Rule(
        "star: unmanaged folders get no marker",
        "A folder that holds only ignored things is not made in the vault.",
        (
            Edit(
                "core/plan.py",
                'if local.tag == EMPTY:\n            return Action(Verb.PUSH, row, "new empty',
                'if local.tag != FULL:\n            return Action(Verb.PUSH, row, "new empty',
            ),
        ),
        (_FOLDERS + "test_without_base",),
    ),
    Rule(
        "a folder is removed only empty",
        "A folder here that holds anything at all is not removed.",
        (
            Edit(
                "core/plan.py",
                "if local.tag == FULL:\n        return None",
                "if local.tag == MARKER:\n        return None",
            ),
        ),
        (_FOLDERS + "test_since_base",),
    ),
    Rule(
        "star: an inode only nominates",
        "A move is matched by the digest of the content; neither inode nor size decides.",
        (
            Edit(
                "core/moves.py",
                "return entry.sha256 == base.sha256\n    return not pushing and",
                "return True\n    return pushing or",
            ),
            Edit(
                "sync/executor.py",
                "            if digest != held.sha256:\n",
                "            if not digest:\n",
            ),
        ),
        (
            "tests/core/test_moves.py::test_another_content_of_the_same_size_is_not_borrowed",
            "tests/sync/test_moves.py::test_another_file_of_the_same_size_is_no_move",
        ),
    ),
    Rule(
        "star: becoming ignored drops base",
        "What becomes ignored is left alone on both sides, and merged when it ceases to be.",
        (
            Edit(
                "sync/sweep.py",
                "if entry is None and ignored(row.path):",
                "if entry is None and row.path.isspace():",
            ),
        ),
        (_OBSERVE + "test_becoming_ignored_deletes_nothing_and_ceasing_to_be_merges",),
    ),
)
