"""R1 to R7, and requests that arrive late."""

from __future__ import annotations

from tests.rules.rule import Edit, Rule

_LATE = "tests/sync/test_late.py::"
_OBSERVE = "tests/sync/test_observe.py::"
_ENGINE = "tests/sync/test_engine.py::"
_MOVES = "tests/sync/test_moves.py::"

_UNMARKED = Edit(
    "state/store.py",
    "local_gone=row.local_gone\n                or (row.base is not None and (row.path,"
    " row.base.remote_tag) in endangered)",
    "local_gone=row.local_gone",
)
"""What makes the mark anew while a DELETE of ours may still arrive: it would mask its absence."""

RULES = (
    Rule(
        "R1",
        "What an upload is to make is journalled before it leaves; without an answer it is looked"
        " for, and found to be ours.",
        (
            Edit(
                "sync/executor.py",
                "if self.base is None:\n            return None",
                "if self.base is not None:\n            return None",
            ),
        ),
        (_LATE + "test_what_was_edited_while_an_upload_had_no_answer_meets_only_itself",),
    ),
    Rule(
        "R1: metadata",
        "A change of metadata carries an operation id and is journalled like an upload.",
        (
            Edit(
                "sync/executor.py",
                "return Prepared(action, _adjusted(action, op), op=op)",
                "return Prepared(action, op=op)",
            ),
        ),
        (
            _LATE + "test_a_change_of_mode_without_an_answer_is_our_own",
            _LATE + "test_a_change_of_mode_that_arrives_late_is_our_own",
        ),
    ),
    Rule(
        "R1: after a crash",
        "What the journal holds is asked after when the engine starts again.",
        (
            Edit(
                "sync/engine.py",
                "for operation in store.journal():",
                "for operation in store.journal()[:0]:",
            ),
        ),
        (_LATE + "test_what_was_edited_after_a_crash_meets_only_itself",),
    ),
    Rule(
        "R1: folders made here",
        "That a folder of the vault is to be made here, for itself or for what is in it, is"
        " journalled: after a crash it is no new one of a person's.",
        (
            Edit(
                "sync/recorder.py",
                "self._store.finish(path)\n        self._store.begin(made)",
                "self._store.finish(path)",
            ),
        ),
        (
            _ENGINE + "test_a_folder_that_was_made_here_before_a_crash_is_no_new_one",
            _ENGINE + "test_a_folder_that_was_made_here_before_a_crash_is_in_no_files_way",
            _ENGINE + "test_a_folder_that_was_made_here_for_a_file_before_a_crash_is_no_new_one",
        ),
    ),
    Rule(
        "R2: removals here",
        "That something is to be removed here is journalled: after a crash it was no person's"
        " doing, and does not travel as theirs.",
        (
            Edit(
                "sync/recorder.py",
                "self._store.finish(row.path)\n        self._store.begin(removal)",
                "self._store.finish(row.path)",
            ),
        ),
        (_ENGINE + "test_what_was_removed_here_before_a_crash_was_not_removed_by_a_person",),
    ),
    Rule(
        "R1: ancestors",
        "Ours among the ancestors of what is there means that ours was done and built upon.",
        (
            Edit(
                "remote/bucket.py",
                "if entry is None or op not in entry.ops:",
                "if entry is None or op not in entry.ops[:1]:",
            ),
        ),
        (
            (
                "tests/remote/test_bucket.py"
                "::test_recovering_tells_whether_it_happened_and_gives_up_what_did_not"
            ),
        ),
    ),
    Rule(
        "R1: a plain pull",
        "A version that was built upon ours is a change like any other: no conflict.",
        (
            Edit(
                "sync/executor.py",
                'tag = entry.tag if ours else ""',
                "tag = entry.tag",
            ),
        ),
        (_LATE + "test_who_builds_upon_an_upload_without_an_answer_is_no_stranger",),
    ),
    Rule(
        "R2",
        "Before a DELETE leaves it is journalled that the file is gone here.",
        (
            Edit(
                "sync/recorder.py",
                "self._store.save([replace(action.row, local_gone=True)])",
                "self._store.save([action.row])",
            ),
            _UNMARKED,
        ),
        (
            _LATE + "test_what_came_back_outlives_its_deletion",
            _LATE + "test_what_came_back_outlives_a_deletion_that_a_crash_hid",
        ),
    ),
    Rule(
        "R2: gone is done",
        "A DELETE that finds nothing is done.",
        (
            Edit(
                "remote/bucket.py",
                "self._transport.delete(self._prefix + path, expected.tag)\n"
                "        except Missing:\n            return",
                "self._transport.delete(self._prefix + path, expected.tag)\n"
                "        except Missing:\n            raise",
            ),
        ),
        ("tests/remote/test_bucket.py::test_deleting_needs_the_version_and_gone_is_done",),
    ),
    Rule(
        "zombies",
        "A write that was not found to be done may still arrive: it is kept in mind, and the"
        " version that carries its id is our own.",
        (
            Edit(
                "sync/recorder.py",
                "if operation is not None and operation.verb.writes_remote:",
                "if operation is not None and operation.verb is Verb.PULL:",
            ),
        ),
        (_LATE + "test_an_upload_that_arrives_late_is_our_own",),
    ),
    Rule(
        "zombies: recognised",
        "A version in the vault that carries the id of such a write becomes base.",
        (
            Edit(
                "sync/recorder.py",
                "return recovered_push(row, op, intended, remote)",
                "return row",
            ),
        ),
        (_LATE + "test_an_upload_that_arrives_late_is_our_own",),
    ),
    Rule(
        "star: zombies kept 20 minutes",
        "An intent of unknown outcome is kept until its signature has expired, and a whole later"
        " listing has looked; no longer.",
        (Edit("sync/observe.py", "INTENT_LIFETIME = 20 * 60.0", "INTENT_LIFETIME = 10 * 60.0"),),
        (_OBSERVE + "test_a_request_may_be_late_by_the_life_of_its_signature",),
    ),
    Rule(
        "zombies: a later listing",
        "Only a listing that began after that time ends an intent, and not where it passed a path"
        " by because something was under way there.",
        (
            Edit(
                "sync/observe.py",
                "            self._forget_intents(sweep)",
                "            self._overdue = self.lasting() - INTENT_LIFETIME\n"
                "            self._forget_intents(sweep)",
            ),
            Edit(
                "sync/observe.py",
                "if not (self._busy(row.path) or self._is_recent(row.path, sweep) or _is_new(row))",
                "if not _is_new(row)",
            ),
        ),
        (
            _OBSERVE + "TestIntents::test_only_a_listing_that_began_after_their_time_ends_them",
            _OBSERVE + "TestIntents::test_a_listing_that_passed_their_path_by_does_not_end_them",
        ),
    ),
    Rule(
        "zombies: a look tells whose it is",
        "A version that a listing has shown may be the one that was intended: the intent is kept"
        " until a look has told.",
        (
            Edit(
                "sync/observe.py",
                "or self._is_recent(row.path, sweep) or _is_new(row))",
                "or self._is_recent(row.path, sweep))",
            ),
        ),
        (
            _LATE + "test_an_upload_that_nobody_saw_arrive_is_our_own",
            _LATE + "test_a_folder_that_nobody_saw_arrive_is_our_own",
        ),
    ),
    Rule(
        "zombies: inspected",
        "With a write of unknown outcome under way, what is there is looked at before anything is"
        " done.",
        (
            Edit(
                "core/plan.py",
                "if row.intents and remote is not None and remote.sha256 is None:",
                "if remote is not None and remote.size < 0:",
            ),
        ),
        (
            (
                "tests/core/test_plan.py::TestMarks"
                "::test_with_a_write_of_unknown_outcome_nothing_is_done_blindly"
            ),
        ),
    ),
    Rule(
        "R3",
        "A swap that a crash cut off is finished, or undone.",
        (
            Edit(
                "local/recovery.py",
                "happened = self._finish(staging, place, known)",
                "happened = False",
            ),
        ),
        ("tests/local/test_crashes.py::test_replacement",),
    ),
    Rule(
        "R3: put back",
        "Where EXCHANGE is missing, a file that was only moved out of the way is put back.",
        (
            Edit(
                "local/recovery.py",
                "elif waiting is not None and not is_shown:\n"
                "            self._swap.put_back(staging, armed, place)",
                "elif waiting is not None and not is_shown:\n            pass",
            ),
        ),
        ("tests/local/test_crashes.py::test_replacement",),
    ),
    Rule(
        "R4",
        "What a listing or a scan shows that began before our last commit on a path is ignored.",
        (Edit("sync/observe.py", "return busy or recent", "return busy"),),
        (_OBSERVE + "test_a_listing_tells_nothing_of_what_was_committed_after_it_began",),
    ),
    Rule(
        "R5",
        "A file that was gone and came back with the same bytes is an edit to a deletion.",
        (
            Edit(
                "core/plan.py",
                'if row.local_gone:\n        return Action(Verb.PUSH, row, "it was deleted here',
                'if False:\n        return Action(Verb.PUSH, row, "it was deleted here',
            ),
        ),
        (
            "tests/core/test_plan.py::TestMarks::test_a_file_that_came_back_is_pushed_again",
            _LATE + "test_what_came_back_outlives_its_deletion",
        ),
    ),
    Rule(
        "star: LOCAL_GONE does not end early",
        "The mark stays as long as a DELETE of ours may still arrive.",
        (
            Edit(
                "core/plan.py",
                "settle = row.local_gone and not row.intents",
                "settle = row.local_gone",
            ),
            Edit(
                "sync/recorder.py",
                "gone = row.local_gone and bool(row.intents)",
                "gone = False",
            ),
            _UNMARKED,
        ),
        (_LATE + "test_a_deletion_that_arrives_late_takes_nothing_away",),
    ),
    Rule(
        "star: LOCAL_GONE does not live for ever",
        "The mark ends once both sides are equal and nothing of ours is under way.",
        (
            Edit(
                "core/plan.py",
                "settle = row.local_gone and not row.intents",
                "settle = False",
            ),
        ),
        (
            _LATE + "test_once_nothing_can_arrive_a_deletion_is_one",
            (
                "tests/core/test_plan.py::TestMarks"
                "::test_the_mark_ends_once_both_sides_are_equal_and_nothing_can_arrive"
            ),
        ),
    ),
    Rule(
        "R6",
        "What was moved here is not removed by a deletion that was decided on before.",
        (Edit("core/plan.py", "if row.moved_from is not None:", "if row.path.isspace():"),),
        (_MOVES + "test_a_deletion_of_the_same_bytes_meets_the_copy",),
    ),
    Rule(
        "star: R6 looks after the source's DELETE",
        "Right after the old path is deleted, the new one is looked at: there, the mark goes.",
        (
            Edit(
                "sync/recorder.py",
                "                self._backlog.plan(above)\n            self.look_at_moved(path)",
                "                self._backlog.plan(above)",
            ),
        ),
        (_MOVES + "test_after_the_old_path_is_deleted_the_new_one_is_looked_at",),
    ),
    Rule(
        "R7",
        "Equality with what was seen in the vault a while ago makes no base: a look that began"
        " when the file was here does.",
        (
            Edit(
                "sync/starter.py",
                "if action.verb is Verb.ADOPT and action.row.base is None and _is_file(action):",
                "if action.verb is Verb.ADOPT and action.path.isspace():",
            ),
        ),
        ("tests/sync/test_engine.py::test_a_digest_known_without_a_look_is_not_common_ground",),
    ),
    Rule(
        "R7: a fresh look",
        "The look at the vault is made even where its digest is known.",
        (
            Edit(
                "sync/executor.py",
                "meet = row.base is None and local is not None",
                "meet = False",
            ),
        ),
        (
            "tests/sync/test_engine.py::test_equal_to_what_was_there_a_while_ago_is_not_common_ground",
        ),
    ),
)
