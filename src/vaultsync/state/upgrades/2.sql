-- From version 1 to version 2.

ALTER TABLE path ADD COLUMN b_from TEXT;
ALTER TABLE journal ADD COLUMN source TEXT;
CREATE INDEX vacated_here ON path (b_size, b_sha256) WHERE b_kind = 'file' AND l_tag IS NOT b_ltag;
CREATE INDEX vacated_there ON path (b_size, b_sha256) WHERE b_kind = 'file' AND r_tag IS NOT b_rtag;
CREATE INDEX moved_here ON path (b_from) WHERE b_from IS NOT NULL;

ALTER TABLE intent RENAME TO old_intent;
DROP INDEX intent_path;
CREATE TABLE intent (
    op     TEXT NOT NULL,        -- a copy on the server carries the id of what it was copied from
    path   TEXT NOT NULL,
    base   TEXT NOT NULL,        -- JSON of the base that the write would have made
    since  REAL NOT NULL,        -- seconds since the epoch; forgotten after 20 minutes and a look
    PRIMARY KEY (op, path)
) WITHOUT ROWID;
INSERT INTO intent (op, path, base, since) SELECT op, path, base, since FROM old_intent;
DROP TABLE old_intent;
CREATE INDEX intent_path ON intent (path);

CREATE TABLE upload (
    path   TEXT PRIMARY KEY,
    record TEXT NOT NULL,        -- JSON, the remote side's own: upload id, content, part digests
    since  REAL NOT NULL         -- seconds since the epoch
) WITHOUT ROWID;

CREATE TABLE event (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      REAL NOT NULL,       -- seconds since the epoch
    path    TEXT NOT NULL,
    verb    TEXT NOT NULL,       -- a Verb that changed something
    reason  TEXT NOT NULL,       -- one sentence
    size    INTEGER,             -- bytes of the version that the event is about
    sha256  TEXT,                -- its digest, when known
    version TEXT,                -- VersionId of the remote version that was made or removed
    kept    TEXT                 -- path of the conflict copy that was made, if any
);
CREATE INDEX event_path ON event (path, id);
CREATE INDEX event_verb ON event (verb, at);

PRAGMA user_version = 2;
