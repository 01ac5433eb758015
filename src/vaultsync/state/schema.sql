-- Version 3 of the state database, as a new one is made; `upgrades/` brings older ones to it. Losing this file is safe: without it the engine starts with an
-- empty base, which can only merge and never delete.

-- One row per path that either side shows or both agreed on. Directories end with '/'.
-- The three groups of columns are three trees: l_ the local side as last observed, b_ the base both
-- sides last agreed on, r_ the remote side as last observed. A group whose kind is NULL is absent.
CREATE TABLE path (
    path      TEXT PRIMARY KEY,  -- relative to the root; BINARY order is the order of S3 listings
    l_kind    TEXT,              -- 'file', 'dir' or 'link'
    l_size    INTEGER,           -- bytes of content
    l_tag     TEXT,              -- identity: inode, size, mtime_ns, ctime_ns; or a directory's state
    l_sha256  TEXT,              -- hex digest for exactly this tag, if it was computed
    l_mtime   INTEGER,           -- nanoseconds since the epoch
    l_mode    INTEGER,           -- permission bits
    l_absent  INTEGER NOT NULL DEFAULT 2,  -- how sure absence is: 1 seen once, 2 confirmed
    b_kind    TEXT,
    b_size    INTEGER,
    b_sha256  TEXT,              -- never NULL for a base; empty for a directory
    b_ltag    TEXT,              -- local tag at that moment; empty: unknown, compare the content
    b_rtag    TEXT,              -- remote tag (ETag) at that moment
    b_mtime   INTEGER,           -- as read back after applying it
    b_mode    INTEGER,           -- as read back after applying it
    b_stamp   TEXT,              -- LastModified, once a listing has shown it
    b_version TEXT,              -- VersionId, if the bucket is versioned
    b_ops     TEXT,              -- operation ids of the remote version, newest first, by spaces
    b_gone    INTEGER NOT NULL DEFAULT 0,  -- mark LOCAL_GONE: we have set out to delete it there
    b_from    TEXT,              -- mark MOVED_HERE: the path that our server-side copy was made from
    r_kind    TEXT,
    r_size    INTEGER,
    r_tag     TEXT,              -- ETag without quotes; or a directory's state
    r_sha256  TEXT,              -- hex digest for exactly this tag, if it is known
    r_mtime   INTEGER,
    r_mode    INTEGER,
    r_stamp   TEXT,              -- LastModified as text, only compared for equality
    r_version TEXT,
    r_ops     TEXT,
    r_absent  INTEGER NOT NULL DEFAULT 2
) WITHOUT ROWID;

-- Conflict copies, so that listing them needs no walk over all paths.
CREATE INDEX conflict ON path (path) WHERE l_kind = 'file' AND path GLOB '* (conflict *)*';

-- Paths that were seen to be absent once and wait for a second look.
CREATE INDEX unsure_here ON path (path) WHERE l_absent = 1;
CREATE INDEX unsure_there ON path (path) WHERE r_absent = 1;

-- Files whose version one side does not show any more under their path: their content may be found
-- again under another one, and need not be sent or fetched then.
CREATE INDEX vacated_here ON path (b_size, b_sha256) WHERE b_kind = 'file' AND l_tag IS NOT b_ltag;
CREATE INDEX vacated_there ON path (b_size, b_sha256) WHERE b_kind = 'file' AND r_tag IS NOT b_rtag;
CREATE INDEX moved_here ON path (b_from) WHERE b_from IS NOT NULL;

-- Operations that were about to become visible: at most one per path. Present at start-up means
-- that the process died in the middle: the side is asked what became of it.
CREATE TABLE journal (
    path  TEXT PRIMARY KEY,
    op    TEXT NOT NULL,         -- operation id, also in the object's metadata or the staged name
    verb  TEXT NOT NULL,         -- 'pull', 'push', 'apply-remote' or 'delete-local'
    token TEXT NOT NULL,         -- the side's own word for where the staged bytes are
    base  TEXT NOT NULL,         -- JSON of the base to record once it is known to have happened
    source TEXT                  -- the path on the same side that the content is copied from, if any
) WITHOUT ROWID;

-- Our own remote writes whose outcome was not known when they were given up. A request can still
-- arrive later; until then a remote version that carries the id is our own ancestor (rule R1).
CREATE TABLE intent (
    op     TEXT NOT NULL,        -- a copy on the server carries the id of what it was copied from
    path   TEXT NOT NULL,
    base   TEXT NOT NULL,        -- JSON of the base that the write would have made
    since  REAL NOT NULL,        -- seconds since the epoch; forgotten after 20 minutes and a look
    PRIMARY KEY (op, path)
) WITHOUT ROWID;
CREATE INDEX intent_path ON intent (path);

-- Multipart uploads under way, so that a restart goes on where they were.
CREATE TABLE upload (
    path   TEXT PRIMARY KEY,
    record TEXT NOT NULL,        -- JSON, the remote side's own: upload id, content, part digests
    since  REAL NOT NULL         -- seconds since the epoch
) WITHOUT ROWID;

