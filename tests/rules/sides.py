"""How a file is read and written, on either side."""

from __future__ import annotations

from tests.rules.rule import Edit, Rule

_BUCKET = "tests/remote/test_bucket.py::"
_METADATA = "tests/remote/test_metadata.py::"
_RACES = "tests/local/test_races.py::"
_SIDE = "tests/contract/test_side.py::"

RULES = (
    Rule(
        "star: fsync before hash",
        "A file is synced before it is hashed: a store through mmap moves no time until it is"
        " written back.",
        (
            Edit(
                "local/content.py",
                "                self._files.sync(self._descriptor)\n                self._check()",
                "                self._check()",
            ),
        ),
        (_RACES + "TestRead::test_what_is_mapped_is_written_back_before_it_is_hashed",),
    ),
    Rule(
        "star: stat before and after",
        "A file that changed while it was read was not read.",
        (
            Edit(
                "local/content.py",
                "if _identity(self._files.fstat(self._descriptor)) != self._identity:",
                "if self._descriptor < -1:",
            ),
        ),
        (_RACES + "TestRead::test_write_between_hash_and_stat",),
    ),
    Rule(
        "a staged file is on the disk",
        "What is about to be shown is synced first.",
        (
            Edit(
                "local/swap.py",
                "            self._files.sync(descriptor)\n        finally:",
                "            pass\n        finally:",
            ),
        ),
        (
            "tests/local/test_power_cuts.py::test_new_file",
            "tests/local/test_power_cuts.py::test_replacement",
        ),
    ),
    Rule(
        "what is irreversible is journalled on the disk",
        "The commit of the database that precedes a request is synced.",
        (
            Edit(
                "sync/recorder.py",
                "with self._store.transaction(durable=bool(prepared)):",
                "with self._store.transaction(durable=False):",
            ),
        ),
        ("tests/sync/test_engine.py::test_what_precedes_a_request_is_on_the_disk",),
    ),
    Rule(
        "star: vs-* only when bound",
        "Our metadata counts only if ETag or checksum are those that our write must have had.",
        (
            Edit(
                "remote/metadata.py",
                "return claimed is not None and claimed == proven(head)",
                "return claimed is not None",
            ),
        ),
        (_METADATA + "test_other_bytes_with_a_checksum_have_their_own_digest_and_not_our_ops",),
    ),
    Rule(
        "star: vs-sha256 only when bound",
        "A digest in the metadata is that of the bytes only if the server's word says so.",
        (
            Edit(
                "remote/metadata.py",
                "head.metadata.get(SHA256) if head.etag in words or head.checksum in words"
                " else None",
                "head.metadata.get(SHA256)",
            ),
        ),
        (_METADATA + "test_fields_of_other_bytes_are_ignored",),
    ),
    Rule(
        "star: multipart copies drop metadata",
        "A copy made in parts is given the source's metadata.",
        (
            Edit(
                "remote/copying.py",
                "upload = self._transport.create_upload(key, metadata=fields, headers=headers)",
                "upload = self._transport.create_upload(key, metadata={}, headers=headers)",
            ),
        ),
        (
            (
                "tests/remote/test_copying.py"
                "::test_where_conditions_of_copies_are_ignored_it_is_copied_in_parts"
            ),
        ),
    ),
    Rule(
        "writes are conditional",
        "A write says which version it replaces, or that there is none.",
        (
            Edit(
                "remote/shapes.py",
                'if condition.etag is None:\n        return {"IfNoneMatch": "*"}\n'
                '    return {"IfMatch": quoted(condition.etag)}',
                "return {}",
            ),
        ),
        (
            _SIDE + "TestCommit::test_stale_when_another_version_is_there[model]",
            _SIDE + "TestCommit::test_stale_when_something_is_there[model]",
            _BUCKET + "test_every_write_and_read_carries_its_condition",
        ),
    ),
    Rule(
        "deletions are conditional",
        "A DELETE names the version that was seen.",
        (
            Edit(
                "remote/boto.py",
                'self._call("DeleteObject", key, Key=key, IfMatch=shapes.quoted(etag))',
                'self._call("DeleteObject", key, Key=key)',
            ),
        ),
        (_BUCKET + "test_every_write_and_read_carries_its_condition",),
    ),
    Rule(
        "a torn read is not sent",
        "Bytes that are not those that were hashed are not sent.",
        (
            Edit(
                "remote/upload.py",
                "if digest.hexdigest() != upload.sha256:",
                "if not digest:",
            ),
        ),
        (_BUCKET + "test_small_content_that_changes_after_staging_is_not_sent",),
    ),
    Rule(
        "a torn part is not sent",
        "A part that is not what the first reading found ends the upload.",
        (
            Edit(
                "remote/upload.py",
                "if hashlib.sha256(body).digest() != digest:",
                "if not body:",
            ),
        ),
        (_BUCKET + "test_large_content_that_changes_while_it_is_sent_is_given_up",),
    ),
    Rule(
        "a checksum goes with the body",
        "The server refuses a body that is not what was hashed.",
        (
            Edit(
                "remote/boto.py",
                "            ChecksumSHA256=shapes.encoded(digest),\n"
                "            Metadata=dict(metadata),",
                "            Metadata=dict(metadata),",
            ),
        ),
        (_BUCKET + "test_every_write_and_read_carries_its_condition",),
    ),
    Rule(
        "looked at again before Complete",
        "An upload in parts of a file that changed meanwhile is not shown.",
        (Edit("remote/upload.py", "upload.content.read(0, 1)", "upload.content.entry"),),
        (_BUCKET + "test_large_content_that_changed_before_the_commit_is_not_shown",),
    ),
    Rule(
        "what is fetched is verified",
        "Content that arrives with another size or digest is not shown.",
        (
            Edit(
                "local/swap.py",
                "if size != entry.size or (entry.sha256 is not None and digest != entry.sha256):",
                "if size < 0:",
            ),
        ),
        (
            _SIDE + "TestCommit::test_damaged_content_is_refused[disk]",
            _SIDE + "TestCommit::test_short_content_is_refused[disk]",
        ),
    ),
    Rule(
        "new files replace nothing",
        "Where nothing should be, a file is shown with NOREPLACE.",
        (Edit("local/files.py", "_NOREPLACE = 1", "_NOREPLACE = 0"),),
        (_RACES + "TestCommit::test_new_file_appears_right_before_ours",),
    ),
    Rule(
        "what came out is looked at",
        "An edit that nobody knew of is kept beside the new version.",
        (
            Edit(
                "local/swap.py",
                "        if not is_version(self._files, staging, armed, expected):\n"
                "            digest = self.digest_now(staging, armed)",
                "        if armed == token.name:\n"
                "            digest = self.digest_now(staging, armed)",
            ),
        ),
        (_RACES + "TestCommit::test_edit_right_before_the_swap_is_kept_beside",),
    ),
    Rule(
        "star: what came out of EXCHANGE is compared without ctime",
        "A rename moves the ctime: the version that was expected is one all the same.",
        (
            Edit(
                "local/content.py",
                "if compare(expected, node, moved=True) is Match.YES:",
                "if compare(expected, node) is Match.YES:",
            ),
        ),
        (_SIDE + "TestCommit::test_replaces_what_was_expected[disk]",),
    ),
    Rule(
        "a directory that came out goes back",
        "A folder that took the file's place is exchanged back.",
        (
            Edit(
                "local/swap.py",
                "if not came_out.is_file and not came_out.is_link:",
                "if came_out.ino < 0:",
            ),
        ),
        (_RACES + "TestCommit::test_something_else_came_out",),
    ),
    Rule(
        "what is deleted here is looked at",
        "An edit made right before a deletion is put back.",
        (
            Edit(
                "local/disk.py",
                "if not is_version(self._files, directory, name, expected):",
                "if not name:",
            ),
        ),
        (
            _RACES + "TestDelete::test_edit_right_before_is_put_back",
            _RACES + "TestSetAside::test_edit_right_before",
        ),
    ),
    Rule(
        "what changes in the trash comes back",
        "A file that an editor goes on writing to after it was deleted becomes a conflict copy.",
        (
            Edit(
                "local/bin.py",
                "if note.describes(node):\n            return False",
                "if note.ino:\n            return False",
            ),
        ),
        (
            (
                "tests/local/test_bin.py"
                "::test_what_is_written_to_in_the_trash_comes_back_as_a_conflict_copy"
            ),
        ),
    ),
    Rule(
        "star: no link is followed",
        "Directories are opened beneath the root, component by component, never through a link.",
        (Edit("local/files.py", "_RESOLVE = 0x01 | 0x02 | 0x04 | 0x08", "_RESOLVE = 0x01"),),
        (_RACES + "TestParentBecomesALink::test_not_even_a_link_that_stays_inside",),
    ),
    Rule(
        "star: a file's own name is no link either",
        "Files are opened with O_NOFOLLOW.",
        (
            Edit(
                "local/files.py",
                "_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK",
                "_READ = os.O_RDONLY | os.O_NONBLOCK",
            ),
        ),
        (_RACES + "TestRead::test_a_link_in_place_of_a_file_is_not_read",),
    ),
    Rule(
        "star: a parent that moved",
        "After a name was changed, its directory is resolved again; if it moved, all is undone.",
        (
            Edit(
                "local/swap.py",
                "if self._folder.moved(place):",
                "if self._folder.moved(place) and not place.name:",
            ),
            Edit(
                "local/disk.py",
                "if self._folder.moved(place):",
                "if self._folder.moved(place) and not place.name:",
            ),
        ),
        tuple(
            _RACES + "TestParentBecomesALink::test_" + operation
            for operation in ("new_file", "replacement", "delete", "set_aside")
        ),
    ),
    Rule(
        "pipes and devices are blocked",
        "What is no regular file, link or directory is shown and left alone.",
        (
            Edit(
                "local/scan.py",
                "    if node.is_file:\n        return file_entry",
                "    if not node.is_link:\n        return file_entry",
            ),
        ),
        ("tests/local/test_faults.py::test_special_files_are_blocked",),
    ),
    Rule(
        "star: modified events",
        "The watcher asks for modified events: without them the kernel tells neither of chmod"
        " nor of what is appended to an open file.",
        (
            Edit(
                "local/watch.py",
                "    FileModifiedEvent,\n    FileAttribEvent,\n    FileDeletedEvent",
                "    FileAttribEvent,\n    FileDeletedEvent",
            ),
        ),
        (
            "tests/local/test_watch.py::test_append_to_a_file_that_stays_open",
            "tests/local/test_watch.py::test_changes",
        ),
    ),
)
