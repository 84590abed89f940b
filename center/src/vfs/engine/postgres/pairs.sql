-- Failover pairs of storage ports, as SQLite's table.
CREATE TABLE port_pair (
    customer   BIGINT NOT NULL REFERENCES customer (id),
    name       TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    holder     TEXT,
    held       BIGINT NOT NULL,
    renewals   BIGINT NOT NULL,
    lease_ms   BIGINT NOT NULL,
    PRIMARY KEY (customer, name)
);
