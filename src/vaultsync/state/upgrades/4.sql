-- From version 3 to version 4.

-- Files that the engine took their last name from while somebody may have them open: what is written
-- to one of them later is given a name beside the one that it had.
CREATE TABLE displaced (
    node   INTEGER PRIMARY KEY,
    parent INTEGER NOT NULL,     -- the directory's node
    name   BLOB NOT NULL         -- in it, at that time
);

PRAGMA user_version = 4;
