-- Failover pairs of storage ports (FO-11): which generation is in force, and whether its port has a lease of the center's.
-- See vfs/pairs/lease.rs.
CREATE TABLE port_pair (
    customer   INTEGER NOT NULL REFERENCES customer (id),
    name       TEXT    NOT NULL,
    generation INTEGER NOT NULL,                -- the newest
    holder     TEXT,                            -- 'a' or 'b'; NULL: not known
    held       INTEGER NOT NULL,                -- 1: the holder has a lease
    renewals   INTEGER NOT NULL,                -- leases given
    lease_ms   INTEGER NOT NULL,
    PRIMARY KEY (customer, name)
) STRICT, WITHOUT ROWID;