-- What was done to either side, and why. For people, and for the guards that count.
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

-- The drive: one row per inode. What of it has to be synced is told by the paths that `name` makes;
-- a folder's profile leaves these tables empty.
CREATE TABLE node (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,  -- the inode number; 1 is the root; never used again
    kind    TEXT NOT NULL,       -- 'file', 'dir', 'link', 'fifo', 'socket', 'char' or 'block'
    mode    INTEGER NOT NULL,    -- permission bits, 0 to 0o7777
    uid     INTEGER NOT NULL,
    gid     INTEGER NOT NULL,
    rdev    INTEGER NOT NULL DEFAULT 0,   -- of a device, as stat(2) gives it
    nlink   INTEGER NOT NULL,    -- names; a directory's: 2 and one for each directory in it; 0: only open
    size    INTEGER NOT NULL DEFAULT 0,   -- bytes of content, or of a link's target
    atime   INTEGER NOT NULL,    -- nanoseconds since the epoch, as are the next three
    mtime   INTEGER NOT NULL,
    ctime   INTEGER NOT NULL,
    born    INTEGER NOT NULL,
    target  BLOB,                -- a link's
    change  INTEGER NOT NULL DEFAULT 0,   -- grows with each change of content, mtime or mode
    dirty   INTEGER NOT NULL DEFAULT 0,   -- 1: the content may differ from what the origin names
    sha256  TEXT,                -- hex digest of the content at this `change`, when known
    here    INTEGER NOT NULL DEFAULT 2,   -- of the content, the cache holds: 0 nothing, 1 the extents, 2 all
    pinned  INTEGER NOT NULL DEFAULT 0,   -- 1: never to be evicted; a directory's: all below it
    used    INTEGER NOT NULL DEFAULT 0,   -- seconds since the epoch of the last use, to the minute
    o_path  TEXT,                -- origin, where content that is not here is read: its path in the vault,
    o_etag  TEXT,                -- the version's ETag,
    o_version TEXT               -- and its VersionId, if the bucket keeps versions
);
CREATE INDEX node_loose ON node (id) WHERE nlink = 0;
CREATE INDEX node_dirty ON node (id) WHERE dirty = 1;
CREATE INDEX node_evictable ON node (used) WHERE kind = 'file' AND here > 0 AND pinned = 0;

-- The names of nodes. The root has none.
CREATE TABLE name (
    parent INTEGER NOT NULL,     -- the directory's node
    name   BLOB NOT NULL,        -- 1 to 255 bytes without `/` and NUL
    node   INTEGER NOT NULL,
    PRIMARY KEY (parent, name)
) WITHOUT ROWID;
CREATE INDEX name_node ON name (node);

-- Extended attributes, as setxattr(2) gave them.
CREATE TABLE xattr (
    node  INTEGER NOT NULL,
    name  BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (node, name)
) WITHOUT ROWID;

-- Which bytes of content that is partly here the cache holds: [start, stop), apart from one another.
CREATE TABLE extent (
    node  INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop  INTEGER NOT NULL,
    PRIMARY KEY (node, start)
) WITHOUT ROWID;

-- What was answered to requests that must not be done twice: the kernel sends them again when the
-- daemon dies before its answer. The oldest ones go.
CREATE TABLE reply (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    request INTEGER NOT NULL UNIQUE,      -- the kernel's number of the request
    node    INTEGER NOT NULL              -- what it was about or made; 0: nothing to tell
);

-- What this database belongs to (vault, identity id, bucket, prefix, root marker).
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- Running totals over the base, kept by triggers so that status costs no walk.
CREATE TABLE total (
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
INSERT INTO total VALUES (0, 0);

CREATE TRIGGER total_insert AFTER INSERT ON path WHEN NEW.b_kind IN ('file', 'link') BEGIN
    UPDATE total SET files = files + 1, bytes = bytes + NEW.b_size;
END;
CREATE TRIGGER total_delete AFTER DELETE ON path WHEN OLD.b_kind IN ('file', 'link') BEGIN
    UPDATE total SET files = files - 1, bytes = bytes - OLD.b_size;
END;
CREATE TRIGGER total_update AFTER UPDATE OF b_kind, b_size ON path
WHEN OLD.b_kind IS NOT NEW.b_kind OR OLD.b_size IS NOT NEW.b_size BEGIN
    UPDATE total SET
        files = files + coalesce(NEW.b_kind IN ('file', 'link'), 0)
                      - coalesce(OLD.b_kind IN ('file', 'link'), 0),
        bytes = bytes + iif(NEW.b_kind IN ('file', 'link'), NEW.b_size, 0)
                      - iif(OLD.b_kind IN ('file', 'link'), OLD.b_size, 0);
END;

PRAGMA user_version = 3;
