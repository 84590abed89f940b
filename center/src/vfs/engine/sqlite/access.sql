-- Who may not do what by SRLs that are signed and not expired (SRL-14). Every change of it, and of secrets, gives its
-- customer the next number, by which object managers hear of it.
CREATE TABLE access_generation (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL                      -- the last number given
) STRICT;
ALTER TABLE customer ADD COLUMN access INTEGER NOT NULL DEFAULT 0;     -- number of its last change
ALTER TABLE customer ADD COLUMN suspended INTEGER NOT NULL DEFAULT 0;  -- 1: every SRL is refused
CREATE INDEX customer_access ON customer (access);

CREATE TABLE revocation (
    customer INTEGER NOT NULL REFERENCES customer (id),
    mark     BLOB    NOT NULL,
    what     TEXT    NOT NULL,                  -- for people
    since    INTEGER NOT NULL,                  -- nanoseconds since the epoch
    PRIMARY KEY (customer, mark)
) STRICT, WITHOUT ROWID;
