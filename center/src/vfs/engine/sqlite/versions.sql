-- What is kept of deleted and overwritten files (undo). A file's reference goes from its row to the version's, so that
-- each is in one row, here or in `entry`.
ALTER TABLE customer ADD COLUMN keep_seconds INTEGER;                   -- NULL: as the configuration says; 0: not at all
ALTER TABLE customer ADD COLUMN bytes_kept INTEGER NOT NULL DEFAULT 0;
ALTER TABLE customer ADD COLUMN versions_kept INTEGER NOT NULL DEFAULT 0;

CREATE TABLE version (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    customer    INTEGER NOT NULL REFERENCES customer (id),
    why         INTEGER NOT NULL CHECK (why IN (0, 1)),     -- 0 deleted; 1 overwritten
    at          INTEGER NOT NULL,               -- nanoseconds since the epoch
    entry       INTEGER NOT NULL,               -- the row's id; the others are its columns as they were
    parent      INTEGER NOT NULL,
    name        BLOB    NOT NULL,
    version     INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    modified    INTEGER NOT NULL,
    changed     INTEGER NOT NULL,
    metadata    BLOB    NOT NULL,
    subfolders  INTEGER,
    fingerprint BLOB,
    size        INTEGER,
    digest      BLOB,
    token       BLOB,
    CHECK ((subfolders IS NULL) = (fingerprint IS NOT NULL)),
    CHECK ((fingerprint IS NULL) = (size IS NULL) AND (fingerprint IS NULL) = (digest IS NULL))
) STRICT;
INSERT INTO sqlite_sequence (name, seq) VALUES ('version', 0);

CREATE UNIQUE INDEX version_reference ON version (customer, fingerprint, token) WHERE token IS NOT NULL;
CREATE INDEX version_age ON version (customer, at, id);
CREATE INDEX version_entry ON version (entry, id);
CREATE INDEX version_parent ON version (parent, id);
CREATE INDEX version_name ON version (parent, name, id);
