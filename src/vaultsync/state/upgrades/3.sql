-- From version 2 to version 3.

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

PRAGMA user_version = 3;
