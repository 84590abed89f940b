-- For centers that mirror each other (VFS-22). What is here belongs to this database alone and is not mirrored as rows;
-- all of it is empty without a mirror.

-- How far this database is.
CREATE TABLE mirror (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    position  INTEGER NOT NULL,                 -- number of the last entry whose rows are in the tables
    log_bytes INTEGER NOT NULL                  -- of all entries kept
) STRICT;

-- Which center changed the directory when: each from its first entry on, until the next one begins.
CREATE TABLE mirror_generation (
    number INTEGER PRIMARY KEY,
    writer TEXT    NOT NULL,
    first  INTEGER NOT NULL
) STRICT;

-- The last changes, without a gap.
CREATE TABLE mirror_log (
    number INTEGER PRIMARY KEY,
    more   INTEGER NOT NULL,                    -- 1: the next entry is of the same transaction
    rows   BLOB    NOT NULL                     -- see vfs/mirror/image.rs
) STRICT;
