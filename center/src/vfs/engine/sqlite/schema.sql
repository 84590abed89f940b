-- Version 1 of the directory database. Figure 12's tables, with folders and files in one: a name is then unique
-- among both by one index, and moving a folder rewrites one row. The views at the end are Figure 12 as drawn.

CREATE TABLE customer (
    id          INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 4294967295),
    name        TEXT    NOT NULL UNIQUE,
    reserved    BLOB    NOT NULL DEFAULT x'',
    root        INTEGER,                        -- entry.id of the root folder
    position    INTEGER NOT NULL DEFAULT 0,     -- of the last change in the feed
    bytes_used  INTEGER NOT NULL DEFAULT 0,
    files_used  INTEGER NOT NULL DEFAULT 0,     -- files and folders, without the root
    bytes_quota INTEGER,
    files_quota INTEGER
) STRICT;

CREATE TABLE secret (
    customer INTEGER NOT NULL REFERENCES customer (id),
    rank     INTEGER NOT NULL CHECK (rank IN (0, 1)),   -- 0 signs; 1 is still accepted
    secret   BLOB    NOT NULL,
    PRIMARY KEY (customer, rank)
) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: an id is never given twice, not even after the row with the highest one is gone.
CREATE TABLE entry (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    customer    INTEGER NOT NULL REFERENCES customer (id),
    parent      INTEGER,                        -- NULL: a root, or a folder on its way out (see `doomed`)
    name        BLOB,
    version     INTEGER NOT NULL,
    created     INTEGER NOT NULL,               -- nanoseconds since the epoch, as `modified` and `changed`
    modified    INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    metadata    BLOB    NOT NULL,
    subfolders  INTEGER,                        -- folders only
    fingerprint BLOB,                           -- files only, as the three below
    size        INTEGER,
    digest      BLOB,
    token       BLOB,                           -- the one reference the row holds; NULL for the empty object
    CHECK ((parent IS NULL) = (name IS NULL)),
    CHECK ((subfolders IS NULL) = (fingerprint IS NOT NULL)),
    CHECK ((fingerprint IS NULL) = (size IS NULL) AND (fingerprint IS NULL) = (digest IS NULL))
) STRICT;
INSERT INTO sqlite_sequence (name, seq) VALUES ('entry', 99);   -- ids start at 100

CREATE UNIQUE INDEX entry_name ON entry (parent, name) WHERE parent IS NOT NULL;
CREATE INDEX entry_parent ON entry (parent) WHERE parent IS NOT NULL;   -- with the row's id: listings in order
CREATE UNIQUE INDEX entry_reference ON entry (customer, fingerprint, token) WHERE token IS NOT NULL;

-- Folders cut off by a recursive delete whose contents are still to be removed.
CREATE TABLE doomed (
    id       INTEGER PRIMARY KEY,
    customer INTEGER NOT NULL
) STRICT;

-- References given up by a committed change, until the storage cluster has acknowledged it; then, for a while, the
-- memory of that (see outbox.rs).
CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    customer    INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL,
    token       BLOB    NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    due         INTEGER NOT NULL,               -- not to be tried before
    released    INTEGER                         -- when the cluster acknowledged; NULL: pending
) STRICT;
CREATE UNIQUE INDEX outbox_reference ON outbox (customer, fingerprint, token);
CREATE INDEX outbox_due ON outbox (due) WHERE released IS NULL;
CREATE INDEX outbox_released ON outbox (released) WHERE released IS NOT NULL;

-- Answers by idempotency key, in order of time.
CREATE TABLE reply (
    id       INTEGER PRIMARY KEY,
    customer INTEGER NOT NULL,
    key      BLOB    NOT NULL,
    at       INTEGER NOT NULL,
    document BLOB    NOT NULL                   -- the reply in its XML form
) STRICT;
CREATE UNIQUE INDEX reply_key ON reply (customer, key);

CREATE TABLE change (
    customer INTEGER NOT NULL,
    position INTEGER NOT NULL,
    id       INTEGER NOT NULL,                  -- of the row that changed
    version  INTEGER,                           -- its version since; NULL: gone
    PRIMARY KEY (customer, position)
) STRICT, WITHOUT ROWID;

CREATE VIEW folder (customer_id, folder_id, folder_parent_id, metadata) AS
    SELECT customer, id, parent, metadata FROM entry WHERE subfolders IS NOT NULL;

CREATE VIEW file (customer_id, file_handle, folder_id, folder_parent_id, metadata) AS
    SELECT entry.customer, lower(hex(entry.fingerprint)), entry.parent, folder.parent, entry.metadata
    FROM entry JOIN entry AS folder ON folder.id = entry.parent
    WHERE entry.fingerprint IS NOT NULL;
